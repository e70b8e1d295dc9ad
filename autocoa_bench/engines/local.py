"""A model in this process, by transformers: what was trained answers as it is, LoRA and all.

Requests are decoded together as they come: each prompt is read on its own, but for what a past row
shares with it; then its row joins the batch, padded on the left, and leaves it when it ends. For
many requests on a GPU, a server such as vLLM is several times faster; this engine needs none.
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

from autocoa_bench.engines import Abilities, EngineOptions, able, hf, models, wire
from autocoa_bench.engines.embedded import idle_cores
from autocoa_bench.errors import CONTEXT, EngineFault, UserError
from autocoa_bench.paths import user_path
from autocoa_bench.types import Completion, EngineSpec, Generate, Prompt, Sampling

if TYPE_CHECKING:
    import torch

_TAIL = 4
"""Tokens that a character may take: bytes of UTF-8."""


class LocalEngine:
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
        tokenizer = hf.load_tokenizer(self.model)
        if not tokenizer.chat_template:
            raise UserError(
                f"the tokenizer of '{self.model}' has no chat template, so no turn can be opened; "
                "take an instruction-tuned model, or put a chat_template.jinja beside it"
            )
        import torch

        gpu = torch.cuda.is_available()
        kept = str(hf.stored_type(self.model)).removeprefix("torch.")
        dtype = kept if gpu else "float32"
        if not gpu and "OMP_NUM_THREADS" not in os.environ:  # its own say is PyTorch's default
            torch.set_num_threads(idle_cores())
        model = hf.load_model(self.model, dtype)
        settings: dict[str, str | int | float] = {
            "sha256": getattr(model.config, "_commit_hash", None) or hf.fingerprint(self.model),
            "dtype": dtype,
            "device": "cuda" if gpu else "cpu",
            "torch": version("torch"),
            "transformers": version("transformers"),
        }
        if self._adapter:
            model = hf.with_adapter(model, self._adapter, self.model)
            settings["adapter"] = user_path(self._adapter).stem
            settings["adapter_sha256"] = hf.fingerprint(self._adapter)
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
        pieces = wire.pieces(text, msgspec.structs.replace(prompt, turns=turns))
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


class _Batch:
    """The rows being decoded, and the thread that decodes them."""

    def __init__(self, model: Any, tokenizer: Any, parallel: int) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._parallel = parallel
        self._ends = _end_ids(model, tokenizer)
        self._longest = int(getattr(model.config, "max_position_embeddings", 0)) or 1 << 30
        self._waiting: queue.SimpleQueue[_Row | None] = queue.SimpleQueue()
        self._closed = False
        self._rows: list[_Row] = []
        self._cache: Any = None
        self._mask: Any = None  # (rows, tokens in the cache): 0 where a row is padded
        # Rows that ended, latest last: their ids, and keys and values (1, heads, ids, size).
        self._past: deque[tuple[list[int], list[tuple[Any, Any]]]] = deque(maxlen=parallel)
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
            if len(row.ids) + 1 >= self._longest:
                self._refuse(row)
                continue
            try:
                self._join(row)
            except RuntimeError as error:
                row.future.set_exception(EngineFault("model-error", str(error)))
        return not self._closed

    def _refuse(self, row: _Row) -> None:
        problem = f"a prompt of {len(row.ids)} tokens exceeds the available context"
        row.future.set_exception(EngineFault(CONTEXT, f"{problem} of {self._longest}"))

    def _join(self, row: _Row) -> None:
        """Read a row's prompt, sample its first token, and add its cache to the batch's."""
        import torch

        cache, known = self._known(row.ids)
        given = torch.tensor([row.ids[known:]], device=self._model.device)
        read = self._model(input_ids=given, past_key_values=cache, use_cache=True, logits_to_keep=1)
        row.sampled.append(_sample(row, read.logits[0, -1]))
        if self._finished(row):
            return
        mask = torch.ones((1, len(row.ids)), dtype=given.dtype, device=given.device)
        if not self._rows:
            self._cache, self._mask = cache, mask
        else:
            self._mask = _pad_and_stack(self._mask, mask, dim=1)
            for ours, its in zip(self._cache.layers, cache.layers, strict=True):
                ours.keys = _pad_and_stack(ours.keys, its.keys, dim=2)
                ours.values = _pad_and_stack(ours.values, its.values, dim=2)
        self._rows.append(row)

    def _known(self, ids: list[int]) -> tuple[Any, int]:
        """A cache with the longest start of a prompt that a past row shares, and its length."""
        from transformers import DynamicCache

        cache, known, found = DynamicCache(), 0, None
        for past, layers in self._past:
            pairs = enumerate(zip(past, ids[:-1], strict=False))
            shared = next((i for i, (a, b) in pairs if a != b), min(len(past), len(ids) - 1))
            if shared > known:
                known, found = shared, layers
        for number, (keys, values) in enumerate(found or ()):
            cache.update(keys[:, :, :known], values[:, :, :known], number)
        return cache, known

    def _remember(self, number: int) -> None:
        """Keep the cache of a row that ends: the next prompt of its episode begins with it."""
        row = self._rows[number]
        ids = [*row.ids, *row.sampled[:-1]]
        kept = (slice(number, number + 1), slice(None), slice(-len(ids), None))
        layers = [
            (each.keys[kept].clone(), each.values[kept].clone()) for each in self._cache.layers
        ]
        self._past.append((ids, layers))

    def _step(self) -> None:
        """Sample one more token for every row; rows that end leave."""
        import torch

        if not self._rows:
            return
        device = self._model.device
        last = torch.tensor([[row.sampled[-1]] for row in self._rows], device=device)
        at = [[len(row.ids) + len(row.sampled) - 1] for row in self._rows]
        self._mask = torch.cat([self._mask, torch.ones_like(last)], dim=1)
        read = self._model(
            input_ids=last,
            attention_mask=self._mask,
            position_ids=torch.tensor(at, device=device),
            past_key_values=self._cache,
            use_cache=True,
        )
        for row, logits in zip(self._rows, read.logits[:, -1], strict=True):
            row.sampled.append(_sample(row, logits))
        stay = []
        for number, row in enumerate(self._rows):
            if self._finished(row):
                self._remember(number)
            else:
                stay.append(number)
        if len(stay) < len(self._rows):
            self._keep(stay)

    def _keep(self, stay: list[int]) -> None:
        """Drop all other rows, and the columns that are padding in every row that stays."""
        import torch

        self._rows = [self._rows[number] for number in stay]
        if not self._rows:
            self._cache = self._mask = None
            return
        chosen = torch.tensor(stay, device=self._mask.device)
        self._mask = self._mask[chosen]
        first = int(self._mask.any(dim=0).int().argmax())
        self._mask = self._mask[:, first:]
        for layer in self._cache.layers:
            layer.keys = layer.keys[chosen, :, first:]
            layer.values = layer.values[chosen, :, first:]

    def _fail(self, fault: EngineFault) -> None:
        for row in self._rows:
            row.future.set_exception(fault)
        self._rows, self._cache, self._mask = [], None, None

    def _finished(self, row: _Row) -> bool:
        """Whether a row is done; then whoever waits has been told."""
        ended = row.sampled[-1] in self._ends
        met = None if ended else self._stop_met(row)
        total = len(row.ids) + len(row.sampled)
        full = len(row.sampled) >= row.request.max_tokens or total >= self._longest
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


def _pad_and_stack(ours: torch.Tensor, its: torch.Tensor, dim: int) -> torch.Tensor:
    """Both along the first axis, the shorter padded at the front of `dim` with zeros."""
    import torch

    length = max(ours.shape[dim], its.shape[dim])
    padded = []
    for tensor in (ours, its):
        shape = list(tensor.shape)
        shape[dim] = length - shape[dim]
        padded.append(torch.cat([tensor.new_zeros(shape), tensor], dim=dim))
    return torch.cat(padded)


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


@able(
    Abilities(
        continuation="yes",
        ids="both ways",
        logprobs="no",
        seeds="same completion on a CPU",
        lora="a PEFT folder or a .gguf",
    )
)
def from_options(options: EngineOptions) -> LocalEngine:
    """The registry's factory. Raises UserError for what this engine has no use for."""
    if options.base_url or options.protocol not in ("auto", "template"):
        raise UserError(
            "the engine 'transformers' runs the model itself and cuts prompts as by the protocol "
            "'template'; leave out --base-url and --protocol, or take another --engine"
        )
    return LocalEngine(
        options.model or models.DEFAULT, parallel=options.concurrency, adapter=options.adapter
    )
