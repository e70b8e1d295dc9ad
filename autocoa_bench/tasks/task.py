"""The protocol of a task, and the task of a local file."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from autocoa_bench.tasks.field_map import NO_FIELDS, FieldMap
from autocoa_bench.tasks.formats import QuestionFile, read_questions
from autocoa_bench.types import Question, Split, TaskInfo
from autocoa_bench.util.row_reader import file_stem

PAPER_ORDER = ("nq", "triviaqa", "hotpotqa", "2wikimultihopqa", "musique", "bamboogle")
"""The columns of the paper's Table 1, in order."""


class Task(Protocol):
    """A dataset. Registered instances are described without being loaded."""

    @property
    def info(self) -> TaskInfo:
        """Name, source, licence, count and hash."""

    def load(self, split: Split = "test") -> Sequence[Question]:
        """All questions of a split, in a fixed order. Raises UserError if it is unavailable."""


@runtime_checkable
class NamedSamples(Protocol):
    """A task registered as `NAME@all` that has samples with names of their own: `NAME@paper`."""

    @property
    def samples(self) -> Mapping[str, int]:
        """The number of questions of each named sample."""

    def load_sample(self, name: str) -> Sequence[Question]:
        """The questions of a named sample, in its order. Raises UserError."""


def questions_sha256(questions: Sequence[Question]) -> str:
    """SHA-256 over the questions' canonical JSON lines: equal for equal questions in order.

    The phrase of a hop is teaching material, not part of what is asked or scored, and left out.
    """
    digest = hashlib.sha256()
    for question in questions:
        hops = tuple(msgspec.structs.replace(hop, phrase="") for hop in question.hops)
        digest.update(msgspec.json.encode(msgspec.structs.replace(question, hops=hops)))
        digest.update(b"\n")
    return digest.hexdigest()


def load_warnings(task: Task) -> tuple[str, ...]:
    """The warnings of a task about the questions that it has loaded."""
    messages: tuple[str, ...] = getattr(task, "warnings", ())
    return messages


def read_revision(task: Task) -> str:
    """What a task of a dataset that changes has read; empty for any other task."""
    revision: str = getattr(task, "revision", "")
    return revision


class FileTask:
    """A local file of questions in any of the shapes that `formats` reads.

    A file has no splits: it gives the same questions for either.
    """

    def __init__(self, path: Path, name: str = "", fields: FieldMap = NO_FIELDS) -> None:
        """`name` defaults to the file's name without its suffix; `fields` names columns."""
        self._path = path
        self._fields = fields
        self._name = name or file_stem(path.name)

    @property
    def info(self) -> TaskInfo:
        """The file by name and path, without count and hash, which take loading."""
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
        """All questions in the file's order. Raises UserError naming the malformed row."""
        return self._content.questions

    @property
    def warnings(self) -> tuple[str, ...]:
        """Warnings about rows that are left out, and about instructions in prompts."""
        return self._content.warnings

    @cached_property
    def _content(self) -> QuestionFile:
        return read_questions(self._path, self._name, self._fields)
