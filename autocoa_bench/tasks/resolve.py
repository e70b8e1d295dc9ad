"""Tasks from the names, groups and files of the command line, and the corpus that they share."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from autocoa_bench import registry
from autocoa_bench.errors import UserError
from autocoa_bench.tasks import sampling
from autocoa_bench.tasks.field_map import FieldMap, parse_field_map
from autocoa_bench.tasks.hub import PREFIX, HubName, HubTask, parse_hub_name
from autocoa_bench.tasks.sampling import REAL_SUFFIX, SampledTask
from autocoa_bench.tasks.task import PAPER_ORDER, FileTask, Task
from autocoa_bench.types import Split, TaskInfo
from autocoa_bench.util.paths import user_path
from autocoa_bench.util.row_reader import FORMATS, folder_error, is_data_name


def resolve(text: str, fields: str = "") -> list[Task]:
    """The tasks of a comma-separated list of names, groups and files, each once, in order.

    A group holds the registered tasks that name it, in the paper's column order. A name or a group
    with an `@` is of real datasets, and the rest is the sample of their questions (see `sampling`).
    `hf:` begins the name of a dataset of the Hugging Face Hub (see `hub`). A file or such a dataset
    whose name another task has is named with its folder or owner (`closed-hotpotqa`), and `fields`
    names their columns. Raises UserError for an unknown name and for an empty list.
    """
    tasks: list[Task] = []
    files: set[Path] = set()
    hub_names: set[HubName] = set()
    columns = parse_field_map(fields)
    for name in filter(None, (part.strip() for part in text.split(","))):
        names = {task.info.name for task in tasks}
        if name.startswith(PREFIX):
            if (hub_name := parse_hub_name(name)) not in hub_names:
                hub_names.add(hub_name)
                tasks.append(_hub_task(hub_name, names, columns))
            continue
        if not _is_path(name):
            tasks += (task for task in _tasks_named(name) if task.info.name not in names)
            continue
        path = user_path(name)
        if path.is_dir():
            raise folder_error(path)
        if path.resolve() not in files:
            files.add(path.resolve())
            tasks.append(_file_task(path, names, columns))
    if not tasks:
        raise UserError("no task was given; `autocoa-bench tasks` lists them")
    if columns and not (files or hub_names):
        raise UserError(
            f"--fields names columns of files and of {PREFIX} datasets, and '{text:.80}' has none; "
            "leave it out"
        )
    return tasks


def catalogue() -> list[TaskInfo]:
    """The infos of all registered tasks: those of the paper, the others, then the real datasets."""
    return [task.info for task in _registered()]


def find_task(name: str) -> Task | None:
    """The task that runs record under a name: a registered one or a sample of one, or None."""
    try:
        tasks = _tasks_named(name)
    except UserError:
        return None
    return tasks[0] if [task.info.name for task in tasks] == [name] else None


def shared_corpus(tasks: Sequence[Task], split: Split) -> str:
    """The corpus over which all tasks ask the questions of a split; empty where they share none."""
    corpora = {task.info.corpora.get(split, "") for task in tasks}
    return corpora.pop() if len(corpora) == 1 else ""


def no_shared_corpus(tasks: Sequence[Task], split: Split) -> UserError:
    """The error for tasks that share no corpus: what to give instead."""
    names = ", ".join(task.info.name for task in tasks)
    if any(task.info.corpora.get(split) for task in tasks):
        reason = f"the tasks {names} do not share one corpus"
    else:
        reason = f"none comes with {names}"
    hint = ""
    if any(task.info.edition == "real" for task in tasks):
        hint = (
            "; real datasets ask about Wikipedia, such as wiki18_100w.jsonl of FlashRAG's "
            "retrieval-corpus"
        )
    return UserError(
        f"searches need a corpus, and {reason} (split '{split}'): give --corpus a file (.jsonl, "
        f".csv, .tsv, .parquet, ...) or a name ({', '.join(registry.names('corpora'))}){hint}"
    )


def _is_path(name: str) -> bool:
    """Tell whether a name is a path: by its form, or because a file has it and no task."""
    if "/" in name or os.sep in name or is_data_name(name):
        return True
    if "@" in name or not user_path(name).exists():
        return False
    return name not in [*registry.names("tasks"), *_groups(_registered())]


def _registered() -> list[Task]:
    def sort_key(name: str) -> tuple[bool, int, str]:
        dataset, _, label = name.partition("@")
        column = PAPER_ORDER.index(dataset) if dataset in PAPER_ORDER else len(PAPER_ORDER)
        return label == sampling.ALL, column, name

    return [registry.load("tasks", name) for name in sorted(registry.names("tasks"), key=sort_key)]


def _tasks_named(name: str) -> list[Task]:
    registered = registry.names("tasks")
    if name in registered:
        return [registry.load("tasks", name)]
    if "@" in name:
        return _samples_named(name)
    if name + REAL_SUFFIX in registered:
        raise UserError(
            f"'{name}' has no embedded edition; give the real dataset '{name}{REAL_SUFFIX}', or a "
            f"sample of it, such as {name}@500:seed=3"
        )
    tasks = [task for task in _registered() if not task.info.name.endswith(REAL_SUFFIX)]
    if members := _members(tasks, name):
        return members
    raise _unknown_task(name, [*(task.info.name for task in tasks), *_groups(tasks)])


def _unknown_task(name: str, known: Sequence[str]) -> UserError:
    """The error for a name that is neither a task nor a file, with the nearest known one."""
    close = difflib.get_close_matches(name, sorted(known), n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ";"
    return UserError(
        f"unknown task '{name:.80}'{hint} `autocoa-bench tasks` lists them\n"
        f"or give the path of a {FORMATS};\n"
        "NAME@all, NAME@paper and NAME@500:seed=3 are real datasets, and hf:ORG/NAME:SPLIT is any "
        "of the Hugging Face Hub"
    )


def _samples_named(text: str) -> list[Task]:
    """The tasks of `NAME@...`, where the name is of a real dataset or of a group of them."""
    name, spec = sampling.parse_sample(text)
    datasets = {
        task.info.name.removesuffix(REAL_SUFFIX): task
        for task in _registered()
        if task.info.name.endswith(REAL_SUFFIX)
    }
    tasks = list(datasets.values())
    members = [datasets[name]] if name in datasets else _members(tasks, name)
    if not members:
        raise registry.unknown("real dataset", name, [*datasets, *_groups(tasks)])
    return members if spec.name == sampling.ALL else [SampledTask(task, spec) for task in members]


def _members(tasks: Sequence[Task], group: str) -> list[Task]:
    return [task for task in tasks if group in task.info.groups]


def _groups(tasks: Sequence[Task]) -> list[str]:
    return sorted({group for task in tasks for group in task.info.groups})


def _file_task(path: Path, names: set[str], columns: FieldMap) -> FileTask:
    task = FileTask(path, "", columns)
    # Records are keyed by task name, so two tasks of a run cannot share one.
    if task.info.name in names:
        task = FileTask(path, f"{path.resolve().parent.name}-{task.info.name}", columns)
    if task.info.name in names:
        raise UserError(f"'{path}' is the second task named '{task.info.name}'; rename the file")
    return task


def _hub_task(name: HubName, names: set[str], columns: FieldMap) -> HubTask:
    task = HubTask(name, columns)
    if task.info.name in names:
        task = HubTask(name, columns, prefix=name.owner)
    if task.info.name in names:
        raise UserError(f"'{name}' is the second task named '{task.info.name}'; give one at a time")
    return task
