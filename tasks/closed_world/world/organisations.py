"""Universities, companies and awards, and the people who found and lead them."""

from tasks.closed_world.entities import Amount, Year
from tasks.closed_world.rng import Rng
from tasks.closed_world.world.country import CountryBuilder
from tasks.closed_world.world.draft import Atlas, Draft
from tasks.closed_world.world.vocabulary import VOCABULARY

_SCHOLARS = ("physicist", "historian", "mathematician", "geologist", "botanist")


def add_universities(atlas: Atlas, count: int) -> None:
    """Add `count` universities, without rectors, in every country."""
    rng = Rng(f"{atlas.side}/universities")
    for nation in atlas.nations:
        builder = CountryBuilder(atlas, nation, rng)
        regions = rng.shuffled(nation.regions)
        for index in range(count):
            if index < 2:
                name = f"the University of {regions[index].name}"
            else:
                pattern = rng.pick(("{} University", "{} College", "{} Polytechnic"))
                name = builder.free_name(pattern, nation.pool.surnames)
            builder.add(
                "university",
                name,
                town=builder.town(),
                founded=Year(rng.between(1410, 1930)),
                country=nation.draft,
                students=Amount(rng.between(22, 390) * 100),
            )


def add_companies(atlas: Atlas, trades: int) -> None:
    """Add media companies and `trades` other firms in every country, owners, chiefs and rectors."""
    rng = Rng(f"{atlas.side}/companies")
    for nation in atlas.nations:
        builder = CountryBuilder(atlas, nation, rng)
        rows = [*VOCABULARY.media, *(rng.pick(VOCABULARY.trades) for _ in range(trades))]
        for row in rows:
            _add_company(builder, *row)
        for school in builder.local("university"):
            if rng.chance(75):
                school.facts["rector"] = builder.office_holder(*_SCHOLARS).ref
    for firm in atlas.kind("company"):
        _own(CountryBuilder(atlas, atlas.nation_of(firm), rng), firm)
    for organisation in (*atlas.kind("university"), *atlas.kind("company")):
        _add_acronym(atlas, rng, organisation)


def _add_company(builder: CountryBuilder, noun: str, suffix: str, product: str) -> None:
    rng, pool = builder.rng, builder.nation.pool
    media = noun in ("film studio", "record label", "television network")
    year = rng.between(1922, 1948) if media else rng.between(1875, 1975)
    founder = builder.active_person("entrepreneur", year, cap=2)
    name = f"{founder.name.split()[-1]} {suffix}"
    if not rng.chance(35) or builder.atlas.taken(name):
        name = builder.free_name("{} " + suffix, pool.places + pool.surnames)
    builder.add(
        "company",
        name,
        noun,
        founder=founder,
        headquarters=builder.town(),
        founded=Year(year),
        nationality=builder.nation.demonym,
        product=product,
    )


def _own(builder: CountryBuilder, firm: Draft) -> None:
    rng = builder.rng
    owners = [
        owner
        for owner in builder.local("company")
        if owner.id < firm.id and "parent" not in owner.facts
    ]
    if owners and rng.chance(30):
        firm.facts["parent"] = rng.pick(owners).ref
    if rng.chance(40):
        firm.facts["chief"] = builder.office_holder("entrepreneur", "engineer").ref


def _add_acronym(atlas: Atlas, rng: Rng, draft: Draft) -> None:
    letters = "".join(word[0] for word in draft.name.split() if word != "of")
    acronym = f"{atlas.nation_of(draft).draft.name[0]}{letters}"
    if rng.chance(30) and len(acronym) > 2 and not atlas.taken(acronym, "alias"):
        atlas.reserve(acronym)
        draft.facts["acronym"] = acronym
        draft.aliases.append(acronym)


def add_awards(atlas: Atlas, count: int) -> None:
    """Add `count` awards in every country. Universities or companies present some of them."""
    rng = Rng(f"{atlas.side}/awards")
    fields = list(VOCABULARY.award_fields)
    for nation in atlas.nations:
        builder = CountryBuilder(atlas, nation, rng)
        for index in range(count):
            _add_award(builder, fields[index % len(fields)])


def _add_award(builder: CountryBuilder, field: str) -> None:
    """Add an award that is named after a person; none where both of its names are taken."""
    atlas, rng = builder.atlas, builder.rng
    year = rng.between(1905, 1972)
    namesake = builder.active_person(rng.pick(VOCABULARY.award_fields[field]), year - 20)
    name = f"the {namesake.name.split()[-1]} {rng.pick(('Prize', 'Medal', 'Award'))}"
    if atlas.taken(name):
        name = f"the {namesake.name} Prize"
    if atlas.taken(name):
        return
    award = builder.add("award", name, field=field, established=Year(year), namesake=namesake)
    presenters = [
        presenter
        for presenter in builder.local("university" if rng.chance(60) else "company")
        if presenter.year() <= year
    ]
    if presenters:
        award.facts["presenter"] = rng.pick(presenters).ref
