"""What an answer is (a date, a number, yes or no, a person, a place), read from its text."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Literal

from msgspec import Struct

Kind = Literal["yes-no", "date", "year", "number", "person", "place", "list", "name", "words"]

MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)

_WORDS = Path(__file__).parent / "words"
_MONTH = "|".join(MONTHS)
_DATES = (
    re.compile(rf"(?:on )?(?P<day>\d{{1,2}}) (?P<month>{_MONTH}),? (?P<year>\d{{4}})"),
    re.compile(rf"(?:on )?(?P<month>{_MONTH}) (?P<day>\d{{1,2}}),? (?P<year>\d{{4}})"),
)
_NUMBER = re.compile(
    r"(?P<before>(?:(?:about|around|almost|over|approximately|nearly) )?[$£€]?)"
    r"(?P<figure>\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?)"
    r"(?P<after>(?: (?:million|billion))?(?: [\w.-]+){0,4})"
)
_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen"),
    *("eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_ORDINALS = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"),
    *("tenth", "eleventh", "twelfth"),
)
_PEOPLE = re.compile(
    r"^(who|whom)\b|\b(by|with|to|for|after|under|of|from) whom\b"
    r"|\b(which|what|name the|this)( [\w'-]+){0,4} (person|man|woman|actor|actress|singer|director"
    r"|author|writer|player|artist|musician|composer|politician|rapper|comedian|producer|coach"
    r"|king|queen|president|mayor|poet|novelist|general|founder|senator|architect|footballer)\b",
    re.IGNORECASE,
)
_PLACES = re.compile(
    r"\b(where|city|town|country|state|county|village|province|region|island|location|place of"
    r"|birthplace|continent)\b",
    re.IGNORECASE,
)
_CAPITALISED = re.compile(r"[A-ZÀ-Þ][\w.'’-]*")
_NO_NAME = re.compile(
    r"\b(the|of|and|for|in|film|university|company|county|band|club|records|press)\b",
    re.IGNORECASE,
)


class AnswerDate(Struct, frozen=True):
    """A day; `month` counts from 1."""

    day: int
    month: int
    year: int


class Number(Struct, frozen=True):
    """A number with what stands around it: currency or "about" before, unit and so on after."""

    before: str
    value: float
    after: str


def kind_of(question: str, gold: str) -> Kind:
    """What a gold is, by its own form and what is asked."""
    if gold.lower().strip(".") in ("yes", "no"):
        return "yes-no"
    if read_date(gold):
        return "date"
    if re.fullmatch(r"1\d{3}|20\d\d", gold):
        return "year"
    if read_number(gold) or gold.lower() in _ONES or gold.lower() in _ORDINALS:
        return "number"
    if len(items(gold)) > 1:
        return "list"
    words = gold.split()
    named = all(_CAPITALISED.fullmatch(word) for word in words)
    if gold in nations() or (_PLACES.search(question) and named and not _PEOPLE.search(question)):
        return "place"
    if named and 2 <= len(words) <= 4 and _PEOPLE.search(question) and not _NO_NAME.search(gold):
        return "person"
    return "name" if gold[:1].isupper() or gold[:1] == '"' else "words"


def read_date(text: str) -> AnswerDate | None:
    """The day that a text is."""
    for form in _DATES:
        if found := form.fullmatch(text.strip().rstrip(".")):
            month = MONTHS.index(found["month"]) + 1
            return AnswerDate(int(found["day"]), month, int(found["year"]))
    return None


def read_number(text: str) -> Number | None:
    """The number that a text is, with its unit; no year, no date."""
    found = _NUMBER.fullmatch(text.strip().rstrip("."))
    if found is None or read_date(text) or re.fullmatch(r"1\d{3}|20\d\d", found["figure"]):
        return None
    return Number(found["before"], float(found["figure"].replace(",", "")), found["after"])


def figure(value: float, separator: str = ",") -> str:
    """A number in digits, thousands separated."""
    whole = int(value)
    return f"{whole:,}".replace(",", separator) if whole == value else f"{value:g}"


def spelled(value: int) -> str:
    """A number below 1,000 in words."""
    if value < 20:
        return _ONES[value]
    if value < 100:
        ones = value % 10
        return _TENS[value // 10] + (f"-{_ONES[ones]}" if ones else "")
    rest = value % 100
    return f"{_ONES[value // 100]} hundred" + (f" and {spelled(rest)}" if rest else "")


def unspelled(text: str) -> int | None:
    """The number below 1,000 that words are."""
    return _by_words().get(text.lower().strip().rstrip("."))


@cache
def _by_words() -> dict[str, int]:
    return {spelled(value): value for value in range(1000)}


def ordinal(value: int) -> str:
    """1st, 2nd, 3rd, 4th."""
    ending = "th" if 10 <= value % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value}{ending}"


def ordinal_word(value: int) -> str | None:
    """First to twelfth."""
    return _ORDINALS[value - 1] if 1 <= value <= len(_ORDINALS) else None


def read_ordinal(text: str) -> int | None:
    """What place a text is: "third", "3rd"."""
    lower = text.lower().strip().rstrip(".")
    if lower in _ORDINALS:
        return _ORDINALS.index(lower) + 1
    found = re.fullmatch(r"(\d+)(?:st|nd|rd|th)", lower)
    return int(found[1]) if found else None


def within(text: str) -> tuple[str, str] | None:
    """The place and what it lies in that a text is: ("Denver", "Colorado")."""
    place, comma, around = text.partition(", ")
    last = around.rpartition(", ")[2]
    known = last in nations() or any(last in row[1:] for row in table("regions"))
    return (place, around) if comma and place[:1].isupper() and known else None


def items(text: str) -> list[str]:
    """The items of "A, B and C"; the whole text where it is no list of names."""
    parts = [part.strip() for part in re.split(r", and | and |, ", text)]
    is_list = " and " in text and all(_CAPITALISED.match(part) for part in parts if part)
    short = all(0 < len(part.split()) <= 4 for part in parts)
    return parts if is_list and short and '"' not in text else [text]


@cache
def table(name: str) -> tuple[tuple[str, ...], ...]:
    """The rows of one of this package's tables of words."""
    lines = (_WORDS / f"{name}.tsv").read_text(encoding="utf-8").splitlines()
    return tuple(tuple(line.split("\t")) for line in lines if line and not line.startswith("#"))


@cache
def nations() -> dict[str, str]:
    """The country that a name, an adjective or an alias is of."""
    return {word: row[0] for row in table("nations") for word in row}


def meaning(text: str) -> str:
    """A key that is equal for answers that these tables and formats know to be the same."""
    bare = _bare(text)
    if date := read_date(text):
        return f"{date.year}-{date.month}-{date.day}"
    if (place := read_ordinal(text)) is not None:
        return f"#{place}"
    number = read_number(text)
    if number is not None and not number.after.strip():
        return f"{number.value:g}"
    if (value := unspelled(text)) is not None:
        return f"{value:g}"
    return _meanings().get(bare, bare)


@cache
def _meanings() -> dict[str, str]:
    rows = [*table("nations"), *table("synonyms")]
    return {_bare(word): _bare(row[0]) for row in rows for word in row}


def _bare(text: str) -> str:
    lower = re.sub(r"[^\w\s]", "", text.lower())
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", lower).split())
