"""`known`: three hops over facts that every language model has read, and each hop by itself.

The facts are tables, most of them shared with `when-to-act`. The passages are generated from the
tables, one per subject, so that a solver that searches can find each fact. A solver that knows the
facts needs no passage.
"""

import re
from functools import cache
from pathlib import Path

from msgspec.structs import replace

from autocoa_bench.types import Passage, Question
from tasks.closed_world.encyclopedia import Encyclopedia, Statement, indexed
from tasks.closed_world.entities import Entity
from tasks.closed_world.questions.chains import Chain
from tasks.closed_world.questions.composing import Composer, numbered
from tasks.closed_world.text.grammar import capitalise, polished
from tasks.closed_world.text.prose import Article
from tasks.closed_world.text.wordings import table_rows, wordings
from tasks.temporal.composing import three_hop_questions

NAME = "known"
COUNT = 192

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
    rows = table_rows(path) if path.exists() else []
    return [tuple(row[1:]) for row in rows if row[0] == first]


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
            sentences.setdefault(about.id, []).append(polished(text))
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
    """The main questions in their fixed order."""

    def limits(chain: Chain) -> dict[object, int]:
        return {chain[0]: _MOST_PER_FACT, chain[-1].surface: _MOST_PER_ANSWER}

    composer = Composer(NAME, book(), wordings(NAME, _HERE))
    chosen = three_hop_questions(composer, _STARTS, limits, COUNT, held_out=False)
    return numbered(f"embedded-{NAME}-test", [replace(q, wording="") for q in chosen])
