"""People of a world: families over four generations, and whoever else a part asks for."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.closed_world.entities import PRESENT, Ref, Year
from tasks.closed_world.rng import Rng
from tasks.closed_world.world.draft import Atlas, Draft, Nation, some_date
from tasks.closed_world.world.wordlists import AWARD_FIELDS

# occupation, weight, first and last year of birth
_OCCUPATIONS = (
    ("director", 9, 1888, 1985),
    ("actor", 14, 1885, 1995),
    ("novelist", 12, 1840, 1985),
    ("poet", 5, 1840, 1985),
    ("composer", 8, 1840, 1985),
    ("singer", 9, 1915, 1992),
    ("screenwriter", 5, 1890, 1985),
    ("record producer", 5, 1918, 1985),
    ("songwriter", 5, 1905, 1990),
    ("architect", 8, 1840, 1980),
    ("footballer", 7, 1885, 1994),
    ("politician", 9, 1840, 1985),
    ("entrepreneur", 9, 1840, 1980),
    ("physicist", 4, 1840, 1985),
    ("chemist", 4, 1840, 1985),
    ("botanist", 4, 1840, 1985),
    ("historian", 4, 1840, 1980),
    ("mathematician", 3, 1840, 1985),
    ("astronomer", 3, 1840, 1985),
    ("geologist", 3, 1840, 1985),
    ("painter", 6, 1840, 1985),
    ("sculptor", 3, 1840, 1985),
    ("army officer", 8, 1850, 1905),
    ("mountaineer", 4, 1840, 1975),
    ("journalist", 5, 1850, 1985),
    ("engineer", 5, 1840, 1980),
)

# From and to which age people do the work they are known for.
_ACTIVE = {"footballer": (19, 34), "army officer": (30, 64), "actor": (20, 74)}
_GENERATIONS = 4


def populate(atlas: Atlas, couples: int) -> None:
    """Found `couples` families in every country and follow them for four generations."""
    for nation in atlas.nations:
        rng = Rng(f"{atlas.side}/families/{nation.draft.id}")
        pairs = [_founding_couple(atlas, rng, nation) for _ in range(couples)]
        for _ in range(_GENERATIONS - 1):
            children = [child for pair in pairs for child in _children(atlas, rng, nation, *pair)]
            pairs = _marry(rng, children)


def person(
    atlas: Atlas,
    rng: Rng,
    nation: Nation,
    noun: str,
    born: int,
    *,
    female: bool | None = None,
    surname: str | None = None,
    living: bool = False,
) -> Draft:
    """A new inhabitant with a life, but no relations yet."""
    if female is None:
        female = rng.chance(20 if noun in ("army officer", "footballer") else 46)
    pool = nation.pool
    while True:
        given = rng.pick(pool.female if female else pool.male)
        name = f"{given} {surname or rng.pick(pool.surnames)}"
        if not atlas.taken(name, noun) and not (atlas.taken(name) and rng.chance(50)):
            break
    draft = atlas.add("person", name, noun, nation.draft.id)
    draft.female = female
    draft.born = born
    draft.facts["born"] = some_date(rng, born)
    draft.facts["nationality"] = nation.demonym
    draft.facts["country"] = nation.draft.ref
    draft.facts["birthplace"] = rng.pick(nation.towns).ref
    died = born + rng.between(58, 93)
    if died < PRESENT and not living:
        draft.died = died
        draft.facts["died"] = some_date(rng, died)
        if rng.chance(65):
            draft.facts["deathplace"] = rng.pick(nation.towns).ref
    return draft


def cast(atlas: Atlas, rng: Rng, nation: Nation, noun: str, year: int, cap: int = 4) -> Draft:
    """Somebody of the occupation who is active in the year; a newcomer if nobody is free."""
    low, high = _ACTIVE.get(noun, (25, 72))
    free = [
        one
        for one in atlas.noun(noun)
        if one.roles < cap
        and one.born + low <= year <= min(one.born + high, one.died - 1)
        and (one.country == nation.draft.id or rng.chance(8))
    ]
    if free and rng.chance(88):
        chosen = rng.pick(free)
    else:
        span = rng.between(low, (low + high) // 2)
        chosen = person(atlas, rng, nation, noun, year - span)
    chosen.roles += 1
    return chosen


def office_holder(atlas: Atlas, rng: Rng, nation: Nation, nouns: Sequence[str]) -> Draft:
    """A living person for an office that only one person holds, and who holds no other."""
    noun = rng.pick(nouns)
    free = [
        one
        for one in atlas.noun(noun)
        if one.country == nation.draft.id
        and one.roles == 0
        and one.died > PRESENT
        and PRESENT - 76 <= one.born <= PRESENT - 32
    ]
    if free:
        chosen = rng.pick(free)
    else:
        born = PRESENT - rng.between(35, 72)
        chosen = person(atlas, rng, nation, noun, born, living=True)
    chosen.roles = 9
    return chosen


def finish_lives(atlas: Atlas) -> None:
    """Schools, teachers, employers, awards and stage names for everybody who has none."""
    rng = Rng(f"{atlas.side}/lives")
    everybody = list(atlas.kind("person"))
    for one in everybody:
        _educate(atlas, rng, one)
        if one.noun in ("chemist", "engineer", "geologist", "journalist", "physicist"):
            _employ(atlas, rng, one)
        if rng.chance(40):
            _honour(atlas, rng, one)
        if one.noun in ("singer", "actor", "novelist", "footballer") and rng.chance(16):
            _stage_name(atlas, rng, one)
    _siblings(everybody)
    for kind, relation in _FAME:
        for work in atlas.kind(kind):
            maker = work.facts[relation]
            if isinstance(maker, Ref) and rng.chance(22):
                atlas[maker.id].facts["known_for"] = work.ref


def _occupation(rng: Rng, born: int) -> str:
    fitting = [row for row in _OCCUPATIONS if row[2] <= born <= row[3]]
    roll = rng.below(sum(row[1] for row in fitting))
    for noun, weight, _, _ in fitting:
        roll -= weight
        if roll < 0:
            return noun
    raise AssertionError("the weights add up to the roll's limit")


def _founding_couple(atlas: Atlas, rng: Rng, nation: Nation) -> tuple[Draft, Draft]:
    year = rng.between(1856, 1895)
    husband = person(atlas, rng, nation, _occupation(rng, year), year, female=False)
    year += rng.between(-4, 5)
    wife = person(atlas, rng, nation, _occupation(rng, year), year, female=True)
    _wed(husband, wife)
    return husband, wife


def _wed(husband: Draft, wife: Draft) -> None:
    husband.facts["spouse"], wife.facts["spouse"] = wife.ref, husband.ref


def _children(atlas: Atlas, rng: Rng, nation: Nation, father: Draft, mother: Draft) -> list[Draft]:
    out = []
    year = max(father.born, mother.born) + rng.between(21, 27)
    for _ in range(rng.pick((1, 1, 2, 2, 2, 3))):
        if year > min(mother.born + 43, 1992):
            break
        noun = father.noun if rng.chance(15) else _occupation(rng, year)
        if not any(row[0] == noun and row[2] <= year <= row[3] for row in _OCCUPATIONS):
            noun = _occupation(rng, year)
        child = person(atlas, rng, nation, noun, year, surname=father.name.split()[-1])
        child.facts["father"], child.facts["mother"] = father.ref, mother.ref
        out.append(child)
        year += rng.between(2, 5)
    return out


def _marry(rng: Rng, children: Sequence[Draft]) -> list[tuple[Draft, Draft]]:
    brides = rng.shuffled([child for child in children if child.female])
    pairs = []
    for groom in (child for child in children if not child.female):
        for bride in brides:
            kin = bride.facts["father"] == groom.facts["father"]
            if not kin and abs(bride.born - groom.born) <= 9 and rng.chance(92):
                _wed(groom, bride)
                brides.remove(bride)
                pairs.append((groom, bride))
                break
    return pairs


_FAME = (("film", "director"), ("film", "star"), ("novel", "author"), ("building", "architect"))


def _educate(atlas: Atlas, rng: Rng, one: Draft) -> None:
    schools = [
        school
        for school in atlas.kind("university")
        if (school.country == one.country or rng.chance(5)) and _year(school) <= one.born + 17
    ]
    if schools and one.noun not in ("footballer", "army officer") and rng.chance(62):
        one.facts["alma_mater"] = rng.pick(schools).ref
    teachers = [
        other
        for other in atlas.noun(one.noun)
        if 15 <= one.born - other.born <= 40 and other.died > one.born + 22
    ]
    if teachers and one.noun in _TAUGHT and rng.chance(35):
        one.facts["mentor"] = rng.pick(teachers).ref


_TAUGHT = (*AWARD_FIELDS["science"], *AWARD_FIELDS["painting"], "composer", "architect", "singer")


def _employ(atlas: Atlas, rng: Rng, one: Draft) -> None:
    firms = [
        firm
        for firm in atlas.kind("company")
        if firm.country == one.country and _year(firm) <= one.born + 25
    ]
    if firms:
        one.facts["employer"] = rng.pick(firms).ref


def _honour(atlas: Atlas, rng: Rng, one: Draft) -> None:
    prizes = [
        prize
        for prize in atlas.kind("award")
        if one.noun in AWARD_FIELDS[str(prize.facts["field"])]
        and _year(prize, "established") <= min(one.born + 60, one.died - 2, PRESENT - 5)
        and prize.facts.get("namesake") != one.ref
    ]
    if prizes and one.born < PRESENT - 32:
        one.facts["award"] = rng.pick(prizes).ref


def _stage_name(atlas: Atlas, rng: Rng, one: Draft) -> None:
    pool = atlas.nation_of(one).pool
    given = rng.pick(pool.female if one.female else pool.male)
    name = f"{rng.pick(atlas.words.adjectives)} {given}"
    if not atlas.taken(name, "alias"):
        atlas.reserve(name)
        one.facts["stage_name"] = name
        one.aliases.append(name)


def _siblings(everybody: Sequence[Draft]) -> None:
    """Brothers and sisters, where there are exactly two children."""
    by_father: dict[Ref, list[Draft]] = {}
    for one in everybody:
        father = one.facts.get("father")
        if isinstance(father, Ref):
            by_father.setdefault(father, []).append(one)
    for children in by_father.values():
        if len(children) == 2:
            first, second = children
            first.facts["sibling"], second.facts["sibling"] = second.ref, first.ref


def _year(draft: Draft, relation: str = "founded") -> int:
    value = draft.facts[relation]
    assert isinstance(value, Year)
    return value.year
