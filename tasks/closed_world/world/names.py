"""Names for a side's people, places, works and organisations, from made-up languages.

The two sides share no word of a name: the checksum of a word decides which side it belongs to.
"""

import re
from collections.abc import Sequence

from msgspec import Struct

from tasks.closed_world.entities import Side
from tasks.closed_world.rng import Rng, bucket
from tasks.closed_world.text.grammar import plural, with_articles
from tasks.closed_world.world.vocabulary import VOCABULARY, Language

_ORDINARY = frozenset(VOCABULARY.ordinary.split())


class Words:
    """The words of one side. No word is coined twice, and none belongs to the other side."""

    def __init__(self, side: Side, label: str = "words") -> None:
        """`label` seeds the words of a world that coins its own."""
        self._side = 0 if side == "test" else 1
        self._used: set[str] = set()
        self._rng = Rng(f"{side}/{label}")
        self.adjectives = [word for word in VOCABULARY.title_adjectives.split() if self._owns(word)]
        self.nouns = [word for word in VOCABULARY.title_nouns.split() if self._owns(word)]

    def coin(self, language: Language, endings: Sequence[str], syllables: int = 1) -> str:
        """A new capitalised word of the language."""
        rng = self._rng
        while True:
            parts = [
                rng.pick(language.onsets.split()) + rng.pick(language.vowels.split())
                for _ in range(syllables)
            ]
            coda = rng.pick(language.codas.split()) if rng.chance(55) else ""
            word = "".join([*parts, coda, rng.pick(endings)])
            word = re.sub(r"(.)\1\1+", r"\1\1", word).capitalize()
            if self.claim(word):
                return word

    def claim(self, word: str) -> bool:
        """Reserve a word; False if it is the other side's, in use, ordinary, too short or long."""
        is_ordinary = word.lower() in _ORDINARY or not 4 <= len(word) <= 12
        if is_ordinary or word in self._used or not self._owns(word):
            return False
        self._used.add(word)
        return True

    def _owns(self, word: str) -> bool:
        return bucket(word.lower(), 2) == self._side


class NamePool(Struct, frozen=True):
    """The names of a country. People and places draw from them and so share words."""

    male: tuple[str, ...]
    female: tuple[str, ...]
    surnames: tuple[str, ...]
    places: tuple[str, ...]


def name_pool(words: Words, language: Language, people: int, places: int) -> NamePool:
    """Names for a country: `people` surnames, half as many first names of each sex, and places."""

    def coin(endings: str, count: int, syllables: int) -> tuple[str, ...]:
        return tuple(words.coin(language, endings.split(), syllables) for _ in range(count))

    return NamePool(
        male=coin(language.male, people // 2, 1),
        female=coin(language.female, people // 2, 1),
        surnames=coin(language.surname, people // 2, 1) + coin(language.surname, people // 2, 2),
        places=coin(language.place, places // 2, 1) + coin(language.place, places // 2, 2),
    )


def work_title(rng: Rng, words: Words, pool: NamePool) -> str:
    """A title for a film, novel, album, song or series; other works may have the same."""
    noun, second = rng.pick(words.nouns), rng.pick(words.nouns)
    title = rng.pick(VOCABULARY.title_patterns).format(
        adjective=rng.pick(words.adjectives),
        noun=noun,
        nouns=plural(noun),
        other=second if second != noun else rng.pick(words.adjectives),
        place=rng.pick(pool.places),
        given=rng.pick(pool.male + pool.female),
    )
    return with_articles(title)
