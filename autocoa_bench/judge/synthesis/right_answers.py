"""Other forms of a right answer. Each function returns one with the same meaning, or None.

A form looks nothing up outside this package's tables, so that its answers are as true of invented
names as of real ones.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from random import Random

from autocoa_bench.judge.synthesis.answer_types import (
    MONTHS,
    PHRASES,
    alternatives,
    answer_type,
    content_words,
    figure,
    list_items,
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

Form = Callable[[str, str, Random], str | None]
"""(question, gold, rng) to an answer, or to None where the form does not apply."""

_NAME_WITH_ENDING = re.compile(rf"(.+?) (?:{alternatives('name_endings')})")
CHOICE = re.compile(r"([A-Z\"][^,?]{1,50}?),? or (?:the )?([A-Z\"][^,?]{1,50}?) ?[?.]?$")
NAMED_THING = re.compile(
    r"\b(?:which|what|this) (?P<phrase>(?:[\w'-]+ ){0,4}?"
    rf"(?P<head>{alternatives('thing_nouns')}))\b",
    re.IGNORECASE,
)
_ASKS_PLACE = re.compile(
    r"^where\b|\bin where\b"
    r"|\b(?:which|what) (?:[\w'-]+ ){0,2}(?:city|town|village|region|county)\b",
    re.IGNORECASE,
)
_TITLE = re.compile(r"\b(?:film|sitcom|series|show|song|album|book|novel|musical|opera|band)\b")
_FUNCTION_WORD = re.compile(r"\b(is|was|are|were|did|does|do|has|had|the|of|in|on|a|an)\b")


def bare(question: str, gold: str, rng: Random) -> str | None:
    """Other punctuation, case and articles, which exact match ignores."""
    options = [gold.lower(), f"{gold}.", gold.strip("\"'."), gold.upper(), gold.title()]
    if gold[:1].isupper() and not gold.startswith("The "):
        options.append(f"the {gold}")
    if gold.lower().startswith(("the ", "a ", "an ")):
        options.append(gold.partition(" ")[2])
    return rng.choice(options)


def plain_letters(question: str, gold: str, rng: Random) -> str | None:
    """The gold without accents."""
    split = unicodedata.normalize("NFKD", gold)
    text = "".join(char for char in split if not unicodedata.combining(char))
    return text if text != gold else None


def respelt(question: str, gold: str, rng: Random) -> str | None:
    """Another spelling: "St." for "Saint", a space for a hyphen, "2" for "II"."""
    options = [
        gold.replace(old, new)
        for old, new in table("spellings")
        if re.search(rf"\b{re.escape(old)}(?![\w.])", gold) or (old == "-" and old in gold)
    ]
    return rng.choice(options) if options and answer_type(question, gold) != "list" else None


def date_format(question: str, gold: str, rng: Random) -> str | None:
    """The same day in another format."""
    date = read_date(gold)
    if date is None:
        return None
    month = MONTHS[date.month - 1]
    form = rng.choice(PHRASES["dates"])
    return form.format(date=date, month=month, short=month[:3], ordinal=ordinal(date.day))


def fuller_date(question: str, gold: str, rng: Random) -> str | None:
    """A date in the gold's year, or the year with words around it."""
    if answer_type(question, gold) != "year":
        return None
    month, day = rng.choice(MONTHS), rng.randint(1, 28)
    return rng.choice(PHRASES["fuller_dates"]).format(year=gold, month=month, day=day)


def number_format(question: str, gold: str, rng: Random) -> str | None:
    """The same number in words, in digits, or with other separators, units or currency."""
    small = unspelled(gold)
    if small is not None:
        return rng.choice((str(small), f"{small} in total", f"{spelled(small)} ({small})"))
    place = read_ordinal(gold)
    if place is not None:
        ordinals = PHRASES["ordinals"]
        word = ordinals[place - 1] if 1 <= place <= len(ordinals) else f"number {place}"
        return rng.choice((ordinal(place), f"the {ordinal(place)}", f"number {place}", word))
    number = read_number(gold)
    if number is None:
        return None
    value, unit, after = number.value, number.after.strip(), number.after
    currency = number.before[-1:] if number.before[-1:] in "$£€" else ""
    before = number.before.removesuffix(currency)
    options = [f"{before}{currency}{figure(value, separator)}{after}" for separator in ("", ",")]
    if value == int(value) and value < 1000:
        options.append(f"{before}{spelled(int(value))}{after}")
    if currency:
        name = {"$": "dollars", "£": "pounds", "€": "euros"}[currency]
        options.append(f"{before}{figure(value)}{after} {name}")
    if scale := {"million": 1e6, "billion": 1e9}.get(unit):
        options.append(f"{before}{currency}{figure(round(value * scale))}")
    elif not unit and value >= 1e6 and value % 1e5 == 0:
        options.append(f"{before}{currency}{value / 1e6:g} million")
    options += [f"{before}{figure(value)} {name}" for key, name in table("units") if key == unit]
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
    if answer_type(question, gold) != "person":
        return None
    *first_names, last = [word for word in gold.split() if word not in PHRASES["suffixes"]]
    if not first_names:
        return None
    first = first_names[0]
    initial = rng.choice("ABCDEFGHJKLMNPRSTW")
    middle = rng.choice(PHRASES["middle_names"])
    options = [
        *(f"{last}, {first}", f"{first} {initial}. {last}", f"{first} {middle} {last}"),
        *(f"{rng.choice(PHRASES['titles'])} {gold}", f"{first[0]}. {last}", last),
        f"{gold} (born {rng.randint(1900, 1990)})",
    ]
    if len(first_names) == 1 and gold.isascii():
        options.append(f"{gold} {rng.choice(PHRASES['last_names'])}")
    if len(first_names) > 1:
        shorter = [f"{first} {last}", f"{first} {first_names[1][0]}. {last}", f"{first} {last}"]
        options += shorter * 2
    if len(gold.split()) > len(first_names) + 1:
        options.append(f"{first} {last}")
    # Short forms are repeated, so that they are chosen more often than invented middle names.
    options += [f"{short} {last}" for name, short in table("nicknames") if name == first] * 3
    options += [f"{name} {last}" for name, short in table("nicknames") if short == first] * 3
    return rng.choice(options)


def place_form(question: str, gold: str, rng: Random) -> str | None:
    """A place with its state or country, or without."""
    regions = table("regions")
    if gold in (cities := {row[0]: row[1:] for row in regions}):
        state, short, country = cities[gold]
        form = rng.choice(PHRASES["places"])
        return form.format(city=gold, state=state, short=short, country=country)
    if parts := split_place(gold):
        city, around = parts
        options = [city, f"{city} ({around})", f"{city} in {around}", f"{city} {around}"]
        # Only a place in the United States may be said to lie there.
        states = {row[1]: row[2] for row in regions if row[3] == "United States"}
        last = around.rpartition(", ")[2]
        if last in states:
            options += [f"{city}, {states[last]}", f"{gold}, USA", f"{gold}, United States"]
        return rng.choice(options)
    noun = re.search(r"\b(city|town|village|state|county|province|region)\b", question)
    if noun is None or answer_type(question, gold) != "place" or gold in nations():
        return None
    options = [f"the {noun[1]} of {gold}", f"{gold} {noun[1]}", f"{gold} ({noun[1]})"]
    if gold.endswith(" County"):
        options = [gold.removesuffix(" County"), f"the county of {gold.removesuffix(' County')}"]
    return rng.choice(options)


def nation_form(question: str, gold: str, rng: Random) -> str | None:
    """A country by another name, or its adjective: "American" for "the United States"."""
    text = gold.removeprefix("the ")
    country = nations().get(text)
    if country is None:
        return None
    [row] = [row for row in table("nations") if row[0] == country]
    names = [name for name in row if name != text]
    return rng.choice([*names, *names, f"the {country}", f"{row[1]} (from {country})"])


def synonym(question: str, gold: str, rng: Random) -> str | None:
    """A synonym for the whole answer or for its last word."""
    for row in rng.sample(table("synonyms"), len(table("synonyms"))):
        for word in row:
            synonyms = [synonym for synonym in row if synonym != word]
            if gold.lower() == word.lower():
                return rng.choice(synonyms)
            if gold.lower().endswith(f" {word.lower()}") and word.islower():
                return gold[: -len(word)] + rng.choice(synonyms)
    return None


def choice(question: str, gold: str, rng: Random) -> str | None:
    """The gold as a question "X or Y?" calls it, where it has only one name for it."""
    match = CHOICE.search(question)
    if match is None:
        return None
    words = content_words(gold)
    near = [text for text in match.groups() if content_words(text) & words]
    return near[0] if len(near) == 1 and near[0] != gold else None


def titled(question: str, gold: str, rng: Random) -> str | None:
    """A person with a title or a country: "King Louis I of Norway" for "Louis I"."""
    words = gold.split()
    if words[0] in PHRASES["royal_titles"]:
        return gold.partition(" ")[2] or None
    kind = answer_type(question, gold)
    is_person = kind == "person" or (kind == "name" and question.startswith(("Who ", "Whose ")))
    if not is_person or len(words) > 3 or not gold.replace(" ", "").isalpha():
        return None
    nation = rng.choice(table("nations"))[0]
    title = rng.choice(PHRASES["royal_titles"])
    options = [f"{title} {gold}", f"{title} {gold}"]
    if len(words) == 1 or re.search(r" [IVX]+$", gold):
        options += [f"{gold} of {nation}", f"{title} {gold} of {nation}"]
    return rng.choice(options)


def narrower_place(question: str, gold: str, rng: Random) -> str | None:
    """A place within the gold: "Fairview, Tokyo, Japan" for "Tokyo"."""
    if answer_type(question, gold) != "place" or not _ASKS_PLACE.search(question):
        return None
    if gold in nations():
        gold = nations()[gold]
    known = {row[0]: row[3] for row in table("regions")}
    inside = rng.choice(PHRASES["place_parts"])
    options = [f"{inside}, {gold}", f"{inside} in {gold}", f"{inside} ({gold})"]
    if gold in known:
        options += [f"{inside}, {gold}, {known[gold]}"] * 2
    return rng.choice(options)


def around_place(question: str, gold: str, rng: Random) -> str | None:
    """A place that the tables do not know, with some region around it."""
    regions = table("regions")
    if answer_type(question, gold) != "place" or not _ASKS_PLACE.search(question):
        return None
    if "," in gold or gold in nations() or gold in {name for row in regions for name in row}:
        return None
    row = rng.choice(regions)
    forms = (f"{gold}, {row[1]}", f"{gold}, {row[1]}, {row[3]}", f"{gold} ({row[1]})")
    return rng.choice((*forms, f"{gold}, {row[3]}"))


def narrowed(question: str, gold: str, rng: Random) -> str | None:
    """A more exact noun, institution or prize: "rock band", "Nobel Prize in Physics"."""
    words = gold.split()
    kind = answer_type(question, gold)
    if kind == "name" and words[-1] in ("Prize", "Award", "Medal"):
        return f"{gold} {rng.choice(('in', 'for'))} {rng.choice(PHRASES['fields'])}"
    if kind == "name" and re.search(r"\b(University|College|Institute|School|Museum)\b", gold):
        return f"{gold}, {rng.choice(table('regions'))[0]}"
    if kind != "words" or len(words) > 2 or not gold.replace(" ", "").replace("-", "").isalpha():
        return None
    if words[0] in ("a", "an", "the") or unspelled(gold) is not None or not gold.islower():
        return None
    modifier = rng.choice((*PHRASES["modifiers"], rng.choice(table("nations"))[1]))
    return rng.choice((f"{modifier} {gold}", f"a {modifier} {gold}", f"the {modifier} {gold}"))


def initials(question: str, gold: str, rng: Random) -> str | None:
    """The initials of a long name."""
    words = [word for word in re.findall(r"[\w'’-]+", gold) if word[:1].isupper()]
    if not 3 <= len(words) <= 5 or answer_type(question, gold) in ("person", "list", "date"):
        return None
    if len(words) < len(gold.split()) - 2 or any(char.isdigit() for char in gold):
        return None
    short = "".join(word[0] for word in words)
    return rng.choice((short, f"{gold} ({short})", f"{short} ({gold})"))


def described(question: str, gold: str, rng: Random) -> str | None:
    """A name with the question's noun for it: "the 1994 film Speed", "Speed (film)"."""
    match = NAMED_THING.search(question)
    if match is None or answer_type(question, gold) not in ("name", "person", "place"):
        return None
    phrase, head = match["phrase"], match["head"].lower()
    options = [f"{gold} ({head})", f"the {head} {gold}", f"{gold}, the {head}"]
    if not _FUNCTION_WORD.search(phrase) and phrase.lower() != head:
        options += [f"the {phrase} {gold}", f"{gold}, the {phrase}", f"{gold} ({phrase})"]
    return rng.choice(options)


def name_form(question: str, gold: str, rng: Random) -> str | None:
    """A name in quotes, or without its last word, its subtitle or its brackets."""
    if answer_type(question, gold) not in ("name", "words", "place") or len(gold) > 60:
        return None
    options = []
    if re.search(r"film|song|album|novel|book|series|show|play", question) and gold[0] != '"':
        options.append(f'"{gold}"')
    if match := _NAME_WITH_ENDING.fullmatch(gold):
        options.append(match[1])
    head, _, subtitle = gold.partition(": ")
    if subtitle:
        options += [head, f"{head} - {subtitle}"]
    if match := re.fullmatch(r"(.+?) \((.+)\)", gold):
        options.append(match[1])
    if " & " in gold:
        options.append(gold.replace(" & ", " and "))
    return rng.choice(options) if options else None


def less(question: str, gold: str, rng: Random) -> str | None:
    """Without a description: the nationality of an occupation, "about", the place of a name."""
    if match := re.fullmatch(r"(?:an? )?(.+)", gold):
        first, _, rest = match[1].partition(" ")
        descriptive = first in nations() or first in PHRASES["qualifiers"]
        if rest.islower() and rest != "people" and descriptive:
            return rest
    match = re.fullmatch(r"([^\"]+ [^\"]+?),? (?:in|at|near) [A-Z][^\"]+", gold)
    match = match or re.fullmatch(r"(?:in|on|at|from|by) (.+)", gold)
    return match[1] if match else None


def more(question: str, gold: str, rng: Random) -> str | None:
    """With a harmless addition: a nationality, a reference, a filler."""
    kind = answer_type(question, gold)
    if kind == "words" and re.search(r"occupation|profession|career|job", question):
        nation = rng.choice(table("nations"))[1]
        return rng.choice((f"{nation} {gold}", f"professional {gold}", f"a well-known {gold}"))
    if kind in ("person", "name", "place"):
        filler = rng.choice(("of course", "as it is called", "as the question asks"))
        return rng.choice((f"{gold}, {filler}", f"{gold} [1]", f"{gold} itself", f"{gold} (see 2)"))
    return None


def count_form(question: str, gold: str, rng: Random) -> str | None:
    """A common noun in the plural, in the singular, or with an article."""
    words = gold.split()
    if not gold.islower() or not gold.replace(" ", "").isalpha() or len(words) > 3:
        return None
    if words[0] in ("yes", "no", "to", "the", "a", "an") or unspelled(words[0]) is not None:
        return None
    is_plural = words[-1].endswith("s")
    if is_plural and not words[-1].endswith(("ss", "us", "is")):
        changed = gold[:-1]
    else:
        changed = gold[:-1] + "ies" if re.search(r"[^aeiou]y$", gold) else gold + "s"
    article = "an" if gold[0] in "aeiou" else "a"
    return rng.choice([changed, changed] + ([] if is_plural else [f"{article} {gold}"]))


def order(question: str, gold: str, rng: Random) -> str | None:
    """A list's items in another order or joined in another way."""
    items = list_items(gold)
    if len(items) < 2 or _TITLE.search(question):
        return None
    rotated = [*items[1:], items[0]]
    both = f"both {' and '.join(items)}" if len(items) == 2 else ", ".join(rotated)
    return rng.choice((", ".join(rotated), " and ".join(rotated), ", ".join(items), both))


def clause(question: str, gold: str, rng: Random) -> str | None:
    """Yes or no with a clause that repeats it."""
    if answer_type(question, gold) != "yes-no":
        return None
    is_yes = gold.lower().startswith("yes")
    verb = question.split()[0].lower()
    verb = verb if verb in ("are", "were", "did", "do", "does", "is", "was") else "are"
    options = [phrase.format(verb=verb) for phrase in PHRASES["yes" if is_yes else "no"]]
    match = re.fullmatch(r"(?:Are|Were|Is|Was) (.+?) and (.+?) both (.+?)\?", question)
    if match:
        form = "Yes, {} and {} {verb} both {}." if is_yes else "No, {} and {} {verb} not both {}."
        options += [form.format(*match.groups(), verb=verb)] * 3
    return rng.choice(options)


FORMS: Mapping[str, tuple[Form, float]] = {
    "bare": (bare, 1.0),
    "plain letters": (plain_letters, 2.0),
    "respelt": (respelt, 2.0),
    "choice": (choice, 6.0),
    "titled": (titled, 2.0),
    "narrower place": (narrower_place, 1.5),
    "around place": (around_place, 1.5),
    "narrowed": (narrowed, 2.0),
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
"""The forms by name, each with its weight among those that apply."""
