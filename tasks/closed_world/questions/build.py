"""The question sets of a side, one for each of the six datasets."""

from collections.abc import Callable
from functools import cache

from autocoa_bench.types import Question
from tasks.closed_world.encyclopedia import encyclopedia
from tasks.closed_world.entities import Side
from tasks.closed_world.questions import chains, comparisons, singles
from tasks.closed_world.questions.composing import Composer, numbered


@cache
def all_questions(task: str, side: Side) -> tuple[Question, ...]:
    """The questions of a set in a fixed order."""
    composer = Composer(task, encyclopedia(side))
    questions = _SETS[task](composer, COUNTS[task][side])
    return numbered(f"embedded-{task}-{side}", composer.rng.shuffled(questions))


def _hotpotqa(composer: Composer, count: int) -> list[Question]:
    comparison = count // 5
    return [
        *chains.compose(composer, "bridge", 2, count - comparison, chains.wordy),
        *comparisons.direct(composer, comparison),
    ]


def _wikimultihopqa(composer: Composer, count: int) -> list[Question]:
    fifth = count // 5
    kinship = chains.inference(composer, fifth)
    rest = count - 2 * fifth - len(kinship)
    return [
        *kinship,
        *comparisons.direct(composer, fifth),
        *comparisons.bridged(composer, fifth),
        *chains.compose(composer, "compositional", 2, rest, chains.plain),
    ]


def _musique(composer: Composer, count: int) -> list[Question]:
    three, joined, four = count // 4, count // 12, count // 6
    return [
        *chains.compose(composer, "2hop", 2, count - three - joined - four, chains.plain),
        *chains.compose(composer, "3hop1", 3, three, chains.plain),
        *chains.joins(composer, "3hop2", joined),
        *chains.compose(composer, "4hop1", 4, four, chains.plain),
    ]


_SETS: dict[str, Callable[[Composer, int], list[Question]]] = {
    "nq": singles.nq,
    "triviaqa": singles.triviaqa,
    "hotpotqa": _hotpotqa,
    "2wikimultihopqa": _wikimultihopqa,
    "musique": _musique,
    "bamboogle": lambda composer, count: chains.compose(composer, "2hop", 2, count, chains.terse),
}

COUNTS: dict[str, dict[Side, int]] = {name: {"test": 500, "train": 3000} for name in _SETS}
COUNTS["bamboogle"] = {"test": 125, "train": 750}
