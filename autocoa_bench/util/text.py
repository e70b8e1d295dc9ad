"""The filter of all text that leaves for a terminal or a file that people open.

Names, questions, passages, replies of models and error messages come from strangers. What a
terminal, a spreadsheet or an eye would obey instead of show is taken out of them here.
"""

import re
from typing import Any

# Line ends of all kinds: a lone carriage return would write over the line.
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
# Controls of terminals, the 8-bit ones too (an escape begins with them), and halves of characters.
_OBEYED = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Nothing is seen of these, but they reorder the text around them, or carry a hidden one.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# At the start of a cell; a spreadsheet may also end cells at these signs.
_FORMULA = re.compile(r"((?:^|[;|\t\n])\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20\u2212])")


def printable(text: str) -> str:
    """The text without what a terminal obeys (which becomes �) and without invisible characters.

    Line ends become newlines; tabs stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return _INVISIBLE.sub("", _OBEYED.sub("\ufffd", _LINE_ENDS.sub("\n", text)))


def one_line(text: str, limit: int | None = None) -> str:
    """The printable text on one line, cut to `limit` characters."""
    flat = " ".join(printable(text).split())
    return flat if limit is None or len(flat) <= limit else flat[: limit - 1] + "…"


def whole_characters(text: str) -> str:
    """The text with U+FFFD in place of halves of surrogate pairs, which no file can hold."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def printable_tree(tree: Any) -> Any:
    """JSON-like data whose texts, keys too, are printable."""
    match tree:
        case str():
            return printable(tree)
        case dict():
            return {printable_tree(key): printable_tree(value) for key, value in tree.items()}
        case list() | tuple():
            return [printable_tree(item) for item in tree]
    return tree


def spreadsheet_text(text: str) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe comes before one."""
    return _FORMULA.sub(r"\1'", text)
