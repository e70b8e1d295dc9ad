"""Tasks: named sets of questions, groups of them, and files of a user.

`task` is the protocol, `resolve` turns names into tasks, `sampling` reads `NAME@500:seed=3`,
`formats` reads rows of data files, `subquestions` relates questions to their parts, and `corpora`
finds the corpus that tasks share. The datasets themselves are in the package `tasks` beside this
one.

May import: `types`, `errors`, `registry`, `util`."""

from autocoa_bench.tasks.corpora import no_shared_corpus, shared_corpus
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
    "load_warnings",
    "no_shared_corpus",
    "questions_sha256",
    "resolve",
    "sample",
    "shared_corpus",
]
