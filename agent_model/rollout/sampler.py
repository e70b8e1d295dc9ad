"""Samples many completions at once from the policy in this process.

Each episode occupies a slot, whose row of the key-value cache holds the tokens read so far: the
next request of the same episode computes only the new tokens, in one block. A prefix that slots
share (the prompt of a group) is computed once and copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from autocoa_bench.engines import turns
from autocoa_bench.engines.tokenizer import Tokenizer, decode, encode, end_ids, prompt_ids
from autocoa_bench.engines.transformers.kv_cache import CachedBatch, CachedRow
from autocoa_bench.types import Completion, Generate

if TYPE_CHECKING:
    from agent_model.training.model import Policy

_TAIL = 24  # tokens that certainly contain a stop string


class Slot(CachedRow):
    """One episode's place in a sampler: its token ids and the request being completed."""

    def __init__(self, rng: Random) -> None:
        super().__init__()
        self.rng = rng
        self.logps: list[float] = []
        self.request: Generate | None = None
        self.temperature = 0.0


class Sampler(Protocol):
    """Completes requests of as many episodes at a time as it has `slots`."""

    slots: int

    def acquire(self, rng: Random) -> Slot:
        """A slot for a new episode, whose tokens are sampled with `rng`."""

    def release(self, slot: Slot) -> None:
        """Free the slot of an episode that has ended."""

    def submit(self, slot: Slot, request: Generate, temperature: float | None = None) -> None:
        """Start a request of the slot's episode, at the sampler's temperature unless given."""

    def step(self) -> list[tuple[Slot, Completion]]:
        """Advance all requests; returns those that are now complete."""


class PolicySampler:
    """A sampler on a transformers model: one token of every slot per step."""

    def __init__(
        self,
        policy: Policy,
        tokenizer: Tokenizer,
        slots: int,
        temperature: float,
        *,
        logps: bool = False,
    ) -> None:
        """Temperature 0 is greedy; with `logps`, completions have the log-probabilities of their
        tokens. Raises UserError for a model that the cache does not support."""
        self.slots = slots
        self._logps = logps
        self._tokenizer = tokenizer
        self._temperature = temperature
        self._ends = end_ids(tokenizer, policy.inner.generation_config)
        self._batch: CachedBatch[Slot] = CachedBatch(policy.inner, slots)

    def acquire(self, rng: Random) -> Slot:
        """A free slot. Raises RuntimeError if all are occupied."""
        if len(self._batch.rows) == self.slots:
            raise RuntimeError(f"all {self.slots} slots are occupied")
        slot = Slot(rng)
        self._batch.rows.append(slot)
        return slot

    def release(self, slot: Slot) -> None:
        self._batch.remove(slot)

    @torch.no_grad()
    def submit(self, slot: Slot, request: Generate, temperature: float | None = None) -> None:
        """Compute the new part of the request's prompt, except its last token."""
        ids = prompt_ids(request.prompt, self._tokenizer)
        self._batch.read(self._batch.rows.index(slot), slot, ids)
        slot.request, slot.logps = request, []
        slot.temperature = self._temperature if temperature is None else temperature

    @torch.no_grad()
    def step(self) -> list[tuple[Slot, Completion]]:
        """Sample one token of every slot. Every slot must have a request."""
        slots = self._batch.rows
        logits = self._batch.logits().float()
        temperatures = [slot.temperature for slot in slots]
        tokens, logps = sample_token(logits, temperatures, [slot.rng for slot in slots])
        completed = []
        for slot, token, logp in zip(slots, tokens, logps, strict=True):
            slot.ids.append(token)
            slot.logps.append(logp)
            if result := self._completed(slot):
                completed.append((slot, result))
        return completed

    def _completed(self, slot: Slot) -> Completion | None:
        """The slot's completion if it is finished, else None."""
        request, sampled = slot.request, slot.sampled
        assert request is not None
        # Decoding everything at every token would be quadratic: a stop string is in the tail.
        tail = decode(sampled[-_TAIL:], self._tokenizer)
        stopped = sampled[-1] in self._ends or any(stop in tail for stop in request.stop)
        if not stopped and len(sampled) < request.max_tokens:
            return None
        logps = slot.logps if self._logps else None
        return completion(sampled, self._ends, request.stop, slot.prompt, self._tokenizer, logps)


def completion(
    sampled: Sequence[int],
    ends: Sequence[int],
    stop: Sequence[str],
    prompt: int,
    tokenizer: Tokenizer,
    logps: Sequence[float] | None = None,
) -> Completion:
    """A completion from sampled ids; one of the `ends` of a turn is among its ids, not in its text.

    The text ends with its stop string. If the last token goes beyond it, that token is replaced by
    the ids of the text that remains. `prompt` is the number of prompt tokens, and `logps` are the
    log-probabilities of the sampled ids, if they are known.
    """
    end = (sampled[-1],) if sampled[-1] in ends else ()
    ids = tuple(sampled[:-1] if end else sampled)
    text = decode(ids, tokenizer)
    matched = turns.first_stop(text, stop)
    exact: tuple[int, ...] | None = ids
    if matched and not text.endswith(matched):
        text = text[: text.find(matched) + len(matched)]
        exact = turns.trimmed_ids(
            ids, text, lambda some: decode(some, tokenizer), lambda rest: encode(rest, tokenizer)
        )
    return Completion(
        text=text,
        stop_reason="stop" if end or matched else "length",
        stop_string=matched,
        prompt_tokens=prompt,
        completion_tokens=len(ids if exact is None else exact),
        token_ids=None if exact is None else (*exact, *end),
        sampled_ids=tuple(sampled),
        logps=None if logps is None else tuple(logps),
        end=decode(end, tokenizer),
    )


def sample_token(
    logits: Tensor, temperatures: Sequence[float], rng: Sequence[Random]
) -> tuple[list[int], list[float]]:
    """One token per row of logits (B, V), at the row's temperature, and its log-probability.

    Temperature 0 takes the likeliest token, with a log-probability of 0. The cumulative
    distribution is inverted at a number from the row's own generator, so a row's token does not
    depend on the other rows.
    """
    tokens: list[int] = logits.argmax(-1).tolist()
    logps = [0.0] * len(tokens)
    rows = [row for row, temperature in enumerate(temperatures) if temperature]
    if not rows:
        return tokens, logps
    divisors = torch.tensor([temperatures[row] for row in rows], device=logits.device)
    probabilities = (logits[rows] / divisors[:, None]).softmax(-1)
    mass = probabilities.double().cumsum(-1)
    numbers = [rng[row].random() for row in rows]
    uniform = torch.tensor(numbers, dtype=mass.dtype, device=mass.device)
    sampled = torch.searchsorted(mass, (uniform * mass[:, -1])[:, None], right=True)
    sampled = sampled.clamp(max=logits.shape[-1] - 1)
    chosen = probabilities.gather(1, sampled).log()
    for row, token, logp in zip(rows, sampled[:, 0].tolist(), chosen[:, 0].tolist(), strict=True):
        tokens[row], logps[row] = token, logp
    return tokens, logps
