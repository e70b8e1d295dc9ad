"""One key-value cache for many sequences that grow at their own pace.

Every sequence has a row, and position p of a sequence is position p of its row. A block of tokens
can be appended to a row, a row can be cut back, and the beginning of one row can be copied to
another. Rows that are computed together are adjacent from row 0 on, so that attention reads them in
place. The module imports PyTorch, so import it only where a model is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from autocoa_bench.errors import UserError

_GROWTH = 256  # positions that the cache grows by
_FULL, _WINDOWED = "full_attention", "sliding_attention"  # transformers' names

SavedRow = list[tuple[Tensor, Tensor]]
"""A row's keys and values, (heads, positions, size) each, by layer."""


class KVCache:
    """Keys and values of all layers, (rows, heads, positions, size) each."""

    def __init__(self, model: Any, rows: int) -> None:
        """For a transformers model. Raises UserError if a layer is not plain attention."""
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
        device = self._model.device
        positions = torch.arange(start, start + len(ids), device=device)[None]
        block = torch.tensor([ids], device=device)
        # From position 0 on, the model's own causal attention is the same, and faster.
        is_masked = start > 0
        rows = slice(row, row + 1)
        self._forward(self._model.base_model, rows, block, positions, is_masked=is_masked)

    def decode(self, tokens: list[int], starts: list[int]) -> Tensor:
        """Compute one token of each of the first rows at its position; the last states (B, D)."""
        output = self._next_tokens(self._model.base_model, tokens, starts)
        states: Tensor = output.last_hidden_state
        return states[:, 0]

    def logits(self, tokens: list[int], starts: list[int]) -> Tensor:
        """Like `decode`, but returns the model's own logits (B, V)."""
        logits: Tensor = self._next_tokens(self._model, tokens, starts).logits
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

    def _next_tokens(self, module: Any, tokens: list[int], starts: list[int]) -> Any:
        device = self._model.device
        positions = torch.tensor(starts, device=device)[:, None]
        ids = torch.tensor(tokens, device=device)[:, None]
        return self._forward(module, slice(0, len(tokens)), ids, positions, is_masked=True)

    def _forward(
        self, module: Any, rows: slice, ids: Tensor, positions: Tensor, *, is_masked: bool
    ) -> Any:
        """The output of the model, or of its decoder, for ids at their positions, (B, T) each."""
        length = int(positions.max()) + 1
        self._grow(length)
        masks = {kind: self._mask(kind, positions, length) for kind in self._kinds if is_masked}
        return module(
            input_ids=ids,
            position_ids=positions,
            attention_mask=masks if len(masks) > 1 else masks.get(self._kinds[0]),
            cache=_CacheView(self, rows, positions, length),
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

    def put(
        self, layer: int, rows: slice, positions: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Store a block's keys and values (B, H, T, D); returns everything in the rows."""
        if layer == len(self._keys):
            self._keys.append(self._zeros_like(keys, self._length))
            self._values.append(self._zeros_like(values, self._length))
        # Slices are views, so that writing to them writes to the cache.
        row_keys, row_values = self._keys[layer][rows], self._values[layer][rows]
        batch = torch.arange(len(positions), device=positions.device)[:, None]
        row_keys[batch, :, positions] = keys.transpose(1, 2)
        row_values[batch, :, positions] = values.transpose(1, 2)
        return row_keys, row_values


class _CacheView(Cache):  # type: ignore[misc, no-any-unimported, unused-ignore]
    """The rows of a KVCache that one forward pass computes, as transformers' cache."""

    def __init__(self, cache: KVCache, rows: slice, positions: Tensor, length: int) -> None:
        super().__init__(layers=[])
        self._cache = cache
        self._rows = rows
        self._positions = positions
        self._length = length

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values; returns those of all positions so far."""
        keys, values = self._cache.put(
            layer_idx, self._rows, self._positions, key_states, value_states
        )
        return keys[:, :, : self._length], values[:, :, : self._length]

    def get_seq_length(self, *_: Any) -> int:
        """The positions before this pass; unused, because the pass gives its position ids."""
        return 0

    def get_query_offset(self, *_: Any) -> int:
        """The first position of a pass without a mask, which starts at the beginning of a row."""
        return 0

    def get_mask_sizes(self, *_: Any) -> tuple[int, int]:
        """The length and the offset of the positions that a pass without a mask attends to."""
        return self._length, 0


def common_prefix(ids: Sequence[int], others: Sequence[int]) -> int:
    """The number of tokens at which two sequences agree from the beginning on."""
    for index, (token, candidate) in enumerate(zip(ids, others, strict=False)):
        if token != candidate:
            return index
    return min(len(ids), len(others))
