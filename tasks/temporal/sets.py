"""The tasks of the temporal set, and the corpus that all four share so that one run can ask all."""

from functools import partial

from autocoa_bench.tasks import Split
from autocoa_bench.tasks.subquestions import SUBQUESTION_SUFFIX, subquestions_of
from tasks.closed_world.encyclopedia import jsonl
from tasks.embedded import EmbeddedTask, generated_corpus
from tasks.temporal import known as known_facts
from tasks.temporal import recent as season


def _subquestions(main: EmbeddedTask) -> EmbeddedTask:
    name = main.info.name + SUBQUESTION_SUFFIX
    return EmbeddedTask(name, lambda split: subquestions_of(main.compose(split), name))


def corpus_jsonl(split: Split) -> bytes:
    """A season's reports and profiles, and for `test` also the known facts' passages."""
    known_passages = known_facts.passages() if split == "test" else []
    return jsonl([*season.passages(split), *known_passages])


recent = EmbeddedTask("recent", season.questions)
recent_sub = _subquestions(recent)
known = EmbeddedTask("known", lambda _: known_facts.questions())
known_sub = _subquestions(known)

corpus = partial(generated_corpus, "temporal", "test", corpus_jsonl)
train_corpus = partial(generated_corpus, "temporal", "train", corpus_jsonl)
"""The corpora as FlashRAG JSONL. The two seasons share no entity."""
