"""What a task is, and how a name, a group or a file becomes questions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from autocoa_bench import registry
from autocoa_bench.errors import UserError
from autocoa_bench.tasks import sampling
from autocoa_bench.tasks.formats import read_question
from autocoa_bench.tasks.subquestions import main_question_id
from autocoa_bench.types import Question, Split, TaskInfo
from autocoa_bench.util.row_reader import file_stem, read_rows, row_error

PAPER_ORDER = ("nq", "triviaqa", "hotpotqa", "2wikimultihopqa", "musique", "bamboogle")
"""The columns of the paper's Table 1, in order."""

_WHOLE = f"@{sampling.ALL}"
"""Ends the registered name of a real dataset."""


class Task(Protocol):
    """A dataset. Registered instances are described without being loaded."""

    @property
    def info(self) -> TaskInfo:
        """Name, source, licence, count and hash."""
        ...

    def load(self, split: Split = "test") -> Sequence[Question]:
        """All questions of a split, in a fixed order. Raises UserError when they cannot be had."""
        ...


@runtime_checkable
class NamedSamples(Protocol):
    """A task registered as `NAME@all` of which samples have names: `NAME@paper`."""

    @property
    def samples(self) -> Mapping[str, int]:
        """How many questions each named sample has."""
        ...

    def load_sample(self, name: str) -> Sequence[Question]:
        """The questions of a named sample, in its order. Raises UserError."""
        ...


def questions_sha256(questions: Sequence[Question]) -> str:
    """SHA-256 over the questions' canonical JSON lines: equal for equal questions in order.

    Where a hop's phrase stands is teaching material, not part of what is asked or scored.
    """
    digest = hashlib.sha256()
    for question in questions:
        hops = tuple(msgspec.structs.replace(hop, phrase="") for hop in question.hops)
        digest.update(msgspec.json.encode(msgspec.structs.replace(question, hops=hops)))
        digest.update(b"\n")
    return digest.hexdigest()


def sample(questions: Sequence[Question], limit: int | None, seed: int) -> list[Question]:
    """At most `limit` questions, drawn by the seed, in their own order; all of them if None.

    Questions are drawn by the hash of seed and id, so the draw does not depend on order or
    machine, and a smaller draw is part of every larger one of the same seed. Sub-questions are
    drawn with the question that they are of.
    """
    if limit is None or limit >= len(questions):
        return list(questions)
    if limit < 1:
        raise UserError(f"the number of questions must be at least 1, not {limit}")
    drawn_by = [f"{seed}:{main_question_id(question.id)}".encode() for question in questions]
    lots = [hashlib.sha256(each).digest() for each in drawn_by]
    drawn = sorted(range(len(questions)), key=lambda position: (lots[position], position))[:limit]
    return [questions[position] for position in sorted(drawn)]


def load_warnings(task: Task) -> tuple[str, ...]:
    """What a person should know of the questions that a task has loaded."""
    said: tuple[str, ...] = getattr(task, "warnings", ())
    return said


class SampledTask:
    """Some of a real dataset's questions: a named sample, or a seeded one of any size."""

    def __init__(self, whole: Task, draw: sampling.SampleSpec) -> None:
        """Raises UserError where the dataset has no sample of the draw's name."""
        self._whole = whole
        self._draw = draw
        self._had = 0
        self._dataset = whole.info.name.removesuffix(_WHOLE)
        self._samples = whole.samples if isinstance(whole, NamedSamples) else {}
        if draw.name and draw.name not in self._samples:
            near = registry.unknown(
                f"sample of {self._dataset}", draw.name, [sampling.ALL, *self._samples]
            )
            raise UserError(f"{near}; or a number, such as {self._dataset}@500:seed=3")

    @property
    def info(self) -> TaskInfo:
        """The dataset's, under the draw's name; the count is of the test split."""
        draw, info = self._draw, self._whole.info
        drawn = draw.size if info.count is None else min(draw.size, info.count)
        return msgspec.structs.replace(
            info,
            name=f"{self._dataset}@{draw.label}",
            title=f"{info.title.removesuffix(_WHOLE)}@{draw.label}",
            count=self._samples[draw.name] if draw.name else drawn,
            sha256=None,
        )

    def load(self, split: Split = "test") -> Sequence[Question]:
        """The drawn questions, a named sample in its own order. Raises UserError."""
        name = self.info.name
        drawn = self._named(split) if self._draw.name else self._seeded(split)
        return [msgspec.structs.replace(question, task=name) for question in drawn]

    @property
    def warnings(self) -> tuple[str, ...]:
        """The dataset's, and whether it had fewer questions than were to be drawn."""
        few = f"{self.info.name}: there are only {self._had:,} questions, all of which are drawn"
        return (*load_warnings(self._whole), *((few,) if self._had else ()))

    def _named(self, split: Split) -> Sequence[Question]:
        assert isinstance(self._whole, NamedSamples)
        if split != "test":
            raise UserError(
                f"'{self.info.name}' is a sample of test questions; for the {split} split give "
                f"{self._dataset}@{sampling.ALL}, or a number such as {self._dataset}@500"
            )
        return self._whole.load_sample(self._draw.name)

    def _seeded(self, split: Split) -> Sequence[Question]:
        whole = self._whole.load(split)
        self._had = len(whole) if len(whole) < self._draw.size else 0
        return sample(whole, self._draw.size, self._draw.seed)


class FileTask:
    """A local file of questions in FlashRAG's, verl's or MINTQA's format, as one task.

    A file has no splits: it gives the same questions for either.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        """`name` is the file's stem unless given."""
        self._path = path
        self._name = name or file_stem(path.name)

    @property
    def info(self) -> TaskInfo:
        """The file by name and path; count and hash are those of what `load` gives."""
        return TaskInfo(
            name=self._name,
            title="/".join(self._path.resolve().parts[-2:]),
            edition="file",
            shape="local file",
            source=str(self._path),
            licence="the file's own",
            count=None,
            sha256=None,
        )

    def load(self, split: Split = "test") -> Sequence[Question]:  # noqa: ARG002 - a file has none
        """All questions in the file's order. Raises UserError naming the row that is wrong."""
        return self._content[0]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was left out in loading: rows that repeat an earlier one."""
        repeated = self._content[1]
        if not repeated:
            return ()
        rows = ", ".join(map(str, repeated[:5])) + (", ..." if len(repeated) > 5 else "")
        return (f"'{self._path}': {len(repeated)} repeated row(s) left out (row {rows})",)

    @cached_property
    def _content(self) -> tuple[tuple[Question, ...], tuple[int, ...]]:
        """The questions, and the numbers of the rows that repeat one."""
        first: dict[str, tuple[int, Question]] = {}
        repeated = []
        for number, question in self._questions():
            at, known = first.setdefault(question.id, (number, question))
            if at == number:
                continue
            if known != question:
                problem = f"row {at} has the id '{question.id}' too, with other content"
                raise row_error(self._path, number, problem)
            repeated.append(number)
        return tuple(question for _, question in first.values()), tuple(repeated)

    def _questions(self) -> Iterator[tuple[int, Question]]:
        for number, row in read_rows(self._path):
            try:
                yield number, read_question(row, number, self._name)
            except ValueError as error:
                raise row_error(self._path, number, str(error)) from error
