"""One key-value cache for many sequences that grow at their own pace.

Every sequence has a row, and position p of a sequence lies at p of its row: a block of tokens can
be put behind what a row holds, a row can be cut back, and one row's beginning copied to another.
Rows that compute together are neighbours from row 0 on, so that attention reads them in place. It
imports PyTorch, so it is imported where a model is at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from autocoa_bench.errors import UserError

_GROWTH = 256  # positions that an arena grows by
_FULL, _WINDOWED = "full_attention", "sliding_attention"  # as transformers calls them

Saved = list[tuple[Tensor, Tensor]]
"""A row's keys and values, (heads, positions, size) each, by layer."""


class KVCache:
    """Keys and values of all layers, (rows, heads, positions, size) each."""

    def __init__(self, model: Any, rows: int) -> None:
        """For a transformers model. Raises UserError where a layer is not plain attention."""
        config = model.config.get_text_config()
        window = getattr(config, "sliding_window", None)
        windowed = window and getattr(config, "use_sliding_window", True)
        kinds = set(getattr(config, "layer_types", None) or [_WINDOWED if windowed else _FULL])
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
        """Compute a block of tokens of one row that stands at `start`, and keep it."""
        device = self._model.device
        positions = torch.arange(start, start + len(ids), device=device)[None]
        given = torch.tensor([ids], device=device)
        # From position 0 on, the model's own causal attention is the same and faster.
        place = slice(row, row + 1)
        self._forward(self._model.base_model, place, given, positions, masked=start > 0)

    def decode(self, tokens: list[int], starts: list[int]) -> Tensor:
        """Compute one token of each of the first rows, at its own place; the last states (B, D)."""
        states: Tensor = self._one_each(self._model.base_model, tokens, starts).last_hidden_state
        return states[:, 0]

    def logits(self, tokens: list[int], starts: list[int]) -> Tensor:
        """Likewise; the model's own logits (B, V), whatever it does to them."""
        logits: Tensor = self._one_each(self._model, tokens, starts).logits
        return logits[:, 0]

    def copy(self, source: int, target: int, length: int) -> None:
        """Let a row begin with the first `length` positions of another."""
        for kept in (self._keys, self._values):
            for layer in kept:
                layer[target, :, :length] = layer[source, :, :length]

    def save(self, row: int, length: int) -> Saved:
        """A copy of the first `length` positions of a row, for `load`."""
        kept = zip(self._keys, self._values, strict=True)
        return [
            (keys[row, :, :length].clone(), values[row, :, :length].clone())
            for keys, values in kept
        ]

    def load(self, row: int, saved: Saved, length: int) -> None:
        """Let a row begin with the first `length` positions of what was saved."""
        self._make_room(length)
        for place, (keys, values) in enumerate(saved):
            self._keys[place][row, :, :length] = keys[:, :length]
            self._values[place][row, :, :length] = values[:, :length]

    def _one_each(self, module: Any, tokens: list[int], starts: list[int]) -> Any:
        device = self._model.device
        positions = torch.tensor(starts, device=device)[:, None]
        ids = torch.tensor(tokens, device=device)[:, None]
        return self._forward(module, slice(0, len(tokens)), ids, positions, masked=True)

    def _forward(
        self, module: Any, rows: slice, ids: Tensor, positions: Tensor, *, masked: bool
    ) -> Any:
        """What the model, or its decoder, says of ids at their positions, (B, T) each."""
        length = int(positions.max()) + 1
        self._make_room(length)
        masks = {kind: self._mask(kind, positions, length) for kind in self._kinds if masked}
        return module(
            input_ids=ids,
            position_ids=positions,
            attention_mask=masks if len(masks) > 1 else masks.get(self._kinds[0]),
            cache=_Window(self, rows, positions, length),
            use_cache=True,
        )

    def _mask(self, kind: str, positions: Tensor, length: int) -> Tensor:
        """What is looked at, (B, 1, T, length)."""
        keys, queries = torch.arange(length, device=positions.device), positions[:, None, :, None]
        mask = keys <= queries
        if kind == _WINDOWED:
            mask &= keys > queries - self._window
        if self._model.config._attn_implementation != "eager":
            return mask
        added = torch.zeros(mask.shape, dtype=self._model.dtype, device=mask.device)
        return added.masked_fill(~mask, torch.finfo(added.dtype).min)

    def _make_room(self, length: int) -> None:
        if length <= self._length:
            return
        longer = -(-length // _GROWTH) * _GROWTH
        for kept in (self._keys, self._values):
            for i, layer in enumerate(kept):
                if layer.shape[2] < longer:  # some are that long, where memory ran out before
                    kept[i] = self._room(layer, longer)
                    kept[i][:, :, : layer.shape[2]] = layer
        self._length = longer

    def _room(self, like: Tensor, length: int) -> Tensor:
        """Zeros, not what memory holds: what is masked is multiplied all the same."""
        return like.new_zeros(self._rows, like.shape[1], length, like.shape[3])

    def put(
        self, layer: int, rows: slice, positions: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Keep a block's keys and values (B, H, T, D); all that the rows then hold."""
        if layer == len(self._keys):
            self._keys.append(self._room(keys, self._length))
            self._values.append(self._room(values, self._length))
        held = self._keys[layer][rows], self._values[layer][rows]
        at = torch.arange(len(positions), device=positions.device)[:, None]
        for kept, given in zip(held, (keys, values), strict=True):
            kept[at, :, positions] = given.transpose(1, 2)
        return held


class _Window(Cache):  # type: ignore[misc, no-any-unimported, unused-ignore]
    """What one forward pass sees of an arena."""

    def __init__(self, arena: KVCache, rows: slice, positions: Tensor, length: int) -> None:
        super().__init__(layers=[])
        self._arena = arena
        self._rows = rows
        self._positions = positions
        self._seen = length

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Keep a layer's new keys and values; those of all positions so far."""
        keys, values = self._arena.put(
            layer_idx, self._rows, self._positions, key_states, value_states
        )
        return keys[:, :, : self._seen], values[:, :, : self._seen]

    def get_seq_length(self, *_: Any) -> int:
        """Positions before this pass: given by their ids, so of no use."""
        return 0

    def get_query_offset(self, *_: Any) -> int:
        """Where this pass begins: asked of one without a mask alone, which begins a row."""
        return 0

    def get_mask_sizes(self, *_: Any) -> tuple[int, int]:
        """What such a pass looks at: its own positions, from the first on."""
        return self._seen, 0


def alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences begin with in common."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))
