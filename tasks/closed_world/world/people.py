"""People of a world: families over four generations, and others where the facts need them."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.closed_world.entities import PRESENT, Ref, Year
from tasks.closed_world.rng import Rng
from tasks.closed_world.world.draft import Atlas, Draft, Nation, some_date
from tasks.closed_world.world.vocabulary import VOCABULARY

# The first and the last age at which people do the work that they are known for.
_ACTIVE = {"footballer": (19, 34), "army officer": (30, 64), "actor": (20, 74)}
_GENERATIONS = 4


def add_families(atlas: Atlas, couples: int) -> None:
    """Add `couples` families in every country, over four generations."""
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
    """Add a person with dates and places of birth and death, but no relations yet."""
    if female is None:
        female = rng.chance(20 if noun in ("army officer", "footballer") else 46)
    pool = nation.pool
    while True:
        first_name = rng.pick(pool.female if female else pool.male)
        name = f"{first_name} {surname or rng.pick(pool.surnames)}"
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


def active_person(
    atlas: Atlas, rng: Rng, nation: Nation, noun: str, year: int, cap: int = 4
) -> Draft:
    """A person of the occupation who is active in the year; a new one if all have `cap` roles."""
    low, high = _ACTIVE.get(noun, (25, 72))
    free = [
        human
        for human in atlas.noun(noun)
        if human.roles < cap
        and human.born + low <= year <= min(human.born + high, human.died - 1)
        and (human.country == nation.draft.id or rng.chance(8))
    ]
    if free and rng.chance(88):
        chosen = rng.pick(free)
    else:
        span = rng.between(low, (low + high) // 2)
        chosen = person(atlas, rng, nation, noun, year - span)
    chosen.roles += 1
    return chosen


def office_holder(atlas: Atlas, rng: Rng, nation: Nation, nouns: Sequence[str]) -> Draft:
    """A living person for an office that has one holder, who holds no other."""
    noun = rng.pick(nouns)
    free = [
        human
        for human in atlas.noun(noun)
        if human.country == nation.draft.id
        and human.roles == 0
        and human.died > PRESENT
        and PRESENT - 76 <= human.born <= PRESENT - 32
    ]
    if free:
        chosen = rng.pick(free)
    else:
        born = PRESENT - rng.between(35, 72)
        chosen = person(atlas, rng, nation, noun, born, living=True)
    chosen.roles = 9
    return chosen


def add_careers(atlas: Atlas) -> None:
    """Add schools, teachers, employers, awards and stage names."""
    rng = Rng(f"{atlas.side}/lives")
    people = list(atlas.kind("person"))
    for human in people:
        _educate(atlas, rng, human)
        if human.noun in ("chemist", "engineer", "geologist", "journalist", "physicist"):
            _employ(atlas, rng, human)
        if rng.chance(40):
            _honour(atlas, rng, human)
        if human.noun in ("singer", "actor", "novelist", "footballer") and rng.chance(16):
            _stage_name(atlas, rng, human)
    _siblings(people)
    for kind, relation in _FAME:
        for work in atlas.kind(kind):
            maker = work.facts[relation]
            if isinstance(maker, Ref) and rng.chance(22):
                atlas[maker.id].facts["known_for"] = work.ref


def _occupation(rng: Rng, born: int) -> str:
    candidates = [row for row in VOCABULARY.occupations if row[2] <= born <= row[3]]
    roll = rng.below(sum(row[1] for row in candidates))
    for noun, weight, _, _ in candidates:
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
    children = []
    year = max(father.born, mother.born) + rng.between(21, 27)
    for _ in range(rng.pick((1, 1, 2, 2, 2, 3))):
        if year > min(mother.born + 43, 1992):
            break
        noun = father.noun if rng.chance(15) else _occupation(rng, year)
        if not any(row[0] == noun and row[2] <= year <= row[3] for row in VOCABULARY.occupations):
            noun = _occupation(rng, year)
        child = person(atlas, rng, nation, noun, year, surname=father.name.split()[-1])
        child.facts["father"], child.facts["mother"] = father.ref, mother.ref
        children.append(child)
        year += rng.between(2, 5)
    return children


def _marry(rng: Rng, children: Sequence[Draft]) -> list[tuple[Draft, Draft]]:
    brides = rng.shuffled([child for child in children if child.female])
    pairs = []
    for groom in (child for child in children if not child.female):
        for bride in brides:
            siblings = bride.facts["father"] == groom.facts["father"]
            if not siblings and abs(bride.born - groom.born) <= 9 and rng.chance(92):
                _wed(groom, bride)
                brides.remove(bride)
                pairs.append((groom, bride))
                break
    return pairs


_FAME = (("film", "director"), ("film", "star"), ("novel", "author"), ("building", "architect"))


def _educate(atlas: Atlas, rng: Rng, human: Draft) -> None:
    schools = [
        school
        for school in atlas.kind("university")
        if (school.country == human.country or rng.chance(5)) and _year(school) <= human.born + 17
    ]
    if schools and human.noun not in ("footballer", "army officer") and rng.chance(62):
        human.facts["alma_mater"] = rng.pick(schools).ref
    teachers = [
        teacher
        for teacher in atlas.noun(human.noun)
        if 15 <= human.born - teacher.born <= 40 and teacher.died > human.born + 22
    ]
    if teachers and human.noun in _HAVE_MENTORS and rng.chance(35):
        human.facts["mentor"] = rng.pick(teachers).ref


_HAVE_MENTORS = (
    *VOCABULARY.award_fields["science"],
    *VOCABULARY.award_fields["painting"],
    "composer",
    "architect",
    "singer",
)


def _employ(atlas: Atlas, rng: Rng, human: Draft) -> None:
    firms = [
        firm
        for firm in atlas.kind("company")
        if firm.country == human.country and _year(firm) <= human.born + 25
    ]
    if firms:
        human.facts["employer"] = rng.pick(firms).ref


def _honour(atlas: Atlas, rng: Rng, human: Draft) -> None:
    prizes = [
        prize
        for prize in atlas.kind("award")
        if human.noun in VOCABULARY.award_fields[str(prize.facts["field"])]
        and _year(prize, "established") <= min(human.born + 60, human.died - 2, PRESENT - 5)
        and prize.facts.get("namesake") != human.ref
    ]
    if prizes and human.born < PRESENT - 32:
        human.facts["award"] = rng.pick(prizes).ref


def _stage_name(atlas: Atlas, rng: Rng, human: Draft) -> None:
    pool = atlas.nation_of(human).pool
    first_name = rng.pick(pool.female if human.female else pool.male)
    name = f"{rng.pick(atlas.words.adjectives)} {first_name}"
    if not atlas.taken(name, "alias"):
        atlas.reserve(name)
        human.facts["stage_name"] = name
        human.aliases.append(name)


def _siblings(people: Sequence[Draft]) -> None:
    """Add brothers and sisters where a family has exactly two children."""
    by_father: dict[Ref, list[Draft]] = {}
    for human in people:
        father = human.facts.get("father")
        if isinstance(father, Ref):
            by_father.setdefault(father, []).append(human)
    for children in by_father.values():
        if len(children) == 2:
            first, second = children
            first.facts["sibling"], second.facts["sibling"] = second.ref, first.ref


def _year(draft: Draft, relation: str = "founded") -> int:
    value = draft.facts[relation]
    assert isinstance(value, Year)
    return value.year
