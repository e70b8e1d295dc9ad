"""The requests that a model in this process decodes together, on a thread of their own."""

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import torch
from torch import Tensor

from autocoa_bench.engines import turns
from autocoa_bench.engines.request_options import RequestOptions
from autocoa_bench.engines.tokenizer import decode, encode, end_ids
from autocoa_bench.engines.transformers.kv_cache import CachedBatch, CachedRow, KVCache
from autocoa_bench.errors import CONTEXT, EngineFault, UserError
from autocoa_bench.types import Completion, Generate, Sampling

_TAIL = 4
"""The most tokens that one character may take: the bytes of UTF-8."""

_ROUNDING = 0.1
"""The relative error in the norm of logits that rounding may cause; 0.014 was observed in bf16."""


class _Row(CachedRow):
    """One request, and the future of its completion."""

    def __init__(self, prompt_ids: list[int], request: Generate, sampling: Sampling) -> None:
        super().__init__()
        self.prompt_ids = prompt_ids
        self.request = request
        self.sampling = sampling
        self.future: Future[Completion] = Future()
        self.start = time.perf_counter()
        self.rng: torch.Generator | None = None


class Batch:
    """The rows that are being decoded, and the thread that decodes them."""

    def __init__(self, model: Any, tokenizer: Any, parallel: int, options: RequestOptions) -> None:
        """Raises UserError for a model that the cache does not support."""
        self._tokenizer = tokenizer
        self._options = options
        self._parallel = parallel
        self._end_ids = end_ids(tokenizer, model.generation_config)
        self._longest = int(getattr(model.config, "max_position_embeddings", 0)) or 1 << 30
        self._waiting: queue.SimpleQueue[_Row | None] = queue.SimpleQueue()
        self._is_closed = False
        # The next prompts of episodes start like rows that have ended.
        self._batch: CachedBatch[_Row] = CachedBatch(model, parallel, past=parallel)
        _check_cache(model, self._batch.cache)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def add(self, ids: list[int], request: Generate, sampling: Sampling) -> Future[Completion]:
        """Queue a request with the ids of its prompt; it joins as soon as there is room."""
        row = _Row(ids, request, sampling)
        self._waiting.put(row)
        return row.future

    def close(self) -> None:
        """End the thread; rows in flight become faults."""
        self._is_closed = True
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        with torch.inference_mode():
            while self._admit():
                try:
                    self._step()
                except RuntimeError as error:  # torch's own, out of memory among them
                    self._fail(EngineFault("model-error", str(error)))
        while not self._waiting.empty():
            row = self._waiting.get()
            if row is not None and row.future.set_running_or_notify_cancel():
                self._batch.rows.append(row)
        self._fail(EngineFault("closed", "the engine was closed"))

    def _admit(self) -> bool:
        """Let waiting rows join, and wait for one if the batch is empty; False once closed."""
        while len(self._batch.rows) < self._parallel and not self._is_closed:
            try:
                row = self._waiting.get(block=not self._batch.rows)
            except queue.Empty:
                return True
            if row is None or not row.future.set_running_or_notify_cancel():
                continue
            try:
                self._check_length(row)
                self._batch.read(len(self._batch.rows), row, row.prompt_ids)
                self._batch.rows.append(row)
            except EngineFault as fault:
                row.future.set_exception(fault)
            except RuntimeError as error:
                row.future.set_exception(EngineFault("model-error", str(error)))
        return not self._is_closed

    def _check_length(self, row: _Row) -> None:
        if not row.prompt_ids:
            raise EngineFault("model-error", "the prompt has no token")
        if len(row.prompt_ids) >= self._longest - 1:
            raise EngineFault(
                CONTEXT,
                f"a prompt of {len(row.prompt_ids)} tokens exceeds the available context of "
                f"{self._longest}",
            )

    def _step(self) -> None:
        """Sample one more token for every row, and take out the rows that end."""
        if not self._batch.rows:
            return
        rows = list(self._batch.rows)
        for row, logits in zip(rows, self._batch.logits(), strict=True):
            row.ids.append(_sample(row, logits, self._options))
        for row in reversed(rows):
            if self._finish(row):
                self._batch.remove(row)

    def _fail(self, fault: EngineFault) -> None:
        for row in self._batch.rows:
            # A finished row is still here if memory ran out while it was saved.
            if not row.future.done():
                row.future.set_exception(fault)
        self._batch.rows = []

    def _finish(self, row: _Row) -> bool:
        """Complete a row's future if its last token ends it; returns whether it does."""
        at_end_id = row.ids[-1] in self._end_ids
        stop_string = None if at_end_id else self._stop_string(row)
        sampled = row.sampled
        is_full = len(sampled) >= row.request.max_tokens or len(row.ids) >= self._longest
        if not (at_end_id or stop_string or is_full):
            return False
        whole = self._decode(sampled[:-1] if at_end_id else sampled)
        # An incomplete character is decoded as U+FFFD.
        text = whole.partition(stop_string)[0] if stop_string else whole.rstrip("\ufffd")
        ids: tuple[int, ...] | None = tuple(sampled)
        if whole != text + (stop_string or ""):
            ids = turns.trimmed_ids(sampled, text + (stop_string or ""), self._decode, self._encode)
        row.future.set_result(
            Completion(
                text=text,
                stop_reason="stop" if at_end_id or stop_string else "length",
                stop_string=stop_string,
                prompt_tokens=row.prompt,
                completion_tokens=len(sampled),
                token_ids=ids,
                end=self._decode(sampled[-1:]) if at_end_id else "",
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
        return turns.first_stop(text, row.request.stop)

    def _decode(self, ids: Sequence[int]) -> str:
        return decode(ids, self._tokenizer)

    def _encode(self, text: str) -> tuple[int, ...]:
        return encode(text, self._tokenizer)


def _check_cache(model: Any, cache: KVCache) -> None:
    """Raise UserError for a model whose logits through the cache differ from its own.

    Some architectures take positions in a form that the cache does not provide.
    """
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


def _sample(row: _Row, logits: Tensor, options: RequestOptions) -> int:
    """Sample the next token's id with the row's own generator, whatever else is in the batch.

    As in vLLM, min-p comes before top-k and this before top-p, and the presence penalty concerns
    the tokens of the completion.
    """
    sampling = row.sampling
    logits = logits.float().cpu()
    if sampling.repetition_penalty != 1.0:
        ids = torch.tensor(sorted(set(row.ids)))
        previous = logits[ids]
        penalty = sampling.repetition_penalty
        logits[ids] = torch.where(previous > 0, previous / penalty, previous * penalty)
    if options.presence_penalty and row.sampled:
        logits[torch.tensor(sorted(set(row.sampled)))] -= options.presence_penalty
    if sampling.temperature == 0:
        return int(logits.argmax())
    if row.rng is None:
        row.rng = torch.Generator().manual_seed(sampling.seed)
    probabilities, ids = torch.sort((logits / sampling.temperature).softmax(-1), descending=True)
    if options.min_p:
        probabilities = probabilities[probabilities >= options.min_p * probabilities[0]]
    probabilities = probabilities[: options.sampling_top_k]
    sums = probabilities.cumsum(-1)
    # Rounding aside, all tokens together have 1.
    whole = float(sums[-1]) if options.min_p or options.sampling_top_k else 1.0
    # The fewest tokens that together reach top_p, and the one at a uniform place in their sum.
    count = 1 + int((sums < sampling.top_p * whole).sum().clamp(max=len(sums) - 1))
    place = torch.rand((), generator=row.rng) * sums[count - 1]
    return int(ids[int((sums[:count] <= place).sum().clamp(max=count - 1))])
