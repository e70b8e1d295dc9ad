"""Countries with regions, towns, rivers and mountains, and the buildings in them."""

from __future__ import annotations

from tasks.closed_world.entities import Amount, Year
from tasks.closed_world.rng import Rng
from tasks.closed_world.world.draft import Atlas, Draft, Nation
from tasks.closed_world.world.names import NamePool, name_pool, place_name
from tasks.closed_world.world.people import active_person, office_holder
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
    for _ in range(4):
        _region(atlas, rng, nation)
    mountains = [_mountain(atlas, rng, nation) for _ in range(6)]
    rivers: list[Draft] = []
    for _ in range(6):
        rivers.append(_river(atlas, rng, nation, mountains, rivers))
    for index in range(towns):
        _town(atlas, rng, nation, nation.regions[index % 4], rivers)
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


def _place(atlas: Atlas, rng: Rng, pool: NamePool) -> str:
    return place_name(rng, pool, lambda name: atlas.taken(name) or atlas.taken(name, "alias"))


def _region(atlas: Atlas, rng: Rng, nation: Nation) -> None:
    language = VOCABULARY.languages[rng.below(11)]
    name = atlas.words.coin(language, ("ania", "esse", "oria", "amark", "ovia"))
    region = atlas.add("region", name, "region", nation.draft.id)
    region.facts |= {
        "country": nation.draft.ref,
        "area": Amount(rng.between(1900, 32000), "square kilometres"),
        "goods": rng.pick(VOCABULARY.goods),
    }
    nation.regions.append(region)


def _mountain(atlas: Atlas, rng: Rng, nation: Nation) -> Draft:
    while True:
        name = f"Mount {rng.pick(nation.pool.places + nation.pool.surnames)}"
        if not atlas.taken(name):
            break
    mountain = atlas.add("mountain", name, "mountain", nation.draft.id)
    mountain.facts |= {
        "region": rng.pick(nation.regions).ref,
        "country": nation.draft.ref,
        "height": Amount(rng.between(1105, 5890), "metres"),
    }
    return mountain


def _river(
    atlas: Atlas, rng: Rng, nation: Nation, mountains: list[Draft], rivers: list[Draft]
) -> Draft:
    while True:
        name = f"{rng.pick(nation.pool.places)} River"
        if not atlas.taken(name):
            break
    river = atlas.add("river", name, "river", nation.draft.id)
    river.article = True
    river.facts |= {
        "source": rng.pick(mountains).ref,
        "mouth": rng.pick(rivers).ref if rivers and rng.chance(60) else _sea(rng, nation),
        "length": Amount(rng.between(41, 980), "kilometres"),
        "country": nation.draft.ref,
        "goods": rng.pick(VOCABULARY.goods),
    }
    return river


def _sea(rng: Rng, nation: Nation) -> str:
    return f"the {rng.pick(('Gulf', 'Bay', 'Sea'))} of {rng.pick(nation.pool.places)}"


def _town(atlas: Atlas, rng: Rng, nation: Nation, region: Draft, rivers: list[Draft]) -> None:
    town = atlas.add("town", _place(atlas, rng, nation.pool), "town", nation.draft.id)
    town.facts |= {
        "region": region.ref,
        "founded": Year(rng.between(1105, 1789)),
        "population": Amount(rng.between(1200, 98000)),
        "landmark": rng.pick(VOCABULARY.landmarks),
        "goods": rng.pick(VOCABULARY.goods),
    }
    if rng.chance(60):
        town.facts["river"] = rng.pick(rivers).ref
    if rng.chance(15):
        former = _place(atlas, rng, nation.pool)
        atlas.reserve(former)
        town.facts["former_name"] = former
        town.aliases.append(former)
    nation.towns.append(town)


def add_office_holders(atlas: Atlas, mayors: int) -> None:
    """Add presidents, mayors for `mayors` in 100 towns, and first ascents of the mountains."""
    rng = Rng(f"{atlas.side}/offices")
    for nation in atlas.nations:
        nation.draft.facts["head"] = office_holder(atlas, rng, nation, ("politician",)).ref
        for town in nation.towns:
            if rng.chance(mayors):
                holder = office_holder(
                    atlas, rng, nation, ("politician", "politician", "historian")
                )
                town.facts["mayor"] = holder.ref
    for mountain in atlas.kind("mountain"):
        year = rng.between(1880, 1960)
        nation = atlas.nation_of(mountain)
        mountain.facts["climber"] = active_person(
            atlas, rng, nation, "mountaineer", year, cap=2
        ).ref
        mountain.facts["ascent"] = Year(year)


def add_buildings(atlas: Atlas, buildings: int) -> None:
    """Add museums, bridges, theatres and the like: `buildings` in every country."""
    rng = Rng(f"{atlas.side}/buildings")
    for nation in atlas.nations:
        for _ in range(buildings):
            _building(atlas, rng, nation)


def _building(atlas: Atlas, rng: Rng, nation: Nation) -> None:
    noun, pattern, article, feature = rng.pick(VOCABULARY.buildings)
    while True:
        name = pattern.format(rng.pick(nation.pool.surnames + nation.pool.places))
        if not atlas.taken(name):
            break
    year = rng.between(1885, 2012)
    draft = atlas.add("building", name, noun, nation.draft.id)
    draft.article = article
    draft.facts |= {
        "town": rng.pick(nation.towns).ref,
        "architect": active_person(atlas, rng, nation, "architect", year, cap=3).ref,
        "opened": Year(year),
        "feature": feature,
    }
