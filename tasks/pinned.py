"""Generated questions and corpora, checked against the SHA-256 that this project ships for them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from autocoa_bench.errors import UserError
from autocoa_bench.tasks import questions_sha256
from autocoa_bench.types import Question
from autocoa_bench.util.json_lines import replace_file
from autocoa_bench.util.paths import cache_dir


def check_questions(name: str, questions: Sequence[Question], pinned: str) -> None:
    """Raise UserError if the questions of a task's split are not those that were shipped."""
    _check(f"questions of {name}", questions_sha256(questions), pinned)


def pinned_corpus(folder: str, name: str, pinned: str, generate: Callable[[], bytes]) -> Path:
    """The file of a generated corpus in the cache, written if need be.

    Raises UserError if the corpus is not the one that was shipped.
    """
    path = cache_dir(folder) / f"{name}.jsonl"
    if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == pinned:
        return path
    content = generate()
    _check(f"passages of {folder}/{name}", hashlib.sha256(content).hexdigest(), pinned)
    replace_file(path, content)
    return path


def _check(content: str, sha256: str, pinned: str) -> None:
    if sha256 != pinned:
        raise UserError(
            f"the generated {content} have SHA-256 {sha256[:12]}, not {pinned[:12]} as shipped: "
            "the installed files of the package tasks were changed; reinstall autocoa-bench"
        )
