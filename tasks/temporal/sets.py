"""The temporal set's tasks, and the corpus that all four share so that one run can ask them all."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

from autocoa_bench.errors import UserError
from autocoa_bench.tasks import Split, questions_sha256
from autocoa_bench.tasks.subquestions import SUBQUESTION_SUFFIX, subquestions_of
from autocoa_bench.types import Question, TaskInfo
from autocoa_bench.util.paths import cache_dir

VERSION = "1"
"""Raised whenever a passage or a question changes; `python -m tasks.temporal` then prints the
hashes for below."""

CORPUS_SHA256: dict[Split, str] = {
    "test": "2733d98844a368c2a4188facc989dda436b9cb6f67d5f77378e984e080d35d63",
    "train": "1c9d450ec00f14050e536d00e871ddeea1b02ddb924d1db370631d2a9c4f6d3b",
}

QUESTIONS_SHA256: dict[str, dict[Split, str]] = {
    "recent": {
        "test": "86e8bbf81b8401e03a74247caacee56005cf920dbf08376c61ec1ea7da7c8795",
        "train": "43cd67566883cb24bcb90f000ba25b59a1f4d0cd04bc7ab8ea714a0ac2224879",
    },
    "recent-sub": {
        "test": "bc9c9e1882e4bd49e18f195615c07c4002073d3d33c53f9371d53bcef2cbc40c",
        "train": "4d901606488aac31017ed15280f62a55dd81b30b4d7b792ec7ae412adce3dfd2",
    },
    "known": {
        "test": "47086719420722feb07d836e9f8ed60749d153e57a4707052ec6652e68fe62c6",
    },
    "known-sub": {
        "test": "ec44708a6dfd2e37f5c27cde76fbb1884a648fb6ef09e678a7a0041b6788b95c",
    },
}

_TEST_CORPUS, _TRAIN_CORPUS = "embedded-temporal", "embedded-temporal-train"


class TemporalTask:
    """Three-hop questions, or their sub-questions, over generated reports or well-known facts."""

    def __init__(
        self, name: str, title: str, count: int, shape: str, source: str, make: MakeQuestions
    ) -> None:
        """`make` gives a split's questions; a split whose hash is not pinned there is not."""
        self.make = make
        splits = QUESTIONS_SHA256[name]
        corpora: dict[Split, str] = {"test": _TEST_CORPUS, "train": _TRAIN_CORPUS}
        self.info = TaskInfo(
            name=name,
            title=title,
            edition="embedded",
            shape=shape,
            source=source,
            licence="CC0-1.0",
            count=count,
            sha256=splits["test"],
            groups=("temporal",),
            corpora={split: corpora[split] for split in splits},
        )

    def load(self, split: Split = "test") -> Sequence[Question]:
        """The questions of a split, in a fixed order. Raises UserError if they changed."""
        name = self.info.name
        pinned = QUESTIONS_SHA256[name].get(split)
        if pinned is None:
            raise UserError(
                f"'{name}' has no {split} split, only questions to test on; to train on chains of "
                "such facts, take `when-to-act` or `recent`"
            )
        made = self.make(split)
        _check(f"questions of '{name}'", split, questions_sha256(made), pinned)
        return made


MakeQuestions = Callable[[Split], Sequence[Question]]


def _recent(split: Split) -> Sequence[Question]:
    from tasks.temporal import recent

    return recent.questions(split)


def _recent_sub(split: Split) -> Sequence[Question]:
    from tasks.temporal import recent

    return subquestions_of(recent.questions(split), recent.NAME + SUBQUESTION_SUFFIX)


def _known(_: Split) -> Sequence[Question]:
    from tasks.temporal import known

    return known.questions()


def _known_sub(_: Split) -> Sequence[Question]:
    from tasks.temporal import known

    return subquestions_of(known.questions(), known.NAME + SUBQUESTION_SUFFIX)


def corpus() -> Path:
    """The season's reports and profiles, and the known facts' passages, as FlashRAG JSONL."""
    return _corpus("test")


def train_corpus() -> Path:
    """Another season's reports and profiles, with no entity of the test corpus."""
    return _corpus("train")


def corpus_jsonl(split: Split) -> bytes:
    """A corpus's content: the known facts have no train questions, so are not in that corpus."""
    from tasks.closed_world.encyclopedia import jsonl
    from tasks.temporal import known, recent

    return jsonl([*recent.passages(split), *(known.passages() if split == "test" else [])])


def _corpus(split: Split) -> Path:
    path = cache_dir(f"temporal-{VERSION}") / f"{split}.jsonl"
    if path.exists() and sha256(path.read_bytes()).hexdigest() == CORPUS_SHA256[split]:
        return path
    content = corpus_jsonl(split)
    _check("passages", split, sha256(content).hexdigest(), CORPUS_SHA256[split])
    # Written aside and moved, so that nobody reads half a corpus.
    part = path.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(content)
    part.replace(path)
    return path


def _check(what: str, split: Split, found: str, expected: str) -> None:
    if found != expected:
        raise UserError(
            f"the temporal set's {what} ({split}) have SHA-256 {found[:12]}, not {expected[:12]} "
            "as shipped: the installed files of tasks/temporal were changed; reinstall "
            "autocoa-bench"
        )


_REPORTS = "generated by this project (tasks/temporal): a season's 97 reports and their profiles"
_FACTS = "common knowledge, tabled by this project (tasks/temporal/known, tasks/facts)"

recent = TemporalTask(
    "recent", "Recent", 192, "three hops through dated sports reports", _REPORTS, _recent
)
recent_sub = TemporalTask(
    "recent-sub",
    "Recent, sub-questions",
    576,
    "each hop of `recent` by itself",
    _REPORTS,
    _recent_sub,
)
known = TemporalTask(
    "known", "Known", 192, "three hops over facts that every model has met", _FACTS, _known
)
known_sub = TemporalTask(
    "known-sub", "Known, sub-questions", 576, "each hop of `known` by itself", _FACTS, _known_sub
)
