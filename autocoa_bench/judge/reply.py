"""The verdict that a judge's reply states.

A verdict is the last line of a reply, in whatever quotes and mark-up. A line that negates, hedges
or names both verdicts states none: a reply that is read wrongly is worse than one that is asked
for again.
"""

import json
import re
import unicodedata
from collections.abc import Sequence

from autocoa_bench.episode.thoughts import CLOSE, outside_thoughts

_LONGEST_LINE = 300
"""In characters: a verdict with a short explanation; longer lines are prose."""

_END_TOKENS = re.compile(r"(?:\s*(?:<\|[\w-]+\|>|</s>|<eos>|<end_of_turn>|<｜[^<>]*｜>))+\s*\Z")
_INVISIBLE = dict.fromkeys("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufe0e\ufe0f\ufeff", "")
_QUOTES = dict.fromkeys("“”„‟«»‹›‘’‚‛「」『』〝〞'", '"')
_CHARACTERS = str.maketrans({**_INVISIBLE, **_QUOTES})
_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")
_EMPHASIS = re.compile(r"(?<![\w*`])[*_`]+|[*_`]+(?![\w*`])")
_TAG = re.compile(
    r"</?(?:b|strong|i|em|u|p|code|span|div|mark|h[1-6]|li|br|final|answer|final_answer|output"
    r"|result|response)\s*/?>",
    re.IGNORECASE,
)
_VERDICT_TAG = re.compile(
    r"^[ \t]*<((?:final[_ -]?)?verdict)>\s*([^<>\n]*?)\s*</\1>[ \t]*$", re.IGNORECASE | re.MULTILINE
)
_MATHS = re.compile(r"\\[()\[\]]|\$")
_TEXT_COMMAND = re.compile(r"\\(?:text\w*|math\w+|mbox|emph|underline)\s*\{([^{}]*)\}")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{([^{}]*)\}")
_ONLY_BOX = re.compile(
    r"(?:(?:(?:so|thus|therefore|hence),?\s+)?(?:(?:the|my)\s+)?(?:final\s+)?answer(?:\s+is)?\s*:?\s*)?"
    rf"{_BOX.pattern}[.!。]*",
    re.IGNORECASE,
)
_RULE = re.compile(r"[-*_=#>|~`\s{}()\[\]\\$:+]*|\s*\"\"\"\s*")
_BULLET = re.compile(r"(?:[-–—+•‣◦●▪►▶➡→⇒👉⚖📝🏁=>#|\s]|\d{1,2}[.)]\s)+")
_AFTER = "#|\\ \t"
_BRACKETS = re.compile(r"(?:\((.*)\)|\[(.*)\]|\{(.*)\}|<(.*)>|【(.*)】)[.!。]*")
_YES, _NO = frozenset("✅✓✔☑👍"), frozenset("❌✗✘✖❎👎🚫⛔")

_NAME = (
    r"(?:(?:so|thus|therefore|hence|finally|overall|in conclusion|to conclude|conclusion)[,:]?\s+)?"
    r"(?:(?:the|my|our)\s+)?(?:(?:final|overall)[\s_-]+)?verdict"
)
_SEPARATOR = r"(?:\s*(?::=|[:=|]|[-=]>|→|⇒|-|–|—)\s*|\s+is\s*:?\s*)"
_LINE = re.compile(
    rf"(?:{_NAME}{_SEPARATOR})+(?:(?:the|this)\s+(?:answer|response|prediction)\s+is\s+)?"
    r"[(\[{<]{0,2}\s*(?P<word>correct|incorrect)\s*[)\]}>]{0,2}[.!。]*"
    r"(?:\s*[(\[](?P<why>[^()\[\]]*)[)\]])?[.!。]*",
    re.IGNORECASE,
)
_HEADING = re.compile(rf"{_NAME}\s*[:–—-]?", re.IGNORECASE)
_WORD = re.compile(r"(correct|incorrect)[.!。]*", re.IGNORECASE)
_CONDITION = re.compile(
    r"\b(?:if|otherwise|else|unless|assuming|alternatively|or|format|example|template)\b.*:$",
    re.IGNORECASE,
)
_OR = re.compile(r"(?:or|and|and/or|versus|vs\.?|/)\W*", re.IGNORECASE)

_HEDGE = re.compile(
    r"\b(?:part\w*|most\w*|mainly|largely|almost|near\w*|some\w*|semi|half|but|though|although"
    r"|however|yet|except|unless|if|maybe|may|might|could|would|perhaps|prob\w*|possib\w*"
    r"|potential\w*|likely|unlikely|unsure|uncertain|unclear|unknown|ambiguous|arguabl\w*|debat\w*|guess\w*|think|believe|seem\w*"
    r"|appear\w*|wait|or|tentative\w*|sure|hmm+|assum\w*|technical\w*|confiden\w*|suppos\w*"
    r"|depend\w*|otherwise|cannot|cant)\b|\.\.",
    re.IGNORECASE,
)
_AGAINST = {
    True: re.compile(
        r"\b(?:not?|never|\w+nt|without|differ\w*|wrong|incorrect\w*|false|mis\w+|contradict\w*)\b",
        re.IGNORECASE,
    ),
    False: re.compile(r"\b(?:correct\w*|right|true|match\w*)\b", re.IGNORECASE),
}
"""Words in the explanation of a verdict that may contradict it, by the verdict."""


def after_thought(reply: str, *, opened: bool = False) -> str | None:
    """What a reply says outside of its thoughts; None where one is still open at the end.

    `opened` tells that the reply begins inside one.
    """
    outside = outside_thoughts(reply, CLOSE if opened else "")
    if outside.closing:
        return None
    # A verdict with a thought behind it is not the last word.
    is_last = len(outside.text.rstrip()) == len(reply.rstrip())
    return outside.visible if is_last else ""


def parse_verdict(reply: str) -> bool | None:
    """The verdict in the last line of a reply that has text; None where it is no verdict."""
    text = after_thought(reply)
    if text is None:
        return None
    text = _END_TOKENS.sub("", text)
    is_object, verdict = _object_verdict(text.rstrip("` \r\n\t"))
    if is_object:
        return verdict
    text = unicodedata.normalize("NFKC", _APOSTROPHE.sub("", text).translate(_CHARACTERS))
    text = _EMPHASIS.sub("", _MATHS.sub("", text))
    text = _TAG.sub("", _VERDICT_TAG.sub(r"verdict: \2", text))
    lines = [line.strip() for line in text.splitlines() if not _RULE.fullmatch(line)]
    verdict = _last_verdict(lines)
    before = [line for line in lines[:-1] if not _OR.fullmatch(_bare(line) or line)]
    # Both verdicts below one another are a copy of the prompt's two choices.
    if before and (_line_verdict(before[-1]) is (not verdict) or _CONDITION.search(before[-1])):
        return None
    return verdict


def _last_verdict(lines: Sequence[str]) -> bool | None:
    """The verdict in the last line, alone under a heading "Verdict" or in one line with it."""
    if not lines:
        return None
    last, heading = _bare(lines[-1]), _bare(lines[-2]) if len(lines) > 1 else None
    if last and heading and _WORD.fullmatch(last) and _HEADING.fullmatch(heading):
        return _line_verdict(f"verdict: {last}")
    return _line_verdict(lines[-1])


def _line_verdict(line: str) -> bool | None:
    """The verdict that a line states; None where it states none, or is not sure."""
    marks = set(line)
    bare = _bare(line)
    if bare is None:
        return None
    only_box = _ONLY_BOX.fullmatch(bare)
    match = _LINE.fullmatch(f"verdict: {only_box[1]}" if only_box else _BOX.sub(r"\1", bare))
    if match is None or "?" in bare or "..." in bare:
        return None
    is_correct = match["word"].lower() == "correct"
    why = match["why"] or ""
    if _HEDGE.search(why) or _AGAINST[is_correct].search(why):
        return None
    return None if marks & (_NO if is_correct else _YES) else is_correct


def _bare(line: str) -> str | None:
    """A line without quotes, brackets around it, bullets and marks; None for an open quotation."""
    # An odd quote belongs to a text that goes on elsewhere, such as a copy of the answer.
    if len(line) > _LONGEST_LINE or line.count('"') % 2:
        return None
    line = "".join(char for char in line.replace('"', "") if char not in _YES | _NO)
    while (plain := _TEXT_COMMAND.sub(r"\1", line)) != line:
        line = plain
    bullet = _BULLET.match(line)
    line = line[bullet.end() if bullet else 0 :].rstrip(_AFTER)
    while match := _BRACKETS.fullmatch(line):
        line = next(group for group in match.groups() if group is not None).strip()
    return line


def _object_verdict(text: str) -> tuple[bool, bool | None]:
    """Whether the last lines of a text are a JSON object, and the verdict in that field of it."""
    if not text.endswith("}"):
        return False, None
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.lstrip("` ").startswith("{")]
    for start in reversed(starts[-10:]):
        candidate = "\n".join(lines[start:]).lstrip("` ")
        try:
            fields: list[tuple[str, object]] = json.loads(candidate, object_pairs_hook=list)
        except (ValueError, RecursionError):
            continue
        values = {
            str(value).strip().lower()
            for name, value in fields
            if name.strip().lower().replace("_", " ") in ("verdict", "final verdict")
        }
        verdicts = [_line_verdict(f"verdict: {value}") for value in values]
        return True, verdicts[0] if len(verdicts) == 1 else None
    return False, None
