"""Answers in model text, shared by several dialects.

An answer counts only outside of thoughts, and only with content: no answer are articles and
punctuation alone (`The`, `...`), and a placeholder in tags that the model mentions without using
them ("inside <answer> and </answer>"). What a token limit cut before its end is none either.
"""

import re
import string

from autocoa_bench.episode.latex import matching_braces, plain
from autocoa_bench.episode.thoughts import outside_thoughts

_BOX = re.compile(r"(?:\\(?:boxed|fbox)|\x08oxed|(?<![A-Za-z\\])boxed)\s{0,3}\{")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation + "…“”‘’")
_ARTICLES = frozenset(["a", "an", "the"])
_PLACEHOLDER = re.compile(r"(?:(?:your )?(?:final |short )?answer)(?: here)?")
_MENTION = re.compile(
    r"and|or|to|tags?|(?:an? |the |my |your )?(?:search )?(?:query|keywords|question)(?: here)?"
)
_TAGS = re.compile(
    r"</?\s?(?:answer|search|information|(?:begin|end)_search|search_result|think(?:ing)?|response|"
    r"output|[bius]|em|strong|sup|sub|code|span|p|mark)\s?/?>|<\|[^<>|\s]{1,40}\|>",
    re.IGNORECASE,
)
_PLAIN_START = frozenset(string.ascii_letters + string.digits) - frozenset("aAfFtT")
"""The first characters of text that has no heading ("The answer: ...")."""
_INNER = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
_HEADING = re.compile(
    r"(?:#{1,6}|[-*•>])\s+|[*_]{0,2}(?:the\s)?(?:final\s)?answer(?:\sis)?[*_]{0,2}\s?[:：][*_]{0,2}\s*",
    re.IGNORECASE,
)
_WRAPPERS = (
    *(("**", "**"), ("__", "__"), ("*", "*"), ("_", "_"), ("``", "''"), ("`", "`"), ('"', '"')),
    *(("“", "”"), ("„", "“"), ("‘", "’"), ("«", "»"), ("「", "」"), ("『", "』"), ("'", "'")),
)


def after_reasoning(text: str) -> str:
    """The text outside of thoughts: all of it where there are none."""
    return outside_thoughts(text).visible


def last_boxed(text: str, *, cut: bool = False) -> str | None:
    """The plain content of the last box (`\\boxed{...}`) with content, braces balanced.

    A box inside another is a part of it. A box that is never closed extends to the end of its line
    (a stop string took the brace). If a token limit `cut` the text there, there is no answer, even
    where an earlier box holds one. None where there is no box.
    """
    closing = matching_braces(text)
    end = -1
    boxes: list[tuple[int, int]] = []
    for match in _BOX.finditer(text):
        if match.start() > end:  # not inside a closed box
            end = closing.get(match.end() - 1, -1)
            boxes.append((match.end(), end))
    for start, end in reversed(boxes):
        if end < 0 and cut:
            return None
        answer = plain_answer(text[start:end] if end >= 0 else first_line(text, start))
        if answer:
            return answer
    return None


def last_tagged(text: str, tag: str, *, cut: bool = False) -> tuple[str | None, int]:
    """The plain content of the last `<tag>` with content, and the position where it ends.

    A last tag that is never closed extends to the end of the text (a stop string took the closing
    tag); if a token limit `cut` the text there, there is no answer. (None, -1) for no answer.
    """
    answer, answer_end, opened = "", -1, -1
    for match in re.finditer(rf"<\s?(/?)\s?{re.escape(tag)}\s?>", text, re.IGNORECASE):
        if not match[1]:
            opened = match.end()
        elif opened >= 0:
            content = plain_answer(text[opened : match.start()])
            if content and not is_mention(content):
                answer, answer_end = content, match.start()
            opened = -1
    if opened >= 0:
        content = plain_answer(text[opened:])
        if content and not is_mention(content):
            answer, answer_end = ("", -1) if cut else (content, len(text))
    return answer or None, answer_end


def forced_boxed(text: str) -> str | None:
    """The answer in a completion that continues an opened `\\boxed{`; None if there is none."""
    text = outside_thoughts(text).text
    content, _ = continued(text, "{", "}")
    if _BOX.search(text[: text.find(content) + len(content)]):
        return last_boxed(text)
    return plain_answer(content) or None


def forced_tagged(text: str, tag: str) -> str | None:
    """The answer in a completion that continues an opened `<tag>`; None if there is none."""
    text = outside_thoughts(text).text
    closing = re.search(rf"<\s?/\s?{re.escape(tag)}\s?>", text, re.IGNORECASE)
    content = text[: closing.start()] if closing else text
    if re.search(rf"<\s?{re.escape(tag)}\s?>", content, re.IGNORECASE):
        return last_tagged(text, tag)[0]
    return plain_answer(content if closing else first_line(content)) or None


def continued(text: str, opening: str, closing: str) -> tuple[str, bool]:
    """The text that continues an opened bracket, and True where it ends.

    It ends at the bracket that closes the opened one, or before at the end of its first line, where
    more text follows.
    """
    content, closed = balanced(text, opening, closing)
    line = first_line(content)
    if content.strip() == line:
        return line, closed
    return line, True


def is_complete(text: str, force: str, *, new_turn: bool = False) -> bool:
    """True where the text that continues `force` contains the end of the answer.

    That is the bracket or the tag which closes what `force`, or its repetition in the text, opens.
    It is also the end of a line, except where the model began a `new_turn`.
    """
    lead = force.split()[-1] if force.strip() else ""
    text = text[text.rfind(lead) + len(lead) :] if lead and lead in text else text
    closing = {"{": "}", "[": "]"}.get(lead[-1:])
    if closing:
        _, closed = balanced(text, lead[-1], closing)
    else:
        closed = lead.startswith("<") and "</" + lead[1:] in text
    return closed or (not new_turn and first_line(text) != text.strip())


def first_line(text: str, start: int = 0) -> str:
    """The first line with text from `start` on, which does not merely announce others ("The answer
    is:"); empty where there is none."""
    announced = ""
    for line in text[start:].split("\n"):
        stripped = line.strip()
        if stripped and not stripped.endswith((":", "：")):
            return stripped
        announced = announced or stripped
    return announced


def plain_answer(text: str) -> str:
    """An answer as one would say it: without LaTeX, tags, mark-up and quotation marks around it.

    Empty where nothing is left but articles and punctuation, or a placeholder.
    """
    if inner := _INNER.search(text):
        text = inner[1]
    for _ in range(3):  # what is left of a tag inside a tag may be one
        text = _TAGS.sub("", text)
    boxes = list(_BOX.finditer(text))
    if len(boxes) == 1 and len(text[: boxes[0].start()].split()) > 1:
        text = text[boxes[0].start() :]  # "The answer is \boxed{Paris}."
        end = matching_braces(text).get(len(boxes[0][0]) - 1, len(text))
        text = text[: end + 1]
    text = unwrapped(plain(text))
    return text if has_content(text) else ""


def unwrapped(text: str) -> str:
    """The text without headings, mark-up and quotation marks that enclose all of it."""
    text = text.strip()
    while text and not (text[0] in _PLAIN_START and text[-1].isalnum()):
        heading = _HEADING.match(text)
        shorter = text[heading.end() :] if heading else text
        for opening, closing in _WRAPPERS:
            inner = shorter[len(opening) : len(shorter) - len(closing)]
            if (
                len(shorter) > len(opening) + len(closing)
                and shorter.startswith(opening)
                and shorter.endswith(closing)
                and opening not in inner
                and closing not in inner
            ):
                shorter = inner
                break
        shorter = shorter.strip()
        if shorter == text:
            break
        text = shorter
    return text


def has_content(text: str) -> bool:
    """False where an answer is empty once articles and punctuation are gone, or a placeholder."""
    words = text.translate(_NO_PUNCTUATION).split()
    if all(word.lower() in _ARTICLES for word in words):
        return False
    return _PLACEHOLDER.fullmatch(" ".join(words)) is None


def plain_query(text: str) -> str:
    """A query on one line and without tags; empty for a placeholder."""
    text = " ".join(_TAGS.sub(" ", text).split())
    return "" if is_mention(text) else text


def is_mention(text: str) -> bool:
    """True for what stands in tags that are mentioned, not used: "<search> and </search>"."""
    words = " ".join(text.translate(_NO_PUNCTUATION).split())
    return not text.strip(" .…`'\"") or _MENTION.fullmatch(words) is not None


def balanced(text: str, opening: str, closing: str, start: int = 0) -> tuple[str, bool]:
    """The text up to the bracket that closes an earlier one, and True where there is one."""
    depth = 1
    for match in re.compile(rf"\\.|[{re.escape(opening + closing)}]", re.DOTALL).finditer(
        text, start
    ):
        if match[0] == opening:
            depth += 1
        elif match[0] == closing:
            depth -= 1
            if depth == 0:
                return text[start : match.start()], True
    return text[start:], False
