"""Parsing of answers in model text, shared by several dialects."""

import re

_BOX = re.compile(r"\\boxed\s*\{")
_WRAPPER = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}")


def after_reasoning(text: str) -> str:
    """The text after the last `</think>`; all of it where there is none."""
    return text.rpartition("</think>")[2]


def last_boxed(text: str, *, cut: bool = False) -> str | None:
    """The content of the last `\\boxed{...}`, braces balanced and `\\text{}` unwrapped.

    A last box that is never closed extends to the end of the text (a stop string took the brace),
    unless a token limit `cut` the text. None where there is no box.
    """
    starts = [match.end() for match in _BOX.finditer(text)]
    if not starts:
        return None
    content, closed = balanced(text[starts[-1] :], "{", "}")
    return None if cut and not closed else unwrap(content)


def unwrap(text: str) -> str:
    """An answer without surrounding white space, `$` and LaTeX text commands."""
    text = text.strip().strip("$").strip()
    while (plain := _WRAPPER.sub(r"\1", text)) != text:
        text = plain.strip()
    return text


def forced_boxed(text: str) -> str | None:
    """The answer in a completion that continues an opened `\\boxed{`; None if there is none."""
    answer = last_boxed(text)
    if answer is None:
        answer = unwrap(balanced(text, "{", "}")[0])
    return answer or None


def balanced(text: str, opening: str, closing: str) -> tuple[str, bool]:
    """The text up to the bracket that closes an earlier one, and True where there is one."""
    depth = 1
    for i, char in enumerate(text):
        if char == opening:
            depth += 1
        elif char == closing:
            depth -= 1
            if depth == 0:
                return text[:i], True
    return text, False
