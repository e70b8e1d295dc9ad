"""The list of models of a server, in any shape. It is advisory: the first request decides.

Gemini lists `models/NAME` for NAME, Ollama `NAME:latest`; some servers list a bare array, texts, or
entries under other keys, and some list nothing.
"""

import difflib
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from autocoa_bench.engines.openai import lenient_replies
from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.registry import unknown

_MOST_LISTED = 12
_LISTS = ("data", "models", "result")
_NAMES = ("id", "name", "model", "model_name", "model_id", "slug")


class ModelCard(Struct):
    """An entry of a server's list of models; `parent` is the base of a LoRA adapter."""

    id: str
    owned_by: str | None = None
    parent: str | None = None
    max_model_len: int | None = None


def read(data: bytes) -> list[ModelCard]:
    """The models in the reply to /models, each once; none where it is no list of models."""
    try:
        entries = _entries(lenient_replies.decode(data))
    except UNREADABLE:
        return []
    cards: dict[str, ModelCard] = {}
    for entry in entries:
        content = entry if isinstance(entry, dict) else {"id": entry}
        name = next(filter(None, (_text(content.get(key)) for key in _NAMES)), None)
        if name:
            owner, parent = _text(content.get("owned_by")), _text(content.get("parent"))
            length = lenient_replies.count(content.get("max_model_len"))
            cards.setdefault(name, ModelCard(name, owner, parent, length or None))
    return list(cards.values())


def find(model: str, cards: Sequence[ModelCard]) -> ModelCard | None:
    """The entry of a model, whose name may stand there in another spelling; None for none."""
    by_name = {card.id: card for card in reversed(cards)}
    by_key = {_key(card.id): card for card in reversed(cards)}
    return by_name.get(model) or by_key.get(_key(model))


def context_tokens(model: str, cards: Sequence[ModelCard]) -> int | None:
    """The context of a model, where the list has it."""
    card = find(model, cards)
    # The card of a LoRA adapter has no length, but names the model that it belongs to.
    parent = find(card.parent, cards) if card and card.parent else None
    return next((c.max_model_len for c in (card, parent) if c and c.max_model_len), None)


def wrong_name(root: str, model: str, cards: Sequence[ModelCard]) -> UserError:
    """The error for a name that a server neither lists nor answers to, with the nearest names."""
    names = sorted(card.id for card in cards)
    if not model:
        return UserError(f"no model named; {root} serves: {', '.join(names[:_MOST_LISTED])}")
    if len(names) > _MOST_LISTED:  # a hosted API may have hundreds
        names = difflib.get_close_matches(model, names, n=_MOST_LISTED, cutoff=0.0)
    return unknown(f"model at {root}", model, names)


def _entries(reply: Any, depth: int = 2) -> list[Any]:
    """The entries of a list: an array, under one of its usual keys, or keyed by name."""
    if isinstance(reply, list):
        return reply
    if not isinstance(reply, dict) or not depth:
        return []
    inner = (_entries(reply[key], depth - 1) for key in _LISTS if reply.get(key))
    if entries := next(filter(None, inner), None):
        return entries
    if depth == 1 and all(isinstance(value, dict) for value in reply.values()):
        return [{"id": name, **value} for name, value in reply.items()]
    return []


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _key(name: str) -> str:
    """A name without its prefix and its default tag, in lower case."""
    return name.lower().removeprefix("models/").removesuffix(":latest")
