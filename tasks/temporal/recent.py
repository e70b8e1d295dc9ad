"""`recent`: three hops through a season's reports and profiles, and each hop asked by itself."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from msgspec.structs import replace

from autocoa_bench.types import Passage, Question
from tasks.closed_world.encyclopedia import Encyclopedia, Statement, forward, indexed
from tasks.closed_world.entities import Entity, Side, World
from tasks.closed_world.questions.chains import Chains
from tasks.closed_world.questions.composing import Composer, collect
from tasks.closed_world.text.prose import Article, article
from tasks.closed_world.text.wordings import wordings
from tasks.temporal.composing import compose_question
from tasks.temporal.reports import COUNTS as REPORTS
from tasks.temporal.reports import world

NAME = "recent"
COUNTS: dict[Side, int] = {"test": 192, "train": 576}
HOPS = 3

_HERE = Path(__file__).parent
_EACH = 2
"""At most so many questions begin with the same fact of a report, and end with the same fact."""

# What a report says of a thing that has a passage of its own: kind -> (of, what, its section).
_NEWS = {
    "transfer": ("player", "buyer", "person.new_club"),
    "appointment": ("club", "coach", "club.coach"),
}


@cache
def book(side: Side) -> Encyclopedia:
    """The side's reports and profiles, and what they state."""
    entities = world(side)
    sections = wordings("reports", _HERE)
    articles = {each.id: article(entities, each, sections) for each in entities.values()}
    statements = [*forward(entities, articles), *_news(entities, articles)]
    return indexed(side, entities, articles, statements)


def passages(side: Side) -> list[Passage]:
    """All reports and profiles."""
    return [each.passage for each in book(side).articles.values()]


def is_report(entity: Entity) -> bool:
    """Whether it is a report, not somebody's or something's profile."""
    return entity.kind in REPORTS


def _news(entities: World, articles: dict[str, Article]) -> list[Statement]:
    """What reports say of clubs and players, in the words in which they say it."""
    found = []
    for report in entities.values():
        if report.kind not in _NEWS:
            continue
        subject, relation, section = _NEWS[report.kind]
        stated = articles[report.id].stated
        about, target = report.ref(subject), report.ref(relation)
        if about is None or target is None or relation not in stated:
            continue
        words = stated[relation]
        name = entities[target].name
        surface = name if name in words else words
        found.append(Statement(about, section, surface, words, report.id, target))
    return found


class _FromReports(Chains):
    """Chains whose first fact is a report's."""

    def __init__(self, composer: Composer) -> None:
        super().__init__(composer)
        self.starts = [section for section in self.starts if section.split(".")[0] in REPORTS]


@cache
def questions(side: Side) -> tuple[Question, ...]:
    """The main questions in their fixed order. Ids look like `embedded-recent-test-0001`."""
    composer = Composer(NAME, book(side), wordings("asking", _HERE))
    chains = _FromReports(composer)
    used: dict[Statement, int] = {}

    def make(number: int) -> Question | None:
        chain = chains.draw(HOPS)
        if chain is None or any(used.get(end, 0) >= _limit(side) for end in (chain[0], chain[-1])):
            return None
        question = compose_question(composer, chain, composer.wording_of(number))
        if question is not None:
            for end in (chain[0], chain[-1]):
                used[end] = used.get(end, 0) + 1
        return question

    made = collect(make, lambda question: question.text, COUNTS[side])
    return tuple(
        replace(question, id=f"embedded-{NAME}-{side}-{number:04d}")
        for number, question in enumerate(composer.rng.shuffled(made), 1)
    )


def _limit(side: Side) -> int:
    return _EACH * COUNTS[side] // COUNTS["test"]
