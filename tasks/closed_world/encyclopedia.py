"""The passages of a side, and an index of the facts that they state."""

from collections.abc import Iterable, Sequence
from functools import cache

import msgspec
from msgspec import Struct

from autocoa_bench.types import Passage
from tasks.closed_world.entities import Entity, Ref, Side, World
from tasks.closed_world.text.prose import Article, article
from tasks.closed_world.text.wordings import wordings
from tasks.closed_world.world.build import world


class Statement(Struct, frozen=True):
    """A fact that a passage states, read in one direction: a subject, and an answer about it.

    `about` and `target` are ids of entities. `surface` is the answer as the passage words it, and
    `words` the same with a word that distinguishes namesakes, if it needs one. `section` names the
    wordings of the relation (`film.director`).
    """

    about: str
    section: str
    surface: str
    words: str
    passage: str
    target: str | None = None

    @property
    def key(self) -> str:
        """Unique in a side."""
        return f"{self.about} {self.section}"


class Encyclopedia(Struct, frozen=True):
    """Passages and statements. `about` and `to` index the statements by subject and by answer."""

    side: Side
    world: World
    articles: dict[str, Article]
    statements: Sequence[Statement]
    about: dict[str, list[Statement]]
    to: dict[str, list[Statement]]

    def name(self, entity_id: str) -> str:
        """The unambiguous name of an entity in a question."""
        return self.world[entity_id].label

    def text(self, passage: str) -> str:
        """A passage's text."""
        return self.articles[passage].passage.text


# Relations that are also read backwards, where the inverse has one value: section -> its inverse.
_INVERSES = {
    "film.director": "person.directed",
    "novel.author": "person.wrote",
    "company.founder": "person.company_founded",
    "building.architect": "person.designed",
    "town.mayor": "person.mayor_of",
    "person.father": "person.child",
    "person.mother": "person.child",
}


@cache
def encyclopedia(side: Side) -> Encyclopedia:
    """The passages of a side and the facts that they state."""
    entities = world(side)
    sections = wordings("prose")
    articles = {entity.id: article(entities, entity, sections) for entity in entities.values()}
    statements = (
        *forward(entities, articles),
        *_spouses(entities, articles),
        *_backward(entities, articles),
    )
    return indexed(side, entities, articles, statements)


def indexed(
    side: Side, entities: World, articles: dict[str, Article], statements: Sequence[Statement]
) -> Encyclopedia:
    """An encyclopedia of the passages and statements, with both indexes."""
    about: dict[str, list[Statement]] = {}
    to: dict[str, list[Statement]] = {}
    for statement in statements:
        about.setdefault(statement.about, []).append(statement)
        if statement.target is not None:
            to.setdefault(statement.target, []).append(statement)
    return Encyclopedia(side, entities, articles, statements, about, to)


def jsonl(passages: Iterable[Passage]) -> bytes:
    """Passages as FlashRAG's JSON lines."""
    lines = [
        msgspec.json.encode({"id": passage.id, "contents": f'"{passage.title}"\n{passage.text}'})
        for passage in passages
    ]
    return b"\n".join(lines) + b"\n"


def forward(entities: World, articles: dict[str, Article]) -> list[Statement]:
    """The facts that each passage states about its own entity."""
    return [
        Statement(
            about=entity.id,
            section=f"{entity.kind}.{relation}",
            surface=surface(entities, entity.ref(relation), words),
            words=words,
            passage=entity.id,
            target=entity.ref(relation),
        )
        for entity in entities.values()
        for relation, words in articles[entity.id].stated.items()
    ]


def _spouses(entities: World, articles: dict[str, Article]) -> list[Statement]:
    """Marriages that only the passage of the spouse states."""
    return [
        _naming(entities[spouse], entity.id, "person.spouse")
        for entity in entities.values()
        if "spouse" not in articles[entity.id].stated
        and (spouse := entity.ref("spouse")) is not None
        and "spouse" in articles[spouse].stated
        and entity.name in articles[spouse].passage.text
    ]


def _backward(entities: World, articles: dict[str, Article]) -> list[Statement]:
    sources: dict[tuple[str, str], list[Entity]] = {}
    for entity in entities.values():
        for relation, value in entity.facts.items():
            inverse = _INVERSES.get(f"{entity.kind}.{relation}")
            if inverse is not None and isinstance(value, Ref):
                sources.setdefault((value.id, inverse), []).append(entity)
    return [
        _naming(group[0], about, inverse)
        for (about, inverse), group in sources.items()
        if len(group) == 1 and entities[about].name in articles[group[0].id].passage.text
    ]


def _naming(entity: Entity, about: str, section: str) -> Statement:
    """A statement of an entity's passage about another entity; the answer is the former's name."""
    words = entity.label
    return Statement(about, section, entity.name, words, entity.id, entity.id)


def surface(entities: World, target: str | None, words: str) -> str:
    """An answer as the passage words it, without an article or a description."""
    if target is None:
        return words.removeprefix("the ")
    name = entities[target].name
    return name if name in words else words
