"""Chooses the episodes that become training data, and counts why the others do not."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import msgspec
from msgspec import Struct

from agent_model.data.config import FilterConfig
from agent_model.dialects.agent import Agent
from autocoa_bench.episode import estimate_tokens, n_actions, n_malformed, opening_of, turns_of
from autocoa_bench.scoring import TextScorer, score_record
from autocoa_bench.scoring.evidence import trace
from autocoa_bench.types import Record, Trajectory

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
    "no evidence",
    "easy",
    "duplicate",
    "surplus",
)
"""The reasons for dropping an episode, in the order in which they are checked."""

STUDENT = Agent(shots=0)
"""The dialect of the trained agent, in which all data is written."""

_OPEN, _CLOSE = STUDENT.prefill.strip(), "</think>"
_AFTER_ANSWER = " \t\n.$*"


class Counts(Struct, frozen=True):
    """The numbers of episodes that were seen and kept, and of those dropped, by reason.

    For pairs from sampled episodes, questions are counted.
    """

    seen: int
    kept: int
    dropped: dict[str, int]


class FilterResult(Struct, frozen=True):
    """Training data, and the counts of the episodes it was chosen from."""

    records: tuple[Record, ...]
    counts: Counts


def filter_records(
    records: Iterable[Record], scorer: TextScorer, limits: FilterConfig, *, searching: bool | None
) -> FilterResult:
    """The records fit for training, in the student's prompt and in the order of their questions.

    `searching` selects trajectories that search (CoA), that do not (CoT), or both (None). Of one
    question's trajectories, those with the fewest searches come first, then the shortest.
    """
    dropped: Counter[str] = Counter()
    by_question: dict[tuple[str, str], list[Record]] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for record in records:
        seen[record.key[:2]] += 1
        reason = why_dropped(record, scorer, limits, searching=searching)
        if reason:
            dropped[reason] += 1
        else:
            by_question.setdefault(record.key[:2], []).append(record)
    easy = [key for key, kept in by_question.items() if len(kept) == seen[key] > 1]
    surplus = len(easy) - round(limits.easy_share * len(easy))
    for key in draw_sample(easy, ":".join, surplus, 0):
        dropped["easy"] += len(by_question.pop(key))
    chosen: list[Record] = []
    texts: set[tuple[str, str]] = set()
    for candidates in by_question.values():
        unique = []
        for record in sorted(candidates, key=_shortest_first):
            text = (record.question.text, turn_text(record))
            if text not in texts:
                unique.append(record)
            texts.add(text)
        dropped["duplicate"] += len(candidates) - len(unique)
        dropped["surplus"] += max(0, len(unique) - limits.per_question)
        chosen += unique[: limits.per_question]
    reasons = {reason: dropped[reason] for reason in REASONS if dropped[reason]}
    counts = Counts(seen.total(), len(chosen), reasons)
    return FilterResult(tuple(map(student_record, chosen)), counts)


def why_dropped(
    record: Record, scorer: TextScorer, limits: FilterConfig, *, searching: bool | None
) -> str:
    """The first of REASONS that applies to a record by itself; empty if none does."""
    trajectory = record.trajectory
    if trajectory is None:
        return "fault"
    if trajectory.ending != "answered":
        return "forced"
    if not is_well_formed(trajectory):
        return "malformed"
    if not is_right(record, scorer, limits.min_score):
        return "wrong"
    n_searches = n_actions(trajectory)
    if searching is not None and searching != bool(n_searches):
        return "no search" if searching else "searched"
    if n_searches < limits.min_actions:
        return "too few searches"
    if n_searches > limits.max_actions:
        return "too many searches"
    if n_tokens(record) > limits.max_tokens:
        return "too long"
    return "no evidence" if limits.evidence and not has_evidence(record) else ""


def has_evidence(record: Record) -> bool:
    """True if the searches found all that the answer needs: the gold passages of the question, or
    where it names none, the words of the answer."""
    assert record.trajectory is not None
    evidence = trace(record.question, record.trajectory)
    return evidence.traced and None not in evidence.needed


def is_right(record: Record, scorer: TextScorer, min_score: float = 1.0) -> bool:
    """True if a record's answer scores at least `min_score`."""
    value = score_record(record, {"": scorer})[""].value
    return value is not None and value >= min_score


def is_well_formed(trajectory: Trajectory) -> bool:
    """True if a trajectory has the agent's form.

    It ends with an answer that was not forced and has no malformed step; the reasoning is opened
    and closed once and before the answer; nothing follows the answer.
    """
    if trajectory.ending != "answered" or n_malformed(trajectory):
        return False
    *earlier, last = (step.text for step in trajectory.steps)
    sampled = "".join((*earlier, last)).lstrip().removeprefix(_OPEN)
    if _OPEN in sampled or sampled.count(_CLOSE) != 1 or _CLOSE not in last:
        return False
    _, boxed, answer = last.rpartition("\\boxed")
    return bool(boxed) and answer.rstrip(_AFTER_ANSWER).endswith("}") and "\n" not in answer.strip()


def turn_text(record: Record) -> str:
    """The whole turn of the assistant with its observations; empty for a fault."""
    trajectory = record.trajectory
    return "".join(turn.text for turn in turns_of(trajectory)) if trajectory else ""


def n_tokens(record: Record) -> int:
    """An estimate of the tokens of the student's prompt and the turn."""
    opening = opening_of(STUDENT, record.question)
    return estimate_tokens("".join(message.content for message in opening) + turn_text(record))


def student_record(record: Record) -> Record:
    """A record as the student learns from it: in the trained agent's own prompt.

    The teacher's examples, token ids (of another vocabulary) and times are removed, as is a
    `<think>` that the model wrote itself because its server could not prefill one.
    """
    assert record.trajectory is not None
    first, *others = (
        msgspec.structs.replace(
            step,
            prompt_tokens=None,
            completion_tokens=None,
            token_ids=None,
            sampled_ids=None,
            logps=None,
            observation_ids=None,
            generate_seconds=0.0,
            search_seconds=0.0,
        )
        for step in record.trajectory.steps
    )
    text = first.text.lstrip()
    if text.startswith(_OPEN):
        first = msgspec.structs.replace(first, text=text.removeprefix(_OPEN).lstrip("\n"))
    trajectory = msgspec.structs.replace(
        record.trajectory,
        solver=STUDENT.name,
        opening=opening_of(STUDENT, record.question),
        steps=(first, *others),
    )
    return msgspec.structs.replace(record, trajectory=trajectory, seconds=0.0)


def draw_sample(items: Sequence[T], label: Callable[[T], str], count: int, seed: int) -> list[T]:
    """At most `count` items in their own order, drawn by the hash of the seed and their label."""
    hashes = [hashlib.sha256(f"{seed}:{label(item)}".encode()).digest() for item in items]
    drawn = sorted(range(len(items)), key=lambda index: (hashes[index], index))[:count]
    return [items[index] for index in sorted(drawn)]


def _shortest_first(record: Record) -> tuple[int, int, int]:
    assert record.trajectory is not None
    return n_actions(record.trajectory), len(turn_text(record)), record.sample
