"""`recent`: three hops through a season's reports and profiles, and each hop by itself."""

from functools import cache
from pathlib import Path

from autocoa_bench.types import Passage, Question
from tasks.closed_world.encyclopedia import Encyclopedia, Statement, forward, indexed, surface
from tasks.closed_world.entities import Side, World
from tasks.closed_world.questions.chains import Chain
from tasks.closed_world.questions.composing import Composer, numbered
from tasks.closed_world.text.prose import Article, article
from tasks.closed_world.text.wordings import wordings
from tasks.temporal.composing import three_hop_questions
from tasks.temporal.reports import COUNTS as REPORTS
from tasks.temporal.reports import world

NAME = "recent"
COUNTS: dict[Side, int] = {"test": 192, "train": 576}

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


def _news(entities: World, articles: dict[str, Article]) -> list[Statement]:
    """The facts that reports state about clubs and players, in the reports' own words."""
    statements = []
    for report in entities.values():
        if report.kind not in _NEWS:
            continue
        subject, relation, section = _NEWS[report.kind]
        words = articles[report.id].stated.get(relation)
        about, target = report.ref(subject), report.ref(relation)
        if words is not None and about is not None and target is not None:
            answer = surface(entities, target, words)
            statements.append(Statement(about, section, answer, words, report.id, target))
    return statements


@cache
def questions(side: Side) -> tuple[Question, ...]:
    """The main questions in their fixed order."""
    most = _MOST_PER_FACT * COUNTS[side] // COUNTS["test"]

    def limits(chain: Chain) -> dict[object, int]:
        return {chain[0]: most, chain[-1]: most}

    composer = Composer(NAME, book(side), wordings("asking", _HERE))
    return numbered(
        f"embedded-{NAME}-{side}", three_hop_questions(composer, REPORTS, limits, COUNTS[side])
    )
