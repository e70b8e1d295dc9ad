"""A model in this process, run by transformers, with a LoRA adapter if there is one.

Requests are decoded together as they arrive. Each prompt is read on its own, except for a prefix
that it shares with an earlier request; then its row joins the batch until it ends. For many
requests on a GPU, a server such as vLLM is several times faster; this engine needs no server.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import msgspec

from autocoa_bench.engines.engine import EngineCapabilities, EngineConfig, with_capabilities
from autocoa_bench.engines.launch.embedded import idle_cores
from autocoa_bench.engines.openai import protocol
from autocoa_bench.engines.weights import huggingface, models
from autocoa_bench.errors import CONTEXT, EngineFault, UserError
from autocoa_bench.types import Completion, EngineSpec, Generate, Prompt, Sampling

if TYPE_CHECKING:
    import torch

    from autocoa_bench.engines.transformers.kv_cache import KVCache, SavedRow

_TAIL = 4
"""The most tokens that one character may take: the bytes of UTF-8."""

_ROUNDING = 0.1
"""The relative error in the norm of logits that rounding may cause; 0.014 was observed in bf16."""


class TransformersEngine:
    """A model loaded by `weights.huggingface`, with at most `parallel` requests at once.

    On a CPU, weights are 32-bit, and a completion does not depend on what else is in flight. On a
    GPU they have the type in which they are stored. `adapter` is a PEFT folder, a GGUF adapter, or
    empty. Prompts are cut as for the protocol `template` (see `openai.protocol`), so that sampled
    ids stay as they are.
    """

    def __init__(
        self, model: str = models.DEFAULT, *, parallel: int = 8, adapter: str = ""
    ) -> None:
        self.model = model
        self._parallel = parallel
        self._adapter = adapter
        self._tokenizer: Any = None
        self._batch: _Batch | None = None

    async def start(self) -> EngineSpec:
        """Load the model. Raises UserError."""
        return await asyncio.to_thread(self._load)

    def _load(self) -> EngineSpec:
        tokenizer = huggingface.load_tokenizer(self.model)
        if not tokenizer.chat_template:
            raise UserError(
                f"the tokenizer of '{self.model}' has no chat template, so no turn can be opened; "
                "use an instruction-tuned model, or put a chat_template.jinja beside it"
            )
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        stored = str(huggingface.stored_type(self.model)).removeprefix("torch.")
        dtype = stored if device == "cuda" else "float32"
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
        self._tokenizer = tokenizer
        self._batch = _Batch(model.to(device), tokenizer, self._parallel)
        return EngineSpec("transformers", self.model, "template", settings)

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """Return `n` completions. Raises EngineFault."""
        assert self._batch is not None, "start() comes before generate()"
        ids = self._prompt_ids(request.prompt)
        rows = [
            _Row(ids, request, msgspec.structs.replace(sampling, seed=sampling.seed + number))
            for number in range(n)
        ]
        for row in rows:
            self._batch.add(row)
        return list(await asyncio.gather(*(asyncio.wrap_future(row.future) for row in rows)))

    async def close(self) -> None:
        """Stop the batch and drop the model; safe to call twice."""
        batch, self._batch = self._batch, None
        if batch is not None:
            await asyncio.to_thread(batch.close)

    def _prompt_ids(self, prompt: Prompt) -> list[int]:
        """A prompt's ids; each of its pieces is tokenised on its own."""
        messages = [
            {"role": message.role, "content": message.content} for message in prompt.opening
        ]
        text = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
        turns = tuple(
            msgspec.structs.replace(turn, token_ids=tuple(self._encode(turn.text)))
            if turn.source == "model" and turn.token_ids is None
            else turn
            for turn in prompt.turns
        )
        pieces = protocol.prompt_pieces(text, msgspec.structs.replace(prompt, turns=turns))
        ids: list[int] = []
        for piece in [pieces] if isinstance(pieces, str) else pieces:
            ids += self._encode(piece) if isinstance(piece, str) else [piece]
        return ids

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False).input_ids)


class _Row:
    """One request: the ids of its prompt, the sampled ids, and the future of its completion."""

    def __init__(self, ids: list[int], request: Generate, sampling: Sampling) -> None:
        self.ids = ids
        self.request = request
        self.sampling = sampling
        self.sampled: list[int] = []
        self.future: Future[Completion] = Future()
        self.start = time.perf_counter()
        self.rng: torch.Generator | None = None

    @property
    def last_id(self) -> int:
        """The latest id, which the next one follows."""
        return (self.sampled or self.ids)[-1]

    @property
    def length(self) -> int:
        """The number of ids so far."""
        return len(self.ids) + len(self.sampled)


class _Batch:
    """The rows that are being decoded, and the thread that decodes them."""

    def __init__(self, model: Any, tokenizer: Any, parallel: int) -> None:
        """Raises UserError for a model that the cache does not support."""
        from autocoa_bench.engines.transformers.kv_cache import KVCache

        self._tokenizer = tokenizer
        self._parallel = parallel
        self._end_ids = _end_ids(model, tokenizer)
        self._longest = int(getattr(model.config, "max_position_embeddings", 0)) or 1 << 30
        self._waiting: queue.SimpleQueue[_Row | None] = queue.SimpleQueue()
        self._is_closed = False
        self._cache = KVCache(model, parallel)
        _check_cache(model, self._cache)
        self._rows: list[_Row] = []
        # The keys and values of rows that ended: the next prompts of their episodes start alike.
        self._past: deque[tuple[list[int], SavedRow]] = deque(maxlen=parallel)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, row: _Row) -> None:
        """Queue a row, which joins as soon as there is room."""
        self._waiting.put(row)

    def close(self) -> None:
        """End the thread; rows in flight become faults."""
        self._is_closed = True
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        import torch

        with torch.inference_mode():
            while self._admit():
                try:
                    self._step()
                except RuntimeError as error:  # torch's own, out of memory among them
                    self._fail(EngineFault("model-error", str(error)))
        while not self._waiting.empty():
            row = self._waiting.get()
            if row is not None and row.future.set_running_or_notify_cancel():
                self._rows.append(row)
        self._fail(EngineFault("closed", "the engine was closed"))

    def _admit(self) -> bool:
        """Let waiting rows join, and wait for one if the batch is empty; False once closed."""
        while len(self._rows) < self._parallel and not self._is_closed:
            try:
                row = self._waiting.get(block=not self._rows)
            except queue.Empty:
                return True
            if row is None or not row.future.set_running_or_notify_cancel():
                continue
            try:
                self._check_length(row)
                self._join(row)
            except EngineFault as fault:
                row.future.set_exception(fault)
            except RuntimeError as error:
                row.future.set_exception(EngineFault("model-error", str(error)))
        return not self._is_closed

    def _check_length(self, row: _Row) -> None:
        if not row.ids:
            raise EngineFault("model-error", "the prompt has no token")
        if len(row.ids) >= self._longest - 1:
            raise EngineFault(
                CONTEXT,
                f"a prompt of {len(row.ids)} tokens exceeds the available context of "
                f"{self._longest}",
            )

    def _join(self, row: _Row) -> None:
        """Read the new part of a row's prompt, except its last token, behind the other rows."""
        from autocoa_bench.engines.transformers.kv_cache import common_prefix

        index, shared = len(self._rows), 0
        for ids, saved in self._past:
            length = common_prefix(ids, row.ids[:-1])
            if length > shared:
                shared, best = length, saved
        if shared:
            self._cache.load(index, best, shared)
        if shared < len(row.ids) - 1:
            self._cache.extend(index, shared, row.ids[shared:-1])
        self._rows.append(row)

    def _step(self) -> None:
        """Sample one more token for every row, and take out the rows that end."""
        if not self._rows:
            return
        logits = self._cache.logits(
            [row.last_id for row in self._rows], [row.length - 1 for row in self._rows]
        )
        for row, row_logits in zip(self._rows, logits, strict=True):
            row.sampled.append(_sample(row, row_logits))
        # Backwards, because the last row moves into the place of one that is removed.
        for index in reversed(range(len(self._rows))):
            if self._finish(self._rows[index]):
                self._remove(index)

    def _remove(self, index: int) -> None:
        """Take a row out; the last one moves into the gap, so that rows stay adjacent."""
        row = self._rows[index]
        read = [*row.ids, *row.sampled[:-1]]
        self._past.append((read, self._cache.save(index, len(read))))
        last = self._rows.pop()
        if index < len(self._rows):
            self._cache.copy(len(self._rows), index, last.length - 1)
            self._rows[index] = last

    def _fail(self, fault: EngineFault) -> None:
        for row in self._rows:
            # A finished row is still here if memory ran out while it was saved.
            if not row.future.done():
                row.future.set_exception(fault)
        self._rows = []

    def _finish(self, row: _Row) -> bool:
        """Complete a row's future if its last token ends it; returns whether it does."""
        at_end_id = row.sampled[-1] in self._end_ids
        stop_string = None if at_end_id else self._stop_string(row)
        is_full = len(row.sampled) >= row.request.max_tokens or row.length >= self._longest
        if not (at_end_id or stop_string or is_full):
            return False
        whole = self._decode(row.sampled[:-1] if at_end_id else row.sampled)
        # An incomplete character is decoded as U+FFFD.
        text = whole.partition(stop_string)[0] if stop_string else whole.rstrip("\ufffd")
        is_exact = whole == text + (stop_string or "")
        row.future.set_result(
            Completion(
                text=text,
                stop_reason="stop" if at_end_id or stop_string else "length",
                stop_string=stop_string,
                prompt_tokens=len(row.ids),
                completion_tokens=len(row.sampled),
                token_ids=tuple(row.sampled) if is_exact else None,
                seconds=time.perf_counter() - row.start,
            )
        )
        return True

    def _stop_string(self, row: _Row) -> str | None:
        """The stop string that the last token completed."""
        if not row.request.stop:
            return None
        # Decode only as many tokens as can hold the longest stop string, not the whole text.
        longest = max(map(len, row.request.stop))
        text = self._decode(row.sampled[-_TAIL * longest - 1 :])
        matches = [(text.find(stop), stop) for stop in row.request.stop if stop in text]
        return min(matches)[1] if matches else None

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, clean_up_tokenization_spaces=False))


def _check_cache(model: Any, cache: KVCache) -> None:
    """Raise UserError for a model whose logits through the cache differ from its own.

    Some architectures take positions in a form that the cache does not provide.
    """
    import torch

    ids = [n % model.config.get_text_config().vocab_size for n in range(2, 12)]
    problem = "its logits differ there"
    try:
        with torch.inference_mode():
            expected = model(input_ids=torch.tensor([ids], device=model.device)).logits
            cache.extend(0, 0, ids[:4])
            cache.extend(0, 4, ids[4:-1])
            logits = cache.logits(ids[-1:], [len(ids) - 1])[0].float()
        own_logits = expected[0, -1].float()
        if (logits - own_logits).norm() < _ROUNDING * own_logits.norm():
            return
    except torch.OutOfMemoryError:
        raise UserError(f"there is no memory left to run '{model.name_or_path}' in") from None
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        problem = str(error).partition("\n")[0]
    raise UserError(
        f"a model of type '{model.config.model_type}' cannot be decoded many prompts at a time in "
        f"this process ({problem}); serve it with vLLM or llama.cpp (--engine)"
    )


def _sample(row: _Row, logits: torch.Tensor) -> int:
    """Sample the next token's id with the row's own generator, whatever else is in the batch."""
    import torch

    sampling = row.sampling
    logits = logits.float().cpu()
    if sampling.repetition_penalty != 1.0:
        ids = torch.tensor(sorted({*row.ids, *row.sampled}))
        previous = logits[ids]
        penalty = sampling.repetition_penalty
        logits[ids] = torch.where(previous > 0, previous / penalty, previous * penalty)
    if sampling.temperature == 0:
        return int(logits.argmax())
    if row.rng is None:
        row.rng = torch.Generator().manual_seed(sampling.seed)
    probabilities, ids = torch.sort((logits / sampling.temperature).softmax(-1), descending=True)
    sums = probabilities.cumsum(-1)
    # The fewest tokens that together reach top_p, and the one at a uniform place in their sum.
    count = 1 + int((sums < sampling.top_p).sum().clamp(max=len(sums) - 1))
    place = torch.rand((), generator=row.rng) * sums[count - 1]
    return int(ids[int((sums[:count] <= place).sum().clamp(max=count - 1))])


def _end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """The ids that end a turn, according to the model or the tokenizer."""
    eos = getattr(model.generation_config, "eos_token_id", None)
    ids = {*(eos if isinstance(eos, list) else [eos]), tokenizer.eos_token_id}
    return frozenset(ids - {None})


@with_capabilities(
    EngineCapabilities(
        continuation="yes",
        ids="both ways",
        logprobs="no",
        seeds="same completion on a CPU",
        lora="a PEFT folder or a .gguf",
    )
)
def from_options(options: EngineConfig) -> TransformersEngine:
    """The registry's factory. Raises UserError for options that this engine does not use."""
    if options.base_url or options.protocol not in ("auto", "template"):
        raise UserError(
            "the engine 'transformers' runs the model itself and cuts prompts as for the protocol "
            "'template'; leave out --base-url and --protocol, or choose another --engine"
        )
    return TransformersEngine(
        options.model or models.DEFAULT, parallel=options.concurrency, adapter=options.adapter
    )
