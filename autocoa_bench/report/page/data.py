"""Trajectories as the page holds them: an index of all, and pieces that are opened when needed.

The index has what lists and filters need. A piece has the whole of some neighbouring trajectories,
with each passage once: those of one question stand together, and their searches find much the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from autocoa_bench.episode import n_actions
from autocoa_bench.report.entries import Entry
from autocoa_bench.scoring.evidence import cause, mark, trace
from autocoa_bench.types import Message, Passage, Question, Record, Step, Trajectory

PIECE = 400_000
"""Bytes of JSON after which a piece is closed: some fifty trajectories."""

Outcome = Literal["correct", "wrong", "unscored", "fault"]

_Number = Callable[[Passage], int]
"""Where a passage stands in its piece."""


class RunLine(Struct, frozen=True):
    """A run as the reader names it."""

    name: str
    label: str
    model: str


class ListEntry(Struct, frozen=True, omit_defaults=True):
    """A trajectory in the list. `run` and `question` count from 0 in the index's lists."""

    run: int
    question: int
    sample: int
    outcome: Outcome
    scores: tuple[float | None, ...]
    actions: int | None = None
    cause: str = ""
    answer: str | None = None


class TrajectoryIndex(Struct, frozen=True):
    """All trajectories, in the order of the pieces; `starts` are the first lines of each piece."""

    runs: list[RunLine]
    tasks: dict[str, str]
    scorers: list[str]
    questions: list[Question]
    lines: list[ListEntry]
    starts: list[int]


class ShownPassage(Struct, frozen=True, array_like=True):
    """A passage in a step: its place in the piece's list, its score, why it is evidence."""

    passage: int
    score: float | None
    mark: str | None


class StepView(Struct, frozen=True, omit_defaults=True):
    """A step without what only training needs; of a search its passages, else the observation."""

    kind: str
    text: str
    argument: str = ""
    problem: str = ""
    forced: bool = False
    observation: str = ""
    passages: tuple[ShownPassage, ...] = ()
    dropped: int = 0
    tokens: tuple[int | None, int | None, int] = (None, None, 0)
    seconds: tuple[float, float] = (0.0, 0.0)


class View(Struct, frozen=True, omit_defaults=True):
    """A trajectory, or a fault, in full.

    `evidence` says when each gold passage, or else the gold answer, was first shown.
    """

    seconds: float
    fault: str = ""
    reasons: tuple[str, ...] = ()
    opening: tuple[Message, ...] = ()
    prefill: str = ""
    steps: tuple[StepView, ...] = ()
    ending: str = ""
    evidence: tuple[tuple[str, int | None], ...] = ()


class Piece(Struct, frozen=True):
    """Some trajectories with their passages."""

    passages: list[Passage]
    trajectories: list[View]


class _Open:
    """A piece that is being filled."""

    def __init__(self) -> None:
        self.numbers: dict[Passage, int] = {}
        self.views: list[View] = []
        self.size = 0

    def add(self, record: Record, reasons: tuple[str, ...]) -> None:
        view = _view(record, reasons, self._number)
        self.views.append(view)
        self.size += len(msgspec.json.encode(view))

    def _number(self, passage: Passage) -> int:
        bare = Passage(passage.id, passage.title, passage.text)
        if bare not in self.numbers:
            self.numbers[bare] = len(self.numbers)
            self.size += len(bare.text) + len(bare.title) + 40
        return self.numbers[bare]

    def encoded(self) -> bytes:
        return msgspec.json.encode(Piece(list(self.numbers), self.views))


def trajectory_data(
    found: Sequence[Entry], scorer: str, titles: dict[str, str]
) -> tuple[TrajectoryIndex, list[bytes]]:
    """The index and the pieces (both JSON) of all records; `scorer` says which are correct."""
    scorers = list(dict.fromkeys(name for entry in found for name in entry.run.info.scorers))
    runs = [RunLine(entry.name, entry.label, entry.model) for entry in found]
    index = TrajectoryIndex(runs, titles, scorers, [], [], [])
    questions: dict[Question, int] = {}
    pieces = []
    filling = _Open()
    for number, record in _ordered(found):
        if not filling.views:
            index.starts.append(len(index.lines))
        entry = found[number]
        question = questions.setdefault(record.question, len(questions))
        index.lines.append(_line(entry, record, (number, question), scorer, scorers))
        filling.add(record, _reasons(entry, record))
        if filling.size > PIECE:
            pieces.append(filling.encoded())
            filling = _Open()
    if filling.views:
        pieces.append(filling.encoded())
    index.questions.extend(questions)
    return index, pieces


def _ordered(found: Sequence[Entry]) -> Iterable[tuple[int, Record]]:
    """All records with their run's number: by task and question, then by run and sample."""
    tasks = list(dict.fromkeys(sample.task for entry in found for sample in entry.spec.tasks))
    places = {
        (sample.task, question): at
        for entry in reversed(found)
        for sample in entry.spec.tasks
        for at, question in enumerate(sample.question_ids)
    }
    records = [
        (number, record) for number, entry in enumerate(found) for record in entry.run.records
    ]

    def place(item: tuple[int, Record]) -> tuple[int, int, str, int, int]:
        number, (task, question, sample) = item[0], item[1].key
        at = tasks.index(task) if task in tasks else len(tasks)
        return at, places.get((task, question), len(places)), question, number, sample

    return sorted(records, key=place)


def _line(
    entry: Entry, record: Record, at: tuple[int, int], scorer: str, scorers: Sequence[str]
) -> ListEntry:
    scores = tuple(entry.score(record, name) for name in scorers)
    if record.trajectory is None:
        return ListEntry(*at, record.sample, "fault", scores)
    value = entry.score(record, scorer)
    outcome: Outcome = "unscored" if value is None else "correct" if value >= 1 else "wrong"
    why = ""
    if outcome == "wrong" and entry.spec.search is not None:
        why = cause(trace(record.question, record.trajectory)) or "not traced"
    actions = n_actions(record.trajectory)
    return ListEntry(*at, record.sample, outcome, scores, actions, why, record.trajectory.answer)


def _reasons(entry: Entry, record: Record) -> tuple[str, ...]:
    """What scorers say of their scores."""
    found = ((name, scores.get(record.key)) for name, scores in entry.run.scores.items())
    return tuple(f"{name}: {score.reason}" for name, score in found if score and score.reason)


def _view(record: Record, reasons: tuple[str, ...], number: _Number) -> View:
    if record.trajectory is None:
        fault = f"{record.fault.kind}: {record.fault.message}" if record.fault else "no trajectory"
        return View(record.seconds, fault)
    trajectory = record.trajectory
    return View(
        seconds=record.seconds,
        reasons=reasons,
        opening=trajectory.opening,
        prefill=trajectory.prefill,
        steps=tuple(_step(record.question, step, number) for step in trajectory.steps),
        ending=trajectory.ending,
        evidence=tuple(_evidence(record.question, trajectory)),
    )


def _evidence(question: Question, trajectory: Trajectory) -> Iterator[tuple[str, int | None]]:
    found = trace(question, trajectory)
    if not found.passages and found.by_answer:
        yield "gold answer, in words", found.answer
    yield from found.passages


def _step(question: Question, step: Step, number: _Number) -> StepView:
    passages = tuple(
        ShownPassage(
            number(passage),
            None if passage.score is None else round(passage.score, 4),
            mark(question, passage),
        )
        for passage in step.passages
    )
    return StepView(
        kind=step.kind,
        text=step.text,
        argument=step.argument,
        problem=step.problem,
        forced=step.forced,
        observation="" if passages else step.observation,
        passages=passages,
        dropped=step.dropped_passages,
        tokens=(step.prompt_tokens, step.completion_tokens, step.observation_tokens),
        seconds=(round(step.generate_seconds, 3), round(step.search_seconds, 3)),
    )
