"""Passages with questions that they answer, about random facts.

A base model that is trained on these learns to look an answer up in the text before the question.
The names are those of all sides and the wordings are those of the tasks, but the facts are drawn
anew for every passage, so that they agree with a world only by chance.
"""

from collections.abc import Iterator

from autocoa_bench.types import Passage
from tasks.closed_world.rng import Rng
from tasks.nano.world import RELATIONS, NanoFact, names_by_side, random_facts, worded

COUNT = 50_000


def readings(count: int = COUNT) -> Iterator[Passage]:
    """Passages of two texts, then a question about each of their facts with its answer."""
    sides = list(names_by_side().values())
    names = {kind: tuple(name for side in sides for name in side[kind]) for kind in sides[0]}
    kinds = {name: kind for kind in names for name in names[kind]}
    rng = Rng("nano/readings")
    for number in range(1, count + 1):
        first = rng.pick(list(kinds))
        second = rng.pick([name for name in kinds if name != first])
        facts = [random_facts(name, kinds[name], names, "", rng) for name in (first, second)]
        texts = " ".join(worded(group, rng) for group in facts)
        answers = " ".join(_question(fact, rng) for fact in rng.shuffled([*facts[0], *facts[1]]))
        yield Passage(f"nano-reading-{number:05d}", first, f"{texts} {answers}")


def _question(fact: NanoFact, rng: Rng) -> str:
    """A question about a fact, with its answer."""
    relation = RELATIONS[fact.relation]
    phrase = rng.pick(relation.phrases).format(x=fact.about)
    asks = [ask.format(x=fact.about) for ask in relation.asks]
    return f"{rng.pick([*asks, f'Name {phrase}.', f'What is {phrase}?'])} It is {fact.value}."
