"""Wrong answers that look like the gold: a part of it, a word or a letter exchanged, more items.

A judge that measures the overlap of words accepts these. Which part is wrong and which is another
name of the same thing follows the kinds of strictness of a strong judge: a fuller or a more exact
answer is right, a vaguer one is wrong, unless it leaves out only what the question says.
"""

import re
from collections.abc import Mapping
from random import Random

from autocoa_bench.judge.synthesis.answer_types import (
    MONTHS,
    PHRASES,
    answer_type,
    content_words,
    list_items,
    nations,
    ordinal,
    read_date,
    read_number,
    read_ordinal,
)
from autocoa_bench.judge.synthesis.right_answers import NAMED_THING, Form

_FUNCTION_WORDS = frozenset(PHRASES["function_words"])
_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII", "XIV")
_VOWELS, _CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxz"
_PERIOD = re.compile(r".*\b(1\d{3}|20\d\d)\b.*\b(1\d{3}|20\d\d)\b.*")
_NUMERAL = re.compile(rf"\d+(?:st|nd|rd|th)?|{'|'.join(sorted(_ROMAN[1:], key=len)[::-1])}")
_GENERIC = frozenset(
    word.lower().strip(".")
    for name in ("name_endings", "institutions", "qualifiers", "titles", "royal_titles", "suffixes")
    for phrase in PHRASES[name]
    for word in phrase.split()
)
"""Words that a name or a description keeps its meaning without."""


def part(question: str, gold: str, rng: Random) -> str | None:
    """A part of the gold that means something else: "New Zealand" for "New Zealand dollar"."""
    kind = answer_type(question, gold)
    if kind == "number":
        head, comma, _ = gold.partition(",")
        return head if comma and head.isdigit() and read_number(gold) else None
    if kind == "person":
        first = gold.split()[0]
        return first if first.isalpha() and first not in PHRASES["titles"] else None
    if kind not in ("name", "place", "words") or len(gold.split()) > 6:
        return None
    options = [text for text in _parts(question, gold) if len(text) > 2 and not text.isdigit()]
    return rng.choice(options) if options else None


def _parts(question: str, gold: str) -> list[str]:
    """The beginnings and ends of a name whose absent words say what is meant."""
    base = re.sub(r" \(.*\)$", "", gold.strip('".'))
    words = base.replace(",", " ,").split()
    known = content_words(question) | _GENERIC | {name.lower() for name in nations()}
    # In "Ann Lee" the last word alone may be a short form; in "First Church of Oslo" it is not.
    is_phrase = any(word in _FUNCTION_WORDS or word.islower() for word in words[1:])
    options = []
    for at in range(1, len(words)):
        head, tail = words[:at], words[at:]
        # What follows a comma, a colon, "in" or "at" often tells only where a thing is.
        if head[-1] != "," and tail[0] not in (",", "in", "at", "near", "from"):
            options.append((head, tail))
        if head[-1] == "," or (is_phrase and "," not in words):
            options.append((tail, head))
    texts = []
    for kept, absent in options:
        while kept and (kept[-1].lower() in _FUNCTION_WORDS or kept[-1] == ","):
            kept = kept[:-1]
        while kept and kept[0].lower() in _FUNCTION_WORDS:
            kept = kept[1:]
        text = " ".join(kept).replace(" ,", ",")
        # Before a colon is a title's short form.
        if content_words(" ".join(absent)) - known and content_words(text) and text[-1] != ":":
            texts.append(text)
    return texts


def coarser(question: str, gold: str, rng: Random) -> str | None:
    """A date without its day, or one end of a period."""
    if date := read_date(gold):
        return rng.choice((str(date.year), f"{MONTHS[date.month - 1]} {date.year}"))
    if period := _PERIOD.fullmatch(gold):
        return rng.choice(period.groups())
    return None


def other_month(question: str, gold: str, rng: Random) -> str | None:
    """A day of the same year in another month, or that month."""
    date = read_date(gold)
    if date is None:
        return None
    month = MONTHS[(date.month - 1 + rng.randint(1, 11)) % 12]
    day = rng.choice((date.day, rng.randint(1, 28)))
    forms = (f"{day} {month} {date.year}", f"{month} {day}, {date.year}", f"{month} {date.year}")
    return rng.choice(forms)


def other_day(question: str, gold: str, rng: Random) -> str | None:
    """The day before or after."""
    date = read_date(gold)
    if date is None:
        return None
    day = date.day - 1 if date.day > 27 else date.day + rng.choice((-1, 1)) or 2
    month = MONTHS[date.month - 1]
    return rng.choice((f"{day} {month} {date.year}", f"{month} {day}, {date.year}"))


def numeral(question: str, gold: str, rng: Random) -> str | None:
    """A name with another number in it: "Final Fantasy XI" for "Final Fantasy XII"."""
    if answer_type(question, gold) in ("date", "year", "number") or len(gold.split()) < 2:
        return None
    words = gold.split()
    places = [at for at, word in enumerate(words) if _NUMERAL.fullmatch(word)]
    if not places:
        return None
    at = rng.choice(places)
    words[at] = _neighbour(words[at], rng)
    return " ".join(words)


def _neighbour(word: str, rng: Random) -> str:
    if word in _ROMAN:
        place = _ROMAN.index(word)
        return _ROMAN[place + rng.choice((-1, 1))] if place + 1 < len(_ROMAN) else _ROMAN[place - 1]
    value = read_ordinal(word)
    near = max(1, int(re.sub(r"\D", "", word)) + rng.choice((-2, -1, 1, 2, 3)))
    near = near + 1 if str(near) == re.sub(r"\D", "", word) else near
    return ordinal(near) if value is not None else str(near)


def look_alike(question: str, gold: str, rng: Random) -> str | None:
    """A name one or two letters away, which may be that of something else."""
    if answer_type(question, gold) not in ("name", "person", "place"):
        return None
    words = list(re.finditer(r"[A-Z][a-z]{4,}", gold))
    if not words or gold in nations():
        return None
    word = rng.choice(words)
    text = word[0]
    for _ in range(rng.choice((1, 1, 2))):
        text = _edited(text, rng)
    if _single_letters(text) == _single_letters(word[0]):
        return None
    return gold[: word.start()] + text + gold[word.end() :]


def _single_letters(word: str) -> str:
    return re.sub(r"(.)\1", r"\1", word.lower())


def _edited(word: str, rng: Random) -> str:
    """A word with one letter in its inside exchanged, dropped or added."""
    at = rng.randrange(1, len(word) - 1)
    letters = _VOWELS if word[at] in _VOWELS else _CONSONANTS
    exchanged = rng.choice([letter for letter in letters if letter != word[at]])
    dropped, added = word[:at] + word[at + 1 :], word[:at] + rng.choice(_CONSONANTS) + word[at:]
    return rng.choice((*[word[:at] + exchanged + word[at + 1 :]] * 2, dropped, added))


def sort_alone(question: str, gold: str, rng: Random) -> str | None:
    """The noun that the question asks for: "a river" to "Which river ...?"."""
    match = NAMED_THING.search(question)
    if match is None or answer_type(question, gold) not in ("name", "place", "person"):
        return None
    head = match["head"].lower()
    return rng.choice((head, f"a {head}", f"the {head}", f"a famous {head}"))


def vaguer(question: str, gold: str, rng: Random) -> str | None:
    """What a profession, or something that people are, is a kind of: "artist" for "painter"."""
    words = gold.lower().split()
    if answer_type(question, gold) != "words" or len(words) > 3:
        return None
    if words[-1] not in {word for name in PHRASES["occupations"] for word in name.split()[-1:]}:
        return None
    options = [name for name in PHRASES["vague_occupations"] if name.split()[-1] not in words]
    return rng.choice(options)


def one_wrong_item(question: str, gold: str, rng: Random) -> str | None:
    """A list in which one item is exchanged for a name from the question or a look-alike."""
    items = list_items(gold)
    if len(items) < 2:
        return None
    at = rng.randrange(len(items))
    other = look_alike("Which?", items[at], rng)
    if other is None:
        return None
    items[at] = other
    return f"{', '.join(items[:-1])} and {items[-1]}"


NEAR_MISSES: Mapping[str, tuple[Form, float]] = {
    "part": (part, 4.0),
    "coarser": (coarser, 4.0),
    "other month": (other_month, 3.0),
    "other day": (other_day, 3.0),
    "numeral": (numeral, 4.0),
    "look-alike": (look_alike, 3.0),
    "sort alone": (sort_alone, 0.6),
    "vaguer": (vaguer, 3.0),
    "one wrong item": (one_wrong_item, 3.0),
}
"""The near misses by name, each with its weight among those that apply."""
