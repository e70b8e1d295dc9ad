"""Names for a side's people, places, works and organisations, from made-up languages.

The two sides share no name word: a word belongs to the side that its checksum says.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from msgspec import Struct

from tasks.closed_world.entities import Side
from tasks.closed_world.rng import Rng, bucket
from tasks.closed_world.text.grammar import plural, with_articles
from tasks.closed_world.world.wordlists import LANGUAGES, ORDINARY, TITLE_ADJECTIVES, TITLE_NOUNS

_PLACE_PATTERNS = (
    "{0}",
    "{0}",
    "{0}",
    "{0}",
    "Upper {0}",
    "Lower {0}",
    "Port {0}",
    "New {0}",
    "{0} Bay",
    "{0} Heath",
)

_TITLE_PATTERNS = (
    "The {adjective} {noun}",
    "The {adjective} {noun}",
    "{adjective} {noun}",
    "The {noun}'s {other}",
    "The Last {noun}",
    "{noun} and {other}",
    "A {noun} in {place}",
    "The {noun} of {place}",
    "Return to {place}",
    "{given}",
    "{given}'s {noun}",
    "Beneath the {noun}",
    "The Road to {place}",
    "Seven {nouns}",
    "{adjective} Is the {noun}",
    "A {adjective} {noun}",
    "Letters from {place}",
    "No {noun} for {given}",
)


class Language(Struct, frozen=True):
    """How a country's names sound: letter groups and endings, each a choice."""

    onsets: tuple[str, ...]
    vowels: tuple[str, ...]
    codas: tuple[str, ...]
    male: tuple[str, ...]
    female: tuple[str, ...]
    surname: tuple[str, ...]
    place: tuple[str, ...]


def languages() -> tuple[Language, ...]:
    """All made-up languages."""
    return tuple(Language(*(tuple(part.split()) for part in row.split("|"))) for row in LANGUAGES)


class Words:
    """The words of one side: coined ones never twice, and never one of the other side's."""

    def __init__(self, side: Side, label: str = "words") -> None:
        """`label` tells worlds apart that coin their own words."""
        self._side = 0 if side == "test" else 1
        self._used: dict[str, None] = {}
        self._dice = Rng(f"{side}/{label}")
        self.adjectives = [word for word in TITLE_ADJECTIVES if self._owns(word)]
        self.nouns = [word for word in TITLE_NOUNS if self._owns(word)]

    def coin(self, language: Language, endings: tuple[str, ...], syllables: int = 1) -> str:
        """A new capitalised word of the language."""
        while True:
            word = self._sound(language, syllables) + self._dice.pick(endings)
            word = re.sub(r"(.)\1\1+", r"\1\1", word).capitalize()
            if self._fresh(word):
                self._used[word] = None
                return word

    def claim(self, word: str) -> bool:
        """Take a given word if the side may have it and has not used it."""
        if not self._fresh(word):
            return False
        self._used[word] = None
        return True

    def _sound(self, language: Language, syllables: int) -> str:
        rng = self._dice
        parts = [rng.pick(language.onsets) + rng.pick(language.vowels) for _ in range(syllables)]
        return "".join(parts) + (rng.pick(language.codas) if rng.chance(55) else "")

    def _fresh(self, word: str) -> bool:
        return (
            4 <= len(word) <= 12
            and self._owns(word)
            and word not in self._used
            and word.lower() not in ORDINARY
        )

    def _owns(self, word: str) -> bool:
        return bucket(word.lower(), 2) == self._side


class NamePool(Struct, frozen=True):
    """A country's stock of names; people and places draw from it and so share words."""

    male: tuple[str, ...]
    female: tuple[str, ...]
    surnames: tuple[str, ...]
    places: tuple[str, ...]


def name_pool(words: Words, language: Language, people: int, places: int) -> NamePool:
    """A stock of `people` surnames, half as many given names of each sex, and place words."""

    def coin(endings: tuple[str, ...], count: int, syllables: int) -> tuple[str, ...]:
        return tuple(words.coin(language, endings, syllables) for _ in range(count))

    return NamePool(
        male=coin(language.male, people // 2, 1),
        female=coin(language.female, people // 2, 1),
        surnames=coin(language.surname, people // 2, 1) + coin(language.surname, people // 2, 2),
        places=coin(language.place, places // 2, 1) + coin(language.place, places // 2, 2),
    )


def place_name(rng: Rng, pool: NamePool, taken: Callable[[str], bool]) -> str:
    """A town's name that is not taken: often one that another town's name contains."""
    while True:
        name = rng.pick(_PLACE_PATTERNS).format(rng.pick(pool.places))
        if not taken(name):
            return name


def work_title(rng: Rng, words: Words, pool: NamePool) -> str:
    """A title for a film, novel, album, song or series; not necessarily a new one."""
    noun, other = rng.pick(words.nouns), rng.pick(words.nouns)
    title = rng.pick(_TITLE_PATTERNS).format(
        adjective=rng.pick(words.adjectives),
        noun=noun,
        nouns=plural(noun),
        other=other if other != noun else rng.pick(words.adjectives),
        place=rng.pick(pool.places),
        given=rng.pick(pool.male + pool.female),
    )
    return with_articles(title)
