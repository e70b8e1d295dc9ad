"""The embedded model server: llama.cpp in this process, on a free port of the loopback address."""

import asyncio
import os
import secrets
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from autocoa_bench.engines.engine import EngineCapabilities, EngineConfig, with_capabilities
from autocoa_bench.engines.openai.client import OpenAIEngine
from autocoa_bench.engines.request_options import NO_OPTIONS, WITHOUT_HEADERS, RequestOptions
from autocoa_bench.engines.weights import models
from autocoa_bench.errors import MissingExtra, UserError
from autocoa_bench.types import Completion, EngineSpec, Generate, ModelTraits, Sampling
from autocoa_bench.util.http_client import APIKey


class EmbeddedEngine:
    """A model pulled by name, or a .gguf file, served by xllamacpp in this process.

    At most `parallel` requests run at once, each with room for `context_tokens`; fewer if the
    machine lacks the memory. `threads` defaults to the number of idle cores at the start, at most
    8. `adapter` is the .gguf of a LoRA adapter, or empty. `request` are the options of requests.

    Completions are the same bit for bit whatever else is in flight, whatever is cached, and for
    any number of threads, so that a resumed run equals an uninterrupted one. That holds with an
    8-bit adapter on an 8-bit model, but not with an adapter of 16 or 32 bits.
    """

    def __init__(
        self,
        model: str = models.DEFAULT,
        *,
        parallel: int = 8,
        context_tokens: int = 8192,
        threads: int | None = None,
        adapter: str = "",
        request: RequestOptions = NO_OPTIONS,
        tools: bool = False,
    ) -> None:
        self.model = model
        self.base_url = ""
        self._request = request
        self._parallel = parallel
        self._context_tokens = context_tokens
        self._threads = threads
        self._adapter = adapter
        self._tools = tools
        # Pages in a browser reach servers on loopback, too.
        self._secret = secrets.token_urlsafe(16)
        self.api_key = APIKey(self._secret)
        self._server: Any = None
        self._client: OpenAIEngine | None = None

    async def start(self) -> EngineSpec:
        """Pull the model if necessary and start the server. Raises UserError."""
        llama = _library()
        file = await asyncio.to_thread(models.resolve, self.model)
        settings: dict[str, str | int | float] = {"sha256": file.sha256}
        settings["xllamacpp"] = version("xllamacpp")
        self._parallel = _affordable(self._parallel, file.cache_bytes * self._context_tokens)
        parameters = await asyncio.to_thread(self._parameters, llama, str(file.path))
        if self._adapter:
            adapter = await asyncio.to_thread(models.resolve_adapter, self._adapter)
            settings |= {"adapter": adapter.path.stem, "adapter_sha256": adapter.sha256}
            lora = llama.CommonAdapterLoraInfo()
            lora.path, lora.scale = str(adapter.path), 1.0
            parameters.lora_adapters = [lora]
        try:
            self._server = await asyncio.to_thread(llama.Server, parameters)
        except RuntimeError as error:
            question = f", is '{self._adapter}' an adapter for it" if self._adapter else ""
            raise UserError(
                f"llama.cpp cannot serve '{file.path}' ({error}); is it a complete language "
                f"model{question}, and is there memory for "
                f"{self._parallel} x {self._context_tokens} tokens? "
                "Try a lower --concurrency or --context-tokens"
            ) from None
        address = self._server.listening_address
        self._client = OpenAIEngine(
            self.model,
            address,
            protocol="template",
            concurrency=self._parallel,
            api_key=self.api_key,
            request=self._request,
            tools=self._tools,
        )
        self.base_url = self._client.base_url
        spec = await self._client.start()
        settings |= self._request.settings()
        return msgspec.structs.replace(spec, engine="embedded", settings=settings)

    @property
    def traits(self) -> ModelTraits:
        """The traits of the model, once the server has started."""
        return self._client.traits if self._client else ModelTraits()

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """Return `n` completions (at most `parallel`). Raises EngineFault."""
        assert self._client is not None, "start() comes before generate()"
        return await self._client.generate(request, sampling, n)

    async def close(self) -> None:
        """Stop the server, whatever it is doing; safe to call twice."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        # Dropping the last reference ends the server's threads and waits for them.
        self._server = None

    def _parameters(self, llama: Any, path: str) -> Any:
        parameters = llama.CommonParams()
        parameters.model.path = path
        parameters.api_keys = [self._secret]
        parameters.model_alias = {self.model}
        parameters.n_parallel = self._parallel
        parameters.n_ctx = self._parallel * self._context_tokens  # shared evenly by the slots
        threads = self._threads or idle_cores()
        parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
        # With flash attention or a 16-bit cache, rounding depends on the number of tokens that are
        # computed together. Doing without them costs a tenth of the speed of writing, a quarter of
        # the speed of reading 1,700 tokens, and twice the memory.
        parameters.flash_attn_type = llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        parameters.cache_type_k = parameters.cache_type_v = llama.ggml_type.GGML_TYPE_F32
        # A connection occupies an HTTP thread for as long as it is kept alive.
        parameters.n_threads_http = 2 * self._parallel + 4
        # By default llama.cpp keeps up to 8 GiB of past prompts in memory.
        parameters.cache_ram_mib = 0
        parameters.endpoint_slots = False
        parameters.ui = False
        parameters.verbosity = -1
        return parameters


@with_capabilities(
    EngineCapabilities(
        continuation="yes",
        ids="both ways",
        logprobs="yes",
        seeds="same completion, always",
        lora="a .gguf",
        request_options=WITHOUT_HEADERS,
    )
)
def from_options(options: EngineConfig) -> EmbeddedEngine:
    """The registry's factory. Raises UserError for a protocol other than `template`."""
    if options.protocol not in ("auto", "template"):
        raise UserError(
            f"the embedded engine speaks the protocol 'template', not '{options.protocol}'"
        )
    return EmbeddedEngine(
        options.model or models.DEFAULT,
        parallel=options.concurrency,
        context_tokens=options.context_tokens,
        adapter=options.adapter,
        request=options.request,
        tools=options.tools,
    )


def idle_cores() -> int:
    """The number of cores that are idle now, from 1 to 8: a thread too many slows all others."""
    is_linux = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if is_linux else os.cpu_count() or 1
    try:
        before = _cpu_times()
        time.sleep(0.3)
        ticks = [after - start for after, start in zip(_cpu_times(), before, strict=True)]
    except OSError:  # another system, or a container without /proc
        return max(1, min(8, cores // 2))
    idle, waiting_for_disk = ticks[3:5]
    return max(1, min(8, round(cores * (idle + waiting_for_disk) / max(1, sum(ticks)))))


def _cpu_times() -> list[int]:
    """Ticks that the machine's cores have spent: user, nice, system, idle, iowait, ..."""
    with Path("/proc/stat").open(encoding="ascii") as file:
        return [int(ticks) for ticks in file.readline().split()[1:]]


def _affordable(parallel: int, request_bytes: int) -> int:
    """The number of requests, at most `parallel`, whose caches fit into the available memory.

    A quarter of the memory is left for everything else; 0 bytes means an unknown size.
    """
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        return parallel
    [available] = [int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable")]
    if not request_bytes:
        return parallel
    return max(1, min(parallel, available * 3 // 4 // request_bytes))


def _library() -> Any:
    # libgomp spins for milliseconds at every barrier by default, and two spinning threads on a busy
    # machine are slower than one. It reads this variable once, when it is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        import xllamacpp
    except ModuleNotFoundError:
        raise MissingExtra("the embedded model server", "embedded") from None
    except ImportError as error:
        raise UserError(
            f"the embedded model server does not load on this machine ({error}); install the "
            "system library libgomp (Debian: apt-get install libgomp1), or give --base-url"
        ) from None
    return xllamacpp
