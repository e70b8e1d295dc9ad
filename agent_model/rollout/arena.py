"""One key-value cache for many sequences that grow at their own pace.

Every sequence has a row, and position p of a sequence lies at p of its row: a block of tokens can
be put behind what a row holds, a row can be cut back, and one row's beginning copied to another.
Rows that compute together are neighbours from row 0 on, so that attention reads them in place.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from autocoa_bench.errors import UserError

_GROWTH = 256  # positions that an arena grows by


class Arena:
    """Keys and values of all layers, (rows, heads, positions, size) each."""

    def __init__(self, model: Any, rows: int) -> None:
        """For a transformers model. Raises UserError where a layer is not plain attention."""
        config = model.config.get_text_config()
        kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
        window = getattr(config, "sliding_window", None)
        if kinds != {"full_attention"} or (window and getattr(config, "use_sliding_window", True)):
            raise UserError(
                "rollouts in process need a model whose every layer attends to the whole context, "
                f"and this one has {', '.join(sorted(kinds))}"
                f"{f' with a window of {window} tokens' if window else ''}; take another model"
            )
        self._model = model
        self._rows = rows
        self._length = 0
        self._keys: list[Tensor] = []
        self._values: list[Tensor] = []

    def extend(self, row: int, start: int, ids: list[int]) -> None:
        """Compute a block of tokens of one row that stands at `start`, and keep it."""
        device = self._model.device
        positions = torch.arange(start, start + len(ids), device=device)[None]
        mask = torch.arange(start + len(ids), device=device) <= positions[0, :, None]
        self._forward(slice(row, row + 1), torch.tensor([ids], device=device), positions, mask)

    def decode(self, tokens: list[int], starts: list[int]) -> Tensor:
        """Compute one token of each of the first rows, at its own place; the last states (B, D)."""
        device = self._model.device
        positions = torch.tensor(starts, device=device)[:, None]
        mask = torch.arange(max(starts) + 1, device=device) <= positions
        ids = torch.tensor(tokens, device=device)[:, None]
        states = self._forward(slice(0, len(tokens)), ids, positions, mask[:, None])
        return states[:, 0]

    def copy(self, source: int, target: int, length: int) -> None:
        """Let a row begin with the first `length` positions of another."""
        for kept in (self._keys, self._values):
            for layer in kept:
                layer[target, :, :length] = layer[source, :, :length]

    def _forward(self, rows: slice, ids: Tensor, positions: Tensor, mask: Tensor) -> Tensor:
        """The decoder's last states (B, T, D); `mask` (B, T, positions) says what is looked at."""
        self._make_room(mask.shape[-1])
        states: Tensor = self._model.base_model(
            input_ids=ids,
            position_ids=positions,
            attention_mask=mask.view(len(ids), 1, ids.shape[1], -1),
            past_key_values=_Window(self, rows, positions, mask.shape[-1]),
            use_cache=True,
        ).last_hidden_state
        return states

    def _make_room(self, length: int) -> None:
        if length <= self._length:
            return
        self._length = -(-length // _GROWTH) * _GROWTH
        for kept in (self._keys, self._values):
            for i, layer in enumerate(kept):
                kept[i] = self._room(layer)
                kept[i][:, :, : layer.shape[2]] = layer

    def _room(self, like: Tensor) -> Tensor:
        """Zeros, not what memory holds: what is masked is multiplied all the same."""
        return like.new_zeros(self._rows, like.shape[1], self._length, like.shape[3])

    def put(
        self, layer: int, rows: slice, positions: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Keep a block's keys and values (B, H, T, D); all that the rows then hold."""
        if layer == len(self._keys):
            self._keys.append(self._room(keys))
            self._values.append(self._room(values))
        held = self._keys[layer][rows], self._values[layer][rows]
        at = torch.arange(len(positions), device=positions.device)[:, None]
        for kept, given in zip(held, (keys, values), strict=True):
            kept[at, :, positions] = given.transpose(1, 2)
        return held


class _Window(Cache):  # type: ignore[misc, no-any-unimported, unused-ignore]
    """What one forward pass sees of an arena."""

    def __init__(self, arena: Arena, rows: slice, positions: Tensor, length: int) -> None:
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
