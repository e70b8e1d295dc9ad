"""Novels, films, series, bands, albums and songs, and the people who make them."""

from __future__ import annotations

from tasks.closed_world.entities import Amount, Ref, Year
from tasks.closed_world.rng import Rng
from tasks.closed_world.text.grammar import plural
from tasks.closed_world.world.draft import Atlas, Draft, Nation
from tasks.closed_world.world.names import work_title
from tasks.closed_world.world.organisations import founded_year
from tasks.closed_world.world.people import active_person
from tasks.closed_world.world.vocabulary import VOCABULARY


def add_works(atlas: Atlas, counts: dict[str, int]) -> None:
    """Add novels, films, series, bands, albums and songs: `counts` by kind in every country."""
    adders = {
        "novel": _novel,
        "film": _film,
        "series": _series,
        "band": _band,
        "album": _album,
        "song": _song,
    }
    for kind, add in adders.items():
        rng = Rng(f"{atlas.side}/works/{kind}")
        for nation in atlas.nations:
            for _ in range(counts[kind]):
                add(atlas, rng, nation)


def _work(
    atlas: Atlas, rng: Rng, nation: Nation, kind: str, relation: str, year: int, genre: str
) -> Draft:
    noun = "television series" if kind == "series" else kind
    while True:
        title = work_title(rng, atlas.words, nation.pool)
        namesakes = atlas.kind(rng.pick(("novel", "film", kind)))
        if namesakes and rng.chance(9):
            title = rng.pick(namesakes).name
        if not atlas.taken(title, f"{year} {noun}"):
            break
    atlas.reserve(title, f"{year} {noun}")
    draft = atlas.add(kind, title, noun, nation.draft.id)
    draft.facts |= {relation: Year(year), "genre": genre, "nationality": nation.demonym}
    return draft


def _add_media_company(
    atlas: Atlas, rng: Rng, nation: Nation, noun: str, work: Draft, relation: str, year: int
) -> None:
    """Give the work a media company of its country, or of another country if none is old enough."""
    firms = [firm for firm in atlas.noun(noun) if founded_year(firm) < year]
    local = [firm for firm in firms if firm.country == nation.draft.id]
    if firms:
        work.facts[relation] = rng.pick(local or firms).ref


def _novel(atlas: Atlas, rng: Rng, nation: Nation) -> None:
    year = rng.between(1890, 2018)
    novel = _work(atlas, rng, nation, "novel", "published", year, rng.pick(VOCABULARY.novel_genres))
    novel.facts |= {
        "author": active_person(atlas, rng, nation, "novelist", year).ref,
        "pages": Amount(rng.between(112, 640)),
    }
    _add_media_company(atlas, rng, nation, "publishing house", novel, "publisher", year)
    if rng.chance(60):
        novel.facts["setting"] = rng.pick(nation.towns).ref


def _film(atlas: Atlas, rng: Rng, nation: Nation) -> None:
    novels = [novel for novel in atlas.kind("novel") if novel.country == nation.draft.id]
    source = rng.pick(novels) if rng.chance(22) else None
    low = 1930 if source is None else max(1930, _published(source) + 2)
    year = rng.between(min(low, 2019), 2019)
    film = _work(atlas, rng, nation, "film", "released", year, rng.pick(VOCABULARY.film_genres))
    if source is not None and _published(source) < year:
        film.facts["based_on"] = source.ref
    film.facts |= {
        "director": active_person(atlas, rng, nation, "director", year, cap=5).ref,
        "star": active_person(atlas, rng, nation, "actor", year).ref,
        "runtime": Amount(rng.between(71, 168)),
    }
    _add_media_company(atlas, rng, nation, "film studio", film, "studio", year)
    if rng.chance(65):
        film.facts["composer"] = active_person(atlas, rng, nation, "composer", year).ref
    if rng.chance(50):
        film.facts["writer"] = active_person(atlas, rng, nation, "screenwriter", year).ref
    support = active_person(atlas, rng, nation, "actor", year)
    if rng.chance(50) and support.ref != film.facts["star"]:
        film.facts["supporting"] = support.ref


def _published(novel: Draft) -> int:
    value = novel.facts["published"]
    assert isinstance(value, Year)
    return value.year


def _series(atlas: Atlas, rng: Rng, nation: Nation) -> None:
    year = rng.between(1956, 2019)
    series = _work(
        atlas, rng, nation, "series", "first_aired", year, rng.pick(VOCABULARY.series_genres)
    )
    series.facts |= {
        "creator": active_person(atlas, rng, nation, "screenwriter", year).ref,
        "star": active_person(atlas, rng, nation, "actor", year).ref,
        "episodes": Amount(rng.between(12, 190)),
        "runtime": Amount(rng.between(22, 74)),
    }
    _add_media_company(atlas, rng, nation, "television network", series, "network", year)
    if rng.chance(50):
        series.facts["setting"] = rng.pick(nation.towns).ref


def _band(atlas: Atlas, rng: Rng, nation: Nation) -> None:
    year = rng.between(1960, 2012)
    words = atlas.words
    while True:
        name = f"The {rng.pick(words.adjectives)} {plural(rng.pick(words.nouns))}"
        if not atlas.taken(name):
            break
    band = atlas.add("band", name, "band", nation.draft.id)
    band.facts |= {
        "formed_in": rng.pick(nation.towns).ref,
        "founded": Year(year),
        "singer": active_person(atlas, rng, nation, "singer", year, cap=2).ref,
        "genre": rng.pick(VOCABULARY.music_genres),
        "nationality": nation.demonym,
    }
    _add_media_company(atlas, rng, nation, "record label", band, "label", year)


def _performer(atlas: Atlas, rng: Rng, nation: Nation, year: int) -> Ref:
    bands = [
        band
        for band in atlas.kind("band")
        if band.country == nation.draft.id and 0 <= year - founded_year(band) <= 30
    ]
    if bands and rng.chance(30):
        return rng.pick(bands).ref
    return active_person(atlas, rng, nation, "singer", year, cap=3).ref


def _album(atlas: Atlas, rng: Rng, nation: Nation) -> None:
    year = rng.between(1955, 2019)
    album = _work(atlas, rng, nation, "album", "released", year, rng.pick(VOCABULARY.music_genres))
    album.facts |= {
        "performer": _performer(atlas, rng, nation, year),
        "producer": active_person(atlas, rng, nation, "record producer", year).ref,
    }
    _add_media_company(atlas, rng, nation, "record label", album, "label", year)
    if rng.chance(55):
        album.facts["recorded_in"] = rng.pick(nation.towns).ref


def _song(atlas: Atlas, rng: Rng, nation: Nation) -> None:
    albums = [album for album in atlas.kind("album") if album.country == nation.draft.id]
    album = rng.pick(albums) if rng.chance(75) else None
    year = rng.between(1955, 2019)
    if album is not None:
        released = album.facts["released"]
        assert isinstance(released, Year)
        year = released.year
    song = _work(atlas, rng, nation, "song", "released", year, rng.pick(VOCABULARY.music_genres))
    song.facts["songwriter"] = active_person(atlas, rng, nation, "songwriter", year).ref
    if album is None:
        song.facts["performer"] = _performer(atlas, rng, nation, year)
    else:
        song.facts["performer"], song.facts["album"] = album.facts["performer"], album.ref
