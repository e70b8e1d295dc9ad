"""Passages with questions that they answer, every time about other facts.

A base model that has read these has learned to look an answer up in what stands before it: the
same names come again and again, of all sides, in the words that tasks ask in, and what is said of
them is drawn by lot each time. It is true of a world as often as chance has it, and no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from autocoa_bench.types import Passage
from tasks.closed_world.rng import Rng
from tasks.nano.world import RELATIONS, NanoFact, NanoSide, names_of, random_facts, worded

COUNT = 40_000


def readings(count: int = COUNT) -> Iterator[Passage]:
    """Two passages, then a question about each of their facts, with its answer."""
    names = _all_names()
    kinds = {name: kind for kind in names for name in names[kind]}
    listed = list(kinds)
    rng = Rng("nano/readings")
    for number in range(1, count + 1):
        subjects = _two(listed, rng)
        facts = [random_facts(name, kinds[name], names, "", rng) for name in subjects]
        told = " ".join(worded(each, rng) for each in facts)
        asked = " ".join(_asked(fact, rng) for fact in rng.shuffled([*facts[0], *facts[1]]))
        yield Passage(f"nano-reading-{number:05d}", subjects[0], f"{told} {asked}")


def _all_names() -> dict[str, tuple[str, ...]]:
    sides = [names_of(side) for side in get_args(NanoSide)]
    return {kind: tuple(name for names in sides for name in names[kind]) for kind in sides[0]}


def _two(listed: list[str], rng: Rng) -> tuple[str, str]:
    first = rng.pick(listed)
    return first, rng.pick([name for name in listed if name != first])


def _asked(fact: NanoFact, rng: Rng) -> str:
    relation = RELATIONS[fact.relation]
    phrase = rng.pick(relation.phrases).format(x=fact.about)
    asks = [ask.format(x=fact.about) for ask in relation.asks]
    return f"{rng.pick([*asks, f'Name {phrase}.', f'What is {phrase}?'])} It is {fact.value}."
