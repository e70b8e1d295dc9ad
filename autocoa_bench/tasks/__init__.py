"""Tasks: named sets of questions, groups of them, and a user's own files.

This package holds the machinery; the datasets themselves are in the package `tasks` beside
`autocoa_bench`. `task` defines the protocol and the task of a local file, `formats` reads the rows
of data files with `answer_fields`, `field_map` (columns that a user names) and `instructions` (of
prompts), `hub` streams datasets of the Hugging Face Hub, `sampling` draws questions and
reads `NAME@500:seed=3`, `resolve` turns names into tasks and finds the corpus that they share,
`subquestions` relates main questions to their sub-questions, and `kinds` tells which questions need
no search.

May import: `types`, `errors`, `registry`, `util`."""

from autocoa_bench.tasks.kinds import needs_search
from autocoa_bench.tasks.resolve import (
    catalogue,
    find_task,
    no_shared_corpus,
    resolve,
    shared_corpus,
)
from autocoa_bench.tasks.sampling import SampledTask, sample
from autocoa_bench.tasks.task import (
    PAPER_ORDER,
    FileTask,
    NamedSamples,
    Task,
    load_warnings,
    questions_sha256,
    read_revision,
)
from autocoa_bench.types import Split

__all__ = ["PAPER_ORDER", "FileTask", "NamedSamples", "SampledTask", "Split", "Task"]
__all__ += ["catalogue", "find_task", "load_warnings", "needs_search", "no_shared_corpus"]
__all__ += ["questions_sha256", "read_revision", "resolve", "sample", "shared_corpus"]
