"""The limits of a server, as its refusals have shown them, and request bodies within them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from autocoa_bench.engines.openai import refusals
from autocoa_bench.engines.turns import first_stop
from autocoa_bench.types import Completion

BLANK_STOPS = "blank stop strings"
"""Stands among the refused fields for stop strings without a visible character."""

_STOPS_OF_HOSTED_APIS = 4
_END_OF_THOUGHT = "</think>"
_COUNT = re.compile(r"(?:max\w*|at most|up to|more than|exceed\w*|only)\D{0,24}(\d+|one)", re.I)


class RequestLimits(Struct, frozen=True):
    """The limits of a server: fields, stop strings and tokens that it does not take.

    `most_stops` is the greatest number of stop strings, and `most_tokens` the greatest number of
    tokens that a request may ask for; None is no limit.
    """

    refused: frozenset[str] = frozenset()
    most_stops: int | None = None
    most_tokens: int | None = None

    def settings(self) -> dict[str, str | int | float]:
        """The limits as a run records them."""
        settings: dict[str, str | int | float] = {}
        if self.refused:
            settings["refused_fields"] = ", ".join(sorted(self.refused))
        if self.most_stops is not None:
            settings["most_stops"] = self.most_stops
        if self.most_tokens is not None:
            settings["most_tokens"] = self.most_tokens
        return settings

    def body(self, body: dict[str, Any]) -> dict[str, Any]:
        """A request's body within the limits.

        `max_tokens` is renamed to `max_completion_tokens`, its name for OpenAI's reasoning models,
        where it is refused.
        """
        if self is NO_LIMITS:
            return body
        limited = {name: value for name, value in body.items() if name not in self.refused}
        tokens = body.get("max_tokens")
        if tokens is not None:
            name = "max_completion_tokens" if "max_tokens" in self.refused else "max_tokens"
            if name not in self.refused:
                limited[name] = min(tokens, self.most_tokens or tokens)
        if "stop" in limited:
            limited["stop"] = self.stops(limited["stop"])
            if not limited["stop"]:
                del limited["stop"]
        return limited

    def stops(self, stops: Sequence[str]) -> list[str]:
        """The stop strings that are sent; `cut` looks for the others."""
        if "stop" in self.refused:
            return []
        sent = [stop for stop in stops if BLANK_STOPS not in self.refused or not stop.isspace()]
        return sent[: self.most_stops]

    def cut(self, completion: Completion, stops: Sequence[str]) -> Completion:
        """A completion that ends before the first stop string that was not sent.

        The sampled ids are lost with the text. A stop string within a thought, or before the first
        visible character, ends nothing.
        """
        sent = self.stops(stops)
        text = completion.text
        start = text.rfind(_END_OF_THOUGHT) + len(_END_OF_THOUGHT)
        if start < len(_END_OF_THOUGHT):
            if text.lstrip().startswith("<think>"):
                return completion
            start = 0
        start += len(text[start:]) - len(text[start:].lstrip())
        stop = first_stop(text, (stop for stop in stops if stop not in sent), start)
        if stop is None:
            return completion
        text = text[: text.find(stop, start)]
        return msgspec.structs.replace(
            completion, text=text, stop_reason="stop", stop_string=stop, token_ids=None
        )

    def after(self, text: str, sent: Mapping[str, Any]) -> "RequestLimits | None":
        """The limits that a refusal of the request `sent` adds to these; None if it adds none.

        `text` is all that the refusal says.
        """
        name = "max_tokens" if "max_tokens" in sent else "max_completion_tokens"
        requested = sent.get(name)
        if isinstance(requested, int) and refusals.is_long_answer(text):
            most = refusals.answer_limit(text, requested)
            return msgspec.structs.replace(self, most_tokens=most) if most else None
        fields = refusals.refused_fields(text, sent)
        stops = list(sent.get("stop", ()))
        if (stops and "stop" in fields) or refusals.names_stops(text):
            narrowed = self._after_stops(text, stops)
            if narrowed is not None:
                return narrowed
        added = self.refused | fields
        return None if added == self.refused else msgspec.structs.replace(self, refused=added)

    def _after_stops(self, text: str, stops: Sequence[str]) -> "RequestLimits | None":
        """The limits that leave as many of the stop strings as a refusal allows."""
        if any(stop.isspace() for stop in stops):
            return msgspec.structs.replace(self, refused=self.refused | {BLANK_STOPS})
        if not refusals.counts_stops(text):
            return None
        match = _COUNT.search(text)
        digits = match[1] if match else ""
        most = int(digits) if digits.isdigit() else 1 if digits else _STOPS_OF_HOSTED_APIS
        if not 0 < most < len(stops):
            most = _STOPS_OF_HOSTED_APIS if len(stops) > _STOPS_OF_HOSTED_APIS else 1
        return msgspec.structs.replace(self, most_stops=most) if most < len(stops) else None


NO_LIMITS = RequestLimits()
