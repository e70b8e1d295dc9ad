"""Neutralising search results, so that no passage can act as a tag, a token or a command."""

import re

_BRACKET_TOKEN = re.compile(r"\[(/?[A-Za-z][A-Za-z_0-9 ]*)\]")
_ALLOWED_INVISIBLE = "\u200c\u200d"  # joiners, which some scripts need for spelling


def neutralise(text: str) -> str:
    """Untrusted text without the characters that act in a dialect; it stays legible.

    It has no `<` or `>` (every tag, and the special tokens of most chat templates), no token like
    `[INST]`, no backslash (`\\boxed`), no line breaks, so that no line can begin with `Action:`,
    and no control characters, which a terminal would obey.
    """
    flat = " ".join(text.split())
    if not flat.isprintable():
        flat = "".join(char for char in flat if char.isprintable() or char in _ALLOWED_INVISIBLE)
    flat = flat.replace("<", "‹").replace(">", "›").replace("\\", "/")
    return _BRACKET_TOKEN.sub(r"(\1)", flat)
