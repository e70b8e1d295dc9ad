"""The vocabulary of the world: word lists, patterns of names, and occupations."""

from pathlib import Path

import msgspec
from msgspec import Struct


class Language(Struct, frozen=True):
    """How a country's names sound: letter groups and endings, each a choice of several."""

    onsets: str
    vowels: str
    codas: str
    male: str
    female: str
    surname: str
    place: str


class Vocabulary(Struct, frozen=True):
    """The content of `vocabulary.toml`, where each table is described."""

    ordinary: str
    title_adjectives: str
    title_nouns: str
    title_patterns: tuple[str, ...]
    place_patterns: tuple[str, ...]
    country_endings: tuple[tuple[str, str], ...]
    film_genres: tuple[str, ...]
    novel_genres: tuple[str, ...]
    music_genres: tuple[str, ...]
    series_genres: tuple[str, ...]
    festival_themes: tuple[str, ...]
    landmarks: tuple[str, ...]
    goods: tuple[str, ...]
    nicknames: tuple[str, ...]
    media: tuple[tuple[str, str, str], ...]
    trades: tuple[tuple[str, str, str], ...]
    buildings: tuple[tuple[str, str, str], ...]
    occupations: tuple[tuple[str, int, int, int], ...]
    award_fields: dict[str, tuple[str, ...]]
    languages: tuple[Language, ...]


VOCABULARY = msgspec.toml.decode(Path(__file__).with_suffix(".toml").read_bytes(), type=Vocabulary)
