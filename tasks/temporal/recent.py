"""`recent`: three hops through a season's reports and profiles, and each hop by itself."""

from __future__ import annotations

from collections import Counter
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
_MOST_PER_FACT = 2
"""The most test questions that begin, and that end, with the same fact of a report."""

# Facts that a report states about an entity with a passage of its own:
# kind of report -> (role of the entity, relation, section of the wordings).
_NEWS = {
    "transfer": ("player", "buyer", "person.new_club"),
    "appointment": ("club", "coach", "club.coach"),
}


@cache
def book(side: Side) -> Encyclopedia:
    """The reports and profiles of a side, and the facts that they state."""
    entities = world(side)
    sections = wordings("reports", _HERE)
    articles = {key: article(entities, entity, sections) for key, entity in entities.items()}
    statements = [*forward(entities, articles), *_news(entities, articles)]
    return indexed(side, entities, articles, statements)


def passages(side: Side) -> list[Passage]:
    """All reports and profiles."""
    return [article.passage for article in book(side).articles.values()]


def is_report(entity: Entity) -> bool:
    """Whether an entity is a report rather than a profile."""
    return entity.kind in REPORTS


def _news(entities: World, articles: dict[str, Article]) -> list[Statement]:
    """The facts that reports state about clubs and players, in the reports' own words."""
    statements = []
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
        statements.append(Statement(about, section, surface, words, report.id, target))
    return statements


class _FromReports(Chains):
    """Chains whose first fact is stated by a report."""

    def __init__(self, composer: Composer) -> None:
        super().__init__(composer)
        self.starts = [section for section in self.starts if section.split(".")[0] in REPORTS]


@cache
def questions(side: Side) -> tuple[Question, ...]:
    """The main questions in their fixed order. Ids look like `embedded-recent-test-0001`."""
    composer = Composer(NAME, book(side), wordings("asking", _HERE))
    chains = _FromReports(composer)
    uses: Counter[Statement] = Counter()

    def make(number: int) -> Question | None:
        chain = chains.draw(HOPS)
        if chain is None or any(uses[end] >= _limit(side) for end in (chain[0], chain[-1])):
            return None
        question = compose_question(composer, chain, composer.wording_of(number))
        if question is not None:
            uses.update((chain[0], chain[-1]))
        return question

    chosen = collect(make, lambda question: question.text, COUNTS[side])
    return tuple(
        replace(question, id=f"embedded-{NAME}-{side}-{number:04d}")
        for number, question in enumerate(composer.rng.shuffled(chosen), 1)
    )


def _limit(side: Side) -> int:
    return _MOST_PER_FACT * COUNTS[side] // COUNTS["test"]
