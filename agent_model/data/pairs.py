"""CoT+A contrastive pairs (paper 3.2.1): one context, and two ways to go on from it."""

from __future__ import annotations

from msgspec import Struct

from autocoa_bench.types import Message, Prompt, Question, Turn


class Pair(Struct, frozen=True):
    """One line of pairs.jsonl. Both texts go on from the same context, at the point of choice.

    `turns` is the shared part of the turn after the prefill, by who wrote it. `ends` says for
    chosen and rejected whether the text ends the turn, so that an end of turn follows it: an
    action does not, an answer does.
    """

    question: Question
    opening: tuple[Message, ...]
    prefill: str
    turns: tuple[Turn, ...]
    chosen: str
    rejected: str
    ends: tuple[bool, bool]

    @property
    def context(self) -> Prompt:
        """What both texts go on from."""
        return Prompt(self.opening, self.turns, self.prefill)
