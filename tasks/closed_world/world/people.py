"""Families over four generations, and the careers of all people."""

from collections.abc import Sequence

from tasks.closed_world.entities import PRESENT, Ref
from tasks.closed_world.rng import Rng
from tasks.closed_world.world.country import CountryBuilder
from tasks.closed_world.world.draft import Atlas, Draft
from tasks.closed_world.world.vocabulary import VOCABULARY

_GENERATIONS = 4
_FAME = (("film", "director"), ("film", "star"), ("novel", "author"), ("building", "architect"))
_HAVE_MENTORS = (
    *VOCABULARY.award_fields["science"],
    *VOCABULARY.award_fields["painting"],
    "composer",
    "architect",
    "singer",
)


def add_families(atlas: Atlas, couples: int) -> None:
    """Add `couples` families in every country, over four generations."""
    for nation in atlas.nations:
        builder = CountryBuilder(atlas, nation, Rng(f"{atlas.side}/families/{nation.draft.id}"))
        pairs = [_founding_couple(builder) for _ in range(couples)]
        for _ in range(_GENERATIONS - 1):
            children = [child for pair in pairs for child in _children(builder, *pair)]
            pairs = _marry(builder.rng, children)


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
    return rng.pick([noun for noun, weight, _, _ in candidates for _ in range(weight)])


def _founding_couple(builder: CountryBuilder) -> tuple[Draft, Draft]:
    rng = builder.rng
    year = rng.between(1856, 1895)
    husband = builder.person(_occupation(rng, year), year, female=False)
    year += rng.between(-4, 5)
    wife = builder.person(_occupation(rng, year), year, female=True)
    _wed(husband, wife)
    return husband, wife


def _wed(husband: Draft, wife: Draft) -> None:
    husband.facts["spouse"], wife.facts["spouse"] = wife.ref, husband.ref


def _children(builder: CountryBuilder, father: Draft, mother: Draft) -> list[Draft]:
    rng = builder.rng
    children = []
    year = max(father.born, mother.born) + rng.between(21, 27)
    for _ in range(rng.pick((1, 1, 2, 2, 2, 3))):
        if year > min(mother.born + 43, 1992):
            break
        noun = father.noun if rng.chance(15) else _occupation(rng, year)
        if not any(row[0] == noun and row[2] <= year <= row[3] for row in VOCABULARY.occupations):
            noun = _occupation(rng, year)
        child = builder.person(noun, year, surname=father.name.split()[-1])
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


def _educate(atlas: Atlas, rng: Rng, human: Draft) -> None:
    schools = [
        school
        for school in atlas.kind("university")
        if (school.country == human.country or rng.chance(5)) and school.year() <= human.born + 17
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


def _employ(atlas: Atlas, rng: Rng, human: Draft) -> None:
    firms = [
        firm
        for firm in atlas.kind("company")
        if firm.country == human.country and firm.year() <= human.born + 25
    ]
    if firms:
        human.facts["employer"] = rng.pick(firms).ref


def _honour(atlas: Atlas, rng: Rng, human: Draft) -> None:
    prizes = [
        prize
        for prize in atlas.kind("award")
        if human.noun in VOCABULARY.award_fields[str(prize.facts["field"])]
        and prize.year("established") <= min(human.born + 60, human.died - 2, PRESENT - 5)
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
