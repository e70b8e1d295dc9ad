"""Tools for composing questions: wordings by split, checks against leaks, shares by task."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Literal, TypeVar

from msgspec.structs import replace

from autocoa_bench.types import Hop, Question
from tasks.closed_world.encyclopedia import Encyclopedia, Statement
from tasks.closed_world.entities import Date, Entity
from tasks.closed_world.rng import Rng
from tasks.closed_world.text.grammar import capitalise, with_articles
from tasks.closed_world.text.wordings import Sections, wordings

T = TypeVar("T")

Wording = Literal["shared", "held-out"]

_ADVANCE = 400
"""Failed tries in a row after which a composer is taken to have run dry."""


class Composer:
    """What every question of one task and side is composed with."""

    def __init__(self, task: str, book: Encyclopedia, sections: Sections | None = None) -> None:
        """`sections`: the wordings to ask in, where they are not those of the closed world."""
        self.task = task
        self.book = book
        self.rng = Rng(f"{book.side}/{task}")
        self.sections: Sections = wordings("questions") if sections is None else sections
        more = book.side == "train" and sections is None
        self._more: Sections = wordings("training") if more else {}

    def wording_of(self, number: int) -> Wording:
        """A third of the test questions use wordings that no training question uses."""
        return "held-out" if self.book.side == "test" and number % 3 == 2 else "shared"

    def words(self, section: str, sort: str, wording: Wording = "shared") -> str:
        """One of a section's wordings of that sort."""
        return self.rng.pick(self._options(section, sort, wording))

    def right_branching(self, section: str, sort: str, wording: Wording = "shared") -> str:
        """As `words`, but with the subject last where there is such a wording: nests legibly."""
        options = self._options(section, sort, wording)
        last = [option for option in options if option.rstrip("?").endswith("{x}")]
        return self.rng.pick(last or options)

    def _options(self, section: str, sort: str, wording: Wording) -> tuple[str, ...]:
        if wording == "held-out":
            return self.sections[section][f"{sort}*"]
        return self.sections[section][sort] + self._more.get(section, {}).get(sort, ())

    def asks(self, statement: Statement) -> bool:
        """Whether the statement is of a kind that questions ask about."""
        return statement.section in self.sections

    def chain_hops(self, statements: Sequence[Statement]) -> tuple[Hop, ...]:
        """The gold chain: each sub-question names what the one before it answered."""
        hops = []
        subject = self.book.name(statements[0].about)
        for statement in statements:
            hops.append(self.hop(statement, subject))
            subject = statement.words
        return tuple(hops)

    def connected(self, chain: Sequence[Statement]) -> bool:
        """Whether each passage names the answer before it as the passage before it does."""
        return all(
            first.surface in self.book.text(second.passage) for first, second in pairwise(chain)
        )

    def hop(self, statement: Statement, subject: str) -> Hop:
        """One sub-question about a subject, in a shared wording."""
        text = self.rng.pick(self.sections[statement.section]["ask"]).format(x=subject)
        return Hop(polished(text), statement.surface, statement.passage)

    def golds(self, statement: Statement) -> tuple[str, ...]:
        """The answer as the passage words it, then its other names or spellings."""
        golds = [statement.surface]
        if statement.target is not None:
            golds += all_names(self.book.world[statement.target])
        about = self.book.world[statement.about]
        value = about.facts.get(statement.section.split(".")[1])
        if isinstance(value, Date):
            golds += value.spellings
        golds.append(statement.surface.replace(",", "") if statement.target is None else "")
        return tuple(dict.fromkeys(gold for gold in golds if gold))

    def question(
        self, kind: str, text: str, golds: tuple[str, ...], hops: tuple[Hop, ...], wording: Wording
    ) -> Question:
        """A finished question; its id is given when the set is complete."""
        return Question("", text, golds, self.task, kind, wording, hops)


def all_names(entity: Entity) -> tuple[str, ...]:
    """A thing's name and aliases."""
    return (entity.name, *entity.aliases)


def polished(text: str) -> str:
    """A template's result as a sentence."""
    return capitalise(with_articles(text))


def placed(hops: Sequence[Hop], text: str, phrases: Sequence[str]) -> tuple[Hop, ...]:
    """The first hops with their phrases as the text has them; those that it has not stay bare."""
    found = list(hops)
    for number, phrase in enumerate(phrases):
        at = text.lower().find(with_articles(phrase).lower())
        if at >= 0:
            written = text[at : at + len(with_articles(phrase))]
            found[number] = replace(found[number], phrase=written)
    return tuple(found)


def leaks(answer: str, text: str) -> bool:
    """Whether the text contains the answer as whole words."""
    answer, text = answer.lower(), text.lower()
    return answer in text and re.search(rf"\b{re.escape(answer)}\b", text) is not None


def collect(make: Callable[[int], T | None], key: Callable[[T], str], count: int) -> list[T]:
    """`count` different things from a maker that may fail; fewer where it runs dry."""
    found: dict[str, T] = {}
    failures = 0
    while len(found) < count and failures < _ADVANCE:
        made = make(len(found))
        if made is None or key(made) in found:
            failures += 1
        else:
            found[key(made)] = made
            failures = 0
    return list(found.values())


def by_section(statements: Sequence[Statement]) -> dict[str, list[Statement]]:
    """Statements grouped by what they say."""
    groups: dict[str, list[Statement]] = {}
    for statement in statements:
        groups.setdefault(statement.section, []).append(statement)
    return groups


def in_turn(groups: dict[str, list[T]]) -> Iterator[T]:
    """One from each group in turn until all are used: variety before quantity."""
    columns = [iter(group) for group in groups.values()]
    while columns:
        for column in list(columns):
            try:
                yield next(column)
            except StopIteration:
                columns.remove(column)
