"""Neutralising passages and questions, so that neither can act as a tag, a token or a command.

What acts in a dialect loses its brackets and stays legible. What the model's own tokenizer reads as
a special token is broken up wherever it occurs: in any letter case, in equivalent characters
(NFKC), and with invisible characters inside it.
"""

import re
import unicodedata
from functools import lru_cache

_TAG = r"<\s?(?P<tag>[/|!]?\s?(?:[^\W\d]|0x)[\w:|./-]{0,60})\s?>"
_OTHER_TOKENS = r"\]~!?b[\[\]]|\[e~\["  # MiniMax
_BRACKETED = r"\[(?P<bracket>[/|@]?[a-z][a-z_0-9 ]*[|@]?)\]"
# Questions, unlike passages, keep words in brackets that no known model reads as a token.
_KNOWN_BRACKETED = (
    r"\[(?P<bracket>\|[a-z_0-9 ]*\||@\w+@|/?(?:inst|think|sys|system_prompt|available_tools"
    r"|tool_\w+|img\w*|[gs]mask|unused_?\d+|control_\d+|bos|eos|eop|sop|pad|unk|cls|sep))\]"
)
_BOX = re.compile(r"\\(?=(?:boxed|fbox)\b)", re.IGNORECASE)
# A line of a question that would begin a part of a prompt or of a turn.
_PART = re.compile(
    r"[ \t]{0,9}\n(?=[\W\d_]{0,20}(?:question|thought|action|observation|answer|search|finish"
    r"|result|doc|verdict|user|assistant|system|human|example|passage|context|follow[ -]?up"
    r"|intermediate answer|so the final answer)s?(?![^\W\d_]))",
    re.IGNORECASE,
)
_LINE_BREAKS = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_ALLOWED_INVISIBLE = "\u200c\u200d"  # joiners, which some scripts need for spelling
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
_ROUNDS = 4
"""Breaking up one token may complete another; after so many rounds what matches is removed."""


# Passages come again: popular ones, and those of a question's other samples.
@lru_cache(maxsize=4096)
def neutralise(text: str, special_tokens: tuple[str, ...] = ()) -> str:
    """Untrusted text without the characters that act in a dialect; it stays legible.

    It has no `<` or `>` (every tag, and the special tokens of most chat templates), no token like
    `[INST]`, no backslash (`\\boxed`), no line breaks, so that no line can begin with `Action:`,
    no control characters, which a terminal would obey, and none of the `special_tokens`.
    """
    flat = " ".join(text.split())
    if not flat.isprintable():
        flat = "".join(char for char in flat if char.isprintable() or char in _ALLOWED_INVISIBLE)
    flat = flat.replace("<", "‹").replace(">", "›").replace("\\", "/")
    if flat.isascii() and not ("[" in flat or "]" in flat or _without_brackets(special_tokens)):
        return flat
    return _broken_up(flat, _pattern(_BRACKETED, special_tokens))


def neutralise_question(text: str, special_tokens: tuple[str, ...] = ()) -> str:
    """A question that cannot act; ordinary ones stay as they are.

    It keeps formulas (`x < 5`, `\\frac`) and line breaks. It has no tags or known special tokens,
    no `\\boxed`, no line that begins like a part of a prompt (`Question:`), no control characters,
    and none of the `special_tokens`.
    """
    if not text.isprintable():
        text = "".join(filter(_belongs, _LINE_BREAKS.sub("\n", text)))
        text = _PART.sub(" ", text)
        if any(token.isspace() and token in text for token in special_tokens):
            text = " ".join(text.split())
    text = _BOX.sub("/", text)
    return _broken_up(text, _pattern(_KNOWN_BRACKETED, special_tokens))


def _belongs(char: str) -> bool:
    """False for control characters, surrogates and invisible formatting."""
    return (
        char.isprintable()
        or char in "\n\t"
        or char in _ALLOWED_INVISIBLE
        or unicodedata.category(char) not in ("Cc", "Cf", "Cs")
    )


@lru_cache(maxsize=64)
def _without_brackets(special_tokens: tuple[str, ...]) -> bool:
    """True if a special token may stand in text that has no brackets."""
    return any(not re.search(r"[<>\[\]\\]", _folded(token)[0]) for token in special_tokens)


@lru_cache(maxsize=64)
def _pattern(bracketed: str, special_tokens: tuple[str, ...]) -> re.Pattern[str]:
    """What has to be broken up, for folded text."""
    folded = {_folded(token)[0].strip() for token in special_tokens}
    folded |= {unicodedata.normalize(form, token) for form in ("NFC", "NFD") for token in folded}
    tokens = sorted(filter(None, folded), key=len, reverse=True)
    branches = [_TAG, bracketed, _OTHER_TOKENS, *map(re.escape, tokens)]
    return re.compile("|".join(branches), re.IGNORECASE)


def _broken_up(text: str, pattern: re.Pattern[str]) -> str:
    """The text without anything that matches the pattern once it is folded."""
    for number in range(_ROUNDS + 1):
        plain = text.isascii() or not (
            _IGNORABLE.search(text) or "▁" in text or not unicodedata.is_normalized("NFKC", text)
        )
        folded, positions = (text, range(len(text) + 1)) if plain else _folded(text)
        pieces, end = [], 0
        for match in pattern.finditer(folded):
            start, stop = positions[match.start()], positions[match.end() - 1] + 1
            if start < end:
                continue  # the last character of a match spells the first of the next as well
            pieces.append(text[end:start])
            if number < _ROUNDS:
                pieces.append(_replacement(text[start:stop], match))
            end = stop
        if not end:
            return text
        text = "".join(pieces) + text[end:]
    return _broken_up(text, pattern)


def _replacement(token: str, match: re.Match[str]) -> str:
    """The text that stands in for a token, and is none."""
    if match["tag"] is not None and len(token) > 2:
        return f"‹{token[1:-1]}›"
    if match["bracket"] is not None and len(token) > 2:
        return f"({token[1:-1]})"
    return f"{token[0]} {token[1:]}" if len(token) > 1 else " "


def _folded(text: str) -> tuple[str, list[int]]:
    """The text in NFKC without invisible characters, and for each of its characters the position
    in the text that it comes from."""
    folded: list[str] = []
    positions: list[int] = []
    for position, char in enumerate(text):
        if not _IGNORABLE.match(char):
            form = " " if char == "▁" else unicodedata.normalize("NFKC", char)
            folded.append(form)
            positions += [position] * len(form)
    return "".join(folded), positions
