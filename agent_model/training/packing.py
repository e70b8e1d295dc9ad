"""Rows of a batch as one sequence without padding, in which a shared prefix is computed once.

Rollouts of a group share their prompt, and often the first turns with what was found; the two
sides of a pair share their context. The rows are sorted, so that each shares the most with the
row before it, and of each only the tokens after that prefix are computed. Their keys are the
prefix's and their own (`autocoa_bench.engines.transformers.attention`).
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autocoa_bench.engines.transformers.attention import Piece

MIN_SHARED_PREFIX = 32
"""The length in tokens from which a shared prefix is computed once: shorter ones do not pay."""

Ids = NDArray[Any]


class Packed(NamedTuple):
    """Rows of a batch as one sequence of N tokens.

    `ids` and `positions` are (1, N), and `places` (B, T) the place of each row's token in the
    sequence, 0 for padding.
    """

    ids: Tensor
    positions: Tensor
    places: Tensor
    pieces: tuple[Piece, ...]


def pack(ids: Tensor, lengths: Tensor) -> Packed:
    """The first `lengths` (B,) tokens of the rows `ids` (B, T) as one sequence."""
    rows = [row[:n] for row, n in zip(ids.cpu().numpy(), lengths.tolist(), strict=True)]
    places = np.zeros(ids.shape, np.int64)
    tokens: list[Ids] = []
    positions: list[Ids] = []
    pieces: list[Piece] = []
    path: list[tuple[int, int]] = []  # the pieces that hold the row before, and how much of each
    current = np.zeros(0, np.int64)  # the places of its tokens
    for i, shared in _sorted_rows(rows):
        own = rows[i][shared:]
        path = _cut(path, shared)
        current = current[:shared]
        if len(own):
            pieces.append(Piece(len(own), tuple(path)))
            start = sum(map(len, tokens))
            path.append((len(pieces) - 1, len(own)))
            current = np.concatenate((current, np.arange(start, start + len(own))))
            tokens.append(own)
            positions.append(np.arange(shared, len(rows[i])))
        places[i, : len(rows[i])] = current

    def tensor(values: Ids) -> Tensor:
        return torch.from_numpy(values).to(ids.device)

    return Packed(
        tensor(np.concatenate(tokens))[None],
        tensor(np.concatenate(positions))[None],
        tensor(places),
        tuple(pieces),
    )


def packed_tokens(rows: Sequence[Ids]) -> int:
    """The number of tokens of packed rows."""
    return sum(len(rows[i]) - shared for i, shared in _sorted_rows(rows))


def _sorted_rows(rows: Sequence[Ids]) -> Iterator[tuple[int, int]]:
    """The indices of rows in lexicographic order, each with the length of the prefix that it shares
    with the row before."""
    before: Ids = np.zeros(0, np.int64)
    for i in sorted(range(len(rows)), key=lambda i: rows[i].tolist()):
        shared = common_prefix(before, rows[i])
        yield i, shared if shared >= MIN_SHARED_PREFIX else 0
        before = rows[i]


def common_prefix(first: Ids, second: Ids) -> int:
    """The number of tokens at which two rows agree from the beginning on."""
    shortest = min(len(first), len(second))
    different = first[:shortest] != second[:shortest]
    return int(different.argmax()) if different.any() else shortest


def _cut(path: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """The beginning of a path with `length` tokens."""
    cut: list[tuple[int, int]] = []
    for piece, tokens in path:
        if length:
            cut.append((piece, min(tokens, length)))
            length -= cut[-1][1]
    return cut
