"""Universities, companies and awards, and the people who found and lead them."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.closed_world.entities import Amount, Year
from tasks.closed_world.rng import Rng
from tasks.closed_world.world.draft import Atlas, Draft, Nation
from tasks.closed_world.world.people import active_person, office_holder
from tasks.closed_world.world.vocabulary import VOCABULARY

_SCHOLARS = ("physicist", "historian", "mathematician", "geologist", "botanist")


def add_universities(atlas: Atlas, count: int) -> None:
    """Add `count` universities, without rectors, in every country."""
    rng = Rng(f"{atlas.side}/universities")
    for nation in atlas.nations:
        regions = rng.shuffled(nation.regions)
        for index in range(count):
            if index < 2:
                name, article = f"University of {regions[index].name}", True
            else:
                pattern = rng.pick(("{} University", "{} College", "{} Polytechnic"))
                name, article = free_name(atlas, rng, pattern, nation.pool.surnames), False
            school = atlas.add("university", name, "university", nation.draft.id)
            school.article = article
            school.facts |= {
                "town": rng.pick(nation.towns).ref,
                "founded": Year(rng.between(1410, 1930)),
                "country": nation.draft.ref,
                "students": Amount(rng.between(22, 390) * 100),
            }


def add_companies(atlas: Atlas, trades: int) -> None:
    """Add media companies and `trades` other firms in every country, owners, chiefs and rectors."""
    rng = Rng(f"{atlas.side}/companies")
    for nation in atlas.nations:
        rows = [*VOCABULARY.media, *(rng.pick(VOCABULARY.trades) for _ in range(trades))]
        for row in rows:
            _company(atlas, rng, nation, row)
        for school in atlas.kind("university"):
            if school.country == nation.draft.id and rng.chance(75):
                school.facts["rector"] = office_holder(atlas, rng, nation, _SCHOLARS).ref
    for firm in atlas.kind("company"):
        _own(atlas, rng, firm)
    for school in (*atlas.kind("university"), *atlas.kind("company")):
        _acronym(atlas, rng, school)


def _company(atlas: Atlas, rng: Rng, nation: Nation, row: tuple[str, str, str]) -> None:
    noun, suffix, product = row
    media = noun in ("film studio", "record label", "television network")
    year = rng.between(1922, 1948) if media else rng.between(1875, 1975)
    founder = active_person(atlas, rng, nation, "entrepreneur", year, cap=2)
    if rng.chance(35) and not atlas.taken(f"{founder.name.split()[-1]} {suffix}"):
        name = f"{founder.name.split()[-1]} {suffix}"
    else:
        name = free_name(atlas, rng, "{} " + suffix, nation.pool.places + nation.pool.surnames)
    firm = atlas.add("company", name, noun, nation.draft.id)
    firm.facts |= {
        "founder": founder.ref,
        "headquarters": rng.pick(nation.towns).ref,
        "founded": Year(year),
        "nationality": nation.demonym,
        "product": product,
    }


def _own(atlas: Atlas, rng: Rng, firm: Draft) -> None:
    nation = atlas.nation_of(firm)
    owners = [
        owner
        for owner in atlas.kind("company")
        if owner.country == firm.country and owner.id < firm.id and "parent" not in owner.facts
    ]
    if owners and rng.chance(30):
        firm.facts["parent"] = rng.pick(owners).ref
    if rng.chance(40):
        firm.facts["chief"] = office_holder(atlas, rng, nation, ("entrepreneur", "engineer")).ref


def _acronym(atlas: Atlas, rng: Rng, draft: Draft) -> None:
    letters = "".join(word[0] for word in draft.name.split() if word != "of")
    nation = atlas.nation_of(draft)
    acronym = f"{nation.draft.name[0]}{letters}"
    if rng.chance(30) and len(acronym) > 2 and not atlas.taken(acronym, "alias"):
        atlas.reserve(acronym)
        draft.facts["acronym"] = acronym
        draft.aliases.append(acronym)


def free_name(atlas: Atlas, rng: Rng, pattern: str, words: Sequence[str]) -> str:
    """A name that fills the pattern with one of `words` and is not taken."""
    while True:
        name = pattern.format(rng.pick(words))
        if not atlas.taken(name):
            return name


def add_awards(atlas: Atlas, count: int) -> None:
    """Add `count` awards in every country. Universities or companies present some of them."""
    rng = Rng(f"{atlas.side}/awards")
    fields = list(VOCABULARY.award_fields)
    for nation in atlas.nations:
        for index in range(count):
            year = rng.between(1905, 1972)
            field = fields[index % len(fields)]
            namesake = active_person(
                atlas, rng, nation, rng.pick(VOCABULARY.award_fields[field]), year - 20
            )
            words = namesake.name.split()
            name = f"{words[-1]} {rng.pick(('Prize', 'Medal', 'Award'))}"
            if atlas.taken(name):
                name = f"{namesake.name} Prize"
            if atlas.taken(name):
                continue
            prize = atlas.add("award", name, "award", nation.draft.id)
            prize.article = True
            prize.facts |= {"field": field, "established": Year(year), "namesake": namesake.ref}
            presenters = [
                presenter
                for presenter in atlas.kind("university" if rng.chance(60) else "company")
                if presenter.country == nation.draft.id and founded_year(presenter) <= year
            ]
            if presenters:
                prize.facts["presenter"] = rng.pick(presenters).ref


def founded_year(draft: Draft) -> int:
    """The year in which an organisation was founded."""
    value = draft.facts["founded"]
    assert isinstance(value, Year)
    return value.year
