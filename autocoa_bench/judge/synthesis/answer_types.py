"""The type of an answer (a date, a number, a person, a place) and its meaning."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import Literal

from msgspec import Struct

AnswerType = Literal["yes-no", "date", "year", "number", "person", "place", "list", "name", "words"]

WORDS = Path(__file__).parent / "words"
PHRASES: dict[str, list[str]] = tomllib.loads((WORDS / "phrases.toml").read_text(encoding="utf-8"))
"""The lists of words/phrases.toml."""

YEAR = re.compile(r"1\d{3}|20\d\d")


def alternatives(*lists: str) -> str:
    """A regular expression's alternatives: the words of the lists."""
    return "|".join(re.escape(word) for name in lists for word in PHRASES[name])


_MONTH = alternatives("months")
_DATES = (
    re.compile(rf"(?:on )?(?P<day>\d{{1,2}}) (?P<month>{_MONTH}),? (?P<year>\d{{4}})"),
    re.compile(rf"(?:on )?(?P<month>{_MONTH}) (?P<day>\d{{1,2}}),? (?P<year>\d{{4}})"),
)
_NUMBER = re.compile(
    r"(?P<before>(?:(?:about|around|almost|over|approximately|nearly) )?[$£€]?)"
    r"(?P<figure>\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)"
    r"(?P<after>(?: (?:million|billion))?(?: [\w.-]+){0,4})"
)
_PERSON = re.compile(
    r"^(who|whom)\b|\b(by|with|to|for|after|under|of|from) whom?\b|\bwho ?\?$"
    rf"|\b(which|what|name the|this)( [\w'-]+){{0,4}} ({alternatives('person_nouns')})\b",
    re.IGNORECASE,
)
_PLACE = re.compile(rf"\b({alternatives('place_nouns')})\b", re.IGNORECASE)
_NO_PERSON = re.compile(rf"\b({alternatives('no_person')})\b", re.IGNORECASE)
_FUNCTION_WORD = re.compile(r"\b(a|an|the|of|in|and|at|on)\b|[^\w\s]")
_CAPITALISED = re.compile(r"[A-ZÀ-Þ][\w.'’-]*")
MONTHS = PHRASES["months"]
_NUMBERS, _ORDINALS = PHRASES["numbers"], PHRASES["ordinals"]


class AnswerDate(Struct, frozen=True):
    """A day; `month` counts from 1."""

    day: int
    month: int
    year: int


class Number(Struct, frozen=True):
    """A number with its context: currency or "about" before it, the unit and so on after it."""

    before: str
    value: float
    after: str


def answer_type(question: str, gold: str) -> AnswerType:
    """The type of a gold, by its own form and by the question."""
    if gold.lower().strip(".") in ("yes", "no"):
        return "yes-no"
    if read_date(gold):
        return "date"
    if YEAR.fullmatch(gold):
        return "year"
    if read_number(gold) or gold.lower() in (*_NUMBERS, *_ORDINALS):
        return "number"
    if len(list_items(gold)) > 1:
        return "list"
    # Persons and places have the same form; the question decides between them.
    words = gold.split()
    capitalised = all(_CAPITALISED.fullmatch(word) for word in words)
    asks_person = _PERSON.search(question)
    if gold in nations() or (_PLACE.search(question) and capitalised and not asks_person):
        return "place"
    if capitalised and 2 <= len(words) <= 4 and asks_person and not _NO_PERSON.search(gold):
        return "person"
    return "name" if gold[:1].isupper() or gold[:1] == '"' else "words"


def read_date(text: str) -> AnswerDate | None:
    """The day that a text consists of."""
    for form in _DATES:
        if match := form.fullmatch(text.strip().rstrip(".")):
            month = MONTHS.index(match["month"]) + 1
            return AnswerDate(int(match["day"]), month, int(match["year"]))
    return None


def read_number(text: str) -> Number | None:
    """The number, with its unit, that a text consists of; years and dates are none."""
    match = _NUMBER.fullmatch(text.strip().rstrip("."))
    if match is None or read_date(text) or YEAR.fullmatch(match["figure"]):
        return None
    return Number(match["before"], float(match["figure"].replace(",", "")), match["after"])


def figure(value: float, separator: str = ",") -> str:
    """A number in digits, with thousands separated."""
    whole = int(value)
    return f"{whole:,}".replace(",", separator) if whole == value else f"{value:g}"


def spelled(value: int) -> str:
    """A number below 1,000 in words."""
    if value < 20:
        return _NUMBERS[value]
    if value < 100:
        ones = value % 10
        return PHRASES["tens"][value // 10 - 2] + (f"-{_NUMBERS[ones]}" if ones else "")
    rest = value % 100
    return f"{_NUMBERS[value // 100]} hundred" + (f" and {spelled(rest)}" if rest else "")


def unspelled(text: str) -> int | None:
    """The number below 1,000 that a text gives in words."""
    return _SPELLED_NUMBERS.get(text.lower().strip().rstrip("."))


_SPELLED_NUMBERS = {spelled(value): value for value in range(1000)}


def ordinal(value: int) -> str:
    """1st, 2nd, 3rd, 4th."""
    ending = "th" if 10 <= value % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value}{ending}"


def read_ordinal(text: str) -> int | None:
    """The value of an ordinal: "third", "3rd"."""
    lower = text.lower().strip().rstrip(".")
    if lower in _ORDINALS:
        return _ORDINALS.index(lower) + 1
    match = re.fullmatch(r"(\d+)(?:st|nd|rd|th)", lower)
    return int(match[1]) if match else None


def split_place(text: str) -> tuple[str, str] | None:
    """A place and its surroundings, if these are a known state or country: Denver, Colorado."""
    place, comma, around = text.partition(", ")
    last = around.rpartition(", ")[2]
    is_known = last in nations() or any(last in row[1:] for row in table("regions"))
    return (place, around) if comma and place[:1].isupper() and is_known else None


def list_items(text: str) -> list[str]:
    """The items of "A, B and C"; the text itself if it is no list of names."""
    parts = [part.strip() for part in re.split(r", and | and |, ", text)]
    is_list = " and " in text and all(_CAPITALISED.match(part) for part in parts if part)
    short = all(0 < len(part.split()) <= 4 for part in parts)
    return parts if is_list and short and '"' not in text else [text]


@cache
def table(name: str) -> tuple[tuple[str, ...], ...]:
    """The rows of a table of words/."""
    lines = (WORDS / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
    return tuple(tuple(line.split("\t")) for line in lines if line and not line.startswith("#"))


@cache
def nations() -> dict[str, str]:
    """The country for each name, adjective and alias."""
    return {word: row[0] for row in table("nations") for word in row}


def meaning(text: str) -> str:
    """A key that is equal for answers that the tables and formats here identify as the same."""
    if date := read_date(text):
        return f"{date.year}-{date.month}-{date.day}"
    if (place := read_ordinal(text)) is not None:
        return f"#{place}"
    number = read_number(text)
    if number is not None and not number.after.strip():
        return f"{number.value:g}"
    if (value := unspelled(text)) is not None:
        return f"{value:g}"
    bare = _bare(text)
    return _meanings().get(bare, bare)


@cache
def _meanings() -> dict[str, str]:
    rows = [*table("nations"), *table("synonyms")]
    return {_bare(word): _bare(row[0]) for row in rows for word in row}


def content_words(text: str) -> frozenset[str]:
    """The words of a text in lower case, without articles, "of" and the like."""
    return frozenset(_FUNCTION_WORD.sub(" ", text.lower()).split())


def _bare(text: str) -> str:
    lower = re.sub(r"[^\w\s]", "", text.lower())
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", lower).split())
