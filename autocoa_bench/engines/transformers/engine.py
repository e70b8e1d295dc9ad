"""A model in this process, by transformers: what was trained answers as it is, LoRA and all.

Requests are decoded together as they come: each prompt is read on its own, but for what a past row
shares with it; then its row joins the batch, and leaves it when it ends. For many requests on a
GPU, a server such as vLLM is several times faster; this engine needs none.
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
from autocoa_bench.util.paths import user_path

if TYPE_CHECKING:
    import torch

    from autocoa_bench.engines.transformers.kv_cache import KVCache, Saved

_TAIL = 4
"""Tokens that a character may take: bytes of UTF-8."""

_ROUNDING = 0.1
"""Of the norm of logits: what sums in another order may change (0.014 was seen in bf16)."""


class TransformersEngine:
    """A model as `engines.hf` loads it, with at most `parallel` rows at once.

    On a CPU weights are 32-bit, and a completion does not depend on what else is in flight; on a
    GPU they are of the type they are kept in. `adapter` is a PEFT folder or a GGUF adapter.
    Prompts are cut as by the protocol `template` (see engines.wire): sampled ids stay as they are.
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
                "take an instruction-tuned model, or put a chat_template.jinja beside it"
            )
        import torch

        gpu = torch.cuda.is_available()
        kept = str(huggingface.stored_type(self.model)).removeprefix("torch.")
        dtype = kept if gpu else "float32"
        if not gpu and "OMP_NUM_THREADS" not in os.environ:  # its own say is PyTorch's default
            torch.set_num_threads(idle_cores())
        model = huggingface.load_model(self.model, dtype)
        settings: dict[str, str | int | float] = {
            "sha256": getattr(model.config, "_commit_hash", None)
            or huggingface.fingerprint(self.model),
            "dtype": dtype,
            "device": "cuda" if gpu else "cpu",
            "torch": version("torch"),
            "transformers": version("transformers"),
        }
        if self._adapter:
            model = huggingface.with_adapter(model, self._adapter, self.model).get_base_model()
            settings["adapter"] = user_path(self._adapter).stem
            settings["adapter_sha256"] = huggingface.fingerprint(self._adapter)
        self._tokenizer = tokenizer
        self._batch = _Batch(model.to("cuda" if gpu else "cpu"), tokenizer, self._parallel)
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
        """A prompt's ids, piece by piece."""
        messages = [{"role": each.role, "content": each.content} for each in prompt.opening]
        text = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
        turns = tuple(
            msgspec.structs.replace(turn, token_ids=tuple(self._ids(turn.text)))
            if turn.source == "model" and turn.token_ids is None
            else turn
            for turn in prompt.turns
        )
        pieces = protocol.prompt_pieces(text, msgspec.structs.replace(prompt, turns=turns))
        ids: list[int] = []
        for piece in [pieces] if isinstance(pieces, str) else pieces:
            ids += self._ids(piece) if isinstance(piece, str) else [piece]
        return ids

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False).input_ids)


class _Row:
    """A request on its way: its prompt's ids, what it has sampled, and who waits for it."""

    def __init__(self, ids: list[int], request: Generate, sampling: Sampling) -> None:
        self.ids = ids
        self.request = request
        self.sampling = sampling
        self.sampled: list[int] = []
        self.future: Future[Completion] = Future()
        self.started = time.perf_counter()
        self.random: torch.Generator | None = None

    @property
    def last(self) -> int:
        """The id that the next one follows."""
        return (self.sampled or self.ids)[-1]

    @property
    def length(self) -> int:
        """How many ids there are so far."""
        return len(self.ids) + len(self.sampled)


class _Batch:
    """The rows being decoded, and the thread that decodes them."""

    def __init__(self, model: Any, tokenizer: Any, parallel: int) -> None:
        """Raises UserError for a model that no arena is made for."""
        from autocoa_bench.engines.transformers.kv_cache import KVCache

        self._tokenizer = tokenizer
        self._parallel = parallel
        self._ends = _end_ids(model, tokenizer)
        self._longest = int(getattr(model.config, "max_position_embeddings", 0)) or 1 << 30
        self._waiting: queue.SimpleQueue[_Row | None] = queue.SimpleQueue()
        self._closed = False
        self._arena = KVCache(model, parallel)
        _check(model, self._arena)
        self._rows: list[_Row] = []
        # What rows that ended have read: the next prompts of their episodes begin with it.
        self._past: deque[tuple[list[int], Saved]] = deque(maxlen=parallel)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, row: _Row) -> None:
        """Let a row join as soon as there is room."""
        self._waiting.put(row)

    def close(self) -> None:
        """End the thread; rows still in flight are faults."""
        self._closed = True
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
        """Take in what waits, waiting where nothing is in flight; False: closed."""
        while len(self._rows) < self._parallel and not self._closed:
            try:
                row = self._waiting.get(block=not self._rows)
            except queue.Empty:
                return True
            if row is None or not row.future.set_running_or_notify_cancel():
                continue
            if not 0 < len(row.ids) < self._longest - 1:
                self._refuse(row)
                continue
            try:
                self._join(row)
            except RuntimeError as error:
                row.future.set_exception(EngineFault("model-error", str(error)))
        return not self._closed

    def _refuse(self, row: _Row) -> None:
        if not row.ids:
            row.future.set_exception(EngineFault("model-error", "the prompt has no token"))
            return
        problem = f"a prompt of {len(row.ids)} tokens exceeds the available context"
        row.future.set_exception(EngineFault(CONTEXT, f"{problem} of {self._longest}"))

    def _join(self, row: _Row) -> None:
        """Read what is new in a row's prompt, all but its last token, behind the other rows."""
        from autocoa_bench.engines.transformers.kv_cache import alike

        place, known = len(self._rows), 0
        for ids, saved in self._past:
            shared = alike(ids, row.ids[:-1])
            if shared > known:
                known, found = shared, saved
        if known:
            self._arena.load(place, found, known)
        if known < len(row.ids) - 1:
            self._arena.extend(place, known, row.ids[known:-1])
        self._rows.append(row)

    def _step(self) -> None:
        """Sample one more token for every row; rows that end leave."""
        if not self._rows:
            return
        logits = self._arena.logits(
            [row.last for row in self._rows], [row.length - 1 for row in self._rows]
        )
        for row, each in zip(self._rows, logits, strict=True):
            row.sampled.append(_sample(row, each))
        for number in reversed(range(len(self._rows))):
            if self._finished(self._rows[number]):
                self._leave(number)

    def _leave(self, number: int) -> None:
        """Take a row out; the last one moves into the gap, so that rows stay neighbours."""
        row = self._rows[number]
        read = [*row.ids, *row.sampled[:-1]]
        self._past.append((read, self._arena.save(number, len(read))))
        last = self._rows.pop()
        if number < len(self._rows):
            self._arena.copy(len(self._rows), number, last.length - 1)
            self._rows[number] = last

    def _fail(self, fault: EngineFault) -> None:
        for row in self._rows:
            if not row.future.done():  # memory may run out while a row that is done is kept
                row.future.set_exception(fault)
        self._rows = []

    def _finished(self, row: _Row) -> bool:
        """Whether a row is done; then whoever waits has been told."""
        ended = row.sampled[-1] in self._ends
        met = None if ended else self._stop_met(row)
        full = len(row.sampled) >= row.request.max_tokens or row.length >= self._longest
        if not (ended or met or full):
            return False
        row.future.set_result(self._completion(row, ended, met))
        return True

    def _stop_met(self, row: _Row) -> str | None:
        """The stop string that the last token completed."""
        if not row.request.stop:
            return None
        longest = max(map(len, row.request.stop))
        text = self._text(row.sampled[-_TAIL * longest - 1 :])
        found = [(text.find(stop), stop) for stop in row.request.stop if stop in text]
        return min(found)[1] if found else None

    def _completion(self, row: _Row, ended: bool, met: str | None) -> Completion:
        kept = row.sampled[:-1] if ended else row.sampled
        whole = self._text(kept)
        text = whole.partition(met)[0] if met else whole.rstrip("\ufffd")  # half a letter
        exact = whole == text + (met or "")
        return Completion(
            text=text,
            stop_reason="stop" if ended or met else "length",
            stop_string=met,
            prompt_tokens=len(row.ids),
            completion_tokens=len(row.sampled),
            token_ids=tuple(row.sampled) if exact else None,
            seconds=time.perf_counter() - row.started,
        )

    def _text(self, ids: Sequence[int]) -> str:
        decoded = self._tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        return str(decoded)


def _check(model: Any, arena: KVCache) -> None:
    """Refuse a model that says something else through an arena than it does by itself: positions
    may be told it in a way that an arena does not know. Raises UserError."""
    import torch

    ids = [n % model.config.get_text_config().vocab_size for n in range(2, 12)]
    problem = "its logits are others then"
    try:
        with torch.inference_mode():
            whole = model(input_ids=torch.tensor([ids], device=model.device)).logits[0, -1].float()
            arena.extend(0, 0, ids[:4])
            arena.extend(0, 4, ids[4:-1])
            found = arena.logits(ids[-1:], [len(ids) - 1])[0].float()
        if (found - whole).norm() < _ROUNDING * whole.norm():
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
    """The next token's id; a row's draws are its own, whatever else is in the batch."""
    import torch

    sampling = row.sampling
    logits = logits.float().cpu()
    if sampling.repetition_penalty != 1.0:
        seen = torch.tensor(sorted({*row.ids, *row.sampled}))
        found = logits[seen]
        penalty = sampling.repetition_penalty
        logits[seen] = torch.where(found > 0, found / penalty, found * penalty)
    if sampling.temperature == 0:
        return int(logits.argmax())
    if row.random is None:
        row.random = torch.Generator().manual_seed(sampling.seed)
    chances, ids = torch.sort((logits / sampling.temperature).softmax(-1), descending=True)
    sums = chances.cumsum(-1)
    # The fewest tokens that together reach top_p; then the one that a uniform number falls on.
    count = 1 + int((sums < sampling.top_p).sum().clamp(max=len(sums) - 1))
    drawn = torch.rand((), generator=row.random) * sums[count - 1]
    return int(ids[int((sums[:count] <= drawn).sum().clamp(max=count - 1))])


def _end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """The ids that end a turn: the model's own, and the tokenizer's."""
    own = getattr(model.generation_config, "eos_token_id", None)
    found = {*(own if isinstance(own, list) else [own]), tokenizer.eos_token_id}
    return frozenset(found - {None})


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
    """The registry's factory. Raises UserError for what this engine has no use for."""
    if options.base_url or options.protocol not in ("auto", "template"):
        raise UserError(
            "the engine 'transformers' runs the model itself and cuts prompts as by the protocol "
            "'template'; leave out --base-url and --protocol, or take another --engine"
        )
    return TransformersEngine(
        options.model or models.DEFAULT, parallel=options.concurrency, adapter=options.adapter
    )
