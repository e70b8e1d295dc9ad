"""`known`: three hops over facts that every language model has read, and each hop by itself.

The facts are tables, most of them shared with `when-to-act`. The passages are generated from the
tables, one per subject, so that a solver that searches can find each fact. A solver that knows the
facts needs no passage.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path

from msgspec.structs import replace

from autocoa_bench.types import Passage, Question
from tasks.closed_world.encyclopedia import Encyclopedia, Statement, indexed
from tasks.closed_world.entities import Entity
from tasks.closed_world.questions.chains import Chains
from tasks.closed_world.questions.composing import Composer, collect
from tasks.closed_world.text.grammar import capitalise, with_articles
from tasks.closed_world.text.prose import Article
from tasks.closed_world.text.wordings import wordings
from tasks.temporal.composing import compose_question

NAME = "known"
COUNT = 192
HOPS = 3

_HERE = Path(__file__).parent
_MOST_PER_FACT = 2
"""The most questions that begin with the same fact."""
_MOST_PER_ANSWER = 12
"""The most questions that have the same answer."""

# Relation -> the kind of its values, and the name of its tables.
_TABLES = {
    "work.author": ("person", "authors"),
    "picture.artist": ("person", "artists"),
    "music.composer": ("person", "composers"),
    "discovery.by": ("person", "discoveries"),
    "symbol.element": ("element", "symbols"),
    "element.namesake": ("person", "namesakes"),
    "landmark.city": ("city", "landmarks"),
    "person.birth": ("country", "births"),
    "city.country": ("country", "cities"),
    "country.capital": ("city", "capitals"),
    "country.currency": ("currency", "currencies"),
    "country.language": ("language", "languages"),
    "country.continent": ("continent", "continents"),
}
_STARTS = ("work", "picture", "music", "discovery", "symbol", "element", "landmark")

# Words before a name that could be mistaken for something else.
_LABELS = {"symbol": "the symbol {}"}


@cache
def tables() -> dict[str, tuple[tuple[str, ...], ...]]:
    """The facts by relation: a fact is its subject, its value, and other names of the value."""
    shared = _HERE.parent / "facts"
    return {
        relation: tuple(
            row
            for folder in (shared, _HERE / NAME)
            for row in _rows(folder / f"{name}.tsv", "fact")
        )
        for relation, (_, name) in _TABLES.items()
    }


def _rows(path: Path, first: str) -> list[tuple[str, ...]]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [tuple(line.split("\t")) for line in lines if line and not line.startswith("#")]
    return [row[1:] for row in rows if row[0] == first]


@cache
def book() -> Encyclopedia:
    """The passages and the facts that they state."""
    world: dict[str, Entity] = {}
    statements: list[Statement] = []
    sentences: dict[str, list[str]] = {}
    sections = wordings(NAME, _HERE)
    for relation, rows in tables().items():
        for subject, value, *others in rows:
            about = _entity(world, relation.split(".")[0], subject, ())
            kind = _TABLES[relation][0]
            target = _entity(world, kind, value, tuple(others), of=subject)
            statements.append(
                Statement(about.id, relation, target.name, target.label, about.id, target.id)
            )
            text = sections[relation]["say"][0].format(x=about.label, y=target.label)
            sentences.setdefault(about.id, []).append(capitalise(with_articles(text)))
    for name, *others in _rows(_HERE / NAME / "aliases.tsv", "alias"):
        _entity(world, "country", name, tuple(others))
    articles = {
        about: Article(Passage(about, capitalise(world[about].label), " ".join(texts)), {})
        for about, texts in sentences.items()
    }
    return indexed("test", world, articles, statements)


def _entity(
    world: dict[str, Entity], kind: str, label: str, aliases: tuple[str, ...], of: str = ""
) -> Entity:
    """The entity of that kind and name, added where it is new; aliases accumulate.

    Every country has a currency of its own: Canada's dollar is not Australia's.
    """
    name = label.removeprefix("the ")
    words = f"{of} {name}" if kind == "currency" else name
    key = f"known-{kind}-{re.sub(r'[^a-z0-9]+', '-', words.lower()).strip('-')}"
    entity = world.get(key)
    if entity is None:
        label = _LABELS.get(kind, "{}").format(label)
        entity = Entity(key, kind, name, label, label, kind, "", {})
    world[key] = replace(entity, aliases=tuple(dict.fromkeys((*entity.aliases, *aliases))))
    return world[key]


def passages() -> list[Passage]:
    """One passage per subject of a fact."""
    return [article.passage for article in book().articles.values()]


@cache
def questions() -> tuple[Question, ...]:
    """The main questions in their fixed order. Ids look like `embedded-known-test-0001`."""
    composer = Composer(NAME, book(), wordings(NAME, _HERE))
    chains = Chains(composer)
    chains.starts = [start for start in chains.starts if start.split(".")[0] in _STARTS]
    starts: Counter[Statement] = Counter()
    answers: Counter[str] = Counter()

    def make(_: int) -> Question | None:
        chain = chains.draw(HOPS)
        if chain is None or starts[chain[0]] >= _MOST_PER_FACT:
            return None
        if answers[chain[-1].surface] >= _MOST_PER_ANSWER:
            return None
        question = compose_question(composer, chain, "shared")
        if question is not None:
            starts[chain[0]] += 1
            answers[chain[-1].surface] += 1
        return question

    chosen = collect(make, lambda question: question.text, COUNT)
    return tuple(
        replace(question, id=f"embedded-{NAME}-test-{number:04d}", wording="")
        for number, question in enumerate(composer.rng.shuffled(chosen), 1)
    )
