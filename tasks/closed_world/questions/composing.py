"""Tools for composing questions: wordings by split, gold chains, and checks against leaks."""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise, zip_longest
from typing import Literal, TypeVar

from msgspec.structs import replace

from autocoa_bench.types import Hop, Question
from tasks.closed_world.encyclopedia import Encyclopedia, Statement
from tasks.closed_world.entities import Date
from tasks.closed_world.rng import Rng
from tasks.closed_world.text.grammar import polished, with_articles
from tasks.closed_world.text.paraphrases import paraphrases
from tasks.closed_world.text.wordings import Sections, wordings

T = TypeVar("T")

Wording = Literal["shared", "held-out"]

_REWORDED = 40
"""Per cent of the templates that are reworded where a rule applies, if paraphrasing is on."""

_MOST_FAILURES = 400
"""After so many failures in a row, no more questions are expected."""


class Composer:
    """The wordings, passages and random generator for composing the questions of a task."""

    def __init__(
        self,
        task: str,
        book: Encyclopedia,
        sections: Sections | None = None,
        *,
        paraphrasing: bool = False,
    ) -> None:
        """`sections` replaces the wordings of the closed world; `paraphrasing` rewords some of the
        templates by rule, as is done to the closed world's own on its train side."""
        self.task = task
        self.book = book
        self.rng = Rng(f"{book.side}/{task}")
        self.sections: Sections = wordings("questions") if sections is None else sections
        training = book.side == "train" and sections is None
        self._more: Sections = wordings("training") if training else {}
        self._paraphrasing = paraphrasing or training

    def wording_of(self, number: int) -> Wording:
        """The kind of wording of a question: every third test question uses a held-out one."""
        return "held-out" if self.book.side == "test" and number % 3 == 2 else "shared"

    def words(self, section: str, sort: str, wording: Wording = "shared") -> str:
        """A random wording of a section."""
        return self._reworded(self.rng.pick(self._options(section, sort, wording)))

    def ask(self, section: str, wording: Wording = "shared", **slots: str) -> str:
        """The question of a section as a sentence, with its slots filled."""
        return polished(self.words(section, "ask", wording).format(**slots))

    def right_branching(self, section: str, sort: str, wording: Wording = "shared") -> str:
        """As `words`, but with the subject last where possible, so that the phrase nests well."""
        options = self._options(section, sort, wording)
        last = [option for option in options if _ends_with_subject(option)]
        return self._reworded(self.rng.pick(last or options), right_branching=bool(last))

    def _reworded(self, template: str, *, right_branching: bool = False) -> str:
        """A template, or in some cases what a rule makes of it."""
        if not self._paraphrasing or not self.rng.chance(_REWORDED):
            return template
        options = [
            option
            for option in paraphrases(template)
            if not right_branching or _ends_with_subject(option)
        ]
        return self.rng.pick(options) if options else template

    def _options(self, section: str, sort: str, wording: Wording) -> tuple[str, ...]:
        if wording == "held-out":
            return self.sections[section][f"{sort}*"]
        return self.sections[section][sort] + self._more.get(section, {}).get(sort, ())

    def asks(self, statement: Statement) -> bool:
        """Whether questions ask about statements of this kind."""
        return statement.section in self.sections

    def chain_hops(self, statements: Sequence[Statement]) -> tuple[Hop, ...]:
        """The gold chain: each sub-question names the answer of the one before.

        Its wording is a shared one; on the train side the first, because a student that has
        learned several writes one or the other by chance.
        """
        hops = []
        subject = self.book.name(statements[0].about)
        for statement in statements:
            asks = self.sections[statement.section]["ask"]
            ask = self.rng.pick(asks)
            text = (asks[0] if self.book.side == "train" else ask).format(x=subject)
            hops.append(Hop(polished(text), statement.surface, statement.passage))
            subject = statement.words
        return tuple(hops)

    def connected(self, chain: Sequence[Statement]) -> bool:
        """Whether each passage contains the answer of the hop before in the same words."""
        return all(
            first.surface in self.book.text(second.passage) for first, second in pairwise(chain)
        )

    def golds(self, statement: Statement) -> tuple[str, ...]:
        """The golden answers: the passage's wording first, then other names and spellings."""
        golds = [statement.surface]
        if statement.target is not None:
            golds += self.book.world[statement.target].names
        about = self.book.world[statement.about]
        value = about.facts.get(statement.section.split(".")[1])
        if isinstance(value, Date):
            golds += value.spellings
        golds.append(statement.surface.replace(",", "") if statement.target is None else "")
        return tuple(dict.fromkeys(gold for gold in golds if gold))


def _ends_with_subject(template: str) -> bool:
    return template.rstrip("?").endswith("{x}")


def placed(hops: Sequence[Hop], text: str, phrases: Sequence[str]) -> tuple[Hop, ...]:
    """The hops, the first of them with their phrases as the text spells them, if it has them."""
    located = list(hops)
    for number, phrase in enumerate(phrases):
        at = text.lower().find(with_articles(phrase).lower())
        if at >= 0:
            written = text[at : at + len(with_articles(phrase))]
            located[number] = replace(located[number], phrase=written)
    return tuple(located)


def leaks(answer: str, text: str) -> bool:
    """Whether the text contains the answer as whole words."""
    answer, text = answer.lower(), text.lower()
    return answer in text and re.search(rf"\b{re.escape(answer)}\b", text) is not None


def collect(make: Callable[[int], T | None], key: Callable[[T], str], count: int) -> list[T]:
    """`count` items with different keys from `make`, which may fail; fewer if it keeps failing."""
    items: dict[str, T] = {}
    failures = 0
    while len(items) < count and failures < _MOST_FAILURES:
        item = make(len(items))
        if item is None or key(item) in items:
            failures += 1
        else:
            items[key(item)] = item
            failures = 0
    return list(items.values())


def numbered(prefix: str, questions: Iterable[Question]) -> tuple[Question, ...]:
    """The questions with their ids, such as `embedded-hotpotqa-test-0001`."""
    return tuple(
        replace(question, id=f"{prefix}-{number:04d}")
        for number, question in enumerate(questions, 1)
    )


def by_section(statements: Sequence[Statement]) -> dict[str, list[Statement]]:
    """Statements grouped by section."""
    groups: dict[str, list[Statement]] = {}
    for statement in statements:
        groups.setdefault(statement.section, []).append(statement)
    return groups


def in_turn(groups: Iterable[list[T]]) -> list[T]:
    """The items of all groups, one from each group in turn."""
    return [item for row in zip_longest(*groups) for item in row if item is not None]
