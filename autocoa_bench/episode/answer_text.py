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
_PLACEHOLDER = re.compile(
    r"(?:[Ii]nsert )?(?:(?:the |my |[Yy]our )?answer|[Yy]our [Aa]nswer"
    r"|(?:the |my |[Yy]our )?(?:[Ff]inal|[Ss]hort) [Aa]nswer)(?: here)?"
)
_MENTION = re.compile(
    r"(?:and|or|to|tags?)(?: (?:and|then|finally|ends?|closes?|closing|by|it|with|the|my|tags?))*"
    r"|(?:an? |the |my |your )?(?:search )?(?:query|keywords|question)(?: here)?"
)
_MENTIONED = re.compile(r"\s(?:tags?|blocks?|and|or)\b")
"""What follows an opening tag that is mentioned, and never closed."""
_TAGS = re.compile(
    r"</?\s?(?:answer|search|information|(?:begin|end)_search|(?:search_)?result|think(?:ing)?|response|"
    r"tool_call|tool_response|output|[bius]|em|strong|sup|sub|code|span|p|mark|br|final_answer)\s?/?>"
    r"|<\|[^<>|\s]{1,40}\|>|<｜[^<>｜\s]{1,40}｜>|</?s>|<(?:eos|end_of_turn)>|<[\\/][a-z_]{0,14}>?\Z",
    re.IGNORECASE,
)
_PLAIN_START = frozenset(string.ascii_letters + string.digits) - frozenset("aAfFtT")
"""The first characters of text that has no heading ("The answer: ...")."""
_BLANKS = " \n\r"
"""White space but for a tab, which may be what is left of `\\text` after JSON."""
_INNER, _INNER_END = (re.compile(tag, re.IGNORECASE) for tag in ("<answer>", "</answer>"))
_NEXT_QUESTION = re.compile(r"\n\s{0,9}Question:")
_LINK = re.compile(r"\[([^\[\]\n]+)\]\(https?://[^\s()]*(?:\([^\s()]*\)[^\s()]*)?\)")
_FENCE_START = re.compile("```[a-z]{0,12}")
_FENCE = re.compile(r"```(?:[a-z]{0,12}\n)?((?:(?!```).)+)```", re.DOTALL)
_LAYERS = 8
"""The layers of mark-up around an answer that are removed."""
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
    """The plain content of the last box (`\\boxed{...}`) with content; None for no answer.

    Braces are balanced, and a box inside another is a part of it. A box that is never closed
    extends to the end of its line (a stop string took the brace). If a token limit `cut` the text
    there, there is no answer, even where another box holds one.
    """
    return last_box(text, cut=cut)[0]


def last_box(text: str, *, cut: bool = False) -> tuple[str | None, int]:
    """`last_boxed`, and where the box begins; (None, -1) for no answer."""
    boxes = _boxes(text)
    if cut and any(end < 0 for _, _, end in boxes):
        return None, -1
    for begin, start, end in reversed(boxes):
        answer = plain_answer(text[start:end] if end >= 0 else first_line(text, start))
        if answer:
            return answer, begin
    return None, -1


def _boxes(text: str) -> list[tuple[int, int, int]]:
    """The boxes that are in no closed one: where each begins, and its content, and where that ends,
    which is -1 for one that is never closed."""
    if "{" not in text:
        return []
    closing = matching_braces(text)
    boxes: list[tuple[int, int, int]] = []
    for match in _BOX.finditer(text):
        if not boxes or match.start() > boxes[-1][2]:
            boxes.append((match.start(), match.end(), closing.get(match.end() - 1, -1)))
    return boxes


def last_tagged(text: str, tag: str, *, cut: bool = False) -> tuple[str | None, int]:
    """The plain content of the last `<tag>` with content, and the position where it ends.

    A last tag that is never closed extends to the end of the text (a stop string took the closing
    tag); if a token limit `cut` the text there, there is no answer. (None, -1) for no answer.
    """
    answer, answer_end, opened = "", -1, -1
    for match in re.finditer(
        rf"<\s?([\\/]?)\s?{re.escape(tag)}(?:\s[^<>]{{0,60}})?>", text, re.IGNORECASE
    ):
        # An opening tag at the end is a closing one that lacks its slash.
        is_last = opened >= 0 and not text[match.end() :].strip()
        if not match[1] and not is_last:
            opened = match.end()
        elif opened >= 0:
            content = plain_answer(text[opened : match.start()])
            if content and not is_mention(content):
                answer, answer_end = content, match.start()
            opened = -1
    if opened >= 0 and not _MENTIONED.match(text, opened):
        content = plain_answer(text[opened:])
        if content and not is_mention(content):
            answer, answer_end = ("", -1) if cut else (content, len(text))
    return answer or None, answer_end


def forced_boxed(text: str) -> str | None:
    """The answer in a completion that continues an opened `\\boxed{`; None if there is none."""
    text = _NEXT_QUESTION.split(outside_thoughts(text).text, maxsplit=1)[0]
    content, _ = balanced(text, "{", "}")
    if _BOX.search(content):  # whatever was said before it
        return last_boxed(text)
    return plain_answer(continued(text, "{", "}")[0]) or None


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
    if content.strip(_BLANKS) == line:
        return line, closed
    return line, True


def forced_end(text: str, force: str, *, new_turn: bool = False) -> int:
    """Where the answer ends in the text that continues `force`, and -1 where it does not.

    It ends with the bracket or the tag that closes what `force`, or its repetition in the text,
    opens. Except where the model began a `new_turn`, it also ends with its line, if more follows.
    """
    lead = force.split()[-1] if force.strip() else ""
    end = _closing_end(text, lead, 0)
    repeated = text.find(lead) if lead else -1
    if repeated >= 0 and (end < 0 or repeated < end):
        return _closing_end(text, lead, repeated + len(lead))
    if end < 0 and not new_turn and (line := first_line(text)):
        line_end = text.find(line) + len(line)
        return line_end if text[line_end:].strip() else -1
    return end


def _closing_end(text: str, lead: str, start: int) -> int:
    """Where the bracket or tag ends that closes what `lead` opens before `start`; -1 for none."""
    closing = {"{": "}", "[": "]"}.get(lead[-1:])
    if closing:
        content, closed = balanced(text, lead[-1], closing, start)
        return start + len(content) + 1 if closed else -1
    closing = "</" + lead[1:] if lead.startswith("<") else ""
    end = text.find(closing, start) if closing else -1
    return end + len(closing) if end >= 0 else -1


def first_line(text: str, start: int = 0) -> str:
    """The first line with text from `start` on, which does not merely announce others ("The answer
    is:"); empty where there is none."""
    announced = ""
    for line in text[start:].split("\n"):
        stripped = line.strip(_BLANKS)
        announces = stripped.endswith((":", "：")) or _FENCE_START.fullmatch(stripped)
        if stripped and not announces:
            return stripped
        announced = announced or stripped
    return announced


def plain_answer(text: str) -> str:
    """An answer as one would say it: without LaTeX, tags, mark-up and quotation marks around it.

    Empty where nothing is left but articles and punctuation, or a placeholder.
    """
    if (inner := _INNER.search(text)) and (inner_end := _INNER_END.search(text, inner.end())):
        text = text[inner.end() : inner_end.start()]
    for _ in range(3):  # what is left of a tag inside a tag may be one
        text = _TAGS.sub("", text)
    boxes = _boxes(text)
    if len(boxes) == 1 and len(text[: boxes[0][0]].split()) > 1:
        _, start, end = boxes[0]  # "The answer is \boxed{Paris}."
        text = text[start:end] if end >= 0 else text[start:]
    text = unwrapped(_LINK.sub(r"\1", plain(text)))
    return text if has_content(text) else ""


def unwrapped(text: str) -> str:
    """The text without headings, mark-up and quotation marks that enclose all of it."""
    text = text.strip()
    for _ in range(_LAYERS):
        if not text or (text[0] in _PLAIN_START and text[-1].isalnum()):
            break
        heading = _HEADING.match(text)
        shorter = text[heading.end() :] if heading else text
        fence = _FENCE.fullmatch(shorter)
        shorter = fence[1].strip() if fence else shorter
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
    escaped = r"\\.|" if opening == "{" else ""
    brackets = re.compile(rf"{escaped}[{re.escape(opening + closing)}]", re.DOTALL)
    depth = 1
    for match in brackets.finditer(text, start):
        if match[0] == opening:
            depth += 1
        elif match[0] == closing:
            depth -= 1
            if depth == 0:
                return text[start : match.start()], True
    return text[start:], False
