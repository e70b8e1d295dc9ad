"""Other forms of a right answer: each function gives one that means the same, or None.

`FORMS` names them. A form takes what was asked, the gold and rng; it never looks anything up but
in this package's tables, so what it gives is as true of invented names as of real ones.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from random import Random

from autocoa_bench.judge.synthesis.answer_types import (
    MONTHS,
    figure,
    items,
    kind_of,
    nations,
    ordinal,
    ordinal_word,
    read_date,
    read_number,
    read_ordinal,
    spelled,
    table,
    unspelled,
    within,
)

Form = Callable[[str, str, Random], str | None]
"""(question, gold, rng) to an answer, or None where the form does not apply."""

_QUALIFIERS = ("Jr.", "Sr.", "Jr", "III", "II")
_TITLES = ("Dr.", "Mr.", "Ms.", "Sir", "Professor")
_TAILS = re.compile(
    r"(.+?) (?:Company|Corporation|Inc\.|Ltd\.|Limited|Group|River|County|Prize|Award|Island"
    r"|Stadium|Press|Records|Insurance|Airways|magazine|band|Festival)"
)
_YES = (
    *("Yes.", "yes", "Yes, they {verb}", "Yes, both {verb}.", "Correct, yes", "Yes, that is right"),
    *("Yes, this is the case.", "They {verb}", "both of them"),
)
_NO = (
    *("No.", "no", "No, they {verb} not", "No, they differ.", "No, not both.", "They {verb} not"),
    *("No, only one of them.", "No, that is not the case.", "they {verb}n't"),
)
_THING = re.compile(
    r"\b(?:which|what|this) (?P<phrase>(?:[\w'-]+ ){0,4}?(?P<head>film|song|album|band|novel|book"
    r"|series|show|magazine|company|team|group|game|station|river|airline|club|play|award|mountain"
    r"|festival|journal|brand|label|publisher|city|town|state|county|country|village|island|actor"
    r"|actress|singer|director|author|writer|player|artist|musician|composer|politician|rapper"
    r"|comedian|producer|coach|king|president|university|college|school|musical|opera|league"
    r"|hotel|museum|party|district|castle|church|network|character|drummer|guitarist|poet))\b",
    re.IGNORECASE,
)
_VERB = re.compile(r"\b(is|was|are|were|did|does|do|has|had|the|of|in|on|a|an)\b")
_QUALIFYING = ("professional", "former", "retired", "famous", "about", "around", "approximately")
_UNITS = {
    "ft": "feet", "feet": "ft", "km": "kilometres", "kilometres": "km", "m": "metres",
    "metres": "m", "meters": "metres", "miles": "mi", "kg": "kilograms", "acre": "acres",
    "acres": "acre", "mph": "miles per hour", "square kilometres": "km²", "years": "yrs",
    "minutes": "min", "per cent": "%", "percent": "%",
}  # fmt: skip


def exact(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001 - a Form
    """The gold itself."""
    return gold


def bare(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """Less or other punctuation, case and articles: what exact match calls the same."""
    options = [gold.lower(), f"{gold}.", gold.strip("\"'."), gold.upper(), gold.title()]
    if gold[:1].isupper() and not gold.startswith("The "):
        options.append(f"the {gold}")
    if gold.lower().startswith(("the ", "a ", "an ")):
        options.append(gold.partition(" ")[2])
    return rng.choice(options)


def plain_letters(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """Without accents."""
    split = unicodedata.normalize("NFKD", gold)
    text = "".join(char for char in split if not unicodedata.combining(char))
    return text if text != gold else None


def misspelt(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """A slip of one letter in a long name: the name stays recognisable."""
    places = list(re.finditer(r"[A-Za-z]{7,}", gold))
    if not places or any(char.isdigit() for char in gold):
        return None
    found = rng.choice(places)
    at = rng.randrange(found.start() + 2, found.end() - 2)
    if gold[at] == gold[at + 1]:
        return gold[:at] + gold[at + 1 :]
    swapped = gold[:at] + gold[at + 1] + gold[at] + gold[at + 2 :]
    return rng.choice((swapped, gold[: at + 1] + gold[at:]))


def date_format(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """The same day in another format."""
    date = read_date(gold)
    if date is None:
        return None
    day, month, year = date.day, MONTHS[date.month - 1], date.year
    forms = [
        f"{day} {month} {year}",
        f"{month} {day}, {year}",
        f"{month} {ordinal(day)}, {year}",
        f"the {ordinal(day)} of {month} {year}",
        f"{year}-{date.month:02}-{day:02}",
        f"{month[:3]} {day}, {year}",
        f"{day} {month[:3]} {year}",
        f"{day:02}.{date.month:02}.{year}",
        f"{month} {day} {year}",
        f"on {month} {day}, {year}",
    ]
    return rng.choice(forms)


def fuller_date(question: str, gold: str, rng: Random) -> str | None:
    """A year with a day in it: says the year and more."""
    if kind_of(question, gold) != "year":
        return None
    month = rng.choice(MONTHS)
    day = rng.randint(1, 28)
    return rng.choice(
        (f"{month} {gold}", f"{day} {month} {gold}", f"{month} {day}, {gold}", f"in {gold}",
         f"the year {gold}", f"{gold} AD", f"in {month} {gold}")
    )  # fmt: skip


def number_format(question: str, gold: str, rng: Random) -> str | None:
    """The same number in words, digits or with other separators, units or currency."""
    value = unspelled(gold)
    if value is not None:
        return rng.choice((str(value), f"{value} in total", f"{spelled(value)} ({value})"))
    place = read_ordinal(gold)
    if place is not None:
        word = ordinal_word(place) or f"number {place}"
        return rng.choice((ordinal(place), f"the {ordinal(place)}", f"number {place}", word))
    number = read_number(gold)
    return None if number is None else _number_form(question, gold, rng)


def _number_form(question: str, gold: str, rng: Random) -> str | None:
    number = read_number(gold)
    assert number is not None
    currency = number.before[-1:] if number.before[-1:] in "$£€" else ""
    before, unit = number.before.removesuffix(currency), number.after.strip()
    value = number.value
    options = [
        f"{before}{currency}{figure(value, '')}{number.after}",
        f"{before}{currency}{figure(value, ',')}{number.after}",
    ]
    if value == int(value) and value < 1000:
        options.append(f"{before}{spelled(int(value))}{number.after}")
    if currency:
        name = {"$": "dollars", "£": "pounds", "€": "euros"}[currency]
        options.append(f"{before}{figure(value)}{number.after} {name}")
    scale = {"million": 1e6, "billion": 1e9}.get(unit)
    if scale:
        options.append(f"{before}{currency}{figure(round(value * scale))}")
    elif not unit and value >= 1e6 and value % 1e5 == 0:
        options.append(f"{before}{currency}{value / 1e6:g} million")
    if unit in _UNITS:
        options.append(f"{before}{figure(value)} {_UNITS[unit]}")
    if number.before.strip() and not currency:
        options.append(gold.removeprefix(number.before))
    counted = re.search(r"how many (\w+)", question, re.IGNORECASE)
    if counted and not unit:
        options.append(f"{gold} {counted[1]}")
    if not unit and "population" in question.lower():
        options += [f"{gold} people", f"{gold} inhabitants"]
    return rng.choice(options)


def person_form(question: str, gold: str, rng: Random) -> str | None:
    """A person's name fuller or shorter: middle names, initials, titles, short forms."""
    if kind_of(question, gold) != "person":
        return None
    *given, last = [word for word in gold.split() if word not in _QUALIFIERS]
    if not given:
        return None
    first = given[0]
    initial = rng.choice("ABCDEFGHJKLMNPRSTW")
    middle = rng.choice(("James", "Marie", "Lee", "Ann", "Edward", "Louise", "Paul", "Jane"))
    options = [
        f"{last}, {first}",
        f"{first} {initial}. {last}",
        f"{first} {middle} {last}",
        f"{rng.choice(_TITLES)} {gold}",
        f"{first[0]}. {last}",
        last,
        f"{gold} (born {rng.randint(1900, 1990)})",
    ]
    if len(given) > 1:
        options += [f"{first} {last}", f"{first} {given[1][0]}. {last}", f"{given[0]} {last}"] * 2
    if len(gold.split()) > len(given) + 1:
        options.append(f"{first} {last}")
    options += [f"{short} {last}" for name, short in table("nicknames") if name == first] * 3
    options += [f"{name} {last}" for name, short in table("nicknames") if short == first] * 3
    return rng.choice(options)


def place_form(question: str, gold: str, rng: Random) -> str | None:
    """A place fuller or shorter: with its state or country, or without."""
    cities = {row[0]: row[1:] for row in table("regions")}
    if gold in cities:
        state, short, country = cities[gold]
        return rng.choice(
            (f"{gold}, {state}", f"{gold}, {short}", f"{gold}, {country}", f"{gold} in {state}",
             f"{gold}, {state}, {country}", f"the city of {gold}", f"{gold} ({state})")
        )  # fmt: skip
    states = {row[1]: row[2] for row in table("regions") if row[3] == "United States"}
    if around := within(gold):
        city, rest = around
        options = [city, f"{city} ({rest})", f"{city} in {rest}", f"{city} {rest}"]
        last = rest.rpartition(", ")[2]
        if last in states:
            options += [f"{city}, {states[last]}", f"{gold}, USA", f"{gold}, United States"]
        return rng.choice(options)
    if kind_of(question, gold) != "place" or gold in nations():
        return None
    what = re.search(r"\b(city|town|village|state|county|province|region)\b", question)
    if what is None:
        return None
    options = [f"the {what[1]} of {gold}", f"{gold} {what[1]}", f"{gold} ({what[1]})"]
    if gold.endswith(" County"):
        options = [gold.removesuffix(" County"), f"the county of {gold.removesuffix(' County')}"]
    return rng.choice(options)


def nation_form(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """A country by another name, or its adjective: "American" for "the United States"."""
    text = gold.removeprefix("the ")
    country = nations().get(text)
    if country is None:
        return None
    [row] = [row for row in table("nations") if row[0] == country]
    others = [word for word in row if word != text]
    return rng.choice([*others, *others, f"the {country}", f"{row[1]} (from {country})"])


def synonym(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """Another word for the same thing, for the whole answer or for its end."""
    for row in rng.sample(table("synonyms"), len(table("synonyms"))):
        for word in row:
            others = [other for other in row if other != word]
            if gold.lower() == word.lower():
                return rng.choice(others)
            if gold.lower().endswith(f" {word.lower()}") and word.islower():
                return gold[: -len(word)] + rng.choice(others)
    return None


def initials(question: str, gold: str, rng: Random) -> str | None:
    """A long name's initials."""
    words = [word for word in re.findall(r"[\w'’-]+", gold) if word[:1].isupper()]
    if not 3 <= len(words) <= 5 or kind_of(question, gold) in ("person", "list", "date"):
        return None
    if len(words) < len(gold.split()) - 2 or any(char.isdigit() for char in gold):
        return None
    short = "".join(word[0] for word in words)
    return rng.choice((short, f"{gold} ({short})", f"{short} ({gold})"))


def described(question: str, gold: str, rng: Random) -> str | None:
    """A name with what the question says it is: "the 1994 film Speed", "Speed (film)"."""
    found = _THING.search(question)
    if found is None or kind_of(question, gold) not in ("name", "person", "place"):
        return None
    phrase, head = found["phrase"], found["head"].lower()
    options = [f"{gold} ({head})", f"the {head} {gold}", f"{gold}, the {head}"]
    if not _VERB.search(phrase) and phrase.lower() != head:
        options += [f"the {phrase} {gold}", f"{gold}, the {phrase}", f"{gold} ({phrase})"]
    return rng.choice(options)


def name_form(question: str, gold: str, rng: Random) -> str | None:
    """A name quoted, without its last word, its subtitle or what stands in brackets."""
    if kind_of(question, gold) not in ("name", "words", "place") or len(gold) > 60:
        return None
    options = []
    if re.search(r"film|song|album|novel|book|series|show|play", question) and gold[0] != '"':
        options.append(f'"{gold}"')
    if found := _TAILS.fullmatch(gold):
        options.append(found[1])
    head, _, subtitle = gold.partition(": ")
    if subtitle:
        options += [head, f"{head} - {subtitle}"]
    if found := re.fullmatch(r"(.+?) \((.+)\)", gold):
        options.append(found[1])
    if " & " in gold:
        options.append(gold.replace(" & ", " and "))
    return rng.choice(options) if options else None


def less(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """Without what only describes: a nationality before an occupation, "about", a place after."""
    if found := re.fullmatch(r"(?:an? )?(.+)", gold):
        first, _, rest = found[1].partition(" ")
        if rest.islower() and rest != "people" and (first in nations() or first in _QUALIFYING):
            return rest
    if found := re.fullmatch(r"([^\"]+ [^\"]+?),? (?:in|at|near) [A-Z][^\"]+", gold):
        return found[1]
    if found := re.fullmatch(r"(?:in|on|at|from|by) (.+)", gold):
        return found[1]
    return None


def more(question: str, gold: str, rng: Random) -> str | None:
    """With what adds nothing against it: a nationality, a reference, a filler."""
    kind = kind_of(question, gold)
    if kind == "words" and re.search(r"occupation|profession|career|job", question):
        nation = rng.choice(table("nations"))[1]
        return rng.choice((f"{nation} {gold}", f"professional {gold}", f"a well-known {gold}"))
    if kind in ("person", "name", "place"):
        about = rng.choice(("of course", "as it is called", "as the question asks"))
        return rng.choice((f"{gold}, {about}", f"{gold} [1]", f"{gold} itself", f"{gold} (see 2)"))
    return None


def count_form(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """A common noun in the plural, in the singular, or with an article."""
    words = gold.split()
    if not gold.islower() or not gold.replace(" ", "").isalpha() or len(words) > 3:
        return None
    if words[0] in ("yes", "no", "to", "the", "a", "an") or unspelled(words[0]) is not None:
        return None
    last = words[-1]
    if last.endswith("s") and not last.endswith(("ss", "us", "is")):
        changed = gold[:-1]
    else:
        changed = gold[:-1] + "ies" if re.search(r"[^aeiou]y$", gold) else gold + "s"
    article = "an" if gold[0] in "aeiou" else "a"
    options = [changed, changed] + ([] if last.endswith("s") else [f"{article} {gold}"])
    return rng.choice(options)


def order(question: str, gold: str, rng: Random) -> str | None:  # noqa: ARG001
    """A list's items in another order or joined in another way."""
    parts = items(gold)
    if len(parts) < 2:
        return None
    turned = [*parts[1:], parts[0]]
    return rng.choice(
        (", ".join(turned), " and ".join(turned), ", ".join(parts), f"both {' and '.join(parts)}"
         if len(parts) == 2 else ", ".join(turned))
    )  # fmt: skip


def clause(question: str, gold: str, rng: Random) -> str | None:
    """Yes or no with a clause that repeats it."""
    if kind_of(question, gold) != "yes-no":
        return None
    yes = gold.lower().startswith("yes")
    verb = question.split()[0].lower()
    verb = verb if verb in ("are", "were", "did", "do", "does", "is", "was") else "are"
    options = [each.format(verb=verb) for each in (_YES if yes else _NO)]
    found = re.fullmatch(r"(?:Are|Were|Is|Was) (.+?) and (.+?) both (.+?)\?", question)
    if found:
        said = "Yes, {} and {} {verb} both {}." if yes else "No, {} and {} {verb} not both {}."
        options += [said.format(*found.groups(), verb=verb)] * 3
    return rng.choice(options)


FORMS: Mapping[str, tuple[Form, float]] = {
    "exact": (exact, 0.0),
    "bare": (bare, 1.0),
    "plain letters": (plain_letters, 2.0),
    "misspelt": (misspelt, 0.3),
    "date": (date_format, 4.0),
    "fuller date": (fuller_date, 3.0),
    "number": (number_format, 4.0),
    "person": (person_form, 3.0),
    "place": (place_form, 4.0),
    "nation": (nation_form, 5.0),
    "synonym": (synonym, 5.0),
    "initials": (initials, 0.6),
    "described": (described, 1.5),
    "name": (name_form, 2.0),
    "less": (less, 3.0),
    "more": (more, 0.15),
    "count": (count_form, 1.5),
    "order": (order, 3.0),
    "clause": (clause, 3.0),
}
"""Every form by name, with how often it is taken beside others that apply."""
