"""Model engines: whatever turns a prompt into a completion.

All real ones are servers behind one OpenAI-compatible client (`client`); launchers such as
`embedded` and `vllm` start a server and hand its address to that client. `scripted` replays given
text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from autocoa_bench import registry
from autocoa_bench.errors import UserError
from autocoa_bench.types import Completion, EngineSpec, Generate, Sampling


class EngineConfig(Struct, frozen=True):
    """What an engine's factory is given: `factory(options) -> Engine`.

    The factory's further keyword parameters are options on the command line.

    `base_url` is empty where the engine starts its own server; several addresses, of servers that
    share the work, are joined by commas. `concurrency` is how many
    requests are in flight at once, `context_tokens` what each may need room for. `adapter` is the
    path of a LoRA adapter for the model; empty: none. `key_file` holds the server's API key; empty:
    it comes from the environment.
    """

    model: str
    base_url: str
    protocol: str
    concurrency: int
    context_tokens: int
    adapter: str = ""
    key_file: str = ""


class EpisodeId:
    """Tells one episode from all others, for engines that keep its requests together."""

    over = False


EPISODE: ContextVar[EpisodeId | None] = ContextVar("episode", default=None)
"""The episode that asks, wherever a driver runs one."""


class Abilities(Struct, frozen=True):
    """What an engine can do, a few words each, as `autocoa-bench models` lists it.

    `continuation`: whether the model goes on with its own turn. `ids`: whether sampled token ids
    come back, and go back as they are. `logprobs`: whether its server has them; runs ask for none.
    `seeds`: what equal seeds promise. `lora`: what --adapter takes.
    """

    continuation: str
    ids: str
    logprobs: str
    seeds: str
    lora: str


Factory = TypeVar("Factory", bound=Callable[..., Any])


def with_abilities(abilities: Abilities) -> Callable[[Factory], Factory]:
    """Mark an engine's factory with what the engine can do."""

    def mark(factory: Factory) -> Factory:
        vars(factory)["abilities"] = abilities
        return factory

    return mark


def catalogue() -> Iterator[tuple[str, Abilities | None]]:
    """Every engine that can be loaded, with what it says it can do."""
    for name in registry.names("engines"):
        try:
            yield name, getattr(registry.load("engines", name), "abilities", None)
        except UserError:  # a third party's, broken: a run that names it is told why
            continue


def model_name(spec: EngineSpec) -> str:
    """What answers, for a reader: the model, and the adapter on it where there is one."""
    adapter = spec.settings.get("adapter")
    return f"{spec.model} + {adapter}" if adapter else spec.model


def caveats(spec: EngineSpec) -> Iterator[str]:
    """What a person should know before a run: where the server does not do as it was asked."""
    if room := spec.settings.get("context_tokens"):
        yield (
            f"the server has room for {room:,} tokens, less than --context-tokens: episodes that "
            "need more are shortened"
        )
    refused = str(spec.settings.get("refused_fields", "")).split(", ")
    # What goes by another name is not missing.
    missing = ", ".join(field for field in refused if field not in ("", "max_tokens"))
    if missing:
        yield f"the model does not take {missing}: it is asked without, and run.json says so"


def open_engine(spec: str, options: EngineConfig) -> Engine:
    """The engine that `name` or `name:option=value,...` names. Raises UserError."""
    _, factory, own = registry.configured("engines", spec, reserved=("options",))
    engine: Engine = factory(options, **own)
    return engine


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
