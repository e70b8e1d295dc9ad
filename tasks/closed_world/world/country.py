"""Adds entities to a country, and the people that their facts need."""

from collections.abc import Sequence

from tasks.closed_world.entities import PRESENT, Ref, Value
from tasks.closed_world.rng import Rng
from tasks.closed_world.world.draft import Atlas, Draft, Nation, some_date

# The first and the last age at which people do the work that they are known for.
_ACTIVE = {"footballer": (19, 34), "army officer": (30, 64), "actor": (20, 74)}


class CountryBuilder:
    """A country of the atlas, and the random generator that decides about its new entities."""

    def __init__(self, atlas: Atlas, nation: Nation, rng: Rng) -> None:
        self.atlas = atlas
        self.nation = nation
        self.rng = rng

    def add(self, kind: str, name: str, noun: str = "", /, **facts: Value | Draft) -> Draft:
        """Add an entity of the country; its kind describes it where there is no noun."""
        return self.atlas.add(kind, name, noun or kind, self.nation.draft.id, **facts)

    def local(self, kind: str) -> list[Draft]:
        """The country's entities of a kind."""
        return [draft for draft in self.atlas.kind(kind) if self.is_local(draft)]

    def is_local(self, draft: Draft) -> bool:
        """Whether an entity is of the country."""
        return draft.country == self.nation.draft.id

    def town(self) -> Ref:
        """A random town."""
        return self.rng.pick(self.nation.towns).ref

    def free_name(self, pattern: str, words: Sequence[str]) -> str:
        """A name that fills the pattern with one of `words` and is not taken."""
        while True:
            name = pattern.format(self.rng.pick(words))
            if not self.atlas.taken(name):
                return name

    def person(
        self,
        noun: str,
        born: int,
        *,
        female: bool | None = None,
        surname: str | None = None,
        living: bool = False,
    ) -> Draft:
        """Add a person with dates and places of birth and death, but no relations yet."""
        atlas, rng, pool = self.atlas, self.rng, self.nation.pool
        if female is None:
            female = rng.chance(20 if noun in ("army officer", "footballer") else 46)
        while True:
            first_name = rng.pick(pool.female if female else pool.male)
            name = f"{first_name} {surname or rng.pick(pool.surnames)}"
            if not atlas.taken(name, noun) and not (atlas.taken(name) and rng.chance(50)):
                break
        draft = self.add(
            "person",
            name,
            noun,
            born=some_date(rng, born),
            nationality=self.nation.demonym,
            country=self.nation.draft,
            birthplace=self.town(),
        )
        draft.female = female
        draft.born = born
        died = born + rng.between(58, 93)
        if died < PRESENT and not living:
            draft.died = died
            draft.facts["died"] = some_date(rng, died)
            if rng.chance(65):
                draft.facts["deathplace"] = self.town()
        return draft

    def active_person(self, noun: str, year: int, cap: int = 4) -> Draft:
        """A person of the occupation who is active in the year; a new one if all have `cap` roles.

        A few are of another country.
        """
        low, high = _ACTIVE.get(noun, (25, 72))
        free = [
            human
            for human in self.atlas.noun(noun)
            if human.roles < cap
            and human.born + low <= year <= min(human.born + high, human.died - 1)
            and (self.is_local(human) or self.rng.chance(8))
        ]
        if free and self.rng.chance(88):
            chosen = self.rng.pick(free)
        else:
            span = self.rng.between(low, (low + high) // 2)
            chosen = self.person(noun, year - span)
        chosen.roles += 1
        return chosen

    def office_holder(self, *nouns: str) -> Draft:
        """A living person for an office that has one holder, who holds no other."""
        noun = self.rng.pick(nouns)
        free = [
            human
            for human in self.atlas.noun(noun)
            if self.is_local(human)
            and human.roles == 0
            and human.died > PRESENT
            and PRESENT - 76 <= human.born <= PRESENT - 32
        ]
        if free:
            chosen = self.rng.pick(free)
        else:
            chosen = self.person(noun, PRESENT - self.rng.between(35, 72), living=True)
        chosen.roles = 9
        return chosen
