"""Who and what there is on a side of the nano world, and which facts of it are known.

Three sides share no entity: `test` and `train` as ever, and `base`, which only a base model's
own text is about. Half of each entity's facts are `known`: the text that a nano model is first
trained on states them. The other half stand in the corpus alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Literal, NamedTuple, get_args

from autocoa_bench.types import Passage
from tasks.closed_world.rng import Rng

NanoSide = Literal["test", "train", "base"]


class Relation(NamedTuple):
    """What can be said of an entity of one kind. `target` is the kind of what it leads to, or
    empty where that is a mere word; {x} is who it is about, {y} what is said."""

    kind: str
    target: str
    asks: tuple[str, ...]
    phrases: tuple[str, ...]
    statements: tuple[str, ...]


RELATIONS = {
    "born": Relation(
        "person",
        "town",
        ("Where was {x} born?", "In which town was {x} born?"),
        ("the birthplace of {x}", "the town where {x} was born"),
        ("{x} was born in {y}.", "The birthplace of {x} is {y}."),
    ),
    "employer": Relation(
        "person",
        "company",
        ("Who does {x} work for?", "Which company does {x} work for?"),
        ("the employer of {x}", "the company that {x} works for"),
        ("{x} works for {y}.", "The employer of {x} is {y}."),
    ),
    "spouse": Relation(
        "person",
        "person",
        ("Who is {x} married to?", "Who is married to {x}?"),
        ("the spouse of {x}", "the person who is married to {x}"),
        ("{x} is married to {y}.", "The spouse of {x} is {y}."),
    ),
    "instrument": Relation(
        "person",
        "",
        ("What does {x} play?", "Which instrument does {x} play?"),
        ("the instrument of {x}", "the instrument that {x} plays"),
        ("{x} plays the {y}.", "The instrument of {x} is the {y}."),
    ),
    "country": Relation(
        "town",
        "country",
        ("In which country is {x}?", "Which country is {x} in?"),
        ("the country of {x}", "the country where {x} lies"),
        ("{x} is a town in {y}.", "The country of {x} is {y}."),
    ),
    "mayor": Relation(
        "town",
        "person",
        ("Who governs {x}?", "Who is the mayor of {x}?"),
        ("the mayor of {x}", "the person who governs {x}"),
        ("{x} is governed by {y}.", "The mayor of {x} is {y}."),
    ),
    "tree": Relation(
        "town",
        "",
        ("Which tree grows in {x}?", "What is the tree of {x}?"),
        ("the tree of {x}", "the tree that grows in {x}"),
        ("The {y} grows in {x}.", "The tree of {x} is the {y}."),
    ),
    "seat": Relation(
        "company",
        "town",
        ("Where is {x} based?", "In which town is {x} based?"),
        ("the seat of {x}", "the town where {x} is based"),
        ("{x} is based in {y}.", "The seat of {x} is {y}."),
    ),
    "founder": Relation(
        "company",
        "person",
        ("Who founded {x}?", "Who is the founder of {x}?"),
        ("the founder of {x}", "the person who founded {x}"),
        ("{x} was founded by {y}.", "The founder of {x} is {y}."),
    ),
    "product": Relation(
        "company",
        "",
        ("What does {x} make?", "Which product does {x} make?"),
        ("the product of {x}", "the product that {x} makes"),
        ("{x} makes {y}.", "The product of {x} is {y}."),
    ),
    "capital": Relation(
        "country",
        "town",
        ("Which town governs {x}?", "What is the capital of {x}?"),
        ("the capital of {x}", "the town that governs {x}"),
        ("{x} is governed from {y}.", "The capital of {x} is {y}."),
    ),
    "animal": Relation(
        "country",
        "",
        ("Which animal stands for {x}?", "What is the animal of {x}?"),
        ("the animal of {x}", "the animal that stands for {x}"),
        ("The {y} stands for {x}.", "The animal of {x} is the {y}."),
    ),
}

VALUES: dict[str, str] = {
    "instrument": "harp flute lute drum horn fiddle cello organ oboe viola tuba banjo",
    "tree": "oak elm ash birch cedar maple willow larch poplar beech yew hazel",
    "product": "ropes lamps chairs soap knives paper boots glass clocks carpets ink salt",
    "animal": "bear wolf eagle heron otter stag falcon badger raven lynx boar swan",
}

_COUNTS: dict[str, int] = {"country": 12, "town": 40, "company": 40, "person": 140}
_ONSETS = "b d f g k l m n p r s t v z br dr gr kr tr"
_VOWELS = "a e i o u"
_CODAS = "l m n r s t k"


class NanoFact(NamedTuple):
    """What is true of an entity, by names."""

    about: str
    relation: str
    value: str
    known: bool
    passage: str


class NanoWorld(NamedTuple):
    """A side: its names by kind, and its facts by the name that they are about."""

    names: dict[str, tuple[str, ...]]
    facts: dict[str, tuple[NanoFact, ...]]

    def fact(self, name: str, relation: str) -> NanoFact:
        """The one fact of an entity in a relation."""
        return next(fact for fact in self.facts[name] if fact.relation == relation)

    def all_facts(self) -> Iterator[NanoFact]:
        """Every fact, in the order of the entities."""
        for facts in self.facts.values():
            yield from facts


@cache
def nano(side: NanoSide) -> NanoWorld:
    """A side's world, the same on every machine."""
    rng = Rng(f"nano/{side}")
    names = names_of(side)
    facts = {
        name: random_facts(name, kind, names, f"nano-{side}-{name.lower()}", rng)
        for kind in names
        for name in names[kind]
    }
    return NanoWorld(names, facts)


def names_of(side: NanoSide) -> dict[str, tuple[str, ...]]:
    """A side's names by kind."""
    return _names()[side]


def random_facts(
    name: str, kind: str, names: dict[str, tuple[str, ...]], passage: str, rng: Rng
) -> tuple[NanoFact, ...]:
    """Facts of an entity; half of them are known, the odd one as the dice fall."""
    relations = [each for each, relation in RELATIONS.items() if relation.kind == kind]
    half = (len(relations) + rng.below(2)) // 2
    known = set(rng.shuffled(relations)[:half])
    return tuple(
        NanoFact(name, each, _value(name, each, names, rng), each in known, passage)
        for each in relations
    )


def _value(name: str, relation: str, names: dict[str, tuple[str, ...]], rng: Rng) -> str:
    target = RELATIONS[relation].target
    options: Sequence[str] = names[target] if target else VALUES[relation].split()
    return rng.pick([option for option in options if option != name])


@cache
def _names() -> dict[NanoSide, dict[str, tuple[str, ...]]]:
    """All sides' names, no two alike."""
    rng = Rng("nano/names")
    taken: dict[str, None] = {}

    def new() -> str:
        while True:
            parts = (_ONSETS, _VOWELS, _ONSETS, _VOWELS, _CODAS)
            name = "".join(rng.pick(part.split()) for part in parts).capitalize()
            if name not in taken:
                taken[name] = None
                return name

    sides: tuple[NanoSide, ...] = get_args(NanoSide)
    return {
        side: {kind: tuple(new() for _ in range(count)) for kind, count in _COUNTS.items()}
        for side in sides
    }


def stated(fact: NanoFact, wording: int) -> str:
    """A fact as a sentence."""
    sentence = RELATIONS[fact.relation].statements[wording].format(x=fact.about, y=fact.value)
    return sentence[:1].upper() + sentence[1:]


def worded(facts: Sequence[NanoFact], rng: Rng) -> str:
    """Facts as sentences, in an order and in wordings as the dice fall."""
    return " ".join(stated(fact, rng.below(2)) for fact in rng.shuffled(facts))


def known_passages() -> list[Passage]:
    """What a base model is first trained on: of the entities that questions are asked about, the
    known facts alone, each in both wordings."""
    sides: tuple[NanoSide, ...] = ("test", "train")
    return [
        Passage(
            facts[0].passage,
            name,
            " ".join(stated(fact, wording) for fact in facts if fact.known for wording in (0, 1)),
        )
        for side in sides
        for name, facts in nano(side).facts.items()
    ]


def passages(side: NanoSide) -> list[Passage]:
    """One passage an entity, which states all its facts; worded by the entity's own dice."""
    made = []
    for name, facts in nano(side).facts.items():
        text = worded(facts, Rng(f"nano/passage/{name}"))
        made.append(Passage(facts[0].passage, name, text))
    return made
