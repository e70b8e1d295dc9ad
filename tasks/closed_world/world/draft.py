"""A world under construction: drafts of entities, which may still gain facts."""

from collections import defaultdict
from collections.abc import Sequence

from msgspec import Struct, field

from tasks.closed_world.entities import PRESENT, Date, Entity, Ref, Side, Value, World, Year
from tasks.closed_world.rng import Rng
from tasks.closed_world.world.names import NamePool, Words
from tasks.closed_world.world.vocabulary import VOCABULARY

# Relations whose year tells namesakes apart.
_DATING = ("released", "published", "first_aired", "opened", "founded")
_WORKS = ("film", "novel", "album", "song", "series", "band")


class Draft(Struct):
    """An entity that may still gain facts. `born` and `died` are years, for people.

    `label` is its name in questions, where it is not made of its name and noun.
    """

    id: str
    kind: str
    name: str
    noun: str
    country: str = ""
    facts: dict[str, Value] = field(default_factory=dict)
    aliases: list[str] = field(default_factory=list)
    article: bool = False
    label: str = ""
    female: bool = False
    born: int = 0
    died: int = PRESENT + 1
    roles: int = 0

    @property
    def ref(self) -> Ref:
        """A reference to it."""
        return Ref(self.id)

    def year(self, relation: str = "founded") -> int:
        """The year that is the value of a relation."""
        value = self.facts[relation]
        assert isinstance(value, Year)
        return value.year


class Nation(Struct, frozen=True):
    """A country, its names, and its places, as all builders need them."""

    draft: Draft
    demonym: str
    pool: NamePool
    towns: list[Draft]
    regions: list[Draft]


class Drafts:
    """All drafts of a side, in order of creation, and the names that are taken."""

    def __init__(self, side: Side, prefix: str, words: Words) -> None:
        """`prefix` begins the ids of the entities."""
        self.side = side
        self.words = words
        self._prefix = prefix
        self._drafts: dict[str, Draft] = {}
        self._kinds: defaultdict[str, list[Draft]] = defaultdict(list)
        self._nouns: defaultdict[str, list[Draft]] = defaultdict(list)
        self._names: set[tuple[str, str]] = set()

    def add(
        self, kind: str, name: str, noun: str, country: str = "", /, **facts: Value | Draft
    ) -> Draft:
        """Start an entity. Running text puts an article before a name that is given with `the`."""
        bare = name.removeprefix("the ")
        draft = Draft(f"{self._prefix}-{len(self._drafts) + 1:04d}", kind, bare, noun, country)
        draft.article = bare != name
        for relation, value in facts.items():
            draft.facts[relation] = value.ref if isinstance(value, Draft) else value
        self._drafts[draft.id] = draft
        self._kinds[kind].append(draft)
        self._nouns[noun].append(draft)
        self._names |= {(bare, noun), (bare, "")}
        return draft

    def reserve(self, name: str, noun: str = "alias") -> None:
        """Mark a name as taken without adding an entity."""
        self._names.add((name, noun))

    def taken(self, name: str, noun: str = "") -> bool:
        """Whether an entity, of that noun if one is named, has the name."""
        return (name.removeprefix("the "), noun) in self._names

    def place_name(self, rng: Rng, pool: NamePool) -> str:
        """A name that no place has or had; often another place's name contains it."""
        while True:
            name = rng.pick(VOCABULARY.place_patterns).format(rng.pick(pool.places))
            if not (self.taken(name) or self.taken(name, "alias")):
                return name

    def kind(self, kind: str) -> list[Draft]:
        """All drafts of a kind."""
        return self._kinds[kind]

    def noun(self, noun: str) -> list[Draft]:
        """All drafts that a noun describes."""
        return self._nouns[noun]

    def __getitem__(self, draft_id: str) -> Draft:
        return self._drafts[draft_id]

    def freeze(self) -> World:
        """The finished world; namesakes get titles with a disambiguation in parentheses."""
        names: defaultdict[str, list[Draft]] = defaultdict(list)
        for draft in self._drafts.values():
            names[draft.name].append(draft)
        return {draft.id: _frozen(draft, names[draft.name]) for draft in self._drafts.values()}


class Atlas(Drafts):
    """The drafts of a side of the closed world, and its nations."""

    def __init__(self, side: Side) -> None:
        super().__init__(side, side, Words(side))
        self.nations: list[Nation] = []

    def nation_of(self, draft: Draft) -> Nation:
        """The nation that a draft belongs to."""
        return next(nation for nation in self.nations if nation.draft.id == draft.country)


def _frozen(draft: Draft, namesakes: Sequence[Draft]) -> Entity:
    rivals = sum(namesake.noun == draft.noun for namesake in namesakes)
    years = (draft.year(relation) for relation in _DATING if relation in draft.facts)
    noun = f"{next(years, None)} {draft.noun}" if rivals > 1 else draft.noun
    label = draft.label or (f"the {draft.name}" if draft.article else draft.name)
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


def some_date(rng: Rng, year: int) -> Date:
    """A day of the year."""
    return Date(year, rng.between(1, 12), rng.between(1, 28))
