"""A side's passages, and an index of what they state for composing questions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import msgspec
from msgspec import Struct

from autocoa_bench.types import Passage
from tasks.closed_world.entities import Entity, Ref, Side, World
from tasks.closed_world.text.prose import Article, article
from tasks.closed_world.text.wordings import wordings
from tasks.closed_world.world.build import world


class Statement(Struct, frozen=True):
    """A fact as a passage states it, read in one direction: about one thing, answered by another.

    `surface` is the answer as the passage words it, `words` the same with a word that tells
    namesakes apart, if it needs one. `section` names its wordings (`film.director`).
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
    """All that questions are composed from. `about` and `to` index statements by their ends."""

    side: Side
    world: World
    articles: dict[str, Article]
    statements: tuple[Statement, ...]
    about: dict[str, tuple[Statement, ...]]
    to: dict[str, tuple[Statement, ...]]

    def name(self, entity_id: str) -> str:
        """How a question names an entity, unmistakably."""
        return self.world[entity_id].label

    def text(self, passage: str) -> str:
        """A passage's text."""
        return self.articles[passage].passage.text


# Relations read backwards, where they lead to one thing only: section -> section of the inverse.
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
    """The side's passages and what they state."""
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
    """Passages and what they state, with the statements' two indexes."""
    about: dict[str, list[Statement]] = {}
    to: dict[str, list[Statement]] = {}
    for statement in statements:
        about.setdefault(statement.about, []).append(statement)
        if statement.target is not None:
            to.setdefault(statement.target, []).append(statement)
    return Encyclopedia(
        side=side,
        world=entities,
        articles=articles,
        statements=tuple(statements),
        about={key: tuple(found) for key, found in about.items()},
        to={key: tuple(found) for key, found in to.items()},
    )


def corpus_jsonl(side: Side) -> bytes:
    """All passages as FlashRAG's JSON lines."""
    return jsonl([one.passage for one in encyclopedia(side).articles.values()])


def jsonl(passages: Sequence[Passage]) -> bytes:
    """Passages as FlashRAG's JSON lines."""
    lines = [
        msgspec.json.encode({"id": passage.id, "contents": f'"{passage.title}"\n{passage.text}'})
        for passage in passages
    ]
    return b"\n".join(lines) + b"\n"


def forward(entities: World, articles: dict[str, Article]) -> list[Statement]:
    """What each passage states of its own entity."""
    return [
        Statement(
            about=entity.id,
            section=f"{entity.kind}.{relation}",
            surface=_answer(entities, entity.ref(relation), words),
            words=words,
            passage=entity.id,
            target=entity.ref(relation),
        )
        for entity in entities.values()
        for relation, words in articles[entity.id].stated.items()
    ]


def _spouses(entities: World, articles: dict[str, Article]) -> list[Statement]:
    """Marriages that only the other's passage states."""
    return [
        _naming(spouse, entity.id, "person.spouse")
        for entity in entities.values()
        if "spouse" not in articles[entity.id].stated
        for spouse in [_spouse(entities, entity)]
        if spouse is not None
        and "spouse" in articles[spouse.id].stated
        and entity.name in articles[spouse.id].passage.text
    ]


def _spouse(entities: World, entity: Entity) -> Entity | None:
    spouse = entity.ref("spouse")
    return None if spouse is None else entities[spouse]


def _backward(entities: World, articles: dict[str, Article]) -> list[Statement]:
    sources: dict[tuple[str, str], list[Entity]] = {}
    for entity in entities.values():
        for relation, value in entity.facts.items():
            inverse = _INVERSES.get(f"{entity.kind}.{relation}")
            if inverse is not None and isinstance(value, Ref):
                sources.setdefault((value.id, inverse), []).append(entity)
    return [
        _naming(found[0], about, inverse)
        for (about, inverse), found in sources.items()
        if len(found) == 1 and entities[about].name in articles[found[0].id].passage.text
    ]


def _naming(entity: Entity, about: str, section: str) -> Statement:
    """What an entity's own passage says of another; the answer is the entity's name."""
    words = entity.label
    return Statement(about, section, entity.name, words, entity.id, entity.id)


def _answer(entities: World, target: str | None, words: str) -> str:
    if target is None:
        return words.removeprefix("the ")
    entity = entities[target]
    return entity.name if entity.name in words else words
