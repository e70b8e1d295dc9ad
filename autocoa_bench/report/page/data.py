"""The trajectories of a page: an index of all, and pieces that the reader opens one by one.

The index holds what lists and filters need. A piece holds some neighbouring trajectories in full
and each passage once: trajectories of one question are neighbours, and their searches return much
the same passages.
"""

from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from autocoa_bench.episode import n_actions
from autocoa_bench.report.entries import Entry
from autocoa_bench.scoring.evidence import cause, mark, trace
from autocoa_bench.types import Message, Passage, Question, Record, Step, Trajectory
from autocoa_bench.util.text import printable_tree

PIECE_BYTES = 400_000
"""The size in bytes of JSON from which a piece is closed: some fifty trajectories."""

Outcome = Literal["correct", "wrong", "unscored", "fault"]


class ListEntry(Struct, frozen=True, omit_defaults=True):
    """A trajectory in the list. `run` and `question` count from 0 in the lists of the index."""

    run: int
    question: int
    sample: int
    outcome: Outcome
    scores: tuple[float | None, ...]
    actions: int | None = None
    cause: str = ""
    answer: str | None = None


class TrajectoryIndex(Struct, frozen=True):
    """All trajectories in the order of the pieces; `starts` has the first line of each piece."""

    runs: list[dict[str, str]]
    tasks: dict[str, str]
    scorers: list[str]
    questions: list[Question]
    lines: list[ListEntry]
    starts: list[int]


ShownPassage = tuple[int, float | None, str | None]
"""A passage in a step: its index in the piece, its score, and why it is evidence."""


class StepView(Struct, frozen=True, omit_defaults=True):
    """A step without what only training needs; it has its passages or else its observation."""

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
    """A trajectory or a fault in full.

    `evidence` pairs each gold passage, or else the gold answer, with the number of the search that
    first showed it; it is empty for a solver that cannot search.
    """

    seconds: float
    fault: str = ""
    reasons: tuple[str, ...] = ()
    opening: tuple[Message, ...] = ()
    prefill: str = ""
    steps: tuple[StepView, ...] = ()
    ending: str = ""
    evidence: tuple[tuple[str, int | None], ...] = ()


def trajectory_data(
    entries: Sequence[Entry], scorer: str, titles: dict[str, str]
) -> tuple[TrajectoryIndex, list[bytes]]:
    """The index and the pieces as JSON of all records; `scorer` decides which are correct."""
    scorers = list(dict.fromkeys(name for entry in entries for name in entry.run.info.scorers))
    runs = [{"name": item.name, "label": item.label, "model": item.model} for item in entries]
    index = TrajectoryIndex(runs, titles, scorers, [], [], [])
    questions: dict[Question, int] = {}
    pieces = []
    builder = _PieceBuilder()
    for run, record in _in_order(entries):
        if not builder.views:
            index.starts.append(len(index.lines))
        question = questions.setdefault(record.question, len(questions))
        index.lines.append(_list_entry(entries[run], record, (run, question), scorer, scorers))
        builder.add(entries[run], record)
        if builder.size > PIECE_BYTES:
            pieces.append(builder.encode())
            builder = _PieceBuilder()
    if builder.views:
        pieces.append(builder.encode())
    index.questions.extend(questions)
    return index, pieces


def _in_order(entries: Sequence[Entry]) -> list[tuple[int, Record]]:
    """All records with the index of their run: by task and question, then by run and sample."""
    tasks = list(dict.fromkeys(sample.task for entry in entries for sample in entry.spec.tasks))
    # Runs may have sampled different questions: the first run decides the place of each.
    places = {
        (sample.task, question): at
        for entry in reversed(entries)
        for sample in entry.spec.tasks
        for at, question in enumerate(sample.question_ids)
    }

    def place(item: tuple[int, Record]) -> tuple[int, int, str, int, int]:
        run, (task, question, sample) = item[0], item[1].key
        at = tasks.index(task) if task in tasks else len(tasks)
        return at, places.get((task, question), len(places)), question, run, sample

    records = [(run, record) for run, entry in enumerate(entries) for record in entry.run.records]
    return sorted(records, key=place)


def _list_entry(
    entry: Entry, record: Record, place: tuple[int, int], scorer: str, scorers: Sequence[str]
) -> ListEntry:
    scores = tuple(entry.score(record, name) for name in scorers)
    trajectory = record.trajectory
    if trajectory is None:
        return ListEntry(*place, record.sample, "fault", scores)
    value = entry.score(record, scorer)
    outcome: Outcome = "unscored" if value is None else "correct" if value >= 1 else "wrong"
    reason = ""
    if outcome == "wrong" and _can_search(entry, trajectory):
        reason = cause(trace(record.question, trajectory)) or "not traced"
    actions = n_actions(trajectory)
    return ListEntry(*place, record.sample, outcome, scores, actions, reason, trajectory.answer)


def encode_printable(content: object) -> bytes:
    """Content as JSON whose texts are printable."""
    return msgspec.json.encode(printable_tree(msgspec.to_builtins(content)))


def _can_search(entry: Entry, trajectory: Trajectory) -> bool:
    """False where there is no evidence to trace: a solver of its own kind may search on its own."""
    return entry.spec.can_search or n_actions(trajectory) > 0


class _PieceBuilder:
    """A piece that is being filled; `size` estimates its bytes."""

    def __init__(self) -> None:
        self.numbers: dict[Passage, int] = {}
        self.views: list[View] = []
        self.size = 0

    def add(self, entry: Entry, record: Record) -> None:
        view = self._view(entry, record)
        self.views.append(view)
        self.size += len(msgspec.json.encode(view))

    def encode(self) -> bytes:
        return encode_printable({"passages": list(self.numbers), "trajectories": self.views})

    def _number(self, passage: Passage) -> int:
        """The index of a passage, which is the same whatever its score."""
        unscored = Passage(passage.id, passage.title, passage.text)
        if unscored not in self.numbers:
            self.numbers[unscored] = len(self.numbers)
            self.size += len(unscored.text) + len(unscored.title) + 40  # about its id and keys
        return self.numbers[unscored]

    def _view(self, entry: Entry, record: Record) -> View:
        trajectory, fault = record.trajectory, record.fault
        if trajectory is None:
            reason = f"{fault.kind}: {fault.message}" if fault else "no trajectory"
            return View(record.seconds, reason)
        scores = ((name, scores.get(record.key)) for name, scores in entry.run.scores.items())
        evidence = trace(record.question, trajectory)
        by_answer = (("gold answer, in words", evidence.answer),) if evidence.by_answer else ()
        return View(
            seconds=record.seconds,
            reasons=tuple(
                f"{name}: {score.reason}" for name, score in scores if score and score.reason
            ),
            opening=trajectory.opening,
            prefill=trajectory.prefill,
            steps=tuple(self._step(record.question, step) for step in trajectory.steps),
            ending=trajectory.ending,
            evidence=(evidence.passages or by_answer) if _can_search(entry, trajectory) else (),
        )

    def _step(self, question: Question, step: Step) -> StepView:
        passages = tuple(
            (
                self._number(passage),
                None if passage.score is None else round(passage.score, 4),
                mark(question, passage),
            )
            for passage in step.passages
        )
        return StepView(
            kind=step.kind,
            text=step.argument if step.kind == "reading" else step.text,
            argument="" if step.kind == "reading" else step.argument,
            problem=step.problem,
            forced=step.forced,
            observation="" if passages else step.observation,
            passages=passages,
            dropped=step.dropped_passages,
            tokens=(step.prompt_tokens, step.completion_tokens, step.observation_tokens),
            seconds=(round(step.generate_seconds, 3), round(step.search_seconds, 3)),
        )
