"""The protocol of model engines, their configuration, and how they are opened by name.

Almost all engines are servers behind one OpenAI-compatible client. `launch.embedded` and
`launch.vllm` start a server and connect that client to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Annotated, Any, Literal, Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import force_setattr

from autocoa_bench import registry
from autocoa_bench.engines.request_options import RequestOptions
from autocoa_bench.errors import UserError
from autocoa_bench.types import Completion, EngineSpec, Generate, Option, Sampling

EMBEDDED = "embedded"
"""The engine that runs on this machine's CPU, without a server of the user's."""

BASE_URL = "OPENAI_BASE_URL"
"""The environment variable with the address of the server for a model that is named alone."""

PromptProtocol = Annotated[
    Literal["auto", "continue", "template", "chat", "completions"],
    Option(help="How prompts reach the server; auto asks the server."),
]


class EngineConfig(Struct, frozen=True):
    """The argument of an engine's factory, `factory(options) -> Engine`.

    Further keyword parameters of a factory are options on the command line.

    `base_url` is empty if the engine starts its own server; the addresses of several servers that
    share the work are joined by commas. `concurrency` is the number of requests in flight,
    `context_tokens` the room that each may need. `adapter` is the path of a LoRA adapter for the
    model, or empty. `key_file` contains the server's API key; if it is empty, the key comes from
    the environment. `tokenizer` names the model's tokenizer, for servers without one of their own.
    `request` has only options that the engine declares (`EngineCapabilities.request_options`).
    `tools` tells that the solver offers tools, so that the engine's `traits` must say how the
    model's template writes their results.
    """

    model: str
    base_url: str
    protocol: str
    concurrency: int
    context_tokens: int
    adapter: str = ""
    key_file: str = ""
    tokenizer: str = ""
    request: RequestOptions = RequestOptions()
    tools: bool = False


class ModelConfig(Struct, frozen=True, kw_only=True):
    """A model and where it is served.

    `base_url` holds the addresses of servers that share the work, joined by commas. Without one,
    a model that the embedded engine does not have is asked for at `OPENAI_BASE_URL`, where that is
    set; else the embedded engine answers. `engine` is read by `engines.open_engine`. `key_file`
    holds the server's API key; without one the key comes from the environment. A `base_url`,
    `engine` or `concurrency` that is left out follows from the other fields, and the latter two are
    never empty in a finished record.
    """

    model: Annotated[
        str, Option(help="A model's name on the server, an embedded model, or a .gguf file.")
    ] = ""
    base_url: Annotated[
        str,
        Option(
            help="Address of an OpenAI-compatible server; default: no server, the embedded engine. "
            "Repeat it for servers of the same model that share the work.",
            repeat=True,
        ),
    ] = ""
    key_file: Annotated[
        str,
        Option(help="A file with the server's API key, readable by nobody else.", needs="base_url"),
    ] = ""
    tokenizer: Annotated[
        str,
        Option(
            help="The model's tokenizer with its chat template, a folder or a name on the Hub, for "
            "a server that completes prompts but does not tokenise them.",
            needs="base_url",
            metavar="FOLDER",
        ),
    ] = ""
    engine: Annotated[
        str,
        Option(
            help="Model engine, with options as name:option=value; default: openai with a server, "
            "else embedded."
        ),
    ] = ""
    concurrency: Annotated[
        int,
        Option(help="Requests in flight; default: 8 on the embedded engine, 64 on others.", min=1),
    ] = 0
    request: RequestOptions = RequestOptions()

    def __post_init__(self) -> None:
        # Runs are compared by their records, so the order of the addresses must not show.
        base_url = self.base_url or _environment_url(self.engine, self.model)
        addresses = {address.strip() for address in base_url.split(",")} - {""}
        force_setattr(self, "base_url", ",".join(sorted(addresses)))
        engine = self.engine or ("openai" if addresses else EMBEDDED)
        force_setattr(self, "engine", engine)
        few = engine.partition(":")[0] == EMBEDDED
        force_setattr(self, "concurrency", self.concurrency or (8 if few else 64))

    def engine_config(
        self,
        context_tokens: int,
        protocol: str = "auto",
        adapter: str = "",
        *,
        tools: bool = False,
    ) -> EngineConfig:
        """The options of the engine's factory; `adapter` is a path, or empty for none."""
        return EngineConfig(
            model=self.model,
            base_url=self.base_url,
            protocol=protocol,
            concurrency=self.concurrency,
            context_tokens=context_tokens,
            adapter=adapter,
            key_file=self.key_file,
            tokenizer=self.tokenizer,
            request=self.request,
            tools=tools,
        )


def _environment_url(engine: str, model: str) -> str:
    """The address in `OPENAI_BASE_URL`, if a model without an address of its own is served there.

    The variable is meant for all programs of a user, so it must not take the models of the embedded
    engine away.
    """
    url = os.environ.get(BASE_URL, "").strip()
    if not url or engine == "openai":
        return url
    if engine or not model or model.endswith(".gguf"):
        return ""
    from autocoa_bench.engines.weights.models import known_models

    return "" if model in {known.name for known in known_models()} else url


class EpisodeId:
    """The identity of an episode, for engines that keep its requests together."""

    over = False


CURRENT_EPISODE: ContextVar[EpisodeId | None] = ContextVar("episode", default=None)
"""The episode that a request belongs to; None outside of a run."""


class EngineCapabilities(Struct, frozen=True):
    """The capabilities of an engine, a few words each, as `autocoa-bench models` lists them.

    `continuation`: whether the model can continue its own turn. `ids`: whether sampled token ids
    come back, and are sent back unchanged. `logprobs`: whether the server can return them; runs do
    not request any. `seeds`: the guarantee for equal seeds. `lora`: the form of --adapter.
    `request_options`: the names of the fields of `RequestOptions` that the engine honours; it
    records those that are given in the settings of its spec (`RequestOptions.settings`).
    """

    continuation: str
    ids: str
    logprobs: str
    seeds: str
    lora: str
    request_options: tuple[str, ...] = ()


EngineFactory = TypeVar("EngineFactory", bound=Callable[..., Any])


def with_capabilities(capabilities: EngineCapabilities) -> Callable[[EngineFactory], EngineFactory]:
    """Decorate an engine's factory with the capabilities of the engine."""

    def mark(factory: EngineFactory) -> EngineFactory:
        vars(factory)["capabilities"] = capabilities
        return factory

    return mark


def catalogue() -> Iterator[tuple[str, EngineCapabilities | None]]:
    """All engines that can be loaded, with the capabilities that they declare."""
    for name in registry.names("engines"):
        try:
            yield name, getattr(registry.load("engines", name), "capabilities", None)
        except UserError:  # a broken plug-in; a run that names it reports the problem
            continue


def model_name(spec: EngineSpec) -> str:
    """The name of a model for readers, with its adapter if there is one."""
    adapter = spec.settings.get("adapter")
    return f"{spec.model} + {adapter}" if adapter else spec.model


def caveats(spec: EngineSpec) -> Iterator[str]:
    """Warnings for the user about requests that the server does not fulfil as configured."""
    if context_tokens := spec.settings.get("context_tokens"):
        yield (
            f"the server has room for {context_tokens:,} tokens, less than --context-tokens: "
            "episodes that need more are shortened"
        )
    refused = str(spec.settings.get("refused_fields", "")).split(", ")
    # `max_tokens` is sent under another name, so it is not missing.
    missing = ", ".join(field for field in refused if field not in ("", "max_tokens"))
    if missing:
        yield f"the model does not take {missing}: requests omit it, and run.json records that"
    if most := spec.settings.get("most_stops"):
        yield f"the model takes at most {most} stop strings: its text is cut here at the others"
    if most := spec.settings.get("most_tokens"):
        yield f"the model writes at most {most:,} tokens in a reply: requests ask for no more"


def late_settings(engine: Engine | None) -> dict[str, str | int | float]:
    """The settings of an engine that refusals have changed since its start."""
    return dict(getattr(engine, "late_settings", {}))


def open_engine(spec: str, options: EngineConfig) -> Engine:
    """The engine for `name` or `name:option=value,...`.

    Raises UserError, also for options of requests that the engine does not honour.
    """
    name, factory, factory_options = registry.configured("engines", spec, reserved=("options",))
    capabilities: EngineCapabilities | None = getattr(factory, "capabilities", None)
    taken = capabilities.request_options if capabilities else ()
    if refused := [field for field in options.request.given if field not in taken]:
        raise UserError(
            f"the engine '{name}' does not take {_flags(refused)} (it takes "
            f"{_flags(taken) or 'no option of requests'}); leave it out, or choose another --engine"
        )
    engine: Engine = factory(options, **factory_options)
    return engine


def _flags(names: Iterable[str]) -> str:
    return ", ".join("--" + name.replace("_", "-") for name in names)


class Engine(Protocol):
    """A source of completions, created by a factory that the registry names.

    Two attributes are optional: `traits`, what an episode must know of the model (`ModelTraits`),
    and `late_settings`, the settings of the spec that have changed since the start.
    """

    async def start(self) -> EngineSpec:
        """Prepare the engine and describe it. Raises UserError if it cannot be used."""

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """Return `n` completions. Raises EngineFault once the retries are spent."""

    async def close(self) -> None:
        """Release connections and processes; safe to call twice."""
