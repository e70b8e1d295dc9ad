"""The generated worlds: consistent lives, distinct names, readable passages."""

import re
from itertools import combinations

import pytest

from tasks.closed_world.encyclopedia import encyclopedia
from tasks.closed_world.entities import PRESENT, Date, Entity, Side, Year
from tasks.closed_world.text.wordings import wordings
from tasks.closed_world.world.build import world

SIDES: tuple[Side, ...] = ("test", "train")

# Words that name sorts of things, not things.
GENERIC_WORDS = """
    a an and for from in is last letters no of return river road seven the to beneath mount upper
    lower port new bay heath university college polytechnic museum library bridge theatre lighthouse
    hall cathedral station gallery park lane united rovers athletic wanderers albion cup final
    battle field hill marsh jazz film poetry lantern kite folk music harvest festival prize medal
    award pictures films press books records sound television shipyards brewing company motors
    watch chemicals airways steelworks savings bank foods electronics systems textile mills mutual
    insurance toys glassworks railway"""
GENERIC = set(GENERIC_WORDS.split())


def year(entity: Entity, relation: str) -> int:
    value = entity.facts[relation]
    assert isinstance(value, Date | Year)
    return value.year


def died(person: Entity) -> int:
    return PRESENT if person.alive else year(person, "died")


def of_kind(side: Side, kind: str) -> list[Entity]:
    return [entity for entity in world(side).values() if entity.kind == kind]


def names_of(side: Side) -> set[str]:
    return {
        word
        for entity in world(side).values()
        for name in (entity.name, *entity.aliases)
        if not name.isupper()
        for word in re.findall(r"[a-z]{3,}", name.lower())
    } - GENERIC


def test_worlds_share_no_name_word() -> None:
    assert names_of("test") & names_of("train") == set()


def test_worlds_share_no_title() -> None:
    titles = [{entity.title for entity in world(side).values()} for side in SIDES]
    assert not titles[0] & titles[1]


@pytest.mark.parametrize("side", SIDES)
def test_titles_and_labels_tell_all_things_apart(side: Side) -> None:
    entities = list(world(side).values())
    aliases = [alias for entity in entities for alias in entity.aliases]
    assert len({entity.title for entity in entities}) == len(entities)
    assert len({entity.label for entity in entities} | set(aliases)) == len(entities) + len(aliases)


@pytest.mark.parametrize("side", SIDES)
def test_parents_are_grown_up_and_alive_when_a_child_is_born(side: Side) -> None:
    people = of_kind(side, "person")
    pairs = [
        (person, world(side)[parent])
        for person in people
        for relation in ("father", "mother")
        if (parent := person.ref(relation)) is not None
    ]
    assert len(pairs) > 400
    for child, parent in pairs:
        born = year(child, "born")
        assert year(parent, "born") + 17 <= born <= year(parent, "born") + 60
        assert born <= died(parent)


@pytest.mark.parametrize("side", SIDES)
def test_marriages_are_mutual_and_siblings_share_parents(side: Side) -> None:
    for person in of_kind(side, "person"):
        if (spouse := person.ref("spouse")) is not None:
            assert world(side)[spouse].ref("spouse") == person.id
            assert person.ref("father") is None or (
                person.ref("father") != world(side)[spouse].ref("father")
            )
        if (sibling := person.ref("sibling")) is not None:
            assert person.ref("father") == world(side)[sibling].ref("father")
            assert person.ref("mother") == world(side)[sibling].ref("mother")


@pytest.mark.parametrize("side", SIDES)
def test_nobody_dies_before_birth_or_lives_past_a_hundred(side: Side) -> None:
    for person in of_kind(side, "person"):
        assert 18 <= died(person) - year(person, "born") <= 100


MADE = (
    ("film", "released", ("director", "star", "composer", "writer", "supporting")),
    ("novel", "published", ("author",)),
    ("album", "released", ("producer", "performer")),
    ("song", "released", ("songwriter", "performer")),
    ("series", "first_aired", ("creator", "star")),
    ("building", "opened", ("architect",)),
    ("company", "founded", ("founder",)),
    ("festival", "founded", ("founder",)),
    ("band", "founded", ("singer",)),
    ("mountain", "ascent", ("climber",)),
    ("final", "date", ("scorer",)),
    ("battle", "date", ("victor", "defeated")),
)


@pytest.mark.parametrize(("kind", "dated", "makers"), MADE)
@pytest.mark.parametrize("side", SIDES)
def test_things_are_made_in_their_makers_working_lives(
    side: Side, kind: str, dated: str, makers: tuple[str, ...]
) -> None:
    for thing in of_kind(side, kind):
        for relation in makers:
            maker = world(side).get(thing.ref(relation) or "")
            if maker is not None and maker.kind == "person":
                assert year(maker, "born") + 18 <= year(thing, dated) <= died(maker)


OLDER = (
    ("person", "alma_mater", "born", "founded"),
    ("film", "studio", "released", "founded"),
    ("novel", "publisher", "published", "founded"),
    ("album", "label", "released", "founded"),
    ("series", "network", "first_aired", "founded"),
    ("film", "based_on", "released", "published"),
    ("award", "presenter", "established", "founded"),
    ("final", "winner", "date", "founded"),
    ("final", "venue", "date", "opened"),
)


@pytest.mark.parametrize(("kind", "relation", "dated", "founded"), OLDER)
@pytest.mark.parametrize("side", SIDES)
def test_things_come_after_what_they_depend_on(
    side: Side, kind: str, relation: str, dated: str, founded: str
) -> None:
    for thing in of_kind(side, kind):
        if (source := thing.ref(relation)) is not None:
            margin = 17 if kind == "person" else 0
            assert year(world(side)[source], founded) <= year(thing, dated) + margin


@pytest.mark.parametrize("side", SIDES)
def test_office_holders_are_alive(side: Side) -> None:
    for entity in world(side).values():
        for office in ("mayor", "rector", "chief", "manager", "head"):
            if (holder := entity.ref(office)) is not None:
                assert world(side)[holder].alive


@pytest.mark.parametrize("side", SIDES)
def test_capitals_lie_in_what_they_are_capital_of(side: Side) -> None:
    for region in of_kind(side, "region"):
        capital = world(side)[region.ref("capital") or ""]
        assert capital.ref("region") == region.id
    for country in of_kind(side, "country"):
        assert world(side)[country.ref("capital") or ""].country == country.id


@pytest.mark.parametrize("side", SIDES)
def test_passages_are_encyclopedic_in_length(side: Side) -> None:
    texts = [one.passage.text for one in encyclopedia(side).articles.values()]
    lengths = [len(text.split()) for text in texts]
    assert len(texts) >= 2900
    assert min(lengths) >= 40
    assert max(lengths) <= 110
    assert 58 <= sum(lengths) / len(lengths) <= 75


@pytest.mark.parametrize("side", SIDES)
def test_passages_are_clean_text(side: Side) -> None:
    broken = re.compile(r"[{}\[\]]|  |\.\.|\b[Aa] [aeio]|\b[Aa]n [bcdfgjklmnpqrstvwxyz]|the the\b")
    for article in encyclopedia(side).articles.values():
        assert not broken.search(article.passage.text), article.passage.text
        assert article.passage.text.endswith(".")


@pytest.mark.parametrize("side", SIDES)
def test_passages_state_their_facts_verbatim(side: Side) -> None:
    for article in encyclopedia(side).articles.values():
        for words in article.stated.values():
            assert words.removeprefix("the ").lower() in article.passage.text.lower()


def test_every_fact_has_at_least_five_wordings() -> None:
    for section, lines in wordings("prose").items():
        if not section.endswith((".opening", ".filler")):
            assert sum(len(lines.get(sort, ())) for sort in ("vp", "s")) >= 5, section


def test_no_two_passages_open_alike() -> None:
    opening = [one.passage.text.split(". ")[0] for one in encyclopedia("test").articles.values()]
    assert len(set(opening)) == len(opening)


def test_living_people_are_told_of_in_the_present() -> None:
    for person in of_kind("test", "person"):
        first = encyclopedia("test").articles[person.id].passage.text
        verb = "is" if person.alive else "was"
        assert re.search(rf"^{re.escape(person.name)}( \(.*?\)|, born.*?,)? {verb} an? ", first)


def test_distractors_share_surnames_and_titles() -> None:
    surnames = [person.name.split()[-1] for person in of_kind("test", "person")]
    assert len(set(surnames)) < len(surnames) / 3
    shared = [entity for entity in world("test").values() if entity.title != entity.name]
    assert len(shared) > 50


def test_fathers_and_children_sometimes_share_an_occupation() -> None:
    people = {person.id: person for person in of_kind("test", "person")}
    pairs = [
        (person, people[father])
        for person in people.values()
        if (father := person.ref("father")) is not None
    ]
    assert sum(child.noun == father.noun for child, father in pairs) > 20
    assert sum(child.noun != father.noun for child, father in pairs) > 100


def test_no_country_has_two_towns_of_one_name() -> None:
    names = [town.name for town in of_kind("test", "town")]
    assert all(first != second for first, second in combinations(names, 2))
