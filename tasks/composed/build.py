"""Builds the questions over a corpus: composed ones, and given ones that the corpus answers."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from autocoa_bench import tasks
from autocoa_bench.scoring.evidence import SUPPORTED, support
from autocoa_bench.search import SearchEngine
from autocoa_bench.search.corpus import corpus_file, read_passages
from autocoa_bench.search.factory import open_engine
from autocoa_bench.tasks.formats import as_row
from autocoa_bench.types import Question, Split
from autocoa_bench.util.json_lines import write_files
from tasks.composed.exclusion import Exclusion
from tasks.composed.facts import encyclopedia_of
from tasks.composed.questions import compose

_TOP_K = 3
_UNTRACEABLE = ("yes", "no")
"""Answers that no passage supports."""


class BuiltQuestions(Struct, frozen=True):
    """Questions to train on: `composed` with their chains, and `answered` by a passage. `left_out`
    counts the other given ones."""

    composed: Sequence[Question]
    answered: Sequence[Question]
    left_out: int
    entities: int
    statements: int

    def write(self, out: Path, held_out: int) -> list[Path]:
        """Write composed.jsonl, answered.jsonl and, with the last `held_out` of each,
        held-out.jsonl. Returns the files. Raises UserError when the system refuses."""
        kinds = {"composed": self.composed, "answered": self.answered}
        ends = {kind: max(0, len(items) - held_out) for kind, items in kinds.items()}
        contents = {
            f"{kind}.jsonl": _lines(items[: ends[kind]]) for kind, items in kinds.items() if items
        }
        if held_out:
            rest = [one for kind, items in kinds.items() for one in items[ends[kind] :]]
            contents["held-out.jsonl"] = _lines(rest)
        return write_files(out, contents)


def build(corpus: str, count: int, given: str, exclude: str) -> BuiltQuestions:
    """Compose at most `count` questions over a corpus, and choose among the train questions of the
    tasks `given` those that it answers, without what the test questions of the tasks `exclude`
    name. Raises UserError for bad input."""
    exclusion = Exclusion(question.text for question in _questions(exclude, "test"))
    book = encyclopedia_of(read_passages(corpus_file(corpus)), exclusion.names)
    asked = _questions(given, "train")
    answered: list[Question] = []
    if asked:
        search = open_engine("bm25", corpus, _TOP_K)
        included = [question for question in asked if not exclusion.asks(question.text)]
        answered = asyncio.run(_answered(included, search))
    return BuiltQuestions(
        composed=compose(book, count, exclusion.asks),
        answered=answered,
        left_out=len(asked) - len(answered),
        entities=len(book.world),
        statements=len(book.statements),
    )


async def _answered(questions: Iterable[Question], search: SearchEngine) -> list[Question]:
    """The questions for which a search shows a passage that supports an answer."""
    try:
        return [question for question in questions if await _is_answered(question, search)]
    finally:
        await search.close()


async def _is_answered(question: Question, search: SearchEngine) -> bool:
    golds = [gold for gold in question.golden_answers if gold.lower() not in _UNTRACEABLE]
    if not golds:
        return False
    passages = await search.search(question.text)
    return any(
        support(question.text, gold, passage) >= SUPPORTED for passage in passages for gold in golds
    )


def _questions(names: str, split: Split) -> list[Question]:
    selected = tasks.resolve(names) if names else []
    return [question for task in selected for question in task.load(split)]


def _lines(questions: Iterable[Question]) -> bytes:
    rows: Iterable[dict[str, Any]] = map(as_row, questions)
    return msgspec.json.Encoder().encode_lines(rows)
