"""Terms of a text, as BM25 indexes them and looks them up.

A term is a word: letters, marks and digits, after NFKC, case folding and the folding of accents.
Scripts that put no spaces between words (Han, kana, Thai, Lao, Khmer, Burmese), and Hangul, whose
particles stick to its words, give characters and pairs of neighbouring characters instead.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from typing import NamedTuple

_UNSPACED = (
    # Thai, Lao, Burmese, Khmer, Tai scripts, Yi; without digits, which are words.
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ece\u0edc-\u0edf\u1000-\u103f\u1050-\u108f\u109a-\u109f"
    "\u1780-\u17d3\u17dc\u17dd\u1950-\u1974\u1980-\u19c9\u1a20-\u1a7c\ua000-\ua4cf\ua9e0-\ua9ef"
    "\ua9fa-\ua9fe\uaa60-\uaa7f"
    # Han with its iteration marks, kana with the long vowel, Bopomofo, Hangul.
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u303b\u303c\u3041-\u3096\u3099\u309a\u309d-\u309f"
    "\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u3131-\u318e\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff"
    "\u1100-\u11ff\ua960-\ua97c\uac00-\ud7fb"
)
_find_unspaced = re.compile(f"[{_UNSPACED}]").search

_find_foreign = re.compile("[^\x00-\x7f]+").findall

# Soft hyphens, zero-width joiners, marks of direction, variation selectors, the Arabic tatweel.
_INVISIBLE = (
    "\u00ad\u034f\u0640\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef"
)
_APOSTROPHES = "\u00b4\u02b9-\u02bf\u055a\u2018\u2019\u201b\u2032\ua78c\uff07"
_find_special = re.compile(f"[{_INVISIBLE}{_APOSTROPHES}]").search
_drop_invisible = re.compile(f"[{_INVISIBLE}]+").sub
_fold_apostrophes = re.compile(f"[{_APOSTROPHES}]").sub

# What English writes after an apostrophe is no word: it's, Anna's, don't, they'll.
_drop_endings = re.compile(r"'(?<=\w')(?:s|t|d|m|ll|re|ve)\b").sub

_find_simple_words = re.compile(r"[^\W_]+").findall
_find_ascii_words = re.compile("[a-z0-9]+").findall

# Accents of Latin, Greek and Cyrillic, points of Hebrew, vowel signs of Arabic. The marks of other
# scripts are letters to their readers.
_drop_accents = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed]+"
).sub
_LETTERS = str.maketrans(
    {
        "ø": "o",
        "ł": "l",
        "đ": "d",
        "ħ": "h",
        "ŧ": "t",
        "ı": "i",
        "ð": "d",
        "þ": "th",
        "æ": "ae",
        "œ": "oe",
        "ک": "ك",
        "ی": "ي",
        "ى": "ي",
        "ة": "ه",
    }
)


def index_terms(text: str) -> list[str]:
    """The words of a passage, not yet folded; of unspaced scripts, characters and pairs."""
    return _terms(text, _characters_and_pairs)


def query_terms(text: str) -> list[str]:
    """The words of a query, not yet folded; of unspaced scripts, pairs.

    A character without a neighbour is looked up by itself.
    """
    return _terms(text, _pairs)


def is_unspaced(text: str) -> bool:
    """Tell whether most letters of a text belong to scripts that put no spaces between words."""
    unspaced = sum(map(len, re.findall(f"[{_UNSPACED}]+", text)))
    return 2 * unspaced > sum(map(str.isalpha, text))


def folded(word: str) -> str:
    """A word of `index_terms` or `query_terms` without accents, and with ASCII digits."""
    if word.isascii():
        return word
    letters = _drop_accents("", unicodedata.normalize("NFD", word)).translate(_LETTERS)
    letters = unicodedata.normalize("NFC", letters)
    if letters.isascii():
        return letters
    return "".join(str(unicodedata.decimal(char)) if char.isdecimal() else char for char in letters)


def _terms(text: str, split: Callable[[list[str]], Iterator[str]]) -> list[str]:
    if text.isascii():
        text = text.lower()
        return _find_ascii_words(_drop_endings("", text) if "'" in text else text)
    # The foreign letters alone tell, at little cost, what the whole text needs.
    foreign = "".join(_find_foreign(text))
    if _find_special(foreign):
        text, foreign = (
            _fold_apostrophes("'", _drop_invisible("", part)) for part in (text, foreign)
        )
    text, foreign = _normalised(text), _normalised(foreign)
    text = _drop_endings("", text) if "'" in text else text
    patterns = _patterns()
    if not _find_unspaced(foreign):
        has_marks = patterns.find_mark(foreign)
        return patterns.find_words(text) if has_marks else _find_simple_words(text)
    terms: list[str] = []
    for run in patterns.find_words(text):
        if _find_unspaced(run[0]):
            terms += split(patterns.find_characters(run))
        else:
            terms.append(run)
    return terms


def _normalised(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _characters_and_pairs(characters: list[str]) -> Iterator[str]:
    yield from characters
    yield from _pairs(characters) if len(characters) > 1 else ()


def _pairs(characters: list[str]) -> Iterator[str]:
    if len(characters) == 1:
        yield characters[0]
    for first, second in pairwise(characters):
        yield first + second


class _Patterns(NamedTuple):
    """What needs the list of all marks, which takes time to make."""

    find_mark: Callable[[str], object]
    find_words: Callable[[str], list[str]]
    """The words of a text; a run of unspaced letters is one of them."""
    find_characters: Callable[[str], list[str]]
    """The characters of such a run, each with its marks."""


@cache
def _patterns() -> _Patterns:
    codes = range(0x300, 0x20000)
    marks = "".join(chr(code) for code in codes if unicodedata.category(chr(code))[0] == "M")
    letter = f"[^\\W_{_UNSPACED}]"
    return _Patterns(
        re.compile(f"[{marks}]").search,
        re.compile(f"{letter}(?:{letter}|[{marks}])*|[{_UNSPACED}][{_UNSPACED}{marks}]*").findall,
        re.compile(f".[{marks}]*").findall,
    )
