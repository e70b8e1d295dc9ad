"""`known`: three hops over facts that every language model has met, and each hop asked by itself.

The facts are tables, most of them shared with `when-to-act`. The passages are made of the tables,
one for everything that a fact is about, so that a solver that searches can find what it needs: who
knows the facts needs none of them.
"""

from __future__ import annotations

import re
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
_EACH = 2
"""At most so many questions begin with the same fact."""
_SAME_GOLD = 12
"""At most so many questions have the same answer."""

# Each relation, what its values are, and the tables that hold it.
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

# What a question says before a name that could be taken for something else.
_LABELS = {"symbol": "the symbol {}"}


@cache
def tables() -> dict[str, tuple[tuple[str, ...], ...]]:
    """The facts by relation: what each is about, then its value and other names of that."""
    shared = _HERE.parent / "facts"
    return {
        relation: tuple(
            row
            for folder in (shared, _HERE / NAME)
            for row in _rows(folder / f"{name}.tsv", "fact")
        )
        for relation, (_, name) in _TABLES.items()
    }


def _rows(path: Path, sort: str) -> list[tuple[str, ...]]:
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [tuple(line.split("\t")) for line in lines if line and not line.startswith("#")]
    return [row[1:] for row in rows if row[0] == sort]


@cache
def book() -> Encyclopedia:
    """The passages and what they state."""
    world: dict[str, Entity] = {}
    statements: list[Statement] = []
    told: dict[str, list[str]] = {}
    sections = wordings(NAME, _HERE)
    for relation, rows in tables().items():
        for subject, value, *others in rows:
            about = _entity(world, relation.split(".")[0], subject, ())
            kind = _TABLES[relation][0]
            target = _entity(world, kind, value, tuple(others), of=subject)
            statements.append(
                Statement(about.id, relation, target.name, target.label, about.id, target.id)
            )
            sentence = sections[relation]["say"][0].format(x=about.label, y=target.label)
            told.setdefault(about.id, []).append(capitalise(with_articles(sentence)))
    for name, *others in _rows(_HERE / NAME / "aliases.tsv", "alias"):
        _entity(world, "country", name, tuple(others))
    articles = {
        about: Article(Passage(about, capitalise(world[about].label), " ".join(sentences)), {})
        for about, sentences in told.items()
    }
    return indexed("test", world, articles, statements)


def _entity(
    world: dict[str, Entity], kind: str, label: str, aliases: tuple[str, ...], of: str = ""
) -> Entity:
    """The thing of that kind and name, entered once; aliases add up.

    Each country has a currency of its own, whatever its name: Canada's dollar is not Australia's.
    """
    name = label.removeprefix("the ")
    words = f"{of} {name}" if kind == "currency" else name
    key = f"known-{kind}-{re.sub(r'[^a-z0-9]+', '-', words.lower()).strip('-')}"
    found = world.get(key)
    if found is None:
        label = _LABELS.get(kind, "{}").format(label)
        found = Entity(key, kind, name, label, label, kind, "", {})
    found = replace(found, aliases=tuple(dict.fromkeys((*found.aliases, *aliases))))
    world[key] = found
    return found


def passages() -> list[Passage]:
    """One passage for everything that a fact is about."""
    return [each.passage for each in book().articles.values()]


@cache
def questions() -> tuple[Question, ...]:
    """The main questions in their fixed order. Ids look like `embedded-known-test-0001`."""
    composer = Composer(NAME, book(), wordings(NAME, _HERE))
    chains = Chains(composer)
    chains.starts = [start for start in chains.starts if start.split(".")[0] in _STARTS]
    begun: dict[Statement, int] = {}
    answered: dict[str, int] = {}

    def make(_: int) -> Question | None:
        chain = chains.draw(HOPS)
        if chain is None or begun.get(chain[0], 0) >= _EACH:
            return None
        if answered.get(chain[-1].surface, 0) >= _SAME_GOLD:
            return None
        question = compose_question(composer, chain, "shared")
        if question is not None:
            begun[chain[0]] = begun.get(chain[0], 0) + 1
            answered[chain[-1].surface] = answered.get(chain[-1].surface, 0) + 1
        return question

    made = collect(make, lambda question: question.text, COUNT)
    return tuple(
        replace(question, id=f"embedded-{NAME}-test-{number:04d}", wording="")
        for number, question in enumerate(composer.rng.shuffled(made), 1)
    )
