"""The policy in process as a sampler of many completions at once.

Who asks has a seat. A seat keeps what the policy has read and written for it, so that the next
request of the same episode computes only what is new: the environment's words, in one block. Seats
that begin alike (a group's) read that beginning once.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from agent_model.tokens import Tokenizer, encode_prompt, end_of_turn
from autocoa_bench.engines.transformers.kv_cache import KVCache, alike
from autocoa_bench.types import Completion, Generate

if TYPE_CHECKING:
    from agent_model.training.model import Policy

_TAIL = 24  # tokens that a stop string surely fits into


class Slot:
    """One episode's place: its tokens, how many of them are in the cache, what it was asked."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.ids: list[int] = []
        self.cached = 0
        self.prompt = 0
        self.request: Generate | None = None

    @property
    def sampled(self) -> list[int]:
        """What was sampled for the request so far."""
        return self.ids[self.prompt :]


class Sampler(Protocol):
    """Completes requests of episodes, token in and token out, for as many seats as it has."""

    seats: int

    def sit(self, rng: Random) -> Slot:
        """A new episode's seat; `dice` draws its tokens."""
        ...

    def leave(self, seat: Slot) -> None:
        """Give a seat back."""
        ...

    def ask(self, seat: Slot, request: Generate) -> None:
        """Put a request of the seat's episode."""
        ...

    def step(self) -> list[tuple[Slot, Completion]]:
        """Go on with all requests; those that were completed by it."""
        ...


class PolicySampler:
    """A transformers model as a sampler: one token of every seat a step."""

    def __init__(
        self, policy: Policy, tokenizer: Tokenizer, seats: int, temperature: float
    ) -> None:
        """Temperature 0 is greedy. Raises UserError for a model that cannot be sampled so."""
        self.seats = seats
        self._policy = policy
        self._tokenizer = tokenizer
        self._temperature = temperature
        self._end = end_of_turn(tokenizer)
        self._arena = KVCache(policy.inner, seats)
        self._seated: list[Slot] = []  # by row of the arena

    def sit(self, rng: Random) -> Slot:
        """Raises RuntimeError where all seats are taken."""
        if len(self._seated) == self.seats:
            raise RuntimeError(f"all {self.seats} seats are taken")
        seat = Slot(rng)
        self._seated.append(seat)
        return seat

    def leave(self, seat: Slot) -> None:
        """The last seat's row moves into the gap, so that rows in use stay neighbours."""
        row, last = self._seated.index(seat), self._seated.pop()
        if last is not seat:
            self._arena.copy(len(self._seated), row, last.cached)
            self._seated[row] = last

    @torch.no_grad()
    def ask(self, seat: Slot, request: Generate) -> None:
        """Read what is new in the request's prompt, all but its last token."""
        ids = list(encode_prompt(request.prompt, self._tokenizer))
        row = self._seated.index(seat)
        shared, owner = self._best_beginning(row, ids)
        if owner != row:
            self._arena.copy(owner, row, shared)
        if shared < len(ids) - 1:
            self._arena.extend(row, shared, ids[shared:-1])
        seat.ids, seat.cached, seat.prompt, seat.request = ids, len(ids) - 1, len(ids), request

    @torch.no_grad()
    def step(self) -> list[tuple[Slot, Completion]]:
        """Sample a token of every seat. Every seat must have been asked."""
        states = self._arena.decode(
            [seat.ids[seat.cached] for seat in self._seated],
            [seat.cached for seat in self._seated],
        )
        logits = self._policy.inner.get_output_embeddings()(states).float()
        drawn = sample_token(logits, self._temperature, [seat.rng for seat in self._seated])
        done = []
        for seat, token in zip(self._seated, drawn, strict=True):
            seat.cached += 1
            seat.ids.append(token)
            if completion := self._completed(seat):
                done.append((seat, completion))
        return done

    def _best_beginning(self, row: int, ids: list[int]) -> tuple[int, int]:
        """How much of a prompt some row has read already, all but its last token at most, and
        which row: its own where none has more."""
        own_first = sorted(range(len(self._seated)), key=lambda at: at != row)
        read = [self._seated[at] for at in own_first]
        shared = [alike(ids[:-1], seat.ids[: seat.cached]) for seat in read]
        return max(shared), own_first[shared.index(max(shared))]

    def _completed(self, seat: Slot) -> Completion | None:
        """What a seat sampled, where that is whole."""
        request, sampled = seat.request, seat.sampled
        assert request is not None
        ended = sampled[-1] == self._end
        tail = _decode(sampled[-_TAIL:], self._tokenizer)
        met = any(each in tail for each in request.stop)
        if not (ended or met or len(sampled) >= request.max_tokens):
            return None
        return completion(sampled, self._end, request.stop, seat.prompt, self._tokenizer)


def completion(
    sampled: Sequence[int], end: int, stop: Sequence[str], prompt: int, tokenizer: Tokenizer
) -> Completion:
    """Sampled ids as a completion; an end of turn is among its ids, and not in its text.

    A text ends with its stop string: where the last token says more than that, ids that spell what
    is kept of it stand in its place.
    """
    ended = sampled[-1] == end
    ids = list(sampled[:-1] if ended else sampled)
    text = _decode(ids, tokenizer)
    met = min((each for each in stop if each in text), key=text.find, default=None)
    if met and not text.endswith(met):
        text = text[: text.find(met) + len(met)]
        rest = text.removeprefix(_decode(ids[:-1], tokenizer))
        ids = [*ids[:-1], *tokenizer(rest, add_special_tokens=False).input_ids]
    return Completion(
        text=text,
        stop_reason="stop" if ended or met else "length",
        stop_string=met,
        prompt_tokens=prompt,
        completion_tokens=len(ids),
        token_ids=(*ids, end) if ended else tuple(ids),
    )


def sample_token(logits: Tensor, temperature: float, rng: Sequence[Random]) -> list[int]:
    """One token of each row of logits (B, V), by inverting the cumulated distribution at a number
    that the row's own dice throw: what a row draws depends on no other row."""
    if temperature == 0:
        return [int(token) for token in logits.argmax(-1)]
    mass = (logits / temperature).softmax(-1).double().cumsum(-1)
    thrown = torch.tensor([each.random() for each in rng], dtype=mass.dtype, device=mass.device)
    drawn = torch.searchsorted(mass, (thrown * mass[:, -1])[:, None], right=True)
    return [min(int(token), logits.shape[-1] - 1) for token in drawn[:, 0]]


def _decode(ids: Sequence[int], tokenizer: Tokenizer) -> str:
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
