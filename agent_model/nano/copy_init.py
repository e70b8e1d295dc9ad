"""Attention heads initialised to copy, for a model too small to learn this in a short training.

Models learn to repeat what followed a word earlier (an induction head: a head that stores at each
word the word before it, and a later head that looks for its own word among those; Olsson et al.
2022, "In-context Learning and Induction Heads") only after long training, and then abruptly. This
module sets such heads from the start, as weights that training continues to change.
"""

from typing import Any

import torch
from torch import Tensor

_SHARPNESS = 7.0  # of the heads that look back: nearly all attention on one word
_MATCH_SCALE = 3.0  # of the head that looks for its own word
_VALUE_SCALE = 0.6  # of a word in what a head reads and stores
_COPY_SCALE = 1.2  # of a word in what the copying head writes
_SLOW = 0.01  # radians per word: rotations below this hardly depend on distance
_OFFSETS = (1, 2)


def init_copy_heads(model: Any) -> None:
    """Set heads of the first two layers of a Llama model whose attention has biases, in place.

    In layer 0, one head per offset in `_OFFSETS` attends that many words back and stores that word.
    In layer 1, the first head attends to words whose previous word was its own, and copies them.
    """
    config = model.config
    first, second = (layer.self_attn for layer in model.model.layers[:2])
    size = config.head_dim
    angles = config.rope_parameters["rope_theta"] ** (-torch.arange(0, size, 2).float() / size)
    word = _orthonormal_rows(size, config.hidden_size)
    stored = [_orthonormal_rows(size, config.hidden_size) for _ in _OFFSETS]
    with torch.no_grad():
        for head, (offset, store) in enumerate(zip(_OFFSETS, stored, strict=True)):
            rows = slice(head * size, (head + 1) * size)
            _attend_back(first, rows, offset * angles)
            first.v_proj.weight[rows] = word * _VALUE_SCALE
            first.o_proj.weight[:, rows] = store.T * _VALUE_SCALE
        # Only slow rotations match words regardless of the distance between them.
        rows, slow = slice(size), (angles < _SLOW).repeat(2)[:, None]
        second.q_proj.weight[rows] = torch.where(slow, word * _MATCH_SCALE, 0.0)
        second.k_proj.weight[rows] = torch.where(slow, stored[0] * _MATCH_SCALE, 0.0)
        copied = _orthonormal_rows(size, config.hidden_size)
        second.v_proj.weight[rows] = copied * _VALUE_SCALE
        second.o_proj.weight[:, rows] = copied.T * _COPY_SCALE


def _attend_back(attention: Any, rows: slice, angles: Tensor) -> None:
    """Make a head attend by distance alone: its key is constant, and its query is that key rotated
    as rotary positions rotate a key over the distance."""
    half = len(angles)
    for projection in (attention.q_proj, attention.k_proj):
        projection.weight[rows] = 0.0
    attention.k_proj.bias[rows] = _SHARPNESS * torch.cat([torch.ones(half), torch.zeros(half)])
    attention.q_proj.bias[rows] = _SHARPNESS * torch.cat([angles.cos(), -angles.sin()])


def _orthonormal_rows(count: int, size: int) -> Tensor:
    """`count` random orthonormal directions among `size`, as rows."""
    rows: Tensor = torch.linalg.qr(torch.randn(size, count))[0].T
    return rows
