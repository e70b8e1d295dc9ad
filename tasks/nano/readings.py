"""Passages with questions that they answer, every time about other facts.

A base model that has read these has learned to look an answer up in what stands before it: the
same names come again and again, and what is said of them never holds a second time.
"""

from __future__ import annotations

from collections.abc import Iterator

from autocoa_bench.types import Passage
from tasks.closed_world.dice import Dice
from tasks.nano.world import RELATIONS, Fact, names_of, rolled, worded

COUNT = 30_000

_ASKED = 3  # questions a reading


def readings(count: int = COUNT) -> Iterator[Passage]:
    """Two passages in either order, then questions about one of them, each with its answer."""
    names = names_of("base")
    kinds = {name: kind for kind in names for name in names[kind]}
    listed = list(kinds)
    dice = Dice("nano/readings")
    for number in range(1, count + 1):
        subject, other = _two(listed, dice)
        facts, others = (rolled(name, kinds[name], names, "", dice) for name in (subject, other))
        told = " ".join(dice.shuffled([worded(facts, dice), worded(others, dice)]))
        asked = " ".join(_asked(fact, dice) for fact in dice.shuffled(facts)[:_ASKED])
        yield Passage(f"nano-reading-{number:05d}", subject, f"{told} {asked}")


def _two(listed: list[str], dice: Dice) -> tuple[str, str]:
    first = dice.pick(listed)
    return first, dice.pick([name for name in listed if name != first])


def _asked(fact: Fact, dice: Dice) -> str:
    relation = RELATIONS[fact.relation]
    phrase = dice.pick(relation.phrases).format(x=fact.about)
    asks = [ask.format(x=fact.about) for ask in relation.asks]
    return f"{dice.pick([*asks, f'Name {phrase}.', f'What is {phrase}?'])} It is {fact.value}."
