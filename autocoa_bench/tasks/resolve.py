"""From a name, a group or a file on the command line to tasks."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from autocoa_bench import registry
from autocoa_bench.errors import UserError
from autocoa_bench.tasks import sampling
from autocoa_bench.tasks.task import _WHOLE, PAPER_ORDER, FileTask, SampledTask, Task
from autocoa_bench.types import TaskInfo
from autocoa_bench.util.paths import user_path
from autocoa_bench.util.row_reader import SUFFIXES


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


def catalogue() -> list[TaskInfo]:
    """What is known of every registered task: in the paper's order, then by name, then the real."""
    return [task.info for task in _registered()]


def find_task(name: str) -> Task | None:
    """The task that a run calls by this name, if it is registered or drawn from one that is."""
    try:
        found = _named(name)
    except UserError:
        return None
    return found[0] if [task.info.name for task in found] == [name] else None


def _registered() -> list[Task]:
    order = {name: place for place, name in enumerate(PAPER_ORDER)}

    def place(name: str) -> tuple[bool, int, str]:
        dataset, _, draw = name.partition("@")
        return draw == sampling.ALL, order.get(dataset, len(order)), name

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
        f"of a {', '.join(SUFFIXES)} file; of a real dataset, {sampling.WRITTEN}"
    )


def _drawn(word: str) -> list[Task]:
    """The tasks of `NAME@...`, where the name is of a real dataset or of a group of them."""
    name, draw = sampling.parse_sample(word)
    whole = {
        task.info.name.removesuffix(_WHOLE): task
        for task in _registered()
        if task.info.name.endswith(_WHOLE)
    }
    members = [whole[name]] if name in whole else _members(list(whole.values()), name)
    if not members:
        raise registry.unknown("real dataset", name, [*whole, *_groups(list(whole.values()))])
    return members if draw.name == sampling.ALL else [SampledTask(task, draw) for task in members]


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
