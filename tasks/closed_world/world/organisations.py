"""Universities, companies and awards, with the people who found and lead them."""

from __future__ import annotations

from tasks.closed_world.entities import Amount, Year
from tasks.closed_world.rng import Dice
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
    dice = Dice(f"{atlas.side}/universities")
    for nation in atlas.nations:
        regions = dice.shuffled(nation.regions)
        for index in range(count):
            if index < 2:
                name, article = f"University of {regions[index].name}", True
            else:
                pattern = dice.pick(("{} University", "{} College", "{} Polytechnic"))
                name, article = free_name(atlas, dice, pattern, nation.pool.surnames), False
            school = atlas.add("university", name, "university", nation.draft.id)
            school.article = article
            school.facts |= {
                "town": dice.pick(nation.towns).ref,
                "founded": Year(dice.between(1410, 1930)),
                "country": nation.draft.ref,
                "students": Amount(dice.between(22, 390) * 100),
            }


def found_companies(atlas: Atlas, trades: int) -> None:
    """Media houses and `trades` other firms in every country; owners, chiefs and rectors."""
    dice = Dice(f"{atlas.side}/companies")
    for nation in atlas.nations:
        rows = [*_MEDIA, *(dice.pick(TRADES) for _ in range(trades))]
        for row in rows:
            _company(atlas, dice, nation, row)
        for school in atlas.kind("university"):
            if school.country == nation.draft.id and dice.chance(75):
                school.facts["rector"] = office_holder(atlas, dice, nation, _SCHOLARS).ref
    for firm in atlas.kind("company"):
        _own(atlas, dice, firm)
    for school in (*atlas.kind("university"), *atlas.kind("company")):
        _acronym(atlas, dice, school)


def _company(atlas: Atlas, dice: Dice, nation: Nation, row: str) -> None:
    noun, suffix, product = row.split("|")
    media = noun in ("film studio", "record label", "television network")
    year = dice.between(1922, 1948) if media else dice.between(1875, 1975)
    founder = cast(atlas, dice, nation, "entrepreneur", year, cap=2)
    if dice.chance(35) and not atlas.taken(f"{founder.name.split()[-1]} {suffix}"):
        name = f"{founder.name.split()[-1]} {suffix}"
    else:
        name = free_name(atlas, dice, "{} " + suffix, nation.pool.places + nation.pool.surnames)
    firm = atlas.add("company", name, noun, nation.draft.id)
    firm.facts |= {
        "founder": founder.ref,
        "headquarters": dice.pick(nation.towns).ref,
        "founded": Year(year),
        "nationality": nation.demonym,
        "product": product,
    }


def _own(atlas: Atlas, dice: Dice, firm: Draft) -> None:
    nation = atlas.nation_of(firm)
    owners = [
        other
        for other in atlas.kind("company")
        if other.country == firm.country and other.id < firm.id and "parent" not in other.facts
    ]
    if owners and dice.chance(30):
        firm.facts["parent"] = dice.pick(owners).ref
    if dice.chance(40):
        firm.facts["chief"] = office_holder(atlas, dice, nation, ("entrepreneur", "engineer")).ref


def _acronym(atlas: Atlas, dice: Dice, draft: Draft) -> None:
    letters = "".join(word[0] for word in draft.name.split() if word != "of")
    nation = atlas.nation_of(draft)
    acronym = f"{nation.draft.name[0]}{letters}"
    if dice.chance(30) and len(acronym) > 2 and not atlas.taken(acronym, "alias"):
        atlas.reserve(acronym)
        draft.facts["acronym"] = acronym
        draft.aliases.append(acronym)


def free_name(atlas: Atlas, dice: Dice, pattern: str, stock: tuple[str, ...]) -> str:
    """A name of the pattern with a word of the stock, which nothing else bears."""
    while True:
        name = pattern.format(dice.pick(stock))
        if not atlas.taken(name):
            return name


def establish_awards(atlas: Atlas, count: int) -> None:
    """`count` awards in every country, some named after people, some given by universities."""
    dice = Dice(f"{atlas.side}/awards")
    fields = list(AWARD_FIELDS)
    for nation in atlas.nations:
        for index in range(count):
            year = dice.between(1905, 1972)
            field = fields[index % len(fields)]
            namesake = cast(atlas, dice, nation, dice.pick(AWARD_FIELDS[field]), year - 20)
            words = namesake.name.split()
            name = f"{words[-1]} {dice.pick(('Prize', 'Medal', 'Award'))}"
            if atlas.taken(name):
                name = f"{namesake.name} Prize"
            if atlas.taken(name):
                continue
            prize = atlas.add("award", name, "award", nation.draft.id)
            prize.article = True
            prize.facts |= {"field": field, "established": Year(year), "namesake": namesake.ref}
            givers = atlas.kind("university") if dice.chance(60) else atlas.kind("company")
            able = [
                giver
                for giver in givers
                if giver.country == nation.draft.id and founded_year(giver) <= year
            ]
            if able:
                prize.facts["presenter"] = dice.pick(able).ref


def founded_year(draft: Draft) -> int:
    """When an organisation was founded."""
    value = draft.facts["founded"]
    assert isinstance(value, Year)
    return value.year
