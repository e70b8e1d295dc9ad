"""What a task is, and how a name, a group or a file becomes questions."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import msgspec

from autocoa_bench import draws, registry
from autocoa_bench.errors import UserError
from autocoa_bench.parts import main_id
from autocoa_bench.paths import user_path
from autocoa_bench.questions import read_question
from autocoa_bench.rows import SUFFIXES, malformed, read_rows, stem
from autocoa_bench.types import Question, TaskInfo

Split = Literal["test", "train"]

PAPER_ORDER = ("nq", "triviaqa", "hotpotqa", "2wikimultihopqa", "musique", "bamboogle")
"""The columns of the paper's Table 1, in order."""

_WHOLE = f"@{draws.ALL}"
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
class Sampled(Protocol):
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


def resolve(spec: str) -> list[Task]:
    """The tasks of a comma-separated list of names, groups and files, each once, in order.

    A group holds the registered tasks that name it, in the paper's column order. With an `@`, a
    name or a group is of real datasets, and what follows says which of their questions (see
    `draws`). Two tasks of one name are told apart by the file's folder (`closed-hotpotqa`).
    Raises UserError for an unknown name and for an empty list.
    """
    found: list[Task] = []
    files: set[Path] = set()
    for word in (part.strip() for part in spec.split(",")):
        if not word:
            continue
        if not _is_path(word):
            found += (task for task in _named(word) if task.info.name not in _names(found))
            continue
        path = user_path(word)
        if path.resolve() not in files:
            files.add(path.resolve())
            found.append(_file_task(path, taken=_names(found)))
    if not found:
        raise UserError("no task was given; `autocoa-bench tasks` lists them")
    return found


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
    drawn_by = [f"{seed}:{main_id(question.id)}".encode() for question in questions]
    lots = [hashlib.sha256(each).digest() for each in drawn_by]
    drawn = sorted(range(len(questions)), key=lambda position: (lots[position], position))[:limit]
    return [questions[position] for position in sorted(drawn)]


def catalogue() -> list[TaskInfo]:
    """What is known of every registered task: in the paper's order, then by name, then the real."""
    return [task.info for task in _registered()]


def find(name: str) -> Task | None:
    """The task that a run calls by this name, if it is registered or drawn from one that is."""
    try:
        found = _named(name)
    except UserError:
        return None
    return found[0] if [task.info.name for task in found] == [name] else None


def warnings(task: Task) -> tuple[str, ...]:
    """What a person should know of the questions that a task has loaded."""
    said: tuple[str, ...] = getattr(task, "warnings", ())
    return said


class DrawnTask:
    """Some of a real dataset's questions: a named sample, or a seeded one of any size."""

    def __init__(self, whole: Task, draw: draws.Draw) -> None:
        """Raises UserError where the dataset has no sample of the draw's name."""
        self._whole = whole
        self._draw = draw
        self._had = 0
        self._dataset = whole.info.name.removesuffix(_WHOLE)
        self._samples = whole.samples if isinstance(whole, Sampled) else {}
        if draw.name and draw.name not in self._samples:
            near = registry.unknown(
                f"sample of {self._dataset}", draw.name, [draws.ALL, *self._samples]
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
        return (*warnings(self._whole), *((few,) if self._had else ()))

    def _named(self, split: Split) -> Sequence[Question]:
        assert isinstance(self._whole, Sampled)
        if split != "test":
            raise UserError(
                f"'{self.info.name}' is a sample of test questions; for the {split} split give "
                f"{self._dataset}@{draws.ALL}, or a number such as {self._dataset}@500"
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
        self._name = name or stem(path.name)

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
                raise malformed(self._path, number, problem)
            repeated.append(number)
        return tuple(question for _, question in first.values()), tuple(repeated)

    def _questions(self) -> Iterator[tuple[int, Question]]:
        for number, row in read_rows(self._path):
            try:
                yield number, read_question(row, number, self._name)
            except ValueError as error:
                raise malformed(self._path, number, str(error)) from error


def _registered() -> list[Task]:
    order = {name: place for place, name in enumerate(PAPER_ORDER)}

    def place(name: str) -> tuple[bool, int, str]:
        dataset, _, draw = name.partition("@")
        return draw == draws.ALL, order.get(dataset, len(order)), name

    return [registry.load("tasks", name) for name in sorted(registry.names("tasks"), key=place)]


def _named(word: str) -> list[Task]:
    known = registry.names("tasks")
    if word in known:
        return [registry.load("tasks", word)]
    if "@" in word:
        return _drawn(word)
    if word + _WHOLE in known:
        raise UserError(
            f"'{word}' has no embedded edition; the real dataset is '{word}{_WHOLE}', or a sample "
            f"of it, such as {word}@500:seed=3"
        )
    tasks = [task for task in _registered() if not task.info.name.endswith(_WHOLE)]
    if members := _members(tasks, word):
        return members
    names = [task.info.name for task in tasks]
    raise UserError(
        f"{registry.unknown('task', word, [*sorted(names), *_groups(tasks)])}, or give the path "
        f"of a {', '.join(SUFFIXES)} file; of a real dataset, {draws.WRITTEN}"
    )


def _drawn(word: str) -> list[Task]:
    """The tasks of `NAME@...`, where the name is of a real dataset or of a group of them."""
    name, draw = draws.parse(word)
    whole = {
        task.info.name.removesuffix(_WHOLE): task
        for task in _registered()
        if task.info.name.endswith(_WHOLE)
    }
    members = [whole[name]] if name in whole else _members(list(whole.values()), name)
    if not members:
        raise registry.unknown("real dataset", name, [*whole, *_groups(list(whole.values()))])
    return members if draw.name == draws.ALL else [DrawnTask(task, draw) for task in members]


def _members(tasks: Sequence[Task], group: str) -> list[Task]:
    return [task for task in tasks if group in task.info.groups]


def _groups(tasks: Sequence[Task]) -> list[str]:
    return sorted({group for task in tasks for group in task.info.groups})


def _names(tasks: Sequence[Task]) -> set[str]:
    return {task.info.name for task in tasks}


def _is_path(word: str) -> bool:
    return os.sep in word or "/" in word or word.lower().endswith(SUFFIXES)


def _file_task(path: Path, taken: set[str]) -> FileTask:
    task = FileTask(path)
    if task.info.name in taken:
        task = FileTask(path, f"{path.resolve().parent.name}-{task.info.name}")
    if task.info.name in taken:
        raise UserError(f"'{path}' is the second task named '{task.info.name}'; rename the file")
    return task
