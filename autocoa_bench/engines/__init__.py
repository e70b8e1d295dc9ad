"""Model engines: a prompt becomes a completion.

`engine` is the protocol. `turns` divides a prompt into pieces, `tokenizer` turns them into ids with
a tokenizer in this process, and `chat_template` renders the opening. `request_options` are those
that not every engine honours. `openai/` is the client of every OpenAI-compatible server; `launch/`
starts such servers (the embedded one and vLLM); `transformers/` runs a model in this process;
`weights/` downloads, loads and converts models; `scripted` replays given text in tests.

May import: `types`, `errors`, `registry`, `util`."""

from autocoa_bench.engines.engine import (
    CURRENT_EPISODE,
    EMBEDDED,
    Engine,
    EngineCapabilities,
    EngineConfig,
    EpisodeId,
    ModelConfig,
    PromptProtocol,
    catalogue,
    caveats,
    late_settings,
    model_name,
    open_engine,
    with_capabilities,
)
from autocoa_bench.engines.request_options import RequestOptions

__all__ = ["CURRENT_EPISODE", "EMBEDDED", "Engine", "EngineCapabilities", "EngineConfig"]
__all__ += ["EpisodeId", "ModelConfig", "PromptProtocol", "RequestOptions"]
__all__ += [
    "catalogue",
    "caveats",
    "late_settings",
    "model_name",
    "open_engine",
    "with_capabilities",
]
