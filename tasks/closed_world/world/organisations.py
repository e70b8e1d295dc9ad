"""Universities, companies and awards, with the people who found and lead them."""

from __future__ import annotations

from tasks.closed_world.entities import Amount, Year
from tasks.closed_world.rng import Rng
from tasks.closed_world.world.draft import Atlas, Draft, Nation
from tasks.closed_world.world.people import cast, office_holder
from tasks.closed_world.world.wordlists import AWARD_FIELDS, TRADES

_MEDIA = (
    "film studio|Pictures|low-budget films",
    "film studio|Films|literary adaptations",
    "publishing house|Press|novels and atlases",
    "publishing house|Books|paperback fiction",
    "record label|Records|live recordings",
    "record label|Sound|vinyl pressings",
    "television network|Television|drama and news",
)
_SCHOLARS = ("physicist", "historian", "mathematician", "geologist", "botanist")


def found_universities(atlas: Atlas, count: int) -> None:
    """`count` universities in every country, without rectors."""
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


def found_companies(atlas: Atlas, trades: int) -> None:
    """Media houses and `trades` other firms in every country; owners, chiefs and rectors."""
    rng = Rng(f"{atlas.side}/companies")
    for nation in atlas.nations:
        rows = [*_MEDIA, *(rng.pick(TRADES) for _ in range(trades))]
        for row in rows:
            _company(atlas, rng, nation, row)
        for school in atlas.kind("university"):
            if school.country == nation.draft.id and rng.chance(75):
                school.facts["rector"] = office_holder(atlas, rng, nation, _SCHOLARS).ref
    for firm in atlas.kind("company"):
        _own(atlas, rng, firm)
    for school in (*atlas.kind("university"), *atlas.kind("company")):
        _acronym(atlas, rng, school)


def _company(atlas: Atlas, rng: Rng, nation: Nation, row: str) -> None:
    noun, suffix, product = row.split("|")
    media = noun in ("film studio", "record label", "television network")
    year = rng.between(1922, 1948) if media else rng.between(1875, 1975)
    founder = cast(atlas, rng, nation, "entrepreneur", year, cap=2)
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
        other
        for other in atlas.kind("company")
        if other.country == firm.country and other.id < firm.id and "parent" not in other.facts
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


def free_name(atlas: Atlas, rng: Rng, pattern: str, stock: tuple[str, ...]) -> str:
    """A name of the pattern with a word of the stock, which nothing else bears."""
    while True:
        name = pattern.format(rng.pick(stock))
        if not atlas.taken(name):
            return name


def establish_awards(atlas: Atlas, count: int) -> None:
    """`count` awards in every country, some named after people, some given by universities."""
    rng = Rng(f"{atlas.side}/awards")
    fields = list(AWARD_FIELDS)
    for nation in atlas.nations:
        for index in range(count):
            year = rng.between(1905, 1972)
            field = fields[index % len(fields)]
            namesake = cast(atlas, rng, nation, rng.pick(AWARD_FIELDS[field]), year - 20)
            words = namesake.name.split()
            name = f"{words[-1]} {rng.pick(('Prize', 'Medal', 'Award'))}"
            if atlas.taken(name):
                name = f"{namesake.name} Prize"
            if atlas.taken(name):
                continue
            prize = atlas.add("award", name, "award", nation.draft.id)
            prize.article = True
            prize.facts |= {"field": field, "established": Year(year), "namesake": namesake.ref}
            givers = atlas.kind("university") if rng.chance(60) else atlas.kind("company")
            able = [
                giver
                for giver in givers
                if giver.country == nation.draft.id and founded_year(giver) <= year
            ]
            if able:
                prize.facts["presenter"] = rng.pick(able).ref


def founded_year(draft: Draft) -> int:
    """When an organisation was founded."""
    value = draft.facts["founded"]
    assert isinstance(value, Year)
    return value.year
