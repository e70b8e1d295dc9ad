"""The engine for OpenAI-compatible model servers.

It speaks HTTP over aiohttp rather than through the openai package, whose client needs several
times the CPU time per request (benchmarks/client_speed.py measures ours).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Unpack, cast

from msgspec.structs import replace

from autocoa_bench.engines.engine import Engine, EngineCapabilities, EngineConfig, with_capabilities
from autocoa_bench.engines.openai import model_list, refusals, startup
from autocoa_bench.engines.openai import protocol as wire
from autocoa_bench.engines.openai.endpoint import Endpoint
from autocoa_bench.engines.openai.model_server import (
    ClientOptions,
    ModelServerClient,
    headers_from_file,
    key_from_environment,
    key_from_file,
    normalised_url,
)
from autocoa_bench.engines.openai.replicas import ReplicatedEngine
from autocoa_bench.engines.openai.server_tokenizers import LocalTokenizer
from autocoa_bench.engines.request_options import ALL, NO_OPTIONS, RequestOptions
from autocoa_bench.errors import UserError
from autocoa_bench.registry import unknown
from autocoa_bench.types import Completion, EngineSpec, Generate, ModelTraits, Sampling
from autocoa_bench.util.http_client import APIKey, StatusError

_DEFAULTS = ClientOptions(timeout=600.0, retries=5)


class OpenAIEngine:
    """A model on an OpenAI-compatible server; satisfies `autocoa_bench.engines.Engine`.

    With the protocol `auto`, llama.cpp, vLLM and SGLang are driven by `template`, and so is any
    server that completes prompts if `tokenizer` names the model's tokenizer (as `--tokenizer`
    does); others by `chat`. `api_key` None takes the key from the environment. `context_tokens` is
    the room that a run may need, and `tools` is that of `EngineConfig`. `request` are the options
    of requests, and `options` those of the HTTP client. Raises UserError for a key or a file of
    headers that cannot be used.
    """

    def __init__(
        self,
        model: str,
        base_url: str,
        *,
        protocol: wire.Protocol | Literal["auto"] = "auto",
        tokenizer: str = "",
        concurrency: int = 64,
        api_key: APIKey | None = None,
        context_tokens: int = 0,
        request: RequestOptions = NO_OPTIONS,
        tools: bool = False,
        **options: Unpack[ClientOptions],
    ) -> None:
        self.model = model
        self.base_url = normalised_url(base_url)
        self.concurrency = concurrency
        self._protocol = protocol
        self._tokenizer_name = tokenizer
        self._context_tokens = context_tokens
        self._tools = tools
        key = key_from_environment() if api_key is None else api_key
        headers = headers_from_file(Path(request.headers)) if request.headers else {}
        self._request_settings = request.settings()
        if headers:
            self._request_settings["headers"] = ", ".join(sorted(headers))
        self._http = ModelServerClient(
            self.base_url.removesuffix("/v1"),
            concurrency=concurrency,
            key=key.with_headers(headers),
            **(_DEFAULTS | options),
        )
        self._endpoint = Endpoint(model, self.base_url, self._http, request)

    async def start(self) -> EngineSpec:
        """Identify the server and the protocol that it needs. Raises UserError.

        The spec's `settings` contain what differs from the configuration: `context_tokens`, if the
        server has less room; what its model does not take of a request (`RequestLimits`);
        `tokenizer`, if one in this process cuts the prompts, and `prompts`, if they are sent as
        `text`; `turns`, if turns are `quoted` because the chat template drops thoughts. They also
        contain the options of requests, and the names of the `headers`.
        """
        endpoint = self._endpoint
        try:
            await startup.prepare(endpoint, self._protocol, self._tokenizer_name, self._tools)
        except BaseException:
            await self.close()
            raise
        settings: dict[str, str | int | float] = {}
        length = model_list.context_tokens(self.model, endpoint.cards)
        if length is not None and length < self._context_tokens:
            settings["context_tokens"] = length
        settings |= endpoint.limits.settings()
        if endpoint.form.quotes:
            settings["turns"] = "quoted"
        if isinstance(endpoint.tokenizer, LocalTokenizer):
            settings["tokenizer"] = self._tokenizer_name
            if not endpoint.tokenizer.sends_ids:
                settings["prompts"] = "text"
        settings |= self._request_settings
        return EngineSpec("openai", self.model, endpoint.form.protocol, settings)

    @property
    def traits(self) -> ModelTraits:
        """The traits of the model, once the engine has started."""
        return self._endpoint.traits

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """Return `n` completions.

        Raises EngineFault once the retries are spent or if the server rejects the request (of the
        kind `context` for a prompt that is too long), UserError if it rejects the key, the model or
        the path, and ServerDown if it no longer answers at all.
        """
        endpoint = self._endpoint
        tokenizer = endpoint.tokenizer
        prompt = await tokenizer.prompt(request.prompt) if tokenizer else None
        try:
            completions = await self._http.retry_through_outage(
                lambda: endpoint.post(request, sampling, n, prompt), endpoint.probe
            )
        except StatusError as error:
            if refusals.is_filtered(error.status, error.text):
                return [Completion("", "filtered")] * n
            if endpoint.form.calls_tools(request) and refusals.refuses_tools(error.text):
                raise UserError(
                    f"{endpoint.root} does not read tool calls: {error}; start it with a parser "
                    "for them, or use --protocol template, where calls are read here"
                ) from None
            raise endpoint.rejection(error, endpoint.url) from None
        if tokenizer is not None:
            return [await tokenizer.exact(completion, request.stop) for completion in completions]
        if endpoint.form.server == "llama.cpp" and endpoint.form.protocol == "continue":
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
        limits = self._endpoint.limits
        return {} if limits is self._endpoint.first_limits else limits.settings()


@with_capabilities(
    EngineCapabilities(
        continuation="vLLM, SGLang, llama.cpp; others with --tokenizer, else chat turns",
        ids="vLLM, SGLang, llama.cpp: both ways",
        logprobs="where the server has them",
        seeds="where the server takes them",
        lora="the server loads it: --model NAME",
        request_options=ALL,
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
    if api_key and options.request.headers:
        names = headers_from_file(Path(options.request.headers))
        if "authorization" in map(str.lower, names):
            raise UserError(
                f"the headers file '{options.request.headers}' has an Authorization header, which "
                "the key of --key-file is sent in as well; give one of them"
            )

    def create(address: str, has_replacement: Callable[[], bool] = lambda: False) -> OpenAIEngine:
        return OpenAIEngine(
            options.model,
            address,
            protocol=cast("wire.Protocol", options.protocol),
            tokenizer=options.tokenizer,
            concurrency=options.concurrency,
            api_key=api_key,
            context_tokens=options.context_tokens,
            request=options.request,
            tools=options.tools,
            has_replacement=has_replacement,
        )

    addresses = sorted({normalised_url(address) for address in options.base_url.split(",")})
    return create(addresses[0]) if len(addresses) == 1 else ReplicatedEngine(addresses, create)
