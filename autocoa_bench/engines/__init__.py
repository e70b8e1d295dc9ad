"""Model engines: whatever turns a prompt into a completion.

All real ones are servers behind one OpenAI-compatible client (`client`); launchers such as
`embedded` start a server and hand its address to that client. `scripted` replays given text.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from autocoa_bench.types import Completion, EngineSpec, Generate, Sampling


class EngineOptions(Struct, frozen=True):
    """What an engine's factory is given: `factory(options) -> Engine`.

    `base_url` is empty where the engine starts its own server. `concurrency` is how many
    requests are in flight at once, `context_tokens` what each may need room for. `adapter` is the
    path of a LoRA adapter for the model; empty: none.
    """

    model: str
    base_url: str
    protocol: str
    concurrency: int
    context_tokens: int
    adapter: str = ""


def model_name(spec: EngineSpec) -> str:
    """What answers, for a reader: the model, and the adapter on it where there is one."""
    adapter = spec.settings.get("adapter")
    return f"{spec.model} + {adapter}" if adapter else spec.model


class Engine(Protocol):
    """A model server as the runner sees it. Made by a factory named in the registry."""

    async def start(self) -> EngineSpec:
        """Make ready and say what answers. Raises UserError when it cannot be reached."""
        ...

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """Return `n` completions. Raises EngineFault once its retries are spent."""
        ...

    async def close(self) -> None:
        """Release connections and processes; safe to call twice."""
        ...
