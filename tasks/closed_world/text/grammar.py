"""Rules of English that templates need: articles, capitals and plurals."""

import re

_AN = re.compile(r"\b([Aa]) (?=\"?(?:[aeioAEIO]|[uU](?!ni)|8|11\b|18\d\d\b|18\b))")


def with_articles(text: str) -> str:
    """The text with `an` before vowels, and with a doubled `the` made one."""
    return re.sub(r"\b([Tt])he the ", r"\1he ", _AN.sub(r"\1n ", text))


def capitalise(text: str) -> str:
    """The text with its first letter in upper case."""
    return text[:1].upper() + text[1:]


def polished(text: str) -> str:
    """A filled template as a sentence."""
    return capitalise(with_articles(text))


_PLURALS = {"Wolf": "Wolves", "Thief": "Thieves", "Echo": "Echoes", "Watchman": "Watchmen"}


def plural(noun: str) -> str:
    """The plural of a noun."""
    if noun in _PLURALS:
        return _PLURALS[noun]
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")
