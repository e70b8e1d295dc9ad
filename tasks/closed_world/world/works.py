"""Novels, films, series, bands, albums and songs, with the people who make them."""

from __future__ import annotations

from tasks.closed_world.entities import Amount, Ref, Year
from tasks.closed_world.rng import Dice
from tasks.closed_world.text.grammar import plural
from tasks.closed_world.world.draft import Atlas, Draft, Nation
from tasks.closed_world.world.names import work_title
from tasks.closed_world.world.organisations import founded_year
from tasks.closed_world.world.people import cast
from tasks.closed_world.world.wordlists import (
    FILM_GENRES,
    MUSIC_GENRES,
    NOVEL_GENRES,
    SERIES_GENRES,
)


def make_works(atlas: Atlas, counts: dict[str, int]) -> None:
    """Novels, films, series, bands, albums and songs: so many of each in every country."""
    makers = {
        "novel": _novel,
        "film": _film,
        "series": _series,
        "band": _band,
        "album": _album,
        "song": _song,
    }
    for kind, make in makers.items():
        dice = Dice(f"{atlas.side}/works/{kind}")
        for nation in atlas.nations:
            for _ in range(counts[kind]):
                make(atlas, dice, nation)


def _work(
    atlas: Atlas, dice: Dice, nation: Nation, kind: str, relation: str, year: int, genre: str
) -> Draft:
    noun = "television series" if kind == "series" else kind
    while True:
        title = work_title(dice, atlas.words, nation.pool)
        namesakes = atlas.kind(dice.pick(("novel", "film", kind)))
        if namesakes and dice.chance(9):
            title = dice.pick(namesakes).name
        if not atlas.taken(title, f"{year} {noun}"):
            break
    atlas.reserve(title, f"{year} {noun}")
    draft = atlas.add(kind, title, noun, nation.draft.id)
    draft.facts |= {relation: Year(year), "genre": genre, "nationality": nation.demonym}
    return draft


def _house(
    atlas: Atlas, dice: Dice, nation: Nation, noun: str, work: Draft, relation: str, year: int
) -> None:
    """Give the work a media company: of its country, or of another if it has none so old."""
    old = [firm for firm in atlas.noun(noun) if founded_year(firm) < year]
    own = [firm for firm in old if firm.country == nation.draft.id]
    if old:
        work.facts[relation] = dice.pick(own or old).ref


def _novel(atlas: Atlas, dice: Dice, nation: Nation) -> None:
    year = dice.between(1890, 2018)
    novel = _work(atlas, dice, nation, "novel", "published", year, dice.pick(NOVEL_GENRES))
    novel.facts |= {
        "author": cast(atlas, dice, nation, "novelist", year).ref,
        "pages": Amount(dice.between(112, 640)),
    }
    _house(atlas, dice, nation, "publishing house", novel, "publisher", year)
    if dice.chance(60):
        novel.facts["setting"] = dice.pick(nation.towns).ref


def _film(atlas: Atlas, dice: Dice, nation: Nation) -> None:
    novels = [novel for novel in atlas.kind("novel") if novel.country == nation.draft.id]
    source = dice.pick(novels) if dice.chance(22) else None
    low = 1930 if source is None else max(1930, _published(source) + 2)
    year = dice.between(min(low, 2019), 2019)
    film = _work(atlas, dice, nation, "film", "released", year, dice.pick(FILM_GENRES))
    if source is not None and _published(source) < year:
        film.facts["based_on"] = source.ref
    film.facts |= {
        "director": cast(atlas, dice, nation, "director", year, cap=5).ref,
        "star": cast(atlas, dice, nation, "actor", year).ref,
        "runtime": Amount(dice.between(71, 168)),
    }
    _house(atlas, dice, nation, "film studio", film, "studio", year)
    if dice.chance(65):
        film.facts["composer"] = cast(atlas, dice, nation, "composer", year).ref
    if dice.chance(50):
        film.facts["writer"] = cast(atlas, dice, nation, "screenwriter", year).ref
    support = cast(atlas, dice, nation, "actor", year)
    if dice.chance(50) and support.ref != film.facts["star"]:
        film.facts["supporting"] = support.ref


def _published(novel: Draft) -> int:
    value = novel.facts["published"]
    assert isinstance(value, Year)
    return value.year


def _series(atlas: Atlas, dice: Dice, nation: Nation) -> None:
    year = dice.between(1956, 2019)
    series = _work(atlas, dice, nation, "series", "first_aired", year, dice.pick(SERIES_GENRES))
    series.facts |= {
        "creator": cast(atlas, dice, nation, "screenwriter", year).ref,
        "star": cast(atlas, dice, nation, "actor", year).ref,
        "episodes": Amount(dice.between(12, 190)),
        "runtime": Amount(dice.between(22, 74)),
    }
    _house(atlas, dice, nation, "television network", series, "network", year)
    if dice.chance(50):
        series.facts["setting"] = dice.pick(nation.towns).ref


def _band(atlas: Atlas, dice: Dice, nation: Nation) -> None:
    year = dice.between(1960, 2012)
    words = atlas.words
    while True:
        name = f"The {dice.pick(words.adjectives)} {plural(dice.pick(words.nouns))}"
        if not atlas.taken(name):
            break
    band = atlas.add("band", name, "band", nation.draft.id)
    band.facts |= {
        "formed_in": dice.pick(nation.towns).ref,
        "founded": Year(year),
        "singer": cast(atlas, dice, nation, "singer", year, cap=2).ref,
        "genre": dice.pick(MUSIC_GENRES),
        "nationality": nation.demonym,
    }
    _house(atlas, dice, nation, "record label", band, "label", year)


def _performer(atlas: Atlas, dice: Dice, nation: Nation, year: int) -> Ref:
    bands = [
        band
        for band in atlas.kind("band")
        if band.country == nation.draft.id and 0 <= year - founded_year(band) <= 30
    ]
    if bands and dice.chance(30):
        return dice.pick(bands).ref
    return cast(atlas, dice, nation, "singer", year, cap=3).ref


def _album(atlas: Atlas, dice: Dice, nation: Nation) -> None:
    year = dice.between(1955, 2019)
    album = _work(atlas, dice, nation, "album", "released", year, dice.pick(MUSIC_GENRES))
    album.facts |= {
        "performer": _performer(atlas, dice, nation, year),
        "producer": cast(atlas, dice, nation, "record producer", year).ref,
    }
    _house(atlas, dice, nation, "record label", album, "label", year)
    if dice.chance(55):
        album.facts["recorded_in"] = dice.pick(nation.towns).ref


def _song(atlas: Atlas, dice: Dice, nation: Nation) -> None:
    albums = [album for album in atlas.kind("album") if album.country == nation.draft.id]
    album = dice.pick(albums) if dice.chance(75) else None
    year = dice.between(1955, 2019)
    if album is not None:
        released = album.facts["released"]
        assert isinstance(released, Year)
        year = released.year
    song = _work(atlas, dice, nation, "song", "released", year, dice.pick(MUSIC_GENRES))
    song.facts["songwriter"] = cast(atlas, dice, nation, "songwriter", year).ref
    if album is None:
        song.facts["performer"] = _performer(atlas, dice, nation, year)
    else:
        song.facts["performer"], song.facts["album"] = album.facts["performer"], album.ref
