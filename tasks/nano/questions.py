"""The nano world's questions, of the six datasets' shapes without their comparisons."""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from autocoa_bench.types import Hop, Question
from tasks.closed_world.questions.composing import numbered
from tasks.closed_world.rng import Rng
from tasks.nano.world import (
    ENDS_IN_VALUE,
    RELATIONS,
    NanoFact,
    NanoSide,
    NanoWorld,
    nano,
    stated,
)


class Shape(NamedTuple):
    """The shape of a dataset's questions, and the most questions that each side has.

    A question uses one of a relation's wordings, or `opening` and a noun phrase.
    """

    hops: int
    wording: int | None
    opening: str
    counts: dict[NanoSide, int]


_SINGLE: dict[NanoSide, int] = {
    **{"test": 100, "train": 800, "base": 800, "single": 2400, "dev": 100, "rl": 800}
}
_CHAINS: dict[NanoSide, int] = {
    **{"test": 100, "train": 800, "base": 0, "single": 0, "dev": 100, "rl": 800}
}
_HALF: dict[NanoSide, int] = {side: count // 2 for side, count in _CHAINS.items()}

SHAPES = {
    "nq": Shape(1, 0, "", _SINGLE),
    "triviaqa": Shape(1, None, "Name ", _SINGLE),
    "hotpotqa": Shape(2, 1, "", _CHAINS),
    "2wikimultihopqa": Shape(2, None, "Name ", _CHAINS),
    "musique": Shape(3, 0, "", _CHAINS),
    "bamboogle": Shape(2, None, "What is ", _HALF),
}


@cache
def questions(name: str, side: NanoSide) -> tuple[Question, ...]:
    """The questions of a dataset and side, in a fixed order."""
    shape, rng = SHAPES[name], Rng(f"nano/{name}/{side}")
    world = nano(side)
    starts = [(fact,) for facts in world.facts.values() for fact in facts]
    chains = rng.shuffled(
        [chain for start in starts for chain in _extensions(world, start, shape.hops)]
    )
    if shape.hops == 1:
        # Known and unknown facts take turns.
        known = [chain for chain in chains if chain[0].known]
        unknown = [chain for chain in chains if not chain[0].known]
        chains = [chain for pair in zip(known, unknown, strict=False) for chain in pair]
    questions = [_question(name, chain, shape, rng) for chain in chains[: shape.counts[side]]]
    return numbered(f"nano-{name}-{side}", questions)


def _extensions(
    world: NanoWorld, chain: tuple[NanoFact, ...], hops: int
) -> Iterator[tuple[NanoFact, ...]]:
    """All chains of `hops` facts, each about the value of the one before; no entity comes twice."""
    if len(chain) == hops:
        yield chain
        return
    seen = {fact.about for fact in chain}
    for fact in world.facts.get(chain[-1].value, ()):
        if fact.about not in seen and fact.value not in seen:
            yield from _extensions(world, (*chain, fact), hops)


def _question(name: str, chain: tuple[NanoFact, ...], shape: Shape, rng: Rng) -> Question:
    """The question that a chain nests into, with its hops and their phrases in the question."""
    subject, phrases = chain[0].about, []
    for fact in chain:
        phrases.append(rng.pick(RELATIONS[fact.relation].phrases).format(x=subject))
        subject = phrases[-1]
    subject = phrases[-2] if len(chain) > 1 else chain[0].about
    last = RELATIONS[chain[-1].relation]
    text = (
        f"{shape.opening}{phrases[-1]}{'?' if shape.opening.startswith('What') else '.'}"
        if shape.wording is None
        else last.asks[shape.wording].format(x=subject)
    )
    hops = tuple(
        Hop(
            RELATIONS[fact.relation].asks[0].format(x=fact.about),
            fact.value,
            fact.passage,
            phrase,
            statement=stated(fact, ENDS_IN_VALUE),
        )
        for fact, phrase in zip(chain, [*phrases[:-1], ""], strict=True)
    )
    kind = f"{len(chain)}hop" if len(chain) > 1 else "known" if chain[0].known else "unknown"
    return Question("", text, (chain[-1].value,), f"{name}@nano", kind, "shared", hops)
