"""The client of OpenAI-compatible model servers: one asyncio engine for all of them.

It speaks HTTP over aiohttp rather than through the openai package, whose client costs several
times the CPU of a request (benchmarks/client_speed.py measures ours).
"""

from __future__ import annotations

import asyncio
import difflib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar, cast

import msgspec
from msgspec import Struct

from autocoa_bench.engines.engine import Abilities, Engine, EngineConfig, with_abilities
from autocoa_bench.engines.openai import context_errors
from autocoa_bench.engines.openai import protocol as wire
from autocoa_bench.engines.openai.addresses import (
    Key,
    key_from_environment,
    key_from_file,
    normalised_url,
)
from autocoa_bench.engines.openai.transport import NO_SUCH_PATH, PROBE_SECONDS, Status, Transport
from autocoa_bench.errors import UNREADABLE, EngineFault, UserError
from autocoa_bench.registry import unknown
from autocoa_bench.types import Completion, EngineSpec, Generate, Message, Prompt, Sampling
from autocoa_bench.util.http_retry import Failure, Sleep, excerpt

_RENDERED_OPENINGS = 1024
_MOST_LISTED = 12

_OWNERS: dict[str, wire.Server] = {"llamacpp": "llama.cpp", "vllm": "vllm", "sglang": "sglang"}
_PROTOCOL_OF: dict[wire.Server, wire.Protocol] = {
    "llama.cpp": "template",
    "vllm": "continue",
    "sglang": "continue",
    "other": "chat",
}


T = TypeVar("T")


class _ModelCard(Struct):
    id: str
    owned_by: str | None = None
    parent: str | None = None
    max_model_len: int | None = None


class _ModelList(Struct):
    data: list[_ModelCard]


class OpenAIEngine:
    """A model on an OpenAI-compatible server; satisfies `autocoa_bench.engines.Engine`.

    `protocol` is one of `wire.Protocol`, or `auto`: llama.cpp is driven by `template`, vLLM and
    SGLang by `continue`, any other server by `chat`. `timeout` is seconds a request, `retries` how
    often a failed one is tried again (see `transport`). `api_key` None takes the key from
    `key_file`, else from the environment (AUTOCOA_BENCH_API_KEY, OPENAI_API_KEY).
    `context_tokens` is what a run may need room for. `spared` says whether other servers can take
    over: then an outage is not waited out. `sleep` is for tests.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        protocol: wire.Protocol | Literal["auto"] = "auto",
        concurrency: int = 64,
        timeout: float = 600.0,
        retries: int = 5,
        api_key: str | None = None,
        key_file: str = "",
        context_tokens: int = 0,
        spared: Callable[[], bool] = lambda: False,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.model = model
        self.base_url = normalised_url(base_url)
        self.concurrency = concurrency
        self._root = self.base_url.removesuffix("/v1")
        self._asked_protocol = protocol
        self._protocol: wire.Protocol = "chat"
        self._server: wire.Server = "other"
        self._context_tokens = context_tokens
        self._refused: frozenset[str] = frozenset()
        self._rendered: dict[tuple[Message, ...], str] = {}
        if api_key is not None:
            key = Key(api_key)
        else:
            key = key_from_file(Path(key_file)) if key_file else key_from_environment()
        self._transport = Transport(
            self._root,
            key,
            concurrency=concurrency,
            timeout=timeout,
            retries=retries,
            spared=spared,
            sleep=sleep,
        )

    def __repr__(self) -> str:
        return f"OpenAIEngine(model={self.model!r}, base_url={self.base_url!r})"

    async def start(self) -> EngineSpec:
        """Find out what answers at the base URL, and how it wants to be asked.

        `settings` say what differs from what was asked for: `context_tokens`, the server's own
        where it is less, and `refused_fields`, what its model does not take in a request.
        Raises UserError when it cannot be used.
        """
        self._transport.open()
        try:
            cards = await self._models()
            self._server = await self._recognise(cards)
            asked = self._asked_protocol
            self._protocol = _PROTOCOL_OF[self._server] if asked == "auto" else asked
            if self._server == "other":
                await self._learn_what_is_refused()
        except BaseException:
            await self.close()
            raise
        settings: dict[str, str | int | float] = {}
        rooms = {card.id: card.max_model_len for card in cards}
        parents = {card.id: card.parent for card in cards}  # of a LoRA: the model that it is on
        room = rooms.get(self.model) or rooms.get(parents.get(self.model) or "")
        if room is not None and room < self._context_tokens:
            settings["context_tokens"] = room
        if self._refused:
            settings["refused_fields"] = ", ".join(sorted(self._refused))
        return EngineSpec("openai", self.model, self._protocol, settings)

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """Return `n` completions.

        Raises EngineFault once the retries are spent or when the server rejects the request (of
        the kind `context` where the prompt is too long), UserError when it rejects the key, the
        model or the path, and ServerDown when it answers nobody any more.
        """
        opening = ""
        if self._protocol == "template":
            opening = await self._render(request.prompt.opening)
            request = msgspec.structs.replace(request, prompt=await self._as_ids(request.prompt))
        try:
            completions = await self._transport.enduring(
                lambda: self._once(request, sampling, n, opening), self._probe
            )
        except Status as error:
            raise self._rejection(error, self._url) from None
        if self._protocol == "template":
            return [await self._checked(completion) for completion in completions]
        if self._server == "llama.cpp" and self._protocol == "continue":
            # llama.cpp repeats the turn that it continued; vLLM and SGLang don't.
            continued = request.prompt.continuation
            return [
                msgspec.structs.replace(c, text=c.text.removeprefix(continued)) for c in completions
            ]
        return completions

    async def _once(
        self,
        request: Generate,
        sampling: Sampling,
        n: int,
        opening: str,
        timeout: float | None = None,
    ) -> list[Completion]:
        body = wire.request_body(
            self._protocol, self._server, self.model, request, sampling, n, opening, self._refused
        )
        started = time.perf_counter()
        data = await self._transport.exchange("POST", self._url, body, timeout)
        return wire.read_reply(self._protocol, data, n, time.perf_counter() - started)

    @property
    def _url(self) -> str:
        root = self._root if self._protocol == "template" else self.base_url
        return root + wire.PATHS[self._protocol]

    async def _probe(self, timeout: float | None = PROBE_SECONDS) -> None:
        """Ask for next to nothing: what any server that is up can answer."""
        opening = wire.PROBE.prompt.opening[0].content
        await self._once(wire.PROBE, Sampling(), 1, opening, timeout)

    async def _learn_what_is_refused(self) -> None:
        """Find the fields of a request that a hosted model does not take. Raises UserError."""
        while True:
            try:
                await self._transport.retrying(lambda: self._probe(None))
                return
            except Status as error:
                if error.status in NO_SUCH_PATH:
                    raise self._rejection(error, self._url) from None
                field = context_errors.unsupported_field(str(error))
                if field is None or field in self._refused:
                    return  # perhaps so short an answer; a run's own requests will tell
                self._refused |= {field}
            except EngineFault as fault:
                raise UserError(f"{self._root} lists models, but answers none: {fault}") from None

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._transport.close()

    async def _models(self) -> list[_ModelCard]:
        """The models that the server lists, ours among them; none where it lists none."""
        url = f"{self.base_url}/models"

        async def attempt() -> bytes:
            return await self._transport.exchange("GET", url, timeout=PROBE_SECONDS)

        try:
            data = await self._transport.retrying(attempt, retries=1)
            cards = msgspec.json.decode(data, type=_ModelList).data
        except Status as error:
            if error.status in (404, 405):  # some servers don't list their models
                return []
            raise UserError(f"{url}: HTTP {error.status}: {error}") from None
        except UNREADABLE:
            raise UserError(
                f"{self._root} answers, but not as an OpenAI-compatible server; check --base-url"
            ) from None
        except EngineFault as fault:
            raise UserError(
                f"no model server at {self._root}: {fault}; start one or check --base-url"
            ) from None
        known = sorted(card.id for card in cards)
        if not self.model:
            raise UserError(
                f"no model named; {self._root} serves: {', '.join(known[:_MOST_LISTED])}"
            )
        if self.model not in known:
            if len(known) > _MOST_LISTED:  # a hosted API may have hundreds
                known = difflib.get_close_matches(self.model, known, n=_MOST_LISTED, cutoff=0.0)
            raise unknown(f"model at {self._root}", self.model, known)
        return cards

    async def _recognise(self, cards: list[_ModelCard]) -> wire.Server:
        """The server software, by what it calls itself in its list, else by its own endpoints."""
        for card in cards:
            if card.id == self.model and card.owned_by in _OWNERS:
                return _OWNERS[card.owned_by]
        if await self._has_endpoint("/props", "default_generation_settings"):
            return "llama.cpp"
        if await self._has_endpoint("/version", "version"):
            return "vllm"
        return "other"

    async def _has_endpoint(self, path: str, field: str) -> bool:
        try:
            url = self._root + path
            data = await self._transport.exchange("GET", url, timeout=PROBE_SECONDS)
            found = msgspec.json.decode(data)
        except (Status, Failure, EngineFault, UserError, *UNREADABLE):
            return False
        return isinstance(found, dict) and field in found

    async def _render(self, opening: tuple[Message, ...]) -> str:
        """The opening through the model's chat template, by llama.cpp itself."""
        text = self._rendered.get(opening)
        if text is not None:
            return text
        text = (await self._ask("/apply-template", {"messages": opening}, wire.Rendered)).prompt
        while len(self._rendered) >= _RENDERED_OPENINGS:
            del self._rendered[next(iter(self._rendered))]
        self._rendered[opening] = text
        return text

    async def _as_ids(self, prompt: Prompt) -> Prompt:
        """A prompt whose every model turn has token ids: sampled, or of its text on its own."""
        turns = []
        for turn in prompt.turns:
            if turn.source == "model" and turn.token_ids is None:
                found = await self._ask("/tokenize", {"content": turn.text}, wire.Tokenized)
                turn = msgspec.structs.replace(turn, token_ids=found.tokens)
            turns.append(turn)
        return msgspec.structs.replace(prompt, turns=tuple(turns))

    async def _checked(self, completion: Completion) -> Completion:
        """A completion without its token ids where they spell more than its text.

        The last sampled token may reach beyond a stop string, or break off within a letter.
        """
        ended = completion.stop_reason == "stop" and completion.stop_string is None
        if completion.token_ids is None or ended:
            return completion
        found = await self._ask("/detokenize", {"tokens": completion.token_ids}, wire.Detokenized)
        if found.content == completion.text + (completion.stop_string or ""):
            return completion
        return msgspec.structs.replace(completion, token_ids=None)

    async def _ask(self, path: str, content: object, kind: type[T]) -> T:
        """A reply of one of llama.cpp's own endpoints."""
        url, body = self._root + path, msgspec.json.encode(content)

        async def attempt() -> T:
            data = await self._transport.exchange("POST", url, body)
            try:
                return msgspec.json.decode(data, type=kind)
            except UNREADABLE:
                raise wire.BadReply(f"not a reply of {path}: {excerpt(data)}") from None

        try:
            return await self._transport.enduring(attempt, self._probe)
        except Status as error:
            raise self._rejection(error, url) from None

    def _rejection(self, error: Status, url: str) -> Exception:
        if error.status in NO_SUCH_PATH:
            return UserError(
                f"{url} or the model '{self.model}' does not exist there "
                f"(HTTP {error.status}: {error}); check --base-url and --model"
            )
        return EngineFault(f"http-{error.status}", f"HTTP {error.status}: {error}")


@with_abilities(
    Abilities(
        continuation="vLLM, SGLang, llama.cpp; others: chat turns",
        ids="from vLLM; with llama.cpp both ways",
        logprobs="where the server has them",
        seeds="where the server takes them",
        lora="the server loads it: --model NAME",
    )
)
def from_options(options: EngineConfig) -> Engine:
    """The registry's factory. Raises UserError for a missing address or an unknown protocol."""
    if not options.base_url:
        raise UserError("the engine 'openai' needs a server's address: give --base-url")
    protocols = ("auto", *wire.PATHS)
    if options.protocol not in protocols:
        raise unknown("protocol", options.protocol, sorted(protocols))
    if options.adapter:
        raise UserError(
            f"the adapter '{options.adapter}' is the server's to load: vLLM takes a PEFT folder by "
            "--enable-lora --lora-modules NAME=FOLDER and llama.cpp a GGUF by --lora; then give "
            "--model NAME (vLLM) and no --adapter"
        )

    def at(address: str, spared: Callable[[], bool] = lambda: False) -> OpenAIEngine:
        return OpenAIEngine(
            options.model,
            address,
            protocol=cast("wire.Protocol", options.protocol),
            concurrency=options.concurrency,
            key_file=options.key_file,
            context_tokens=options.context_tokens,
            spared=spared,
        )

    found = {normalised_url(each) for each in options.base_url.split(",")}
    if len(found) == 1:
        return at(found.pop())
    from autocoa_bench.engines.openai.replicas import ReplicatedEngine

    return ReplicatedEngine(sorted(found), at)
