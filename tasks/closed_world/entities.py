"""The records of a world: entities, their facts and the values that facts have."""

from typing import Literal

from msgspec import Struct

Side = Literal["test", "train"]

PRESENT = 2021
"""The year in which the encyclopedia is written."""

_MONTH_NAMES = (
    "January February March April May June July August September October November December"
)
MONTHS = tuple(_MONTH_NAMES.split())


class Ref(Struct, frozen=True):
    """Another entity, by id."""

    id: str


class Date(Struct, frozen=True, order=True):
    """A day."""

    year: int
    month: int
    day: int

    @property
    def spellings(self) -> tuple[str, str]:
        """The date as written in prose, day first and month first."""
        month = MONTHS[self.month - 1]
        return f"{self.day} {month} {self.year}", f"{month} {self.day}, {self.year}"


class Year(Struct, frozen=True, order=True):
    """A year."""

    year: int


class Amount(Struct, frozen=True, order=True):
    """A count or a measure; `unit` is a plural noun or empty."""

    number: int
    unit: str = ""


Value = Ref | Date | Year | Amount | str


class Entity(Struct, frozen=True):
    """An entity, about which there is one passage.

    `title` is unique in a world, `name` may be shared, and `label` is an unambiguous name in
    running text ("the 1987 film Corvane"). `noun` describes the entity in a word or two ("film",
    "record label", "novelist"). `country` is an id. `facts` has one value for each relation.
    """

    id: str
    kind: str
    name: str
    title: str
    label: str
    noun: str
    country: str
    facts: dict[str, Value]
    aliases: tuple[str, ...] = ()
    female: bool = False

    def ref(self, relation: str) -> str | None:
        """The id of the entity that is a relation's value; None for other values."""
        value = self.facts.get(relation)
        return value.id if isinstance(value, Ref) else None

    @property
    def names(self) -> tuple[str, ...]:
        """The name and the aliases."""
        return (self.name, *self.aliases)

    @property
    def alive(self) -> bool:
        """Whether prose uses the present tense."""
        return "died" not in self.facts


World = dict[str, Entity]
"""All entities of a side by id, in a fixed order."""
