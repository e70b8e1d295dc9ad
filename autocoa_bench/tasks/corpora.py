"""The corpus that tasks share."""

from __future__ import annotations

from collections.abc import Sequence

from autocoa_bench import registry
from autocoa_bench.errors import UserError
from autocoa_bench.tasks.task import Task
from autocoa_bench.types import Split


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
        f".jsonl.gz, .parquet) or a name ({', '.join(registry.names('corpora'))}){hint}"
    )
