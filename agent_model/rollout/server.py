"""The policy in a vLLM server: rollouts are written there, and learned from here.

What learns is an adapter: it goes by vLLM's own loading of adapters while it serves
(`--enable-lora`, VLLM_ALLOW_RUNTIME_LORA_UPDATING=1), from a folder that the server can read. Left
out: whole models. vLLM's reload_weights, tried with 0.32 on a CPU, leaves neither the old model nor
the new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from agent_model.rollout.sampler import Slot, completion
from agent_model.tokens import Tokenizer, encode_prompt, end_of_turn
from autocoa_bench.engines.openai.addresses import key_from_environment, normalised_url
from autocoa_bench.engines.openai.transport import Status, Transport
from autocoa_bench.errors import UNREADABLE, EngineFault, UserError
from autocoa_bench.types import Completion, Generate

_TIMEOUT = 3600.0  # seconds: a completion may wait for many others
_RETRIES = 5
_STARTED = "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 vllm serve MODEL --enable-lora --max-lora-rank RANK"
_EXACT = {
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "return_token_ids": True,
    "skip_special_tokens": False,
}
"""Draws from all tokens, whatever generation_config.json says, and returns their ids."""

T = TypeVar("T")


class _Choice(Struct):
    token_ids: list[int] | None = None


class _Completions(Struct):
    choices: list[_Choice]


class _Card(Struct):
    id: str
    parent: str | None = None


class _Models(Struct):
    data: list[_Card]


class PolicyServer:
    """A vLLM server of the policy's base, which is given the adapter as it learns.

    The API key is the environment's (AUTOCOA_BENCH_API_KEY, OPENAI_API_KEY). Methods raise
    UserError where the server does not do what is asked of it, ServerDown where it is gone.
    """

    def __init__(self, address: str, tokenizer: Tokenizer, slots: int) -> None:
        """`slots` is how many requests are under way at most. Raises UserError."""
        self.tokenizer = tokenizer
        self.model = ""
        self._root = normalised_url(address).removesuffix("/v1")
        self._runner = asyncio.Runner()
        self._adapter = ""
        self._transport = Transport(
            self._root,
            key_from_environment(),
            concurrency=slots,
            timeout=_TIMEOUT,
            retries=_RETRIES,
            spared=lambda: False,
            sleep=asyncio.sleep,
        )

    def __enter__(self) -> PolicyServer:
        try:
            self._runner.run(self._open())
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self._close()

    def _close(self) -> None:
        self._runner.run(self._transport.close())
        self._runner.close()

    def load_adapter(self, folder: Path, name: str) -> None:
        """Serve the adapter in a PEFT folder, by a name that the server has not had yet; the one
        before is dropped."""
        if self._adapter:
            self._change("/v1/unload_lora_adapter", {"lora_name": self._adapter})
        given = {"lora_name": name, "lora_path": str(folder.resolve())}
        self._change("/v1/load_lora_adapter", given)
        self.use(name)
        self._adapter = name

    def use(self, name: str) -> None:
        """Ask for what the server has by a name, from now on."""
        self.model = name

    def run(self, work: Awaitable[T]) -> T:
        """Wait for a piece of work on the server."""

        async def waited() -> T:
            return await work

        return self._runner.run(waited())

    def begin(self, work: Awaitable[T]) -> asyncio.Future[T]:
        """Begin a piece of work; it goes on while any is waited for."""

        async def begun() -> asyncio.Future[T]:
            return asyncio.ensure_future(work)

        return self._runner.run(begun())

    async def complete(
        self, ids: list[int], request: Generate, temperature: float, seed: int
    ) -> list[int]:
        """The ids that follow `ids`."""
        given = {
            "model": self.model,
            "prompt": ids,
            "max_tokens": request.max_tokens,
            "temperature": temperature,
            "seed": seed,
            "stop": list(request.stop),
            **_EXACT,
        }
        found = await self._enduring(lambda: self._post("/v1/completions", given), "sample")
        try:
            choices = msgspec.json.decode(found, type=_Completions).choices
        except UNREADABLE as error:
            raise UserError(f"{self._root} sent no completion: {error}") from None
        if not choices or not choices[0].token_ids:
            raise UserError(
                f"{self._root} sent no token ids, which rollouts are learned from; the server must "
                "be a vLLM that knows return_token_ids (0.10.2 or newer)"
            )
        return choices[0].token_ids

    async def _open(self) -> None:
        self._transport.open()
        url = f"{self._root}/v1/models"
        found = await self._enduring(lambda: self._transport.exchange("GET", url), "list models")
        try:
            cards = msgspec.json.decode(found, type=_Models).data
        except UNREADABLE as error:
            raise UserError(f"{self._root} sent no list of models: {error}") from None
        bases = [card.id for card in cards if card.parent is None]
        if not bases:
            raise UserError(
                f"{self._root} serves no model; give a vLLM server of the policy's base"
            )
        self.use(bases[0])

    def _change(self, path: str, given: dict[str, Any]) -> None:
        """Tell the server to change its adapters."""
        self.run(
            self._enduring(lambda: self._post(path, given), f"take adapters at {path}", _STARTED)
        )

    async def _post(self, path: str, given: dict[str, Any]) -> bytes:
        body = msgspec.json.encode(given)
        return await self._transport.exchange("POST", f"{self._root}{path}", body)

    async def _enduring(
        self, attempt: Callable[[], Awaitable[bytes]], what: str, started: str = ""
    ) -> bytes:
        """A reply, through outages. Raises UserError."""
        probe = f"{self._root}/v1/models"
        try:
            return await self._transport.enduring(
                attempt, lambda: self._transport.exchange("GET", probe)
            )
        except (Status, EngineFault) as error:
            hint = f"; start it as: {started}" if started and isinstance(error, Status) else ""
            raise UserError(
                f"{self._root} does not {what} ({error}){hint}. The last checkpoint stands, and "
                "the same command goes on from it"
            ) from None


class ServerSampler:
    """A server as a sampler: each request is one call, and many are under way at once.

    Greedy at temperature 0. Seeds follow from the slots' dice, but sums vary with what else a
    server computes, so that a rollout is not repeated exactly.
    """

    def __init__(self, server: PolicyServer, slots: int, temperature: float) -> None:
        self.slots = slots
        self._server = server
        self._temperature = temperature
        self._end = end_of_turn(server.tokenizer)
        self._asked: dict[asyncio.Future[list[int]], Slot] = {}

    def acquire(self, rng: Random) -> Slot:
        """A slot for a new episode."""
        return Slot(rng)

    def release(self, slot: Slot) -> None:
        """A slot holds nothing on the server."""

    def submit(self, slot: Slot, request: Generate) -> None:
        """Send a request."""
        slot.ids = list(encode_prompt(request.prompt, self._server.tokenizer))
        slot.prompt, slot.request = len(slot.ids), request
        seed = slot.rng.getrandbits(31)
        work = self._server.complete(slot.ids, request, self._temperature, seed)
        self._asked[self._server.begin(work)] = slot

    def step(self) -> list[tuple[Slot, Completion]]:
        """Wait until a reply is there, and take all that are. Raises UserError."""
        waiting = asyncio.wait(self._asked, return_when=asyncio.FIRST_COMPLETED)
        done, _ = self._server.run(waiting)
        return [self._completed(self._asked.pop(each), each.result()) for each in done]

    def _completed(self, slot: Slot, sampled: list[int]) -> tuple[Slot, Completion]:
        assert slot.request is not None
        slot.ids += sampled
        stop, tokenizer = slot.request.stop, self._server.tokenizer
        return slot, completion(sampled, self._end, stop, slot.prompt, tokenizer)
