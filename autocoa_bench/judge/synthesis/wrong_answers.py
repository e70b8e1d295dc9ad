"""Wrong answers near the gold. Each slip returns one, or None where it does not apply.

`SLIPS` need only the question and the gold; `Pool` takes the golds of other questions.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from random import Random

from autocoa_bench.judge.synthesis.answer_types import (
    MONTHS,
    PHRASES,
    AnswerDate,
    alternatives,
    answer_type,
    content_words,
    figure,
    list_items,
    meaning,
    nations,
    ordinal,
    read_date,
    read_number,
    read_ordinal,
    spelled,
    split_place,
    table,
    unspelled,
)
from autocoa_bench.judge.synthesis.right_answers import CHOICE, Form, clause

_NAMES = re.compile(r"[A-Z0-9][\w'’.-]*(?: (?:(?:of|the|in|and|for|a) )*[A-Z0-9][\w'’.-]*)*")
_INSTITUTION = re.compile(rf"\b({alternatives('institutions')})\b")
_SORT = re.compile(rf"\b({alternatives('sort_nouns')})\b")
_RELATED = (
    {"United Kingdom", "England", "Scotland", "Wales"},
    {"Russia", "Soviet Union", "Ukraine"},
    {"Ireland", "United Kingdom"},
)
"""Countries that are, or were, parts of one another."""


def other_date(question: str, gold: str, rng: Random) -> str | None:
    """A neighbour of the day, or only a part of it."""
    date = read_date(gold)
    if date is None:
        return None
    day, month, year = date.day, date.month, date.year
    moved_dates = (
        AnswerDate(day % 28 + rng.randint(1, 3) if day < 26 else day - 3, month, year),
        AnswerDate(day, (month + rng.randint(0, 10)) % 12 + 1, year),
        AnswerDate(day, month, _near_year(year, rng)),
        AnswerDate(rng.randint(1, 28), rng.randint(1, 12), _near_year(year, rng)),
    )
    moved = rng.choice(moved_dates)
    if moved == date:
        return None
    name = MONTHS[moved.month - 1]
    forms = (
        *(f"{moved.day} {name} {moved.year}", f"{name} {moved.day}, {moved.year}"),
        f"{name} {ordinal(moved.day)}, {moved.year}",
        *(f"{name} {_near_year(year, rng)}", str(_near_year(year, rng))),
    )
    return rng.choice(forms)


def other_year(question: str, gold: str, rng: Random) -> str | None:
    """A neighbour of the year, or its decade or century."""
    if answer_type(question, gold) != "year":
        return None
    year = int(gold)
    near = _near_year(year, rng)
    forms = (
        *(str(near), str(near), str(near), f"{rng.choice(MONTHS)} {near}", f"in {near}"),
        f"{rng.randint(1, 28)} {rng.choice(MONTHS)} {near}",
        *(f"the {year // 10 * 10}s", f"the {ordinal(year // 100 + 1)} century"),
    )
    return rng.choice(forms)


def _near_year(year: int, rng: Random) -> int:
    return year + rng.choice((-1, 1)) * rng.choice((1, 1, 1, 2, 3, 4, 5, 7, 10, 20, 100))


def other_number(question: str, gold: str, rng: Random) -> str | None:
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
    near_value = _near_number(number.value, rng)
    if near_value == number.value:
        return None
    return f"{number.before}{figure(near_value)}{number.after}"


def _near_number(value: float, rng: Random) -> float:
    if value != int(value):
        return round(value * rng.choice((0.1, 0.9, 1.1, 2, 10)), 2)
    digits = list(str(int(value)))
    at = rng.randrange(len(digits))
    digits[at] = rng.choice([digit for digit in "123456789" if digit != digits[at]])
    return rng.choice((float("".join(digits)), value + rng.choice((-1, 1, 2, 5)), value * 10))


def other_person(question: str, gold: str, rng: Random) -> str | None:
    """A person with another first name or another last name, or a relative."""
    if answer_type(question, gold) != "person":
        return None
    # A first name with the same initial might be taken for a short form.
    first, *middle, last = gold.split()
    new_first = rng.choice([name for name in PHRASES["first_names"] if name[0] != first[0]])
    new_last = rng.choice([name for name in PHRASES["last_names"] if name != last])
    relative = rng.choice(("father", "wife", "brother", "daughter", "manager"))
    forms = (
        *(f"{new_first} {last}", f"{new_first} {last}", f"{first} {new_last}"),
        *(" ".join((first, *middle, new_last)), f"{gold}'s {relative}"),
    )
    return rng.choice(forms)


def other_place(question: str, gold: str, rng: Random) -> str | None:
    """A namesake elsewhere, another city of the state, or the state or country alone."""
    regions = table("regions")
    city, comma, around = gold.partition(", ")
    region = next((row for row in regions if row[0] == city), None)
    if region:
        name, state, _, country = region
        away = rng.choice([row for row in regions if row[1] != state])
        near = [row for row in regions if row[1] == state and row[0] != name] or [away]
        options = [f"{rng.choice(near)[0]}, {state}", away[0], f"{away[0]}, {away[1]}"]
        options += [f"{city}, {away[1]}"] if comma else []
        return rng.choice([*options, state, country] if state not in city else options)
    if split_place(gold) is None:
        return None
    away = rng.choice([row for row in regions if row[1] not in around])
    return rng.choice((around, f"{city}, {away[1]}", f"{away[0]}, {around}", away[0]))


def other_nation(question: str, gold: str, rng: Random) -> str | None:
    """Another country or its adjective."""
    country = nations().get(gold.removeprefix("the "))
    if country is None:
        return None
    related = {country}.union(*(group for group in _RELATED if country in group))
    row = rng.choice([row for row in table("nations") if row[0] not in related])
    return rng.choice(row[:2])


def one_of_several(question: str, gold: str, rng: Random) -> str | None:
    """One item of a list."""
    items = list_items(gold)
    return rng.choice(items) if len(items) > 1 else None


def opposite(question: str, gold: str, rng: Random) -> str | None:
    """Yes for no and no for yes, with or without a clause."""
    if answer_type(question, gold) != "yes-no":
        return None
    flipped = "no" if gold.lower().startswith("yes") else "yes"
    return rng.choice((flipped, flipped, clause(question, flipped, rng) or flipped))


def broader(question: str, gold: str, rng: Random) -> str | None:
    """The common noun in a name: "University" for "Lund University"."""
    if len(gold.split()) < 2 or gold[:1].islower() or any(char.isdigit() for char in gold):
        return None
    match = _INSTITUTION.search(gold)
    if match is None:
        return None
    noun = match[1].lower()
    return rng.choice((match[1], f"the {noun}", f"a {noun}"))


def other_choice(question: str, gold: str, rng: Random) -> str | None:
    """The wrong one of "X or Y?"."""
    match = CHOICE.search(question)
    if match is None:
        return None
    # A gold that shares words with both choices, or with none, does not say which is wrong.
    right = content_words(gold)
    wrong = [choice for choice in match.groups() if not content_words(choice) & right]
    return wrong[0] if len(wrong) == 1 else None


def asked_about(question: str, gold: str, rng: Random) -> str | None:
    """A name in the question, such as that of its subject."""
    text = question[:1].lower() + question[1:]
    names = [name.rstrip(".,'") for name in _NAMES.findall(text)]
    candidates = [name for name in names if len(name) > 2 and differs(name, gold)]
    return rng.choice(candidates) if candidates else None


def sequel(question: str, gold: str, rng: Random) -> str | None:
    """A name with an addition that makes it the name of something else."""
    if answer_type(question, gold) != "name" or len(gold.split()) > 6:
        return None
    base = gold.strip('".')
    options = [f"{base} II", f"{base} 2", f"New {base}", f"Return to {base}", f"North {base}"]
    options += [f"{base} {rng.choice(('Junior', 'East', 'Foundation', 'Museum', 'Street'))}"]
    return rng.choice(options)


def occupation(question: str, gold: str, rng: Random) -> str | None:
    """Another occupation."""
    if not re.search(r"occupation|profession|career|what (?:kind|type) of", question.lower()):
        return None
    return rng.choice(PHRASES["occupations"]) if gold[:1].islower() or gold.islower() else None


def nothing(question: str, gold: str, rng: Random) -> str | None:
    """An answer that says nothing."""
    return rng.choice(PHRASES["nothing"])


def echo(question: str, gold: str, rng: Random) -> str | None:
    """The question, or its beginning."""
    words = question.split()
    return rng.choice((question, " ".join(words[: max(3, len(words) // 2)])))


def denied(question: str, gold: str, rng: Random) -> str | None:
    """The gold, denied."""
    if answer_type(question, gold) == "yes-no":
        return None
    forms = (f"not {gold}", f"It is not {gold}.", f"Anything but {gold}", f"It was never {gold}.")
    return rng.choice(forms)


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
"""The slips by name, each with its weight among those that apply."""


def differs(first: str, second: str) -> bool:
    """Whether two answers have different meanings and neither contains the other's words."""
    if meaning(first) == meaning(second):
        return False
    words, other_words = content_words(first), content_words(second)
    return bool(words and other_words) and not (words <= other_words or other_words <= words)


class Pool:
    """The golds of many questions, by type and by word, to exchange one for another."""

    def __init__(self, questions: Iterable[tuple[str, str]]) -> None:
        """`questions` are pairs of a question and a gold."""
        self._by_sort: dict[tuple[str, str], list[str]] = defaultdict(list)
        self._by_word: dict[str, list[str]] = defaultdict(list)
        self._words: dict[bool, list[str]] = defaultdict(list)
        for question, gold in questions:
            kind, sort = answer_sort(question, gold)
            self._by_sort[kind, sort].append(gold)
            self._by_sort[kind, ""].append(gold)
            for word in content_words(gold):
                if len(word) > 3:
                    self._by_word[word].append(gold)
            if len(words := gold.split()) > 1:
                for word in words:
                    if word.isalpha() and len(word) > 3 and content_words(word):
                        self._words[word[0].isupper()].append(word)

    def sibling(self, question: str, gold: str, rng: Random) -> str | None:
        """The gold of a question that asks for the same sort of answer."""
        kind, sort = answer_sort(question, gold)
        if kind == "yes-no":
            return None
        value = self._sample(self._by_sort[kind, sort], gold, rng)
        return value or self._sample(self._by_sort[kind, ""], gold, rng)

    def similar(self, question: str, gold: str, rng: Random) -> str | None:
        """A gold that shares a word: another university, another person of that name."""
        if answer_type(question, gold) in ("yes-no", "year", "date", "number"):
            return None
        words = sorted(content_words(gold))
        shared = [word for word in words if len(self._by_word.get(word, ())) > 1]
        return self._sample(self._by_word[rng.choice(shared)], gold, rng) if shared else None

    def exchanged(self, question: str, gold: str, rng: Random) -> str | None:
        """The gold with one word exchanged: "When Hell Broke Loose"."""
        words = gold.split()
        if answer_type(question, gold) not in ("name", "place", "words") or len(words) > 7:
            return None
        known = content_words(question)
        places = [
            at
            for at, word in enumerate(words)
            if (bare := content_words(word)) and word.isalpha() and not bare & known
        ]
        if len(words) < 2 or not places:
            return None
        at = rng.choice(places)
        others = self._words[words[at][0].isupper()]
        words[at] = rng.choice(others) if others else words[at]
        return " ".join(words)

    def listed(self, question: str, gold: str, rng: Random) -> str | None:
        """The gold among wrong values of its sort, as if all were right."""
        first, second = (self.sibling(question, gold, rng) for _ in range(2))
        if first is None or second is None:
            return None
        if answer_type(question, gold) == "list":
            return f"{gold} and {list_items(first)[0]}"
        return rng.choice(PHRASES["listed"]).format(x=gold, y=first, z=second)

    def hedged(self, question: str, gold: str, rng: Random) -> str | None:
        """The gold and a wrong value, without a decision."""
        value = self.sibling(question, gold, rng)
        value = value or {"yes": "no", "no": "yes"}.get(gold.lower())
        return value and rng.choice(PHRASES["hedges"]).format(x=gold, y=value)

    def _sample(self, values: Sequence[str], gold: str, rng: Random) -> str | None:
        for _ in range(6):
            if values and differs(value := rng.choice(values), gold):
                return value
        return None


def answer_sort(question: str, gold: str) -> tuple[str, str]:
    """The gold's type, and the first sort of answer named after the question word."""
    lower = question.lower()
    start = re.search(r"\b(what|which|how many|who|where)\b", lower)
    match = _SORT.search(lower, start.start() if start else 0)
    return answer_type(question, gold), match[1] if match else ""
