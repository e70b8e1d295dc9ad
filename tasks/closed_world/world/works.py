"""Novels, films, series, bands, albums and songs, and the people who make them."""

from collections.abc import Sequence

from tasks.closed_world.entities import Amount, Ref, Year
from tasks.closed_world.rng import Rng
from tasks.closed_world.text.grammar import plural
from tasks.closed_world.world.country import CountryBuilder
from tasks.closed_world.world.draft import Atlas, Draft
from tasks.closed_world.world.names import work_title
from tasks.closed_world.world.vocabulary import VOCABULARY


def add_works(atlas: Atlas, counts: dict[str, int]) -> None:
    """Add novels, films, series, bands, albums and songs: `counts` by kind in every country."""
    adders = {
        "novel": _add_novel,
        "film": _add_film,
        "series": _add_series,
        "band": _add_band,
        "album": _add_album,
        "song": _add_song,
    }
    for kind, add in adders.items():
        rng = Rng(f"{atlas.side}/works/{kind}")
        for nation in atlas.nations:
            for _ in range(counts[kind]):
                add(CountryBuilder(atlas, nation, rng))


def _work(
    builder: CountryBuilder, kind: str, relation: str, year: int, genres: Sequence[str]
) -> Draft:
    atlas, rng = builder.atlas, builder.rng
    noun = "television series" if kind == "series" else kind
    genre = rng.pick(genres)
    while True:
        title = work_title(rng, atlas.words, builder.nation.pool)
        namesakes = atlas.kind(rng.pick(("novel", "film", kind)))
        if namesakes and rng.chance(9):
            title = rng.pick(namesakes).name
        if not atlas.taken(title, f"{year} {noun}"):
            break
    atlas.reserve(title, f"{year} {noun}")
    work = builder.add(kind, title, noun)
    work.facts |= {relation: Year(year), "genre": genre, "nationality": builder.nation.demonym}
    return work


def _add_media_company(
    builder: CountryBuilder, noun: str, work: Draft, relation: str, year: int
) -> None:
    """Give the work a media company of its country, or of another country if none is old enough."""
    firms = [firm for firm in builder.atlas.noun(noun) if firm.year() < year]
    local = [firm for firm in firms if builder.is_local(firm)]
    if firms:
        work.facts[relation] = builder.rng.pick(local or firms).ref


def _add_novel(builder: CountryBuilder) -> None:
    rng = builder.rng
    year = rng.between(1890, 2018)
    novel = _work(builder, "novel", "published", year, VOCABULARY.novel_genres)
    novel.facts |= {
        "author": builder.active_person("novelist", year).ref,
        "pages": Amount(rng.between(112, 640)),
    }
    _add_media_company(builder, "publishing house", novel, "publisher", year)
    if rng.chance(60):
        novel.facts["setting"] = builder.town()


def _add_film(builder: CountryBuilder) -> None:
    rng = builder.rng
    novels = builder.local("novel")
    source = rng.pick(novels) if rng.chance(22) else None
    low = 1930 if source is None else max(1930, source.year("published") + 2)
    year = rng.between(min(low, 2019), 2019)
    film = _work(builder, "film", "released", year, VOCABULARY.film_genres)
    if source is not None and source.year("published") < year:
        film.facts["based_on"] = source.ref
    film.facts |= {
        "director": builder.active_person("director", year, cap=5).ref,
        "star": builder.active_person("actor", year).ref,
        "runtime": Amount(rng.between(71, 168)),
    }
    _add_media_company(builder, "film studio", film, "studio", year)
    if rng.chance(65):
        film.facts["composer"] = builder.active_person("composer", year).ref
    if rng.chance(50):
        film.facts["writer"] = builder.active_person("screenwriter", year).ref
    support = builder.active_person("actor", year)
    if rng.chance(50) and support.ref != film.facts["star"]:
        film.facts["supporting"] = support.ref


def _add_series(builder: CountryBuilder) -> None:
    rng = builder.rng
    year = rng.between(1956, 2019)
    series = _work(builder, "series", "first_aired", year, VOCABULARY.series_genres)
    series.facts |= {
        "creator": builder.active_person("screenwriter", year).ref,
        "star": builder.active_person("actor", year).ref,
        "episodes": Amount(rng.between(12, 190)),
        "runtime": Amount(rng.between(22, 74)),
    }
    _add_media_company(builder, "television network", series, "network", year)
    if rng.chance(50):
        series.facts["setting"] = builder.town()


def _add_band(builder: CountryBuilder) -> None:
    atlas, rng = builder.atlas, builder.rng
    year = rng.between(1960, 2012)
    while True:
        name = f"The {rng.pick(atlas.words.adjectives)} {plural(rng.pick(atlas.words.nouns))}"
        if not atlas.taken(name):
            break
    band = builder.add("band", name)
    band.facts |= {
        "formed_in": builder.town(),
        "founded": Year(year),
        "singer": builder.active_person("singer", year, cap=2).ref,
        "genre": rng.pick(VOCABULARY.music_genres),
        "nationality": builder.nation.demonym,
    }
    _add_media_company(builder, "record label", band, "label", year)


def _performer(builder: CountryBuilder, year: int) -> Ref:
    bands = [band for band in builder.local("band") if 0 <= year - band.year() <= 30]
    if bands and builder.rng.chance(30):
        return builder.rng.pick(bands).ref
    return builder.active_person("singer", year, cap=3).ref


def _add_album(builder: CountryBuilder) -> None:
    year = builder.rng.between(1955, 2019)
    album = _work(builder, "album", "released", year, VOCABULARY.music_genres)
    album.facts |= {
        "performer": _performer(builder, year),
        "producer": builder.active_person("record producer", year).ref,
    }
    _add_media_company(builder, "record label", album, "label", year)
    if builder.rng.chance(55):
        album.facts["recorded_in"] = builder.town()


def _add_song(builder: CountryBuilder) -> None:
    rng = builder.rng
    albums = builder.local("album")
    album = rng.pick(albums) if rng.chance(75) else None
    year = rng.between(1955, 2019)
    if album is not None:
        year = album.year("released")
    song = _work(builder, "song", "released", year, VOCABULARY.music_genres)
    song.facts["songwriter"] = builder.active_person("songwriter", year).ref
    if album is None:
        song.facts["performer"] = _performer(builder, year)
    else:
        song.facts["performer"], song.facts["album"] = album.facts["performer"], album.ref
