"""Search results made safe: no passage can act as a tag, a token or a command."""

from __future__ import annotations

import re

_BRACKET_TOKEN = re.compile(r"\[(/?[A-Za-z][A-Za-z_0-9 ]*)\]")


_KEPT_INVISIBLE = "\u200c\u200d"  # joiners that some scripts are spelled with


def neutralise(text: str) -> str:
    """Untrusted text made unable to act in any dialect, still legible.

    No `<` or `>` (every tag and most chat templates' special tokens), no `[INST]`-like token,
    no backslash (`\\boxed`), no line breaks, so that no line can begin with `Action:`, and no
    control characters, so that no terminal obeys it.
    """
    flat = " ".join(text.split())
    if not flat.isprintable():
        flat = "".join(char for char in flat if char.isprintable() or char in _KEPT_INVISIBLE)
    flat = flat.replace("<", "‹").replace(">", "›").replace("\\", "/")
    return _BRACKET_TOKEN.sub(r"(\1)", flat)
