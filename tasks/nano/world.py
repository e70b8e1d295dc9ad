"""The entities of the nano world, and which facts about them are known.

The sides share no entity. Questions of `test` evaluate; those of `train` and `single` are for
trajectories, where `single` asks for one fact each, to teach when to act; those of `rl` are for
reinforcement learning; `dev` chooses a checkpoint; `base` is for the single searches in a base
model's text. Half of each entity's facts are `known`: that
text states them, except those of `base`. The other half stand in the corpus alone.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import msgspec
from msgspec import Struct

from autocoa_bench.types import Passage
from tasks.closed_world.rng import Rng

NanoSide = Literal["test", "train", "base", "single", "dev", "rl"]


class Relation(Struct, frozen=True):
    """A relation of `relations.toml`, which describes the fields."""

    kind: str
    asks: tuple[str, ...]
    phrases: tuple[str, ...]
    statements: tuple[str, ...]
    target: str = ""
    values: str = ""


RELATIONS = msgspec.toml.decode(
    Path(__file__).with_name("relations.toml").read_bytes(), type=dict[str, Relation]
)

ENDS_IN_VALUE = 1
"""The wording of statements in which the value is the last word, for every relation."""

_COUNTS: dict[str, int] = {"country": 12, "town": 40, "company": 40, "person": 140}
_SINGLE_SIZE = 3  # as many times the entities of another side
_KNOWN_SIDES: tuple[NanoSide, ...] = ("test", "train", "single", "dev", "rl")
_ONSETS = "b d f g k l m n p r s t v z br dr gr kr tr"
_VOWELS = "a e i o u"
_CODAS = "l m n r s t k"


class NanoFact(NamedTuple):
    """A fact about an entity; `about` and `value` are names, `passage` is an id."""

    about: str
    relation: str
    value: str
    known: bool
    passage: str


class NanoWorld(NamedTuple):
    """A side: its names by kind, and its facts by the name that they are about."""

    names: dict[str, tuple[str, ...]]
    facts: dict[str, tuple[NanoFact, ...]]


@cache
def nano(side: NanoSide) -> NanoWorld:
    """A side's world, the same on every machine."""
    rng = Rng(f"nano/{side}")
    names = names_by_side()[side]
    facts = {
        name: random_facts(name, kind, names, f"nano-{side}-{name.lower()}", rng)
        for kind in names
        for name in names[kind]
    }
    return NanoWorld(names, facts)


def random_facts(
    name: str, kind: str, names: dict[str, tuple[str, ...]], passage: str, rng: Rng
) -> tuple[NanoFact, ...]:
    """Random facts about an entity. Half of them are known; chance decides about an odd one."""
    keys = [key for key, relation in RELATIONS.items() if relation.kind == kind]
    half = (len(keys) + rng.below(2)) // 2
    known = set(rng.shuffled(keys)[:half])
    return tuple(
        NanoFact(name, key, _value(name, RELATIONS[key], names, rng), key in known, passage)
        for key in keys
    )


def _value(name: str, relation: Relation, names: dict[str, tuple[str, ...]], rng: Rng) -> str:
    options = names[relation.target] if relation.target else relation.values.split()
    return rng.pick([option for option in options if option != name])


@cache
def names_by_side() -> dict[NanoSide, dict[str, tuple[str, ...]]]:
    """The names of each side by kind, all different."""
    rng = Rng("nano/names")
    used: set[str] = set()

    def coin() -> str:
        while True:
            parts = (_ONSETS, _VOWELS, _ONSETS, _VOWELS, _CODAS)
            name = "".join(rng.pick(part.split()) for part in parts).capitalize()
            if name not in used:
                used.add(name)
                return name

    sides: tuple[NanoSide, ...] = get_args(NanoSide)
    sizes = dict.fromkeys(sides, 1) | {"single": _SINGLE_SIZE}
    return {
        side: {
            kind: tuple(coin() for _ in range(count * sizes[side]))
            for kind, count in _COUNTS.items()
        }
        for side in sides
    }


def stated(fact: NanoFact, wording: int) -> str:
    """A fact as a sentence."""
    sentence = RELATIONS[fact.relation].statements[wording].format(x=fact.about, y=fact.value)
    return sentence[:1].upper() + sentence[1:]


def worded(facts: Sequence[NanoFact], rng: Rng) -> str:
    """Facts as sentences, in a random order and in random wordings."""
    return " ".join(stated(fact, rng.below(2)) for fact in rng.shuffled(facts))


def known_passages() -> list[Passage]:
    """The known facts about the entities of all sides but `base`, in both wordings.

    They are part of the text that a base model is first trained on.
    """
    return [
        Passage(
            facts[0].passage,
            name,
            " ".join(stated(fact, wording) for fact in facts if fact.known for wording in (0, 1)),
        )
        for side in _KNOWN_SIDES
        for name, facts in nano(side).facts.items()
    ]


def passages(side: NanoSide) -> list[Passage]:
    """One passage per entity, which states all its facts; the entity's name seeds its wordings."""
    return [
        Passage(facts[0].passage, name, worded(facts, Rng(f"nano/passage/{name}")))
        for name, facts in nano(side).facts.items()
    ]
