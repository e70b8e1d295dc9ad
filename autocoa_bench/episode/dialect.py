"""The dialect: the prompt, the parsing and the observations of a solver."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from autocoa_bench.episode.neutralise import neutralise_question
from autocoa_bench.types import Completion, Message, ModelTraits, Passage, Question, StepKind


class Call(NamedTuple):
    """One of several searches of a completion: its query, and the text up to its end."""

    query: str
    text: str


class Action(NamedTuple):
    """A completion as a dialect reads it.

    `text` is the part that stays in the turn: the sampled text with a stripped stop string put back
    and anything after the action cut. `argument` is the query or the answer; `problem` says why a
    malformed completion is neither. A completion may search several times at once; then `calls` are
    all of its searches in order, and `argument` is the first query.
    """

    kind: StepKind
    text: str
    argument: str = ""
    problem: str = ""
    calls: tuple[Call, ...] = ()


class Dialect(Protocol):
    """The prompt of a solver's model, the parsing of its text, and its observations."""

    name: str
    section: str
    """The heading of the solver in reports (Table 1: "Agentic workflow", "Agent model")."""
    searches: bool
    """False for a dialect without a search action."""
    prefill: str
    """Text at the start of the model's turn, before it samples anything; may be empty."""
    stop: tuple[str, ...]
    """Strings that end a completion. A server may or may not return the string."""
    nudge: str | None
    """Text after the first malformed completion of an episode; None forces the answer at once."""
    force: str
    """Text that opens a forced answer."""
    force_stop: tuple[str, ...]
    """Strings that end a forced answer; none may occur inside of an answer."""

    def opening(self, question: Question) -> tuple[Message, ...]:
        """The messages before the model's turn.

        With a first message of the role `tools`, every completion is a message of its own, and the
        observations are tool results.
        """

    def parse(self, completion: Completion) -> Action:
        """Read a completion as a search, an answer or malformed. Must not raise."""

    def show(self, passages: Sequence[Passage]) -> str:
        """The observation of passages, whose text is already neutralised."""

    def parse_forced(self, text: str) -> str | None:
        """The answer in the text of a forced completion; None where there is none."""


@runtime_checkable
class RetrievingDialect(Protocol):
    """A dialect that searches with the question itself, before the model speaks."""

    def opening_with(self, question: Question, passages: Sequence[Passage]) -> tuple[Message, ...]:
        """The messages before the model's turn, with passages whose text is already neutralised."""


@runtime_checkable
class ReadingDialect(Protocol):
    """A dialect whose model reads the passages of a search in a prompt of its own, which is not a
    part of the turn, and goes on with what it wrote there."""

    def reading(self, query: str, turn: str, passages: Sequence[Passage]) -> tuple[Message, ...]:
        """The messages of that prompt; `turn` is the model's turn, which ends in the search."""

    def parse_reading(self, text: str) -> str:
        """What the model has read, in its reply; empty for nothing. Must not raise."""

    def show_reading(self, text: str) -> str:
        """The observation of what the model has read, which is already neutralised."""


def safe_question(question: Question, special_tokens: tuple[str, ...] = ()) -> Question:
    """A question that cannot act in a prompt."""
    text = neutralise_question(question.text, special_tokens)
    return msgspec.structs.replace(question, text=text)


def opening_of(
    dialect: Dialect, question: Question, special_tokens: tuple[str, ...] = ()
) -> tuple[Message, ...]:
    """The messages before the model's turn, for a question that cannot act in them."""
    return dialect.opening(safe_question(question, special_tokens))


def offers_tools(dialect: Dialect) -> bool:
    """True for a dialect whose model calls functions."""
    return has_tools(dialect.opening(Question("", "", ())))


def has_tools(opening: Sequence[Message]) -> bool:
    """True for an opening that offers functions."""
    return bool(opening) and opening[0].role == "tools"


def turn_start(dialect: Dialect, traits: ModelTraits) -> str:
    """The dialect's prefill as a model needs it whose chat template opens a thought itself.

    A prefill that opens a thought is left to the template. Before any other prefill, such as
    ReAct's, the thought is closed empty: the dialect has a place of its own for reasoning, and an
    action within an open thought is none.
    """
    prefill = dialect.prefill
    if not traits.opens_thought or not prefill.strip():
        return prefill
    if prefill.lstrip().startswith("<think>"):
        return prefill.lstrip().removeprefix("<think>").lstrip()
    return f"\n</think>\n\n{prefill}"


_EARLIER_FORCE_STOP = {
    "\\boxed{": ((), ("}", "\n")),
    "<answer>": (("</answer>",), ("</answer>", "\n")),
    "Finish[": (("\nObservation", "\nQuestion:"), ("]", "\n")),
}
"""By the end of `force`: the stop strings of forced answers, and those of revision 3d60abd, which
could cut an answer."""


def fingerprinted_stop(force: str, stop: tuple[str, ...]) -> tuple[str, ...]:
    """The stop strings of a forced answer with which fingerprints and recordings are made: those of
    revision 3d60abd where they differ, so that its runs resume and its recordings replay."""
    for ending, (now, earlier) in _EARLIER_FORCE_STOP.items():
        if force.endswith(ending) and stop == now:
            return earlier
    return stop


def prompt_sha256(dialect: Dialect) -> str:
    """A fingerprint of all text that a dialect adds to a question and its passages."""
    probe = Question(id="probe", text="{question}", golden_answers=())
    passages = [Passage(id="1", title="{title}", text="{text}")]
    parts: tuple[object, ...] = (
        dialect.opening(probe),
        dialect.prefill,
        dialect.stop,
        dialect.nudge,
        dialect.force,
        fingerprinted_stop(dialect.force, dialect.force_stop),
        dialect.show(passages),
        dialect.show([]),
    )
    if isinstance(dialect, RetrievingDialect):
        parts += (dialect.opening_with(probe, passages),)
    if isinstance(dialect, ReadingDialect):
        reading = dialect.reading("{query}", "{turn}", passages)
        parts += (reading, dialect.show_reading("{text}"), dialect.show_reading(""))
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
