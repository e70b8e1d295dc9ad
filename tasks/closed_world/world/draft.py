"""A world under construction: drafts of entities, which may still gain facts."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, field

from tasks.closed_world.entities import PRESENT, Date, Entity, Ref, Side, Value, World, Year
from tasks.closed_world.rng import Rng
from tasks.closed_world.world.names import NamePool, Words

# Relations whose year tells namesakes apart.
_DATING = ("released", "published", "first_aired", "opened", "founded")
_WORKS = ("film", "novel", "album", "song", "series", "band")


class Draft(Struct):
    """An entity that may still gain facts. `born` and `died` are years, for people."""

    id: str
    kind: str
    name: str
    noun: str
    country: str = ""
    facts: dict[str, Value] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    article: bool = False
    female: bool = False
    born: int = 0
    died: int = PRESENT + 1
    roles: int = 0

    @property
    def ref(self) -> Ref:
        """A reference to it."""
        return Ref(self.id)


class Nation(Struct, frozen=True):
    """A country, its names, and its places, as all builders need them."""

    draft: Draft
    demonym: str
    pool: NamePool
    towns: list[Draft]
    regions: list[Draft]


class Atlas:
    """All drafts of a side, in order of creation."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.words = Words(side)
        self.nations: list[Nation] = []
        self._drafts: dict[str, Draft] = {}
        self._kinds: dict[str, list[Draft]] = {}
        self._by_noun: dict[str, list[Draft]] = {}
        self._names: dict[tuple[str, str], None] = {}

    def add(self, kind: str, name: str, noun: str, country: str = "") -> Draft:
        """Start an entity."""
        draft = Draft(f"{self.side}-{len(self._drafts) + 1:04d}", kind, name, noun, country=country)
        self._drafts[draft.id] = draft
        self._kinds.setdefault(kind, []).append(draft)
        self._by_noun.setdefault(noun, []).append(draft)
        self._names[(name, noun)] = None
        self._names[(name, "")] = None
        return draft

    def reserve(self, name: str, noun: str = "alias") -> None:
        """Mark a name as taken without adding an entity."""
        self._names[(name, noun)] = None

    def taken(self, name: str, noun: str = "") -> bool:
        """Whether an entity, of that noun if one is named, has the name."""
        return (name, noun) in self._names

    def kind(self, kind: str) -> list[Draft]:
        """All drafts of a kind."""
        return self._kinds.get(kind, [])

    def noun(self, noun: str) -> list[Draft]:
        """All drafts that a noun describes."""
        return self._by_noun.get(noun, [])

    def __getitem__(self, draft_id: str) -> Draft:
        return self._drafts[draft_id]

    def nation_of(self, draft: Draft) -> Nation:
        """The nation that a draft belongs to."""
        return next(nation for nation in self.nations if nation.draft.id == draft.country)

    def freeze(self) -> World:
        """The finished world; namesakes get titles with a disambiguation in parentheses."""
        names: dict[str, list[Draft]] = {}
        for draft in self._drafts.values():
            names.setdefault(draft.name, []).append(draft)
        return {draft.id: _frozen(draft, names[draft.name]) for draft in self._drafts.values()}


def _frozen(draft: Draft, namesakes: Sequence[Draft]) -> Entity:
    rivals = sum(namesake.noun == draft.noun for namesake in namesakes)
    noun = f"{_dating_year(draft.facts)} {draft.noun}" if rivals > 1 else draft.noun
    label = f"the {draft.name}" if draft.article else draft.name
    if len(namesakes) > 1 or draft.kind in _WORKS:
        label = f"the {noun} {draft.name}"
    return Entity(
        id=draft.id,
        kind=draft.kind,
        name=draft.name,
        title=f"{draft.name} ({noun})" if len(namesakes) > 1 else draft.name,
        label=label,
        noun=draft.noun,
        country=draft.country,
        facts=draft.facts,
        aliases=tuple(draft.aliases),
        female=draft.female,
    )


def _dating_year(facts: dict[str, Value]) -> int | None:
    for relation in _DATING:
        value = facts.get(relation)
        if isinstance(value, Year):
            return value.year
    return None


def some_date(rng: Rng, year: int) -> Date:
    """A day of the year."""
    return Date(year, rng.between(1, 12), rng.between(1, 28))
