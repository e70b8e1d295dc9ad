"""Tasks: named sets of questions, groups of them, and files of a user.

`task` is the protocol, `resolve` turns names into tasks, `sampling` reads `NAME@500:seed=3`,
`formats` reads rows of data files, and `subquestions` relates questions to their parts. The
datasets themselves are in the package `tasks` beside this one.

May import: `types`, `errors`, `registry`, `util`."""

from autocoa_bench.tasks.resolve import catalogue, find_task, resolve
from autocoa_bench.tasks.task import (
    PAPER_ORDER,
    FileTask,
    NamedSamples,
    SampledTask,
    Split,
    Task,
    load_warnings,
    questions_sha256,
    sample,
)

__all__ = [
    "PAPER_ORDER",
    "FileTask",
    "NamedSamples",
    "SampledTask",
    "Split",
    "Task",
    "catalogue",
    "find_task",
    "questions_sha256",
    "resolve",
    "sample",
    "load_warnings",
]
