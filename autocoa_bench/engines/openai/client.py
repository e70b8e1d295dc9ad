"""The engine for OpenAI-compatible model servers.

It speaks HTTP over aiohttp rather than through the openai package, whose client needs several
times the CPU time per request (benchmarks/client_speed.py measures ours).
"""

import asyncio
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal, TypeVar, cast

import msgspec
from msgspec.structs import replace

from autocoa_bench.engines.engine import Engine, EngineCapabilities, EngineConfig, with_capabilities
from autocoa_bench.engines.openai import model_list, probes, refusals, replies
from autocoa_bench.engines.openai import protocol as wire
from autocoa_bench.engines.openai.model_list import ModelCard
from autocoa_bench.engines.openai.model_server import (
    ModelServerClient,
    key_from_environment,
    key_from_file,
    normalised_url,
)
from autocoa_bench.engines.openai.replicas import ReplicatedEngine
from autocoa_bench.engines.openai.request_limits import NO_LIMITS, RequestLimits
from autocoa_bench.engines.openai.server_tokenizers import (
    LlamaCppTokenizer,
    LocalTokenizer,
    SGLangTokenizer,
    VLLMTokenizer,
)
from autocoa_bench.engines.openai.turn_tokenizer import (
    UNUSABLE,
    TurnTokenizer,
)
from autocoa_bench.errors import UNREADABLE, EngineFault, UserError
from autocoa_bench.registry import unknown
from autocoa_bench.types import (
    Completion,
    EngineSpec,
    Generate,
    ModelTraits,
    Sampling,
)
from autocoa_bench.util.error_text import excerpt
from autocoa_bench.util.gate import Sleep
from autocoa_bench.util.http_client import (
    NO_SUCH_PATH,
    PROBE_TIMEOUT,
    APIKey,
    BadReply,
    RateLimited,
    StatusError,
    TransientError,
)
from autocoa_bench.util.text import one_line

_TRIALS = 3
"""The retries of a request that only asks what a server can do."""

_OWNERS: dict[str, wire.Server] = {"llamacpp": "llama.cpp", "vllm": "vllm", "sglang": "sglang"}

T = TypeVar("T")


class OpenAIEngine:
    """A model on an OpenAI-compatible server; satisfies `autocoa_bench.engines.Engine`.

    With the protocol `auto`, llama.cpp, vLLM and SGLang are driven by `template`, and so is any
    server that completes prompts if `tokenizer` names the model's tokenizer (as `--tokenizer`
    does); others by `chat`. `timeout` (seconds a request), `retries` and `has_replacement` are
    those of `HTTPClient`; `sleep` is for tests. `api_key` None takes the key from the environment.
    `context_tokens` is the room that a run may need. `traits` are known once it has started.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        protocol: wire.Protocol | Literal["auto"] = "auto",
        tokenizer: str = "",
        concurrency: int = 64,
        timeout: float = 600.0,
        retries: int = 5,
        api_key: APIKey | None = None,
        context_tokens: int = 0,
        has_replacement: Callable[[], bool] = lambda: False,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.model = model
        self.base_url = normalised_url(base_url)
        self.concurrency = concurrency
        self.traits = ModelTraits()
        self._root = self.base_url.removesuffix("/v1")
        self._configured_protocol = protocol
        self._cards: list[ModelCard] = []
        self._form = wire.RequestForm("chat", "other", model)
        self._tokenizer_name = tokenizer
        self._tokenizer: TurnTokenizer | None = None
        self._context_tokens = context_tokens
        self._limits = NO_LIMITS
        self._first_limits: RequestLimits | None = None
        self._http = ModelServerClient(
            self._root,
            concurrency=concurrency,
            timeout=timeout,
            retries=retries,
            key=key_from_environment() if api_key is None else api_key,
            has_replacement=has_replacement,
            sleep=sleep,
        )

    async def start(self) -> EngineSpec:
        """Identify the server and the protocol that it needs. Raises UserError.

        The spec's `settings` contain what differs from the configuration: `context_tokens`, if the
        server has less room; what its model does not take of a request (`RequestLimits`);
        `tokenizer`, if one in this process cuts the prompts, and `prompts`, if they are sent as
        `text`; `turns`, if turns are `quoted` because the chat template drops thoughts.
        """
        settings: dict[str, str | int | float] = {}
        try:
            cards = self._cards = await self._list_models()
            if not self.model and cards:
                raise model_list.wrong_name(self._root, self.model, cards)
            self._form = replace(self._form, server=await self._identify(cards))
            if self._is_unlisted:
                await self._try_unlisted_name()
            await self._choose_protocol()
            if self._form.server == "other":
                await self._find_limits()
            if self._form.protocol == "chat":
                with suppress(StatusError, EngineFault):  # such as a question that is too long
                    quotes = await probes.drops_thoughts(self._complete, continued=False)
                    self._form = replace(self._form, quotes=quotes)
        except BaseException:
            await self.close()
            raise
        length = model_list.context_tokens(self.model, cards)
        if length is not None and length < self._context_tokens:
            settings["context_tokens"] = length
        settings |= self._limits.settings()
        if self._form.quotes:
            settings["turns"] = "quoted"
        if isinstance(self._tokenizer, LocalTokenizer):
            settings["tokenizer"] = self._tokenizer_name
            if not self._tokenizer.sends_ids:
                settings["prompts"] = "text"
        self._first_limits = self._limits
        return EngineSpec("openai", self.model, self._form.protocol, settings)

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """Return `n` completions.

        Raises EngineFault once the retries are spent or if the server rejects the request (of the
        kind `context` for a prompt that is too long), UserError if it rejects the key, the model or
        the path, and ServerDown if it no longer answers at all.
        """
        tokenizer = self._tokenizer
        prompt = await tokenizer.prompt(request.prompt) if tokenizer else None
        try:
            completions = await self._http.retry_through_outage(
                lambda: self._post(request, sampling, n, prompt), self._probe
            )
        except StatusError as error:
            if refusals.is_filtered(error.status, error.text):
                return [Completion("", "filtered")] * n
            raise self._rejection(error, self._url) from None
        if tokenizer is not None:
            return [await tokenizer.exact(completion, request.stop) for completion in completions]
        if self._form.server == "llama.cpp" and self._form.protocol == "continue":
            # llama.cpp repeats the turn that it continued; vLLM and SGLang do not.
            continued = request.prompt.continuation
            return [
                replace(completion, text=completion.text.removeprefix(continued))
                for completion in completions
            ]
        return completions

    async def close(self) -> None:
        await self._http.close()

    @property
    def late_settings(self) -> dict[str, str | int | float]:
        """Settings that a refusal in the middle of a run has changed, as they are now."""
        return {} if self._limits is self._first_limits else self._limits.settings()

    @property
    def _url(self) -> str:
        if self._form.is_native:
            return self._root + wire.NATIVE_PATH
        return self.base_url + wire.PATHS[self._form.protocol]

    async def _post(
        self,
        request: Generate,
        sampling: Sampling,
        n: int = 1,
        prompt: msgspec.Raw | None = None,
        timeout: float | None = None,
    ) -> list[Completion]:
        """One attempt at a request for completions."""
        form, specials = self._form, tuple(self._tokenizer.specials if self._tokenizer else ())
        while True:
            limits = self._limits
            body = wire.request_body(form, request, sampling, n, prompt, specials, limits)
            start = time.perf_counter()
            try:
                data = await self._http.send("POST", self._url, body, timeout)
                break
            except (StatusError, TransientError) as error:
                is_limit = isinstance(error, RateLimited)
                if limits is self._limits and (
                    is_limit or not self._narrow_limits(error.text, body)
                ):
                    raise
        seconds = time.perf_counter() - start
        try:
            completions = replies.read_reply(form.reply_form, data, n, seconds, request)
        except BadReply as error:
            raise self._http.error_in(data) or error from None
        if limits is NO_LIMITS:
            return completions
        return [limits.cut(completion, request.stop) for completion in completions]

    def _narrow_limits(self, refusal: str, body: bytes) -> bool:
        """Leave out of all further requests what a refusal of one names; False if it names nothing.

        Once the run has begun, that is a warning.
        """
        limits = self._limits.after(refusal, msgspec.json.decode(body)) if refusal else None
        if limits is None:
            return False
        self._limits = limits
        if self._first_limits is not None:
            listed = ", ".join(f"{name} {value}" for name, value in limits.settings().items())
            print(
                f"warning: the model server at {self._root} has refused a part of a request; from "
                f"now on requests keep to: {listed} ({one_line(refusal, 200)})",
                file=sys.stderr,
            )
        return True

    async def _probe(self, timeout: float | None = PROBE_TIMEOUT) -> None:
        """Send a tiny request, which any server that is up can answer."""
        prompt = msgspec.Raw(msgspec.json.encode(wire.PROBE.prompt.opening[0].content))
        # An empty reply, perhaps of a model that is still thinking, is an answer too.
        with suppress(replies.EmptyReply):
            await self._post(wire.PROBE, Sampling(), 1, prompt, timeout)

    async def _choose_protocol(self) -> None:
        """Find a protocol that gives the model its own turn unchanged. Raises UserError."""
        configured, server = self._configured_protocol, self._form.server
        if configured in ("chat", "completions"):
            self._use(configured)
            return
        problem = "the server has no endpoint to tokenise prompts; name a tokenizer (--tokenizer)"
        if configured in ("auto", "template"):
            self._use("template")
            for tokenizer in await self._tokenizers():
                try:
                    await tokenizer.start()
                    await probes.check(tokenizer, self._complete)
                except UNUSABLE as error:
                    problem = str(error)
                    continue
                self._tokenizer, self.traits = tokenizer, tokenizer.traits
                return
        if configured == "continue" or (configured == "auto" and server != "other"):
            self._use("continue")
            try:
                if not await probes.drops_thoughts(self._complete, continued=True):
                    return
                problem = "its chat template drops the thoughts of a turn that is to be continued"
            except UNUSABLE as error:
                problem = str(error)
        if configured != "auto":
            raise UserError(
                f"{self._root} cannot be used with the protocol '{configured}': {problem[:200]}; "
                "leave out --protocol, or give --protocol chat"
            )
        self._use("chat")

    def _use(self, protocol: wire.Protocol) -> None:
        self._form = replace(self._form, protocol=protocol)
        self.traits = ModelTraits(new_turns=protocol == "chat")

    async def _tokenizers(self) -> list[TurnTokenizer]:
        """The tokenizers to try, the best first. Raises UserError for one that does not load."""
        if self._tokenizer_name:
            from autocoa_bench.engines.weights import huggingface

            return [
                LocalTokenizer(
                    await asyncio.to_thread(huggingface.load_tokenizer, self._tokenizer_name)
                )
            ]
        if self._form.server == "llama.cpp":
            return [LlamaCppTokenizer(self._call)]
        if self._form.server == "vllm":
            return [VLLMTokenizer(self._call, self.model)]
        if self._form.server == "sglang":
            return [SGLangTokenizer(self._call, self.model)]
        return []

    async def _complete(self, request: Generate, prompt: msgspec.Raw | None = None) -> Completion:
        """The completion of a probe; see `probes.Complete`."""
        [completion] = await self._http.retry(
            lambda: self._post(request, Sampling(), 1, prompt), retries=1
        )
        return completion

    async def _find_limits(self) -> None:
        """Find what a hosted model does not take of a request. Raises UserError."""
        try:
            await self._http.retry(lambda: self._probe(None))
        except StatusError as error:
            if error.status in NO_SUCH_PATH:
                raise self._rejection(error, self._url) from None
            await self._find_limits_by_trial()
        except EngineFault as fault:
            raise UserError(
                f"{self._root} answers no request for a completion: {fault}; check --base-url and "
                "--model"
            ) from None

    async def _find_limits_by_trial(self) -> None:
        """Find the field without which a probe is answered, where its refusal does not name it.

        If there is none, the refusal may concern the probe alone (such as its short answer), so
        that the run's own requests decide.
        """
        limits = self._limits
        for fields in (*({field} for field in wire.PROBE_FIELDS), set(wire.PROBE_FIELDS)):
            self._limits = replace(limits, refused=limits.refused | fields)
            with suppress(StatusError, EngineFault):
                await self._http.retry(lambda: self._probe(None))
                return
        self._limits = limits

    async def _list_models(self) -> list[ModelCard]:
        """The models that the server lists; none if it has no list. Raises UserError.

        Only a server that cannot be reached is an error: a refusal of the list says nothing of a
        request for completions.
        """
        url = f"{self.base_url}/models"
        try:
            data = await self._http.retry(
                lambda: self._http.send("GET", url, timeout=PROBE_TIMEOUT), _TRIALS
            )
        except (StatusError, UserError):
            return []
        except EngineFault as fault:
            if fault.kind != "connection":
                return []
            raise UserError(
                f"no model server at {self._root}: {fault}; start one or check --base-url"
            ) from None
        return model_list.read(data)

    @property
    def _is_unlisted(self) -> bool:
        """True if the server has a list of models, without ours."""
        return bool(self._cards) and model_list.find(self.model, self._cards) is None

    async def _try_unlisted_name(self) -> None:
        """Ask for a model that the server does not list. Raises UserError if it does not answer."""
        try:
            await self._http.retry(lambda: self._probe(None))
        except (StatusError, EngineFault) as error:
            problem = model_list.wrong_name(self._root, self.model, self._cards)
            raise UserError(f"{problem}: {error}") from None
        print(
            f"warning: {self._root} does not list the model '{self.model}', but answers to the "
            "name; it may be another model",
            file=sys.stderr,
        )

    async def _identify(self, cards: list[ModelCard]) -> wire.Server:
        """The server software, by the owner in its list of models, else by its endpoints."""
        card = model_list.find(self.model, cards)
        owners = {card.owned_by} if card else {card.owned_by for card in cards}
        if len(owners) == 1 and (owner := owners.pop()) in _OWNERS:
            return _OWNERS[owner]
        if await self._has_endpoint("/props", "default_generation_settings"):
            return "llama.cpp"
        if await self._has_endpoint("/version", "version"):
            return "vllm"
        return "other"

    async def _has_endpoint(self, path: str, field: str) -> bool:
        try:
            data = await self._http.send("GET", self._root + path, timeout=PROBE_TIMEOUT)
            content = msgspec.json.decode(data)
        except (StatusError, TransientError, EngineFault, UserError, *UNREADABLE):
            return False
        return isinstance(content, dict) and field in content

    async def _call(
        self, path: str, body: object, field: str, field_type: type[T], *, once: bool = False
    ) -> T:
        """A field of the reply of one of the server's own endpoints, or all of it for no field.

        Without a body, the endpoint is read. `once` is that of `turn_tokenizer.Call`, and
        means nothing once the engine has started.
        """
        url, method = self._root + path, "GET" if body is None else "POST"
        data = None if body is None else msgspec.json.encode(body)
        is_trial = once and self._first_limits is None

        async def attempt() -> T:
            reply = await self._http.send(method, url, data, PROBE_TIMEOUT if is_trial else None)
            try:
                if field:
                    reply = bytes(msgspec.json.decode(reply, type=dict[str, msgspec.Raw])[field])
                return msgspec.json.decode(reply, type=field_type)
            except (KeyError, *UNREADABLE):
                raise BadReply(f"not a reply of {path}: {excerpt(reply)}") from None

        if is_trial:
            return await self._http.retry(attempt, _TRIALS)
        try:
            return await self._http.retry_through_outage(attempt, self._probe)
        except StatusError as error:
            raise self._rejection(error, url) from None

    def _rejection(self, error: StatusError, url: str) -> Exception:
        if error.status in NO_SUCH_PATH:
            if self._is_unlisted:
                return model_list.wrong_name(self._root, self.model, self._cards)
            return UserError(
                f"{url} or the model '{self.model}' does not exist there ({error}); check "
                "--base-url and --model"
            )
        return EngineFault(error.kind, str(error))


@with_capabilities(
    EngineCapabilities(
        continuation="vLLM, SGLang, llama.cpp; others with --tokenizer, else chat turns",
        ids="vLLM, SGLang, llama.cpp: both ways",
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
            f"the server itself must load the adapter '{options.adapter}': start vLLM with "
            "--enable-lora --lora-modules NAME=FOLDER, or llama.cpp with --lora FILE; then leave "
            "out --adapter and give --model NAME (vLLM)"
        )
    api_key = key_from_file(Path(options.key_file)) if options.key_file else None

    def create(address: str, has_replacement: Callable[[], bool] = lambda: False) -> OpenAIEngine:
        return OpenAIEngine(
            options.model,
            address,
            protocol=cast("wire.Protocol", options.protocol),
            tokenizer=options.tokenizer,
            concurrency=options.concurrency,
            api_key=api_key,
            context_tokens=options.context_tokens,
            has_replacement=has_replacement,
        )

    addresses = sorted({normalised_url(address) for address in options.base_url.split(",")})
    return create(addresses[0]) if len(addresses) == 1 else ReplicatedEngine(addresses, create)
