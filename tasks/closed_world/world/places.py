"""Countries with regions, towns, rivers and mountains, and the buildings in them."""

from tasks.closed_world.entities import Amount, Year
from tasks.closed_world.rng import Rng
from tasks.closed_world.world.country import CountryBuilder
from tasks.closed_world.world.draft import Atlas, Draft, Nation
from tasks.closed_world.world.names import name_pool
from tasks.closed_world.world.vocabulary import VOCABULARY, Language

_GOVERNMENTS = ("republic", "federal republic", "parliamentary republic", "presidential republic")


def add_countries(atlas: Atlas, countries: int, towns: int) -> None:
    """Add countries, each with regions, rivers, mountains and `towns` towns."""
    languages = VOCABULARY.languages
    for number in range(countries):
        rng = Rng(f"{atlas.side}/country/{number}")
        _add_country(atlas, rng, languages[number % len(languages)], towns)


def _add_country(atlas: Atlas, rng: Rng, language: Language, towns: int) -> None:
    pool = name_pool(atlas.words, language, people=46, places=2 * towns)
    name, demonym = _country_name(atlas, rng, language)
    country = atlas.add("country", name, "country")
    country.country = country.id
    nation = Nation(country, demonym, pool, towns=[], regions=[])
    atlas.nations.append(nation)
    builder = CountryBuilder(atlas, nation, rng)
    for _ in range(4):
        nation.regions.append(_region(builder))
    mountains = [_mountain(builder) for _ in range(6)]
    rivers: list[Draft] = []
    for _ in range(6):
        rivers.append(_river(builder, mountains, rivers))
    for index in range(towns):
        nation.towns.append(_town(builder, nation.regions[index % 4], rivers))
    for index, region in enumerate(nation.regions):
        region.facts["capital"] = nation.towns[index].ref
    country.facts |= {
        "capital": nation.towns[4].ref,
        "currency": atlas.words.coin(language, language.place.split()).lower(),
        "official_language": atlas.words.coin(language, ("ish", "ic", "ese")),
        "independence": Year(rng.between(1790, 1880)),
        "population": Amount(rng.between(2100, 48900) * 1000 + 137 * rng.between(1, 7)),
        "government": rng.pick(_GOVERNMENTS),
        "nationality": demonym,
    }


def _country_name(atlas: Atlas, rng: Rng, language: Language) -> tuple[str, str]:
    ending, adjective = rng.pick(VOCABULARY.country_endings)
    while True:
        name = atlas.words.coin(language, (ending,), 1 + rng.below(2))
        demonym = name[: -len(ending)] + adjective
        if atlas.words.claim(demonym):
            return name, demonym


def _region(builder: CountryBuilder) -> Draft:
    rng = builder.rng
    language = VOCABULARY.languages[rng.below(11)]
    return builder.add(
        "region",
        builder.atlas.words.coin(language, ("ania", "esse", "oria", "amark", "ovia")),
        country=builder.nation.draft,
        area=Amount(rng.between(1900, 32000), "square kilometres"),
        goods=rng.pick(VOCABULARY.goods),
    )


def _mountain(builder: CountryBuilder) -> Draft:
    nation = builder.nation
    return builder.add(
        "mountain",
        builder.free_name("Mount {}", nation.pool.places + nation.pool.surnames),
        region=builder.rng.pick(nation.regions),
        country=nation.draft,
        height=Amount(builder.rng.between(1105, 5890), "metres"),
    )


def _river(builder: CountryBuilder, mountains: list[Draft], rivers: list[Draft]) -> Draft:
    rng, pool = builder.rng, builder.nation.pool
    return builder.add(
        "river",
        builder.free_name("the {} River", pool.places),
        source=rng.pick(mountains),
        mouth=rng.pick(rivers) if rivers and rng.chance(60) else _sea(rng, pool.places),
        length=Amount(rng.between(41, 980), "kilometres"),
        country=builder.nation.draft,
        goods=rng.pick(VOCABULARY.goods),
    )


def _sea(rng: Rng, places: tuple[str, ...]) -> str:
    return f"the {rng.pick(('Gulf', 'Bay', 'Sea'))} of {rng.pick(places)}"


def _town(builder: CountryBuilder, region: Draft, rivers: list[Draft]) -> Draft:
    atlas, rng, pool = builder.atlas, builder.rng, builder.nation.pool
    town = builder.add(
        "town",
        atlas.place_name(rng, pool),
        region=region,
        founded=Year(rng.between(1105, 1789)),
        population=Amount(rng.between(1200, 98000)),
        landmark=rng.pick(VOCABULARY.landmarks),
        goods=rng.pick(VOCABULARY.goods),
    )
    if rng.chance(60):
        town.facts["river"] = rng.pick(rivers).ref
    if rng.chance(15):
        former = atlas.place_name(rng, pool)
        atlas.reserve(former)
        town.facts["former_name"] = former
        town.aliases.append(former)
    return town


def add_office_holders(atlas: Atlas, mayors: int) -> None:
    """Add presidents, mayors for `mayors` in 100 towns, and first ascents of the mountains."""
    rng = Rng(f"{atlas.side}/offices")
    for nation in atlas.nations:
        builder = CountryBuilder(atlas, nation, rng)
        nation.draft.facts["head"] = builder.office_holder("politician").ref
        for town in nation.towns:
            if rng.chance(mayors):
                mayor = builder.office_holder("politician", "politician", "historian")
                town.facts["mayor"] = mayor.ref
    for mountain in atlas.kind("mountain"):
        year = rng.between(1880, 1960)
        builder = CountryBuilder(atlas, atlas.nation_of(mountain), rng)
        mountain.facts["climber"] = builder.active_person("mountaineer", year, cap=2).ref
        mountain.facts["ascent"] = Year(year)


def add_buildings(atlas: Atlas, buildings: int) -> None:
    """Add museums, bridges, theatres and the like: `buildings` in every country."""
    rng = Rng(f"{atlas.side}/buildings")
    for nation in atlas.nations:
        for _ in range(buildings):
            _add_building(CountryBuilder(atlas, nation, rng))


def _add_building(builder: CountryBuilder) -> None:
    rng, pool = builder.rng, builder.nation.pool
    noun, pattern, feature = rng.pick(VOCABULARY.buildings)
    name = builder.free_name(pattern, pool.surnames + pool.places)
    year = rng.between(1885, 2012)
    building = builder.add("building", name, noun)
    building.facts |= {
        "town": builder.town(),
        "architect": builder.active_person("architect", year, cap=3).ref,
        "opened": Year(year),
        "feature": feature,
    }
