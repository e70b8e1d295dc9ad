"""Probes of what a server does to a turn, by its counts of prompt tokens."""

from typing import Protocol

import msgspec

from autocoa_bench.engines.openai import protocol as wire
from autocoa_bench.engines.openai.server_tokenizers import LocalTokenizer
from autocoa_bench.engines.openai.turn_tokenizer import (
    PROBE_OPENING,
    PROBE_TURN,
    UNUSABLE,
    Changed,
    TurnTokenizer,
    prompt_length,
)
from autocoa_bench.types import Completion, Generate, Message, Prompt, Turn

_THOUGHT = "\n".join(f"The number {number} comes after {number - 1}." for number in range(1, 9))
_LEAST = 32  # tokens that the thought has at least


class Complete(Protocol):
    """Sends a request once, or once more. Raises StatusError or EngineFault."""

    async def __call__(self, request: Generate, prompt: msgspec.Raw | None = None) -> Completion:
        """The completion."""


async def check(tokenizer: TurnTokenizer, complete: Complete) -> None:
    """Send a tokenizer's turn to the server that completes it, as text if it does not take ids.

    Raises Changed if other tokens arrive than were sent, and what `complete` raises.
    """
    try:
        await _check(tokenizer, complete)
    except UNUSABLE:
        if not isinstance(tokenizer, LocalTokenizer):
            raise
        tokenizer.sends_ids = False
        await _check(tokenizer, complete)


async def _check(tokenizer: TurnTokenizer, complete: Complete) -> None:
    async def counts(*turns: Turn) -> tuple[int | None, int | None]:
        """The tokens that are sent, and those that the server has counted."""
        prompt = Prompt(PROBE_OPENING, turns)
        body = await tokenizer.prompt(prompt)
        completion = await complete(Generate(prompt, stop=(), max_tokens=1), body)
        return prompt_length(body), completion.prompt_tokens

    sent, counted = await counts(Turn("environment", PROBE_TURN))
    if sent is None or counted is None or counted == sent:
        return
    # Some servers give a count that has nothing to do with the prompt.
    if (await counts())[1] != counted:
        raise Changed(f"of {sent} tokens, {counted} arrive")


async def drops_thoughts(complete: Complete, *, continued: bool) -> bool:
    """True if the chat template drops thoughts from the prompt of an assistant's turn.

    `continued` asks about a turn that is to be continued, else about one with a message after it.
    False also where the counts tell nothing. Raises what `complete` raises.
    """

    async def count(user: str, assistant: str) -> int | None:
        turns = [Turn("model", assistant)]
        turns += [] if continued else [Turn("environment", "Hi")]
        prompt = Prompt((Message("user", user),), tuple(turns))
        return (await complete(msgspec.structs.replace(wire.PROBE, prompt=prompt))).prompt_tokens

    whole = await count("Hi", f"<think>\n{_THOUGHT}\n</think>\n\nok")
    if whole is None:
        return False
    bare = await count("Hi", "ok")
    if bare is None or whole - bare >= _LEAST:
        return False
    # Servers that count in another way, or not at all, show it by a user's message.
    more = await count(f"Hi\n{_THOUGHT}", "ok")
    return more is not None and more - bare >= _LEAST
