"""Wrong answers: each function gives one that is near the gold and not it, or None.

`SLIPS` names those that need nothing but what was asked and the gold. Values of other questions,
which stand beside these, are `Pool`'s.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from random import Random

from autocoa_bench.judge.synthesis.answer_types import (
    MONTHS,
    AnswerDate,
    figure,
    items,
    kind_of,
    meaning,
    nations,
    ordinal,
    read_date,
    read_number,
    read_ordinal,
    spelled,
    table,
    unspelled,
    within,
)
from autocoa_bench.judge.synthesis.phrasing import NOTHING
from autocoa_bench.judge.synthesis.right_answers import Form, clause

_NAMES = re.compile(r"[A-Z0-9][\w'’.-]*(?: (?:(?:of|the|in|and|for|a) )*[A-Z0-9][\w'’.-]*)*")
_FIRST = (
    *("John", "Mary", "Peter", "Anna", "George", "Helen", "Paul", "Laura", "Mark", "Emma"),
    *("Henry", "Alice", "Frank", "Julia", "Martin", "Clara", "Oscar", "Diana", "Louis", "Sarah"),
)
_LAST = (
    *("Smith", "Miller", "Jones", "Wilson", "Taylor", "Clark", "Lewis", "Walker", "Young", "King"),
    *("Scott", "Green", "Baker", "Carter", "Turner", "Parker", "Collins", "Morris", "Reed", "Cook"),
)
_TASKS = (
    *("actor", "singer", "writer", "film director", "painter", "politician", "lawyer", "physician"),
    *("composer", "poet", "engineer", "journalist", "tennis player", "football player", "chef"),
)
_CHOICE = re.compile(r"([A-Z\"][^,?]{1,50}?),? or (?:the )?([A-Z\"][^,?]{1,50}?) ?[?.]?$")
_EMPTY = re.compile(r"\b(a|an|the|of|in|and|at|on)\b|[^\w\s]")


def other_date(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001 - a Form
    """A neighbour of the day, or only a part of it."""
    date = read_date(gold)
    if date is None:
        return None
    day, month, year = date.day, date.month, date.year
    moved = rng.choice(
        (
            AnswerDate(day % 28 + rng.randint(1, 3) if day < 26 else day - 3, month, year),
            AnswerDate(day, (month + rng.randint(0, 10)) % 12 + 1, year),
            AnswerDate(day, month, _year(year, rng)),
            AnswerDate(rng.randint(1, 28), rng.randint(1, 12), _year(year, rng)),
        )
    )
    if moved == date:
        return None
    name = MONTHS[moved.month - 1]
    return rng.choice(
        (
            f"{moved.day} {name} {moved.year}",
            f"{name} {moved.day}, {moved.year}",
            f"{name} {ordinal(moved.day)}, {moved.year}",
            f"{name} {_year(year, rng)}",
            str(_year(year, rng)),
        )
    )


def other_year(question: str, gold: str, rng: Random) -> str | None:
    """A neighbour of the year, or its decade or century."""
    if kind_of(question, gold) != "year":
        return None
    year = int(gold)
    near = _year(year, rng)
    return rng.choice(
        (str(near), str(near), str(near), f"{rng.choice(MONTHS)} {near}", f"in {near}",
         f"{rng.randint(1, 28)} {rng.choice(MONTHS)} {near}", f"the {year // 10 * 10}s",
         f"the {ordinal(year // 100 + 1)} century")
    )  # fmt: skip


def _year(year: int, rng: Random) -> int:
    return year + rng.choice((-1, 1)) * rng.choice((1, 1, 1, 2, 3, 4, 5, 7, 10, 20, 100))


def other_number(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """A number that is off by a digit, by a little, or by a magnitude."""
    place, value = read_ordinal(gold), unspelled(gold)
    if place is not None:
        near = max(1, place + rng.choice((-2, -1, 1, 2)))
        return ordinal(near) if near != place else None
    if value is not None:
        near = max(0, value + rng.choice((-3, -2, -1, 1, 2, 3, 10)))
        return None if near == value else rng.choice((str(near), spelled(near)))
    number = read_number(gold)
    if number is None:
        return None
    near_value = _near(number.value, rng)
    if near_value == number.value:
        return None
    return f"{number.before}{figure(near_value)}{number.after}"


def _near(value: float, rng: Random) -> float:
    if value != int(value):
        return round(value * rng.choice((0.1, 0.9, 1.1, 2, 10)), 2)
    digits = list(str(int(value)))
    at = rng.randrange(len(digits))
    digits[at] = rng.choice([d for d in "123456789" if d != digits[at]])
    return rng.choice((float("".join(digits)), value + rng.choice((-1, 1, 2, 5)), value * 10))


def other_person(question: str, gold: str, rng: Random) -> str | None:
    """A namesake: another first name, or another last name; or a relative."""
    if kind_of(question, gold) != "person":
        return None
    first, *middle, last = gold.split()
    new_first = rng.choice([name for name in _FIRST if name[0] != first[0]])
    new_last = rng.choice([name for name in _LAST if name != last])
    return rng.choice(
        (
            f"{new_first} {last}",
            f"{new_first} {last}",
            " ".join((first, new_last)),
            " ".join((first, *middle, new_last)),
            f"{gold}'s {rng.choice(('father', 'wife', 'brother', 'daughter', 'manager'))}",
        )
    )


def other_place(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """A place of the same name elsewhere, another city of the state, or what it lies in."""
    regions = table("regions")
    city, comma, rest = gold.partition(", ")
    found = next((row for row in regions if row[0] == city), None)
    if found:
        name, state, _, country = found
        away = rng.choice([row for row in regions if row[1] != state])
        near = [row for row in regions if row[1] == state and row[0] != name] or [away]
        options = [f"{rng.choice(near)[0]}, {state}", away[0], f"{away[0]}, {away[1]}"]
        options += [f"{city}, {away[1]}"] if comma else []
        return rng.choice([*options, state, country] if state not in city else options)
    if within(gold) is None:
        return None
    away = rng.choice([row for row in regions if row[1] not in rest])
    return rng.choice((rest, f"{city}, {away[1]}", f"{away[0]}, {rest}", away[0]))


def other_nation(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """Another country, or the adjective of one, in the gold's own form or the other."""
    country = nations().get(gold.removeprefix("the "))
    if country is None:
        return None
    row = rng.choice([row for row in table("nations") if not _related(row[0], country)])
    return rng.choice(row[:2])


_BRITISH = {"United Kingdom", "England", "Scotland", "Wales"}


def _related(one: str, other: str) -> bool:
    """Whether one country is, or is part of, the other."""
    groups = (_BRITISH, {"Russia", "Soviet Union", "Ukraine"}, {"Ireland", "United Kingdom"})
    return one == other or any({one, other} <= group for group in groups)


def one_of_several(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """A list without some of its items, or with another one in place of the last."""
    parts = items(gold)
    return rng.choice(parts) if len(parts) > 1 else None


def opposite(question: str, gold: str, rng: Random) -> str | None:
    """Yes for no, no for yes, with or without a clause."""
    if kind_of(question, gold) != "yes-no":
        return None
    flipped = "no" if gold.lower().startswith("yes") else "yes"
    return rng.choice((flipped, flipped, clause(question, flipped, rng) or flipped))


def broader(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """The common noun in a name: "University" for "Lund University"."""
    words = gold.split()
    if len(words) < 2 or gold[:1].islower() or any(char.isdigit() for char in gold):
        return None
    found = re.search(
        r"\b(University|College|River|County|Award|Prize|Stadium|Company|Band|Press|Island|School"
        r"|Records|Party|Museum|Church|Hotel|Park|Bridge|Airport|Club|Mount|Lake|Festival|Cup)\b",
        gold,
    )
    if found is None:
        return None
    word = found[1].lower()
    return rng.choice((found[1], f"the {word}", f"a {word}"))


def other_choice(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """Of "X or Y?" the one that is not right."""
    found = _CHOICE.search(question)
    if found is None:
        return None
    one, other = found[1], found[2]
    right, left = _content(gold), _content(one)
    if left & right:
        one, left, other = other, _content(other), one
    return None if left & right or not _content(other) & right else one


def asked_about(question: str, gold: str, rng: Random) -> str | None:
    """A name that the question itself holds, such as what it asks about."""
    text = question[:1].lower() + question[1:]
    names = [name.rstrip(".,'") for name in _NAMES.findall(text)]
    fit = [name for name in names if len(name) > 2 and differs(name, gold)]
    return rng.choice(fit) if fit else None


def sequel(question: str, gold: str, rng: Random) -> str | None:
    """A name with something added that makes it another thing."""
    if kind_of(question, gold) != "name" or len(gold.split()) > 6:
        return None
    base = gold.strip('".')
    options = [f"{base} II", f"{base} 2", f"New {base}", f"Return to {base}", f"North {base}"]
    options += [f"{base} {rng.choice(('Junior', 'East', 'Foundation', 'Museum', 'Street'))}"]
    return rng.choice(options)


def occupation(question: str, gold: str, rng: Random) -> str | None:
    """Another thing that one can be."""
    if not re.search(r"occupation|profession|career|what (?:kind|type) of", question.lower()):
        return None
    return rng.choice(_TASKS) if gold.islower() or gold[:1].islower() else None


def nothing(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """No answer."""
    return rng.choice(NOTHING)


def echo(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """The question given back, or its beginning."""
    words = question.split()
    return rng.choice((question, " ".join(words[: max(3, len(words) // 2)])))


def denied(question: str, gold: str, rng: Random) -> str | None:
    """The gold named and denied."""
    if kind_of(question, gold) == "yes-no":
        return None
    return rng.choice(
        (f"not {gold}", f"It is not {gold}.", f"Anything but {gold}", f"It was never {gold}.")
    )


SLIPS: Mapping[str, tuple[Form, float]] = {
    "other date": (other_date, 8.0),
    "other year": (other_year, 8.0),
    "other number": (other_number, 8.0),
    "other person": (other_person, 3.0),
    "other place": (other_place, 6.0),
    "other nation": (other_nation, 8.0),
    "one of several": (one_of_several, 3.0),
    "opposite": (opposite, 20.0),
    "broader": (broader, 1.5),
    "other choice": (other_choice, 12.0),
    "asked about": (asked_about, 2.0),
    "sequel": (sequel, 0.6),
    "occupation": (occupation, 2.0),
    "nothing": (nothing, 0.5),
    "echo": (echo, 0.15),
    "denied": (denied, 0.15),
}
"""Every way to be wrong by name, with how often it is taken beside others that apply."""


def differs(one: str, other: str) -> bool:
    """Whether two answers share no meaning that could be told here: neither says the other."""
    if meaning(one) == meaning(other):
        return False
    first, second = _content(one), _content(other)
    return bool(first and second) and not (first <= second or second <= first)


def _content(text: str) -> frozenset[str]:
    return frozenset(_EMPTY.sub(" ", text.lower()).split())


class Pool:
    """The golds of many questions, by what they are, to take one for another."""

    def __init__(self, asked: Iterable[tuple[str, str]]) -> None:
        """`asked`: questions with a gold each."""
        self._alike: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._by_word: dict[str, list[str]] = defaultdict(list)
        for question, gold in asked:
            self._alike[key_of(question, gold)].append(gold)
            self._alike[kind_of(question, gold), ""].append(gold)
            for word in _content(gold):
                if len(word) > 3:
                    self._by_word[word].append(gold)

    def sibling(self, question: str, gold: str, rng: Random) -> str | None:
        """A gold of a question that asks for the same sort of thing."""
        kind, sort = key_of(question, gold)
        if kind == "yes-no":
            return None
        found = self._drawn(self._alike[kind, sort], gold, rng)
        return found or self._drawn(self._alike[kind, ""], gold, rng)

    def similar(self, question: str, gold: str, rng: Random) -> str | None:
        """A gold that shares a word: another university, another person of that name."""
        if kind_of(question, gold) in ("yes-no", "year", "date", "number"):
            return None
        words = [word for word in sorted(_content(gold)) if len(self._by_word.get(word, ())) > 1]
        return self._drawn(self._by_word[rng.choice(words)], gold, rng) if words else None

    def _drawn(self, values: list[str], gold: str, rng: Random) -> str | None:
        for _ in range(6):
            if values and differs(value := rng.choice(values), gold):
                return value
        return None


_SORT = re.compile(
    r"\b(city|town|country|state|county|region|river|mountain|island|university|college|school"
    r"|company|band|film|movie|song|album|novel|book|series|show|magazine|award|prize|team|club"
    r"|airline|actor|actress|singer|director|author|writer|player|nationality|occupation|language"
    r"|population|how many|publisher|label|network|station|character|game|battle|war|party)\b"
)


def key_of(question: str, gold: str) -> tuple[str, str]:
    """What is asked for: the gold's kind, and the first sort of thing after the question word."""
    lower = question.lower()
    start = re.search(r"\b(what|which|how many|who|where)\b", lower)
    found = _SORT.search(lower, start.start() if start else 0)
    return kind_of(question, gold), found[1] if found else ""
