"""One key-value cache for many sequences that grow at their own pace.

Every sequence has a row, and position p of a sequence is position p of its row. A block of tokens
can be appended to a row, a row can be cut back, and the beginning of one row can be copied to
another. Rows that are computed together are adjacent from row 0 on, so that attention reads them in
place. The module imports PyTorch, so import it only where a model is loaded.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from autocoa_bench.errors import UserError

_GROWTH = 256  # positions that the cache grows by
_FULL, _WINDOWED = "full_attention", "sliding_attention"  # transformers' names

SavedRow = list[tuple[Tensor, Tensor]]
"""A row's keys and values, (heads, positions, size) each, by layer."""


class KVCache(Cache):  # type: ignore[misc, no-any-unimported, unused-ignore]
    """Keys and values of all layers, (rows, heads, positions, size) each.

    To a forward pass it is transformers' cache of the rows that the pass computes.
    """

    def __init__(self, model: Any, rows: int) -> None:
        """For a transformers model. Raises UserError if a layer is not plain attention."""
        super().__init__(layers=[])
        config = model.config.get_text_config()
        window = getattr(config, "sliding_window", None)
        is_windowed = window and getattr(config, "use_sliding_window", True)
        kinds = set(getattr(config, "layer_types", None) or [_WINDOWED if is_windowed else _FULL])
        if not kinds <= ({_FULL, _WINDOWED} if window else {_FULL}):
            raise UserError(
                "a model in process needs layers that attend to the whole context or to a window, "
                f"and this one has {', '.join(sorted(kinds))}; take another model, or a server"
            )
        self._kinds = sorted(kinds)
        self._window: int = window or 0
        self._model = model
        self._rows = rows
        self._length = 0
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []

    def extend(self, row: int, start: int, ids: list[int]) -> None:
        """Compute a block of tokens of one row from position `start` on, and store it."""
        positions = torch.arange(start, start + len(ids))[None]
        rows = slice(row, row + 1)
        # From position 0 on, the model's own causal attention is the same, and faster.
        self._forward(self._model.base_model, rows, [ids], positions, is_masked=start > 0)

    def logits(self, tokens: list[int], starts: list[int]) -> Tensor:
        """Compute one token of each of the first rows at its position; returns logits (B, V)."""
        rows, ids = slice(0, len(tokens)), [[token] for token in tokens]
        positions = torch.tensor(starts)[:, None]
        output = self._forward(self._model, rows, ids, positions, is_masked=True)
        logits: Tensor = output.logits
        return logits[:, 0]

    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` positions of one row to another."""
        for layer in (*self._keys, *self._values):
            layer[target, :, :length] = layer[source, :, :length]

    def save(self, row: int, length: int) -> SavedRow:
        """A copy of the first `length` positions of a row, for `load`."""
        return [
            (keys[row, :, :length].clone(), values[row, :, :length].clone())
            for keys, values in zip(self._keys, self._values, strict=True)
        ]

    def load(self, row: int, saved: SavedRow, length: int) -> None:
        """Restore the first `length` positions of a saved row."""
        self._grow(length)
        for layer, (keys, values) in enumerate(saved):
            self._keys[layer][row, :, :length] = keys[:, :length]
            self._values[layer][row, :, :length] = values[:, :length]

    def _forward(
        self, module: Any, rows: slice, ids: list[list[int]], positions: Tensor, *, is_masked: bool
    ) -> Any:
        """The output of the model, or of its decoder, for ids at their positions, (B, T) each."""
        length = int(positions.max()) + 1
        positions = positions.to(self._model.device)
        self._grow(length)
        self._pass = (rows, positions, length)
        masks = {kind: self._mask(kind, positions, length) for kind in self._kinds if is_masked}
        return module(
            input_ids=torch.tensor(ids, device=positions.device),
            position_ids=positions,
            attention_mask=masks if len(masks) > 1 else masks.get(self._kinds[0]),
            cache=self,
            use_cache=True,
        )

    def _mask(self, kind: str, positions: Tensor, length: int) -> Tensor:
        """The mask of the positions that are attended to, (B, 1, T, length)."""
        keys, queries = torch.arange(length, device=positions.device), positions[:, None, :, None]
        mask = keys <= queries
        if kind == _WINDOWED:
            mask &= keys > queries - self._window
        if self._model.config._attn_implementation != "eager":
            return mask
        # Eager attention adds its mask to the scores.
        additive = torch.zeros(mask.shape, dtype=self._model.dtype, device=mask.device)
        return additive.masked_fill(~mask, torch.finfo(additive.dtype).min)

    def _grow(self, length: int) -> None:
        if length <= self._length:
            return
        rounded = -(-length // _GROWTH) * _GROWTH
        for layers in (self._keys, self._values):
            for index, layer in enumerate(layers):
                # Some layers are long enough if memory ran out in an earlier call.
                if layer.shape[2] < rounded:
                    layers[index] = self._zeros_like(layer, rounded)
                    layers[index][:, :, : layer.shape[2]] = layer
        self._length = rounded

    def _zeros_like(self, layer: Tensor, length: int) -> Tensor:
        """Zeros rather than uninitialised memory: masked positions are multiplied all the same."""
        return layer.new_zeros(self._rows, layer.shape[1], length, layer.shape[3])

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values (B, H, T, D); returns those of all positions."""
        if layer_idx == len(self._keys):
            self._keys.append(self._zeros_like(key_states, self._length))
            self._values.append(self._zeros_like(value_states, self._length))
        rows, positions, length = self._pass
        # Slices are views, so that writing to them writes to the cache.
        keys, values = self._keys[layer_idx][rows], self._values[layer_idx][rows]
        batch = torch.arange(len(positions), device=positions.device)[:, None]
        keys[batch, :, positions] = key_states.transpose(1, 2)
        values[batch, :, positions] = value_states.transpose(1, 2)
        return keys[:, :, :length], values[:, :, :length]

    def get_seq_length(self, *_: Any) -> int:
        """The positions before this pass; unused, because the pass gives its position ids."""
        return 0

    def get_query_offset(self, *_: Any) -> int:
        """The first position of a pass without a mask, which starts at the beginning of a row."""
        return 0

    def get_mask_sizes(self, *_: Any) -> tuple[int, int]:
        """The length and the offset of the positions that a pass without a mask attends to."""
        return self._pass[2], 0


class CachedRow:
    """A sequence in a `CachedBatch`: the ids of a prompt, and those sampled after it.

    `cached` counts ids whose keys and values are in the cache, `prompt` those of the prompt.
    """

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.cached = 0
        self.prompt = 0

    @property
    def sampled(self) -> list[int]:
        """The ids sampled after the prompt so far."""
        return self.ids[self.prompt :]


Row = TypeVar("Row", bound=CachedRow)


class CachedBatch(Generic[Row]):
    """Sequences that are decoded together, in the first `rows` of a cache.

    A prefix of a prompt that is in the cache is copied. It comes from the rows in use, or, if
    `past` is more than 0, from that many rows removed last: no result depends on rows in use then.
    """

    def __init__(self, model: Any, rows: int, past: int = 0) -> None:
        """For at most `rows` sequences at once. Raises UserError like `KVCache`."""
        self.rows: list[Row] = []
        self.cache = KVCache(model, rows)
        self._past: deque[tuple[list[int], SavedRow]] = deque(maxlen=past)

    def read(self, index: int, row: Row, ids: Sequence[int]) -> None:
        """Make `ids` the prompt of the row at `index`, and compute its new part.

        The last token is left to the first call of `logits`.
        """
        shared, source = common_prefix(ids[:-1], row.ids[: row.cached]), None
        for cached_ids, candidate in self._prefixes():
            length = common_prefix(ids[:-1], cached_ids)
            if length > shared:
                shared, source = length, candidate
        if isinstance(source, int):
            self.cache.copy(source, index, shared)
        elif source is not None:
            self.cache.load(index, source, shared)
        if shared < len(ids) - 1:
            self.cache.extend(index, shared, list(ids[shared:-1]))
        row.ids, row.cached, row.prompt = list(ids), len(ids) - 1, len(ids)

    def logits(self) -> Tensor:
        """Compute the last token of every row; returns the logits (B, V) of the tokens after."""
        starts = [row.cached for row in self.rows]
        logits = self.cache.logits([row.ids[-1] for row in self.rows], starts)
        for row in self.rows:
            row.cached += 1
        return logits

    def remove(self, row: Row) -> None:
        """Take a row out; the last row moves into the gap, so that rows stay adjacent."""
        index = self.rows.index(row)
        if self._past.maxlen:
            self._past.append((row.ids[: row.cached], self.cache.save(index, row.cached)))
        last = self.rows.pop()
        if last is not row:
            self.cache.copy(len(self.rows), index, last.cached)
            self.rows[index] = last

    def _prefixes(self) -> Iterable[tuple[list[int], int | SavedRow]]:
        if self._past.maxlen:
            return self._past
        return [(row.ids[: row.cached], index) for index, row in enumerate(self.rows)]


def common_prefix(ids: Sequence[int], others: Sequence[int]) -> int:
    """The number of tokens at which two sequences agree from the beginning on."""
    for index, (token, candidate) in enumerate(zip(ids, others, strict=False)):
        if token != candidate:
            return index
    return min(len(ids), len(others))
