"""The dialect: what makes a solver a solver."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import msgspec

from autocoa_bench.types import (
    Completion,
    Message,
    Passage,
    Question,
    StepKind,
)


class Action(NamedTuple):
    """A completion as a dialect reads it.

    `text` is what stays in the turn: the sampled text with a stripped stop string put back and
    anything after the action cut. `argument` is the query or the answer; `problem` says why a
    malformed completion is neither.
    """

    kind: StepKind
    text: str
    argument: str = ""
    problem: str = ""


class Dialect(Protocol):
    """How a solver's model is asked, read and shown passages: what makes a solver a solver."""

    name: str
    section: str
    """The heading under which reports list it (Table 1: "Agentic workflow", "Agent model")."""
    searches: bool
    """False for a dialect that has no way to ask for a search."""
    prefill: str
    """Opens the model's turn before it samples anything; may be empty."""
    stop: tuple[str, ...]
    """Strings at which a completion ends. A server may or may not return the one it met."""
    nudge: str | None
    """Said after the first malformed completion of an episode; None forces the answer at once."""
    force: str
    """Opens a forced answer."""
    force_stop: tuple[str, ...]
    """Ends a forced answer."""

    def opening(self, question: Question) -> tuple[Message, ...]:
        """The messages before the model's turn."""
        ...

    def parse(self, completion: Completion) -> Action:
        """Read a completion as a search, an answer or malformed. Never raises."""
        ...

    def show(self, passages: Sequence[Passage]) -> str:
        """The observation for passages that `inert` has already been applied to."""
        ...

    def parse_forced(self, text: str) -> str | None:
        """The answer in a forced completion's text, or None where there is none."""
        ...


def prompt_sha256(dialect: Dialect) -> str:
    """A fingerprint of all text that a dialect adds around a question and its passages."""
    probe = Question(id="probe", text="{question}", golden_answers=())
    passages = [Passage(id="1", title="{title}", text="{text}")]
    parts = (
        dialect.opening(probe),
        dialect.prefill,
        dialect.stop,
        dialect.nudge,
        dialect.force,
        dialect.force_stop,
        dialect.show(passages),
        dialect.show([]),
    )
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
