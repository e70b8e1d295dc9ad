"""Which episodes become training data, and why the others do not."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from agent_model.dialects.agent import Agent
from autocoa_bench.episode import estimate_tokens, n_actions, n_malformed, turns_of
from autocoa_bench.scoring import TextScorer, score_record
from autocoa_bench.types import Record, Step, Trajectory

T = TypeVar("T")

REASONS = (
    "fault",
    "forced",
    "malformed",
    "wrong",
    "no search",
    "searched",
    "too few searches",
    "too many searches",
    "too long",
    "duplicate",
    "surplus",
)
"""Why an episode is dropped, in the order in which it is asked."""

STUDENT = Agent(shots=0)
"""The dialect in which a trained agent is asked, and so the one that data is written in."""

_OPENED, _CLOSED = STUDENT.prefill.strip(), "</think>"

_AFTER_ANSWER = " \t\n.$*"


class Limits(Struct, frozen=True, kw_only=True):
    """What is short and long enough, and how much of one question is wanted.

    `tokens` counts prompt and turn together, by `estimate_tokens`, so that the same data is kept
    whatever server counted; `least` is the score from which an answer counts as right.
    """

    tokens: int = 8192
    min_actions: int = 0
    actions: int = 10
    per_question: int = 1
    least: float = 1.0


class Counts(Struct, frozen=True):
    """How many episodes there were, how many were kept, and why the others were not.

    For pairs from sampled episodes it is questions that are counted.
    """

    seen: int
    kept: int
    dropped: dict[str, int]


class FilterResult(Struct, frozen=True):
    """Training data, and the counts of what it was chosen from."""

    records: tuple[Record, ...]
    counts: Counts


def filter_records(
    records: Iterable[Record], scorer: TextScorer, limits: Limits, *, searching: bool | None
) -> FilterResult:
    """The records fit for training, as the student is asked, in the order of their questions.

    `searching` says which kind is wanted: trajectories that search (CoA), that do not (CoT), or
    None for both.
    Of one question's, those with the fewest searches come first, then the shortest.
    """
    dropped: Counter[str] = Counter()
    fit: dict[tuple[str, str], list[Record]] = {}
    total = 0
    for record in records:
        total += 1
        reason = why_dropped(record, scorer, limits, searching=searching)
        if reason:
            dropped[reason] += 1
        else:
            fit.setdefault((record.question.task, record.question.id), []).append(record)
    chosen: list[Record] = []
    seen: set[tuple[str, str]] = set()
    for group in fit.values():
        different = []
        for record in sorted(group, key=_shortest_first):
            mark = (record.question.text, turn_text(record))
            if mark not in seen:
                different.append(record)
            seen.add(mark)
        dropped["duplicate"] += len(group) - len(different)
        dropped["surplus"] += max(0, len(different) - limits.per_question)
        chosen += different[: limits.per_question]
    reasons = {reason: dropped[reason] for reason in REASONS if dropped[reason]}
    counts = Counts(total, len(chosen), reasons)
    return FilterResult(tuple(map(as_taught, chosen)), counts)


def why_dropped(
    record: Record, scorer: TextScorer, limits: Limits, *, searching: bool | None
) -> str:
    """The first of REASONS that speaks against one record by itself; empty where none does."""
    trajectory = record.trajectory
    if trajectory is None:
        return "fault"
    if trajectory.ending != "answered":
        return "forced"
    if not is_well_formed(trajectory):
        return "malformed"
    if not is_right(record, scorer, limits.least):
        return "wrong"
    searches = n_actions(trajectory)
    if searching is not None and searching != bool(searches):
        return "no search" if searching else "searched"
    if searches < limits.min_actions:
        return "too few searches"
    if searches > limits.actions:
        return "too many searches"
    return "too long" if n_tokens(record) > limits.tokens else ""


def is_right(record: Record, scorer: TextScorer, least: float = 1.0) -> bool:
    """Whether a record's answer scores at least so much."""
    value = score_record(record, {"": scorer})[""].value
    return value is not None and value >= least


def is_well_formed(trajectory: Trajectory) -> bool:
    """Whether the agent's form is kept: answered unforced, no malformed step, the reasoning
    opened and closed once, closed before the answer, and nothing said after it."""
    if trajectory.ending != "answered" or n_malformed(trajectory):
        return False
    *earlier, last = (step.text for step in trajectory.steps)
    written = "".join((*earlier, last)).lstrip().removeprefix(_OPENED)
    if _OPENED in written or written.count(_CLOSED) != 1 or _CLOSED not in last:
        return False
    _, boxed, answer = last.rpartition("\\boxed")
    return bool(boxed) and answer.rstrip(_AFTER_ANSWER).endswith("}") and "\n" not in answer.strip()


def turn_text(record: Record) -> str:
    """The assistant's whole turn, observations included; empty for a fault."""
    trajectory = record.trajectory
    return "".join(turn.text for turn in turns_of(trajectory)) if trajectory else ""


def n_tokens(record: Record) -> int:
    """Tokens of the student's prompt and the turn, estimated."""
    opening = STUDENT.opening(record.question)
    return estimate_tokens("".join(part.content for part in opening) + turn_text(record))


def as_taught(record: Record) -> Record:
    """A record as the student is to meet it, in the trained agent's own prompt.

    The teacher's examples, tokens (ids of another vocabulary, of text that was cut) and times
    are left out. A server whose turns cannot be opened has the model open its reasoning itself;
    that is not said twice.
    """
    assert record.trajectory is not None
    first, *others = map(_bare, record.trajectory.steps)
    begun = first.text.lstrip()
    if begun.startswith(_OPENED):
        first = msgspec.structs.replace(first, text=begun.removeprefix(_OPENED).lstrip("\n"))
    trajectory = msgspec.structs.replace(
        record.trajectory,
        solver=STUDENT.name,
        opening=STUDENT.opening(record.question),
        steps=(first, *others),
    )
    return msgspec.structs.replace(record, trajectory=trajectory, seconds=0.0)


def random_order(items: Sequence[T], mark: Callable[[T], str], count: int, seed: int) -> list[T]:
    """At most `count` items in their own order, drawn by the hash of the seed and their mark."""
    lots = [hashlib.sha256(f"{seed}:{mark(item)}".encode()).digest() for item in items]
    drawn = sorted(range(len(items)), key=lambda place: (lots[place], place))[:count]
    return [items[place] for place in sorted(drawn)]


def _bare(step: Step) -> Step:
    return msgspec.structs.replace(
        step,
        prompt_tokens=None,
        completion_tokens=None,
        token_ids=None,
        observation_ids=None,
        generate_seconds=0.0,
        search_seconds=0.0,
    )


def _shortest_first(record: Record) -> tuple[int, int, int]:
    assert record.trajectory is not None
    return n_actions(record.trajectory), len(turn_text(record)), record.sample
