"""ReAct (Yao et al., 2022): a prompt makes the model write thoughts, actions and observations."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from autocoa_bench.episode import Action
from autocoa_bench.episode.answer_text import (
    balanced,
    continued,
    plain_answer,
    plain_query,
    unwrapped,
)
from autocoa_bench.episode.thoughts import CLOSE, outside_thoughts
from autocoa_bench.errors import UserError
from autocoa_bench.types import Completion, Message, Passage, Question, StepKind

INSTRUCTION = """\
Answer the question by taking turns of Thought, Action and Observation. A Thought reasons about \
what is known and what is missing. An Action is one of:
Search[query] looks the query up and is followed by an Observation with passages.
Finish[answer] gives the final answer, as few words as possible, and ends the task.
Write one Thought and one Action at a time; never write an Observation yourself.
"""

_EXAMPLE_FILE = Path(__file__).with_name("react_examples.txt")
EXAMPLES = [
    f"{example}\n"
    for example in _EXAMPLE_FILE.read_text(encoding="utf-8").strip("\n").split("\n\n")
]

# Mark-up around an action: bold, bullets, quotations, backticks, headings, numbers.
_TAG = r"</?(?:b|strong|i|em|u|p|li|code|span|action)>"
_MARKUP = rf"(?:[ \t>*_#`\"'~•·–—+-]|{_TAG}){{0,12}}"
_LEAD = rf"(?:[^\w\s\[\](){{}}<:.]|[ \t]|{_TAG}){{0,12}}"
_BULLET = rf"{_LEAD}(?:\d{{1,3}}[.)])?{_MARKUP}"
_OPENING = r"[ \t*_`]{0,4}"
_ACTION = re.compile(
    rf"""^{_BULLET}(?:
      (?:(?:my|next|final)[ ]){{0,2}}action{_MARKUP}\d{{0,3}}{_MARKUP}(?:[:=]{_MARKUP}\n?|\n)
        {_MARKUP}(?P<name>search|finish)
        (?:{_OPENING}(?P<bracket>[\[({{])|{_MARKUP}:|{_MARKUP}\n{_BULLET}action[ \t]input{_MARKUP}:)
    | (?P<bare>search|finish)(?:{_OPENING}(?P<bracket_bare>[\[({{])|{_MARKUP}:)
    )
    | (?<=[.!?;])(?<!\be\.g\.)(?<!\bi\.e\.)[ \t]{_MARKUP}(?-i:Action){_MARKUP}:
        {_MARKUP}(?P<inline>search|finish){_OPENING}(?P<bracket_inline>[\[({{])
    """,
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_PART = re.compile(rf"\n{_BULLET}(?:thought|action|observation|question)\b", re.IGNORECASE)
_OBSERVATION = re.compile(rf"\n{_BULLET}Observation")
_LINE = re.compile(r"\s*[^\n]*")
_NOTHING_MORE = re.compile(rf"(?:[ \t*_`\"'.;]|{_TAG})*(?:\n|\Z)")
_PARAMETER = re.compile(r"\s*(?:query|answer|text|input)\s*=\s*(?=[\"'“])", re.IGNORECASE)
_FORCED_LEAD = re.compile(r"\A\s{0,9}(?:action\s{0,3}:)?\s{0,9}finish\s{0,3}\[", re.I)
_ASCII_BRACKETS = str.maketrans("［］（）：【】", "[]():[]")
_CLOSING = {"[": "]", "(": ")", "{": "}"}
_LONGEST = 1000
"""The characters in which the closing bracket of an action is looked for beyond its line."""


class _Call(NamedTuple):
    """An action: where it starts and ends in the text, and what closing brackets it lacks."""

    kind: StepKind
    start: int
    argument: str
    end: int
    closed: bool
    missing: str


class ReAct:
    """The ReAct workflow, few-shot by default; `shots=0` is zero-shot.

    The prompt works as chat turns and as plain text.
    """

    name = "react"
    section = "Agentic workflow"
    searches = True
    prefill = "Thought:"
    stop: tuple[str, ...] = ("\nObservation", "\nQuestion:")
    nudge: str | None = (
        "\nObservation: That could not be read. The next line must be Action: Search[query] or "
        "Action: Finish[answer].\nThought:"
    )
    force = "\nThought: I must answer now.\nAction: Finish["
    force_stop: tuple[str, ...] = ("\nObservation", "\nQuestion:")

    def __init__(self, shots: int = len(EXAMPLES)) -> None:
        if not 0 <= shots <= len(EXAMPLES):
            raise UserError(f"react takes 0 to {len(EXAMPLES)} shots, not {shots}")
        self.shots = shots

    def opening(self, question: Question) -> tuple[Message, ...]:
        parts = [INSTRUCTION, *EXAMPLES[: self.shots], f"Question: {question.text}"]
        return (Message("user", "\n".join(parts) + "\n"),)

    def parse(self, completion: Completion) -> Action:
        text = _OBSERVATION.split(completion.text, maxsplit=1)[0]
        # Actions drafted in a reasoning model's thoughts do not count.
        outside = outside_thoughts(text, CLOSE if completion.thinking else "").text
        call = _find_action(outside)
        if call is None:
            problem = "no Action: Search[...] or Finish[...]"
            if outside != text and _find_action(text):
                problem = "an action inside a thought"
            return Action("malformed", text, problem=problem)
        if not call.closed and completion.stop_reason == "length":
            return Action("malformed", text, problem="the action ran out of step tokens")
        # Text after the action is cut: the model would continue with an observation of its own.
        text = text[: call.end] + call.missing
        if not call.argument:
            return Action("malformed", text, problem="an action without a query or an answer")
        return Action(call.kind, text, call.argument)

    def show(self, passages: Sequence[Passage]) -> str:
        results = " ".join(f"[{i}] {p.title}: {p.text}" for i, p in enumerate(passages, 1))
        return f"\nObservation: {results or 'No passage was found.'}\nThought:"

    def parse_forced(self, text: str) -> str | None:
        text = outside_thoughts(text).text
        content, closed = balanced(text, "[", "]")
        call = _find_action(text)
        # A model that opens a new turn repeats the action.
        if call and call.kind == "answer" and (not closed or call.start < len(content)):
            return call.argument or None
        line = _FORCED_LEAD.sub("", continued(text, "[", "]")[0])
        return plain_answer(line + _missing(line, "[")[1:]) or None


def _find_action(text: str) -> _Call | None:
    """The first action with an argument, else the first one without, else None."""
    readable = text.translate(_ASCII_BRACKETS)
    empty = None
    for match in _ACTION.finditer(readable):
        bracket = match["bracket"] or match["bracket_bare"] or match["bracket_inline"]
        start, end, closed = _extent(readable, match.end(), bracket)
        after = end + 1 if bracket and closed else end
        # Within a line, or without "Action:", only what ends its line counts.
        if not match["name"] and not _stands_alone(readable, after, bracket, closed):
            continue
        argument = text[start:end]
        missing = _missing(argument, bracket) if bracket and not closed else ""
        name = match["name"] or match["bare"] or match["inline"]
        kind: StepKind = "search" if name[0] in "sS" else "answer"
        argument = _plain(argument + missing[1:], kind, quoted=bracket in ("(", "{"))
        call = _Call(kind, match.start(), argument, after, closed, missing)
        if argument:
            return call
        empty = empty or call
    return empty


def _extent(text: str, start: int, bracket: str | None) -> tuple[int, int, bool]:
    """Where an argument starts and ends, and True where it is closed by its bracket or, without
    one, by the end of its line.

    A bracket that is not closed on the argument's line ends there.
    """
    line_end = _LINE.match(text, start).end()  # type: ignore[union-attr]  # matches anything
    if bracket is None:
        return start, line_end, line_end < len(text)
    closing = _CLOSING[bracket]
    content, closed = balanced(text[start:line_end], bracket, closing)
    if not closed:
        limit = start + _LONGEST
        part = _PART.search(text, start, limit)
        further, closed = balanced(text[start : part.start() if part else limit], bracket, closing)
        closed = closed and further.strip() == content.strip()
        content = further if closed else content.rstrip()
    return start, start + len(content), closed


def _stands_alone(text: str, end: int, bracket: str | None, closed: bool) -> bool:
    """True where nothing but mark-up follows an action on its line, or in the text where it has no
    brackets."""
    if bracket is None:
        return not text[end:].strip()
    return closed and _NOTHING_MORE.match(text, end) is not None


def _missing(argument: str, bracket: str) -> str:
    """The brackets that close an argument and the action around it."""
    closing = _CLOSING[bracket]
    return closing * (1 + max(0, argument.count(bracket) - argument.count(closing)))


def _plain(argument: str, kind: StepKind, *, quoted: bool) -> str:
    """The query or the answer without mark-up; empty for a placeholder. A query that is `quoted` as
    the argument of a call loses its quotation marks."""
    argument = _PARAMETER.sub("", argument)
    if kind == "answer":
        return plain_answer(argument)
    return plain_query(unwrapped(argument) if quoted else argument)
