"""A head start in copying, for a model too small and too briefly trained to find it on its own.

Models learn to find again what stood before them (an induction head: one head that notes at each
word the word before it, and a later one that looks for its own word among those notes; Olsson et
al. 2022, "In-context Learning and Induction Heads") only after long training, and from then on all
at once. Here these heads are there from the start, as weights that training goes on to change.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_SHARPNESS = 7.0  # of the heads that look back: nearly all attention on one word
_MATCHING = 3.0  # of the head that looks for its own word
_KEPT = 0.6  # of a word's size, in what is noted
_COPIED = 1.2  # of a word's size, in what is said again
_SLOW = 0.01  # rotations (radians a word) too slow to tell near from far
_BACK = (1, 2)


def copy_heads(model: Any) -> None:
    """Set heads of the first two layers of a Llama model whose attention has biases, in place.

    In layer 0, one head for each of `_BACK` looks so many words back and notes that word. In layer
    1, the first head looks for words whose word before was its own, and says them again.
    """
    config = model.config
    first, second = (layer.self_attn for layer in model.model.layers[:2])
    size = config.head_dim
    turns = config.rope_parameters["rope_theta"] ** (-torch.arange(0, size, 2).float() / size)
    word = _some_rows(size, config.hidden_size)
    notes = [_some_rows(size, config.hidden_size) for _ in _BACK]
    with torch.no_grad():
        for head, (back, note) in enumerate(zip(_BACK, notes, strict=True)):
            at = slice(head * size, (head + 1) * size)
            _look_back(first, at, back * turns)
            first.v_proj.weight[at] = word * _KEPT
            first.o_proj.weight[:, at] = note.T * _KEPT
        at, slow = slice(size), (turns < _SLOW).repeat(2)[:, None]
        second.q_proj.weight[at] = torch.where(slow, word * _MATCHING, 0.0)
        second.k_proj.weight[at] = torch.where(slow, notes[0] * _MATCHING, 0.0)
        said = _some_rows(size, config.hidden_size)
        second.v_proj.weight[at] = said * _KEPT
        second.o_proj.weight[:, at] = said.T * _COPIED


def _look_back(attention: Any, at: slice, turned: Tensor) -> None:
    """Make a head attend by distance alone: its key is constant, its query the same one turned as
    rotary positions turn a key over that distance."""
    half = len(turned)
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight[at] = 0.0
    attention.k_proj.bias[at] = _SHARPNESS * torch.cat([torch.ones(half), torch.zeros(half)])
    attention.q_proj.bias[at] = _SHARPNESS * torch.cat([turned.cos(), -turned.sin()])


def _some_rows(count: int, size: int) -> Tensor:
    """`count` orthonormal directions among `size`, as rows, by chance."""
    rows: Tensor = torch.linalg.qr(torch.randn(size, count))[0].T
    return rows
