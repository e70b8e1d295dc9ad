"""The configuration of a model and of the server or engine that answers for it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Struct
from msgspec.structs import force_setattr

from autocoa_bench.engines.engine import EngineConfig
from autocoa_bench.option import Option

EMBEDDED = "embedded"
"""The engine that runs on this machine's CPU, without a server of the user's."""

Protocol = Annotated[
    Literal["auto", "continue", "template", "chat", "completions"],
    Option(help="How prompts reach the server; auto asks the server."),
]


class ModelConfig(Struct, frozen=True, kw_only=True):
    """A model and where it is served.

    `base_url` holds the addresses of servers that share the work, joined by commas; without one
    the embedded engine answers. `engine` is read by `engines.open_engine`. `key_file` holds the
    server's API key; without one the key comes from the environment. An `engine` or `concurrency`
    that is left out follows from the other fields, and is never empty in a finished record.
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

    def __post_init__(self) -> None:
        # Runs are compared by their records, so the order of the addresses must not show.
        addresses = {address.strip() for address in self.base_url.split(",")} - {""}
        force_setattr(self, "base_url", ",".join(sorted(addresses)))
        engine = self.engine or ("openai" if addresses else EMBEDDED)
        force_setattr(self, "engine", engine)
        few = engine.partition(":")[0] == EMBEDDED
        force_setattr(self, "concurrency", self.concurrency or (8 if few else 64))

    def engine_config(
        self, context_tokens: int, protocol: str = "auto", adapter: str = ""
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
        )
