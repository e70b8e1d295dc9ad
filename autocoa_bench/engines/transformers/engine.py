"""A model in this process, run by transformers, with a LoRA adapter if there is one.

Requests are decoded together as they arrive. Each prompt is read on its own, except for a prefix
that it shares with an earlier request; then its row joins the batch until it ends. For many
requests on a GPU, a server such as vLLM is several times faster; this engine needs no server.
"""

from __future__ import annotations

import asyncio
import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec

from autocoa_bench.engines import tokenizer as turn_tokens
from autocoa_bench.engines.engine import EngineCapabilities, EngineConfig, with_capabilities
from autocoa_bench.engines.launch.embedded import idle_cores
from autocoa_bench.engines.request_options import (
    NO_OPTIONS,
    WITHOUT_HEADERS,
    RequestOptions,
    no_switch,
    other_variables,
)
from autocoa_bench.engines.weights import huggingface, models
from autocoa_bench.errors import UserError
from autocoa_bench.registry import unknown
from autocoa_bench.types import (
    Completion,
    EngineSpec,
    Generate,
    Message,
    ModelTraits,
    Prompt,
    Sampling,
)

if TYPE_CHECKING:
    from autocoa_bench.engines.transformers.batch import Batch


_TYPES = ("float32", "bfloat16", "float16")

_OPENINGS = 1024
"""The most rendered openings that are kept."""


class TransformersEngine:
    """A model loaded by `weights.huggingface`, with at most `parallel` requests at once.

    On a CPU, weights are 32-bit, and a completion does not depend on what else is in flight. On a
    GPU they have the type in which they are stored. `dtype` is another type of torch: in `bfloat16`
    a CPU that computes in it is faster, and a token may depend on what else is in flight.
    `adapter` is a PEFT folder, a GGUF adapter, or empty. Prompts are cut as for the protocol
    `template` (see `openai.protocol`), so that sampled ids stay as they are. Of `request` all but
    `body` and `headers` is honoured.
    """

    def __init__(
        self,
        model: str = models.DEFAULT,
        *,
        parallel: int = 8,
        adapter: str = "",
        dtype: str = "",
        request: RequestOptions = NO_OPTIONS,
        tools: bool = False,
    ) -> None:
        self.model = model
        self._request = request
        self._dtype = dtype
        self._tools = tools
        self._parallel = parallel
        self._adapter = adapter
        self._tokenizer: Any = None
        self._openings: dict[tuple[Message, ...], tuple[str, tuple[int, ...]]] = {}
        self.traits = ModelTraits()
        self._batch: Batch | None = None

    async def start(self) -> EngineSpec:
        """Load the model. Raises UserError."""
        return await asyncio.to_thread(self._load)

    def _load(self) -> EngineSpec:
        tokenizer = self._load_tokenizer()
        self.traits = turn_tokens.traits(tokenizer, tools=self._tools)
        import torch

        from autocoa_bench.engines.transformers.batch import Batch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        stored = str(huggingface.stored_type(self.model)).removeprefix("torch.")
        dtype = self._dtype or (stored if device == "cuda" else "float32")
        # PyTorch's default number of threads follows OMP_NUM_THREADS, if the user has set it.
        if device == "cpu" and "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(idle_cores())
        model = huggingface.load_model(self.model, dtype)
        settings: dict[str, str | int | float] = {
            "sha256": getattr(model.config, "_commit_hash", None)
            or huggingface.fingerprint(self.model),
            "dtype": dtype,
            "device": device,
            "torch": version("torch"),
            "transformers": version("transformers"),
        }
        if self._adapter:
            model = huggingface.with_adapter(model, self._adapter, self.model).get_base_model()
            settings |= huggingface.adapter_settings(self._adapter)
        settings |= self._request.settings()
        self._tokenizer = tokenizer
        self._batch = Batch(model.to(device), tokenizer, self._parallel, self._request)
        return EngineSpec("transformers", self.model, "template", settings)

    def _load_tokenizer(self) -> Any:
        """The tokenizer, with the variables of its template. Raises UserError."""
        tokenizer = huggingface.load_tokenizer(self.model)
        variables = self._request.variables()
        own = turn_tokens.with_variables(tokenizer, variables)
        for flag, other in other_variables(self._request, variables):
            if not turn_tokens.differ(own, turn_tokens.with_variables(tokenizer, other)):
                raise no_switch(flag, self.model)
        return own

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        assert self._batch is not None, "start() comes before generate()"
        ids = self._prompt_ids(request.prompt)
        futures = [
            self._batch.add(ids, request, msgspec.structs.replace(sampling, seed=seed))
            for seed in range(sampling.seed, sampling.seed + n)
        ]
        return list(await asyncio.gather(*map(asyncio.wrap_future, futures)))

    async def close(self) -> None:
        """Stop the batch and drop the model; safe to call twice."""
        batch, self._batch = self._batch, None
        if batch is not None:
            await asyncio.to_thread(batch.close)

    def _prompt_ids(self, prompt: Prompt) -> list[int]:
        """A prompt's ids; each of its pieces is tokenised on its own."""
        opening = self._openings.get(prompt.opening)
        if opening is None:
            # All requests of an episode share their opening, so it is rendered once.
            opening = turn_tokens.encode_opening(prompt.opening, self._tokenizer)
            while len(self._openings) >= _OPENINGS:
                del self._openings[next(iter(self._openings))]
            self._openings[prompt.opening] = opening
        text, ids = opening
        return [*ids, *turn_tokens.turn_ids(text, prompt, self._tokenizer)]


@with_capabilities(
    EngineCapabilities(
        continuation="yes",
        ids="both ways",
        logprobs="no",
        seeds="same completion on a CPU",
        lora="a PEFT folder or a .gguf",
        request_options=tuple(name for name in WITHOUT_HEADERS if name != "body"),
    )
)
def from_options(options: EngineConfig, *, dtype: str = "") -> TransformersEngine:
    """The registry's factory. Raises UserError for options that this engine does not use."""
    if dtype not in ("", *_TYPES):
        raise unknown("type of weights", dtype, list(_TYPES))
    if options.base_url or options.protocol not in ("auto", "template"):
        raise UserError(
            "the engine 'transformers' runs the model itself and cuts prompts as for the protocol "
            "'template'; leave out --base-url and --protocol, or choose another --engine"
        )
    return TransformersEngine(
        options.model or models.DEFAULT,
        parallel=options.concurrency,
        adapter=options.adapter,
        dtype=dtype,
        request=options.request,
        tools=options.tools,
    )
