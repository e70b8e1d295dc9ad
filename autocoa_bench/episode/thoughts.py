"""The thoughts of reasoning models in sampled text: where they open, where they close.

A thought is neither an answer nor, in most dialects, an action. Models of the field mark it in
different ways (`<think>`, `[THINK]`, channels, ...), and a chat template may have opened it before
the text begins.
"""

import re
from functools import lru_cache
from typing import NamedTuple

_NAMES = r"(?:seed:)?(?:think(?:ing)?|thoughts?|reason(?:ing)?|reflection|scratchpad|analysis)"
_FINAL_CHANNEL = r"(?:<\|start\|>\s?assistant\s?)?<\|channel\|>\s?final\b[^<]{0,40}<\|message\|>"
_MARK = re.compile(
    rf"""
      (?P<open> <\s{{0,2}}\|?\s?{_NAMES}(?:\s[^<>/]{{0,80}})?\s{{0,2}}\|?>
        | \[\s*THINK\s*\] | ◁\s*think\s*▷ | <\|begin_of_thought\|> | <\|START_THINKING\|>
        | <\|inner_prefix\|> | <unused94>\s?thought\b
        | <\|channel\|?>\s?(?:analysis|commentary|thought)\b[^<\n]{{0,80}}
          (?:<\|message\|>)? )
    | (?P<close> <\s{{0,2}}\|?\\?/\s?\|?\s?{_NAMES}\s{{0,2}}\|?>
        | \[\s*/\s*THINK\s*\] | ◁\s*/\s*think\s*▷ | <\|end_of_thought\|> | <\|END_THINKING\|>
        | <\|inner_suffix\|> | {_FINAL_CHANNEL} )
    | (?P<end> <\|end\|> | <channel\|> | <unused95> )
    | (?P<bare> (?:assistant){{1,2}}final )
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WORDS = (
    *("think", "thought", "reason", "reflection", "scratchpad", "analysis", "channel", "inner_"),
    *("<|end|>", "assistantfinal", "unused95"),
)
"""Every mark contains one of them."""
# gpt-oss where the server leaves the special tokens of its channels out.
_BARE_CHANNEL = re.compile(r"\s*analysis(?=[A-Z])")
_BARE_CLOSE = "assistantfinal"
# A closing mark for each opening one, by a part of the latter.
_CLOSING = (
    ("<|channel|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|channel>", "<channel|>"),
    ("unused94", "<unused95>"),
    ("[", "[/THINK]"),
    ("◁", "◁/think▷"),
    ("begin_of_thought", "<|end_of_thought|>"),
    ("start_thinking", "<|END_THINKING|>"),
    ("inner_prefix", "<|inner_suffix|>"),
)
_QUOTES = {"`": "`", '"': '"', "'": "'", "“": "”", "‘": "’", "«": "»"}
_MENTIONED = re.compile(r" (?:and \S{1,12} )?(?:tags?|blocks?)\b")
CLOSE = "</think>"
"""The mark that closes a thought which a template or a prefill opened."""


class Outside(NamedTuple):
    """Sampled text without its thoughts.

    `text` is as long as the sampled text: blanks, and a line break at the end, stand for a thought
    with its marks. `visible` is what is left without them. `closing` is the mark that would close a
    thought which is still open at the end, and empty where none is.
    """

    text: str
    visible: str
    closing: str


# A completion is read by the loop and by its dialect, one after the other.
@lru_cache(maxsize=256)
def outside_thoughts(text: str, closing: str = "") -> Outside:
    """The text without its thoughts; it begins inside an open one if `closing` is not empty.

    A thought that is never closed goes on to the end. A closing mark without an opening one closes
    a thought that began before the text, or where the last one ended. A mark that is quoted
    (`"</think>"`) or mentioned ("the </think> tag") is text.
    """
    if not _may_have_marks(text):
        return Outside(" " * len(text), "", closing) if closing else Outside(text, text, "")
    if not closing and _BARE_CHANNEL.match(text):
        closing = _BARE_CLOSE
    pieces: list[str] = []
    visible: list[str] = []
    start = 0  # of the thought that is open, else of the text since the last one
    for match in _MARK.finditer(text):
        begin, end = match.span()
        if _quoted(text, begin, end):
            continue
        if match["open"]:
            if not closing:
                visible.append(text[start:begin])
                pieces.append(text[start:begin])
                start, closing = begin, _closing_of(match["open"])
        elif match["close"] or (match["end"] and closing) or closing == _BARE_CLOSE:
            pieces.append(" " * (end - start - 1) + "\n")
            start, closing = end, ""
    visible.append("" if closing else text[start:])
    pieces.append(" " * (len(text) - start) if closing else text[start:])
    return Outside("".join(pieces), "".join(visible), closing)


def _may_have_marks(text: str) -> bool:
    """False for most texts without a mark, by a test that is much faster than the marks' own."""
    folded = text.lower()
    for word in _WORDS:  # noqa: SIM110 - a generator takes twice the time
        if word in folded:
            return True
    return False


def _quoted(text: str, begin: int, end: int) -> bool:
    """True where quotation marks enclose exactly text[begin:end], or a sentence mentions it."""
    before = text[begin - 1 : begin]
    if before == " ":
        return text[begin - 2 : begin - 1].isalpha() and _MENTIONED.match(text, end) is not None
    return before != "" and _QUOTES.get(before) == text[end : end + 1]


def _closing_of(opening: str) -> str:
    """The mark that closes what an opening mark opened."""
    folded = opening.lower()
    for part, closing in _CLOSING:
        if part in folded:
            return closing
    return "</" + folded.strip("<>| \t\n").split()[0].strip("|") + ">"
