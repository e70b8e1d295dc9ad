"""The tasks of the temporal set, and the corpus that all four share so that one run can ask all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from autocoa_bench.tasks import Split
from autocoa_bench.tasks.subquestions import SUBQUESTION_SUFFIX, subquestions_of
from autocoa_bench.types import Question
from tasks.embedded import EmbeddedTask, generated_corpus


def _recent(split: Split) -> Sequence[Question]:
    from tasks.temporal import recent

    return recent.questions(split)


def _known(_: Split) -> Sequence[Question]:
    from tasks.temporal import known

    return known.questions()


def _subquestions(main: EmbeddedTask) -> EmbeddedTask:
    name = main.info.name + SUBQUESTION_SUFFIX
    return EmbeddedTask(name, lambda split: subquestions_of(main.compose(split), name))


def corpus_jsonl(split: Split) -> bytes:
    """A season's reports and profiles, and for `test` also the known facts' passages."""
    from tasks.closed_world.encyclopedia import jsonl
    from tasks.temporal import known, recent

    return jsonl([*recent.passages(split), *(known.passages() if split == "test" else [])])


recent = EmbeddedTask("recent", _recent)
recent_sub = _subquestions(recent)
known = EmbeddedTask("known", _known)
known_sub = _subquestions(known)

corpus = partial(generated_corpus, "temporal", "test", corpus_jsonl)
train_corpus = partial(generated_corpus, "temporal", "train", corpus_jsonl)
"""The corpora as FlashRAG JSONL. The two seasons share no entity."""
