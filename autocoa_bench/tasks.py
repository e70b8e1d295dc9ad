"""What a task is, and how a name, a group or a file becomes questions."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from autocoa_bench import registry
from autocoa_bench.errors import UserError
from autocoa_bench.paths import user_path
from autocoa_bench.rows import SUFFIXES, Row, malformed, read_rows, text_id
from autocoa_bench.types import Question, TaskInfo

Split = Literal["test", "train"]

PAPER_ORDER = ("nq", "triviaqa", "hotpotqa", "2wikimultihopqa", "musique", "bamboogle")
"""The columns of the paper's Table 1, in order."""

_TEMPLATE_END = "Now, please answer the user's question below:"
_ANSWER_SEPARATOR = "<ans_split>"
_FORMATS = (
    "a row is {id, question, golden_answers: [...]} (FlashRAG) or "
    "{id, prompt: [{role, content}], reward_model: {ground_truth}} (verl)"
)


class Task(Protocol):
    """A dataset. Registered instances are described without being loaded."""

    @property
    def info(self) -> TaskInfo:
        """Name, source, licence, count and hash."""
        ...

    def load(self, split: Split = "test") -> Sequence[Question]:
        """All questions of a split, in a fixed order. Raises UserError when they cannot be had."""
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

    A group holds the registered tasks that name it, in the paper's column order. Two tasks of
    one name are told apart by the file's folder (`closed-hotpotqa`). Raises UserError for an
    unknown name and for an empty list.
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
    machine, and a smaller draw is part of every larger one of the same seed.
    """
    if limit is None or limit >= len(questions):
        return list(questions)
    if limit < 1:
        raise UserError(f"the number of questions must be at least 1, not {limit}")
    lots = [hashlib.sha256(f"{seed}:{question.id}".encode()).digest() for question in questions]
    drawn = sorted(range(len(questions)), key=lambda position: (lots[position], position))[:limit]
    return [questions[position] for position in sorted(drawn)]


def catalogue() -> list[TaskInfo]:
    """What is known of every registered task, in the paper's order, then by name."""
    return [task.info for task in _registered()]


class FileTask:
    """A local file of questions in FlashRAG's or verl's format, as one task.

    A file has no splits: it gives the same questions for either.
    """

    def __init__(self, path: Path, name: str = "") -> None:
        """`name` is the file's stem unless given."""
        self._path = path
        self._name = name or _stem(path.name)

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
                yield number, _question(row, self._name)
            except ValueError as error:
                raise malformed(self._path, number, str(error)) from error


def _registered() -> list[Task]:
    order = {name: place for place, name in enumerate(PAPER_ORDER)}
    names = sorted(registry.names("tasks"), key=lambda name: (order.get(name, len(order)), name))
    return [registry.load("tasks", name) for name in names]


def _named(word: str) -> list[Task]:
    known = registry.names("tasks")
    if word in known:
        return [registry.load("tasks", word)]
    tasks = _registered()
    if members := [task for task in tasks if word in task.info.groups]:
        return members
    groups = {group for task in tasks for group in task.info.groups}
    raise UserError(
        f"{registry.unknown('task', word, [*known, *sorted(groups)])}, or give the path of a "
        f"{', '.join(SUFFIXES)} file"
    )


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


def _stem(name: str) -> str:
    suffix = max((end for end in SUFFIXES if name.lower().endswith(end)), key=len, default="")
    return name.removesuffix(name[len(name) - len(suffix) :]) if suffix else name


def _question(row: Row, task: str) -> Question:
    """A row as a question. Raises ValueError that says what is wrong with it."""
    if "question" in row:
        read = _flashrag
    elif "prompt" in row and "reward_model" in row:
        read = _verl
    else:
        raise ValueError(f"neither FlashRAG nor verl: {_FORMATS}; found {', '.join(row) or '{}'}")
    return read(row, task)


def _flashrag(row: Row, task: str) -> Question:
    metadata = row.get("metadata")
    kind = metadata.get("type") if isinstance(metadata, dict) else None
    return Question(
        id=_id(row.get("id")),
        text=_text(row["question"], "'question'"),
        golden_answers=_golds(row.get("golden_answers"), "'golden_answers'"),
        task=task,
        kind=kind if isinstance(kind, str) else "",
    )


def _verl(row: Row, task: str) -> Question:
    """A verl row. Where the file joins several datasets, ids are unique only in each of them:
    the column `source_file` then becomes the question's kind and opens its id."""
    extra = row.get("extra_info")
    extra = extra if isinstance(extra, dict) else {}
    given = next((value for value in (row.get("id"), row.get("_id")) if value is not None), None)
    identifier = _id(extra.get("index") if given is None else given)
    source = row.get("source_file")
    source = _stem(source) if isinstance(source, str) else ""
    reward = row["reward_model"]
    truth = reward.get("ground_truth") if isinstance(reward, dict) else None
    if isinstance(truth, str):
        truth = truth.split(_ANSWER_SEPARATOR)
    return Question(
        id=f"{source}:{identifier}" if source else identifier,
        text=_text(extra.get("question") or _asked(row["prompt"]), "the question"),
        golden_answers=_golds(truth, "'reward_model.ground_truth'"),
        task=task,
        kind=source,
    )


def _asked(prompt: object) -> str:
    """The question in a verl prompt: the last user message, less AutoCoA's instructions."""
    turns = prompt if isinstance(prompt, list) else []
    contents = [
        turn.get("content")
        for turn in turns
        if isinstance(turn, dict) and turn.get("role") == "user"
    ]
    if not contents or not isinstance(contents[-1], str):
        raise ValueError("'prompt' has no user message with text")
    return contents[-1].rpartition(_TEMPLATE_END)[2]


def _id(value: object) -> str:
    identifier = text_id(value)
    if identifier is None:
        raise ValueError(f"no 'id' (text or a whole number); {_FORMATS}")
    return identifier


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{what} is no text or empty")
    return value.strip()


def _golds(value: Any, what: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(gold, str) for gold in value):
        raise ValueError(f"{what} must be a list of texts, not {value!r:.80}")
    golds = tuple(gold for gold in value if gold.strip())
    if not golds:
        raise ValueError(f"{what} has no answer")
    return golds
