"""Passages from the rows of corpora and the documents of search servers: one reader for both.

Published shapes differ in the names of their fields (`util.field_names`) and in nesting. FlashRAG's
`contents` is a title, quoted or not, a line break and the text; a single line is a text without a
title.
"""

import hashlib
import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from autocoa_bench.errors import UNREADABLE
from autocoa_bench.types import Passage
from autocoa_bench.util import field_names
from autocoa_bench.util.row_reader import id_as_text
from autocoa_bench.util.table_rows import column

ACCEPTED = (
    'a passage is {"id", "contents": "Title\\ntext"} (FlashRAG), {"_id", "title", "text"} (BEIR), '
    "or has its text in another usual field (content, passage, body, paragraph_text, ...);\n"
    "id and title may be missing; tables have a header, or the columns id, text and title"
)
"""The shapes of passages, for error messages."""

_WRAPPERS = (
    *("source", "payload", "document", "doc", "passage", "node", "entity", "fields", "properties"),
    *("row", "item", "record", "object", "page", "metadata", "meta"),
)
"""Fields that hold the passage's own fields: Elasticsearch's `_source`, Qdrant's `payload`, ..."""

_SCORES = ("score", "similarity", "relevancescore", "relevance", "rerankscore", "certainty")

_BEIR_FIELDS = {"id", "_id", "title", "text", "metadata"}

_DEEPEST_LIST = 8
_LONGEST_TITLE = 255
"""Bytes of the longest title that Wikipedia allows; a longer first line is text."""


def read_passage(document: object, score: float | None = None) -> tuple[Passage, bool]:
    """The passage in a row or a document, and whether its id is its own.

    An id that is not its own may be shared by others: that of its page, or the hash of its content.
    The score is the document's where none is given. Raises ValueError saying what is missing.
    """
    if isinstance(document, str):
        document = {"contents": document}
    if not isinstance(document, dict):
        raise ValueError(f"expected a passage, found {type(document).__name__}")
    # Corpora have these fields alone, by the million: FlashRAG's two, or BEIR's.
    if len(document) == 2:
        identifier, contents = document.get("id"), document.get("contents")
        if type(identifier) is str and type(contents) is str:
            title, text = split_contents(contents)
            if text and identifier.strip():
                return Passage(identifier, title, text, score), True
    elif len(document) == 3 or document.keys() <= _BEIR_FIELDS:
        identifier = document.get("id") or document.get("_id")
        own_title, own_text = document.get("title"), document.get("text")
        if type(identifier) is type(own_title) is type(own_text) is str:
            title, text = own_title.strip(), own_text.strip()
            if title and text and identifier.strip():
                return Passage(identifier, title, text, score), True
    return _read_fields(document, score)


def split_contents(contents: str) -> tuple[str, str]:
    """Title and text of FlashRAG's `contents`, stripped; a single line is the text."""
    title, _, text = contents.partition("\n")
    title, text = title.strip(), text.strip()
    if not text:
        return "", contents.strip()
    if len(title) >= 2 and title[0] == title[-1] == '"':
        return title[1:-1].strip(), text
    if len(title) > _LONGEST_TITLE and len(title.encode(errors="replace")) > _LONGEST_TITLE:
        return "", contents.strip()
    return title, text


def join_contents(passage: Passage) -> str:
    """FlashRAG's `contents` of a passage: the quoted title on one line, then the text."""
    title = passage.title.replace("\n", " ")
    return f'"{title}"\n{passage.text}'


def _read_fields(document: dict[str, Any], score: float | None) -> tuple[Passage, bool]:
    levels = list(_levels(field_names.fields(document), 0))
    title = _first_text(levels, field_names.TITLES)
    title = title or _from_address(_first_text(levels, field_names.ADDRESSES))
    title, text = _title_and_text(levels, title)
    own = _identifier(levels, field_names.IDS)
    if not text and _has_text_field(levels):
        raise ValueError(f"the passage{f' {own!r:.80}' if own else ''} has no text; remove the row")
    if not text:
        named = ", ".join(map(str, document)) or "no fields"
        raise ValueError(f"a passage needs 'contents' or 'text'; this one has {named:.200}")
    shared = own or _identifier(levels, field_names.PAGE_IDS)
    identifier = shared or hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()[:16]
    if score is None:
        values = (as_score(level.get(name)) for level in levels for name in _SCORES)
        score = next((value for value in values if value is not None), None)
    return Passage(identifier, title, text, score), own is not None


def _levels(fields: dict[str, Any], depth: int) -> Iterator[dict[str, Any]]:
    """The fields of a document, those of the objects in it, and so on; the innermost first.

    Metadata come last: their id and title count where the passage has none.
    """
    if column(1) in fields or "column1" in fields:
        fields = _named_columns(fields)
    inner = {name: nested for name in _WRAPPERS if (nested := _nested(fields.get(name)))}
    if depth < 3:
        for name, nested in inner.items():
            if name not in field_names.METADATA:
                yield from _levels(nested, depth + 1)
    yield fields
    yield from (inner[name] for name in field_names.METADATA if name in inner)


def _nested(value: object) -> dict[str, Any] | None:
    """The fields of an object, or of a text that holds one as JSON."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = msgspec.json.decode(value)
        except UNREADABLE:
            return None
    return field_names.fields(value) if isinstance(value, dict) else None


def _named_columns(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a table without a header: MS MARCO's passages, DPR's, MS MARCO's documents."""
    names = (("text",), ("id", "text"), ("id", "text", "title"), ("id", "url", "title", "text"))
    return dict(zip(dict(enumerate(names, 1)).get(len(fields), ()), fields.values(), strict=False))


def _title_and_text(levels: list[dict[str, Any]], title: str) -> tuple[str, str]:
    """Title and text, stripped; the text is empty where there is none."""
    for level in levels:
        contents = level.get("contents")
        if isinstance(contents, list) and (text := _text(contents)):
            return title, text
        if isinstance(contents, str) and contents.strip():
            first, text = split_contents(contents)
            # A title of its own is not repeated in `contents`, except by those who quote it.
            if not title or first == title or contents.lstrip().startswith(f'"{first}"'):
                return first, text
            return title, contents.strip()
        for name in field_names.TEXTS:
            if text := _text(level.get(name)):
                lines = text.partition("\n")
                # The first paragraph of KILT's pages is their title.
                if isinstance(level[name], list) and lines[0].strip() == title and lines[2]:
                    text = lines[2].strip()
                return title, text
    # BEIR's corpora have documents of a title alone.
    return "", title if _has_text_field(levels) else ""


def _has_text_field(levels: list[dict[str, Any]]) -> bool:
    """Tell whether a text of the passage is blank, which no number is."""
    names = ("contents", *field_names.TEXTS)
    values = [level[name] for level in levels for name in names if name in level]
    return any(isinstance(value, str | list) for value in values)


def _text(value: object) -> str:
    """A text, or a list of sentences or paragraphs as one text; empty for anything else."""
    if isinstance(value, list):
        return _joined(value, _DEEPEST_LIST).strip()
    return value.strip() if isinstance(value, str) else ""


def _joined(parts: list[Any], depth: int) -> str:
    """Sentences in a list as one text; lists of sentences, and objects with one, as paragraphs.

    Empty for lists nested more than `depth` deep, and for lists of anything else.
    """
    if not depth:
        return ""
    texts = [
        _joined(part, depth - 1)
        if isinstance(part, list)
        else _paragraph(part)
        if isinstance(part, dict)
        else part
        for part in parts
    ]
    if not all(isinstance(text, str) for text in texts):
        return ""
    separator = "\n" if any(isinstance(part, list | dict) for part in parts) else " "
    joined = ""
    for text in filter(None, texts):
        is_apart = not joined or joined[-1].isspace() or text[0].isspace()
        joined += text if is_apart else separator + text
    return joined


def _paragraph(part: dict[str, Any]) -> str:
    """The text of a paragraph with fields of its own, such as SQuAD's."""
    fields = field_names.fields(part)
    values = (fields.get(name) for name in field_names.TEXTS)
    return next((value for value in values if isinstance(value, str) and value), "")


def _first_text(levels: list[dict[str, Any]], names: tuple[str, ...]) -> str:
    values = (level.get(name) for level in levels for name in names)
    return next((v.strip() for v in values if isinstance(v, str) and v.strip()), "")


def _from_address(address: str) -> str:
    """The title of the page at an address of Wikipedia; any other address is returned unchanged."""
    with suppress(ValueError):
        path = urlsplit(address).path
        if "/wiki/" in path:
            return unquote(path.partition("/wiki/")[2]).replace("_", " ")
    return address


def _identifier(levels: list[dict[str, Any]], names: tuple[str, ...]) -> str | None:
    values = (id_as_text(level.get(name)) for level in levels for name in names)
    return next(filter(None, values), None)


def as_score(value: object) -> float | None:
    """A finite number as a score; None for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    return None
