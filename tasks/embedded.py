"""The embedded edition: tasks and corpora that the project generates; nothing is downloaded.

Questions are composed in memory; a corpus is written to the cache once. Both are checked against
the hashes in `embedded.toml`, so that every machine asks the same. `python -m tasks`
prints the hashes after a deliberate change. The tasks here have six datasets' shapes, over the
closed world; `temporal.sets` and `when_to_act` have the others.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UserError
from autocoa_bench.tasks import PAPER_ORDER, Split, questions_sha256
from autocoa_bench.types import Question, TaskInfo
from autocoa_bench.util.json_lines import replace_file
from autocoa_bench.util.paths import cache_dir, cache_errors
from tasks.closed_world.encyclopedia import encyclopedia, jsonl
from tasks.closed_world.questions.build import all_questions


class _Dataset(Struct):
    title: str
    count: int
    shape: str
    source: str
    corpora: dict[str, str]
    sha256: dict[Split, str]
    groups: tuple[str, ...] = ()


class _World(Struct):
    version: str
    sha256: dict[Split, str]


class _Edition(Struct):
    worlds: dict[str, _World]
    datasets: dict[str, _Dataset]


_EDITION = msgspec.toml.decode(Path(__file__).with_suffix(".toml").read_bytes(), type=_Edition)

CORPUS_SHA256 = {name: world.sha256 for name, world in _EDITION.worlds.items()}
QUESTIONS_SHA256 = {name: dataset.sha256 for name, dataset in _EDITION.datasets.items()}


class EmbeddedTask:
    """A generated dataset of `embedded.toml`. Only splits with a pinned hash exist."""

    def __init__(self, name: str, compose: Callable[[Split], Sequence[Question]]) -> None:
        """`compose` returns a split's questions, in a fixed order."""
        self.compose = compose
        dataset = _EDITION.datasets[name]
        self.info = TaskInfo(
            name=name,
            title=dataset.title,
            edition="embedded",
            shape=dataset.shape,
            source=dataset.source,
            licence="CC0-1.0",
            count=dataset.count,
            sha256=dataset.sha256["test"],
            groups=dataset.groups,
            corpora=dataset.corpora,
        )

    def load(self, split: Split = "test") -> Sequence[Question]:
        """The questions of a split, in a fixed order. Raises UserError if they changed."""
        name = self.info.name
        pinned = QUESTIONS_SHA256[name].get(split)
        if pinned is None:
            raise UserError(
                f"'{name}' has no {split} split; to train on chains of such facts, use "
                "`when-to-act` or `recent`"
            )
        questions = self.compose(split)
        _check(f"questions of '{name}' ({split})", questions_sha256(questions), pinned)
        return questions


def generated_corpus(world: str, split: Split, generate: Callable[[Split], bytes]) -> Path:
    """The file of a generated corpus in the cache, written if need be.

    Raises UserError if the corpus is not the one that was shipped.
    """
    pinned = CORPUS_SHA256[world][split]
    path = cache_dir(f"{world}-{_EDITION.worlds[world].version}") / f"{split}.jsonl"
    if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == pinned:
        return path
    content = generate(split)
    _check(f"passages of '{world}' ({split})", hashlib.sha256(content).hexdigest(), pinned)
    with cache_errors(path.parent):
        replace_file(path, content)
    return path


def _check(content: str, sha256: str, pinned: str) -> None:
    if sha256 != pinned:
        raise UserError(
            f"the generated {content} have SHA-256 {sha256[:12]}, not {pinned[:12]} as shipped: "
            "the installed files of the package tasks were changed; reinstall autocoa-bench"
        )


def corpus_jsonl(split: Split) -> bytes:
    """The passages of the closed world, as FlashRAG's JSON lines."""
    return jsonl(article.passage for article in encyclopedia(split).articles.values())


nq, triviaqa, hotpotqa, wikimultihopqa, musique, bamboogle = (
    EmbeddedTask(name, partial(all_questions, name)) for name in PAPER_ORDER
)

corpus = partial(generated_corpus, "world", "test", corpus_jsonl)
train_corpus = partial(generated_corpus, "world", "train", corpus_jsonl)
"""The corpora as FlashRAG JSONL. The two worlds share no entity."""
