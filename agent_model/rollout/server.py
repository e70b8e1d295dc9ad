"""The policy on a vLLM server, which samples the rollouts while training updates its adapter.

The server loads each new adapter while it runs (`--enable-lora`,
VLLM_ALLOW_RUNTIME_LORA_UPDATING=1), from a folder that it can read. Whole models are not supported:
vLLM's reload_weights, tried with 0.32 on a CPU, leaves neither the old model nor the new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeVar

import msgspec

from agent_model.rollout.sampler import Slot, completion
from autocoa_bench.engines.openai import model_list, replies
from autocoa_bench.engines.openai.model_server import (
    ModelServerClient,
    key_from_environment,
    normalised_url,
)
from autocoa_bench.engines.tokenizer import Tokenizer, end_ids, prompt_ids
from autocoa_bench.errors import EngineFault, UserError
from autocoa_bench.types import Completion, Generate
from autocoa_bench.util.http_client import StatusError

_TIMEOUT = 3600.0  # seconds: a request may wait for many others
_RETRIES = 5
_COMMAND = (
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 vllm serve MODEL --enable-lora --max-lora-rank RANK "
    "--logprobs-mode processed_logprobs"
)
_SAMPLING = {
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "return_token_ids": True,
    "logprobs": 0,
    "skip_special_tokens": False,
}
"""Samples from the full distribution, whatever generation_config.json says, and returns ids with
their log-probabilities."""

T = TypeVar("T")


class Sampled(NamedTuple):
    """Sampled ids and the log-probability of each."""

    ids: tuple[int, ...]
    logps: tuple[float, ...]


class _Logprobs(msgspec.Struct):
    token_logprobs: tuple[float, ...] = ()


class _Choice(msgspec.Struct):
    logprobs: _Logprobs | None = None


class _Reply(msgspec.Struct):
    choices: tuple[_Choice, ...]


class PolicyServer:
    """A vLLM server of the policy's base model, on which each new adapter is loaded.

    `model` is the name of the model or the adapter that requests are sent to.
    The API key comes from the environment (AUTOCOA_BENCH_API_KEY, OPENAI_API_KEY). Methods raise
    UserError if the server refuses a request, and ServerDown if it no longer answers.
    """

    def __init__(
        self, address: str, tokenizer: Tokenizer, slots: int, generation_config: Any = None
    ) -> None:
        """`slots` is the greatest number of requests in flight; the model's generation config may
        name further tokens that end a turn. Raises UserError."""
        self.tokenizer = tokenizer
        self.generation_config = generation_config
        self.model = ""
        self._root = normalised_url(address).removesuffix("/v1")
        self._runner = asyncio.Runner()
        self._adapter = ""
        self._http = ModelServerClient(
            self._root,
            concurrency=slots,
            timeout=_TIMEOUT,
            retries=_RETRIES,
            key=key_from_environment(),
        )

    def __enter__(self) -> PolicyServer:
        try:
            self._runner.run(self._find_base())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        self._runner.run(self._http.close())
        self._runner.close()

    def load_adapter(self, folder: Path, name: str) -> None:
        """Replace the server's adapter by the one in a PEFT folder; `name` must be new to it."""
        if self._adapter:
            self._update_adapters("/v1/unload_lora_adapter", {"lora_name": self._adapter})
        content = {"lora_name": name, "lora_path": str(folder.resolve())}
        self._update_adapters("/v1/load_lora_adapter", content)
        self.model = self._adapter = name

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a piece of work on the server."""
        return self._runner.run(work)

    def begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Future[T]:
        """Begin a piece of work; it advances whenever `run` waits for any."""
        return self._runner.get_loop().create_task(work)

    async def complete(
        self, ids: list[int], request: Generate, temperature: float, seed: int
    ) -> Sampled:
        """Sample the ids that follow `ids`."""
        content = {
            "model": self.model,
            "prompt": ids,
            "max_tokens": request.max_tokens,
            "temperature": temperature,
            "seed": seed,
            "stop": list(request.stop),
            **_SAMPLING,
        }

        async def attempt() -> Sampled:
            reply = await self._post("/v1/completions", content)
            [sampled] = replies.read_reply("completions", reply, 1, 0.0)
            return Sampled(sampled.token_ids or (), _logps(reply))

        sampled = await self._request(attempt, "sample")
        if not sampled.ids or len(sampled.logps) != len(sampled.ids):
            raise UserError(
                f"{self._root} sent no token ids with their log-probabilities, which training "
                "needs; the server must be a vLLM that knows return_token_ids (0.10.2 or newer)"
            )
        return sampled

    async def _find_base(self) -> None:
        """Use the first model that the server lists and that is not an adapter."""
        data = await self._request(self._list_models, "list models")
        bases = [card.id for card in model_list.read(data) if card.parent is None]
        if not bases:
            raise UserError(
                f"{self._root} serves no model; give a vLLM server of the policy's base"
            )
        self.model = bases[0]

    def _update_adapters(self, path: str, content: dict[str, Any]) -> None:
        attempt = partial(self._post, path, content)
        self.run(self._request(attempt, f"take adapters at {path}", command=_COMMAND))

    async def _list_models(self) -> bytes:
        return await self._http.send("GET", f"{self._root}/v1/models")

    async def _post(self, path: str, content: dict[str, Any]) -> bytes:
        body = msgspec.json.encode(content)
        return await self._http.send("POST", f"{self._root}{path}", body)

    async def _request(
        self, attempt: Callable[[], Awaitable[T]], task: str, command: str = ""
    ) -> T:
        """A reply, even through an outage of about a minute. Raises UserError.

        `task` completes the message "... does not", and `command` is the one to start the server
        with if it refuses.
        """
        try:
            return await self._http.retry_through_outage(attempt, self._list_models)
        except (StatusError, EngineFault) as error:
            is_refusal = command and isinstance(error, StatusError)
            hint = f"; start it as: {command}" if is_refusal else ""
            raise UserError(
                f"{self._root} does not {task} ({error}){hint}. The last checkpoint is safe, and "
                "the same command continues from it"
            ) from None


class ServerSampler:
    """A sampler whose requests run on a server, many at a time; greedy at temperature 0.

    vLLM gives log-probabilities before the temperature, unless it is started as `_COMMAND` says.
    Seeds come from the random generators of the slots, but sums vary with what else the server
    computes, so that a rollout cannot be repeated exactly.
    """

    def __init__(self, server: PolicyServer, slots: int, temperature: float) -> None:
        self.slots = slots
        self._server = server
        self._temperature = temperature
        self._ends = end_ids(server.tokenizer, server.generation_config)
        self._slot_of: dict[asyncio.Future[Sampled], Slot] = {}

    def acquire(self, rng: Random) -> Slot:
        return Slot(rng)

    def release(self, slot: Slot) -> None:
        """Do nothing: a slot occupies nothing on the server."""

    def submit(self, slot: Slot, request: Generate, temperature: float | None = None) -> None:
        slot.ids = list(prompt_ids(request.prompt, self._server.tokenizer))
        slot.prompt, slot.request = len(slot.ids), request
        slot.temperature = self._temperature if temperature is None else temperature
        seed = slot.rng.getrandbits(31)
        work = self._server.complete(slot.ids, request, slot.temperature, seed)
        self._slot_of[self._server.begin(work)] = slot

    def step(self) -> list[tuple[Slot, Completion]]:
        """Wait for at least one reply, and return all that have arrived. Raises UserError."""
        waiting = asyncio.wait(self._slot_of, return_when=asyncio.FIRST_COMPLETED)
        done, _ = self._server.run(waiting)
        return [self._completed(self._slot_of.pop(future), future.result()) for future in done]

    def _completed(self, slot: Slot, sampled: Sampled) -> tuple[Slot, Completion]:
        assert slot.request is not None
        slot.ids += sampled.ids
        stop, tokenizer = slot.request.stop, self._server.tokenizer
        logps = sampled.logps
        return slot, completion(sampled.ids, self._ends, stop, slot.prompt, tokenizer, logps)


def _logps(reply: bytes) -> tuple[float, ...]:
    """The log-probabilities of the first completion in a reply; none if it has none."""
    try:
        [choice, *_] = msgspec.json.decode(reply, type=_Reply).choices
    except (msgspec.MsgspecError, ValueError):
        return ()
    return choice.logprobs.token_logprobs if choice.logprobs else ()
