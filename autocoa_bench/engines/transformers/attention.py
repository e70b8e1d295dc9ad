"""Attention on a CPU: causal in blocks of queries, of rows that share prefixes, of single queries.

PyTorch's fused kernel is slow there in bf16: on 4 x 454 tokens of a 135M model (9 query heads, 3
key heads, one thread of an EPYC with avx512_bf16) forward and backward of all layers took 3.15 s,
against 1.22 s with this module; at 2 x 1000 tokens 4.22 s and 2.33 s. Nothing is computed to the
right of a block's last query, and query heads that share keys form one matrix. The latter alone
makes the kernel 4.6 times as fast when each row has one query, as in sampling (30 rows of 700
positions, one layer, on a busy EPYC: 27.8 ms and 6.0 ms). Results are the same to rounding.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "autocoa_blocked"

_BLOCK = 128
_MAX_KEYS = 2048  # beyond it, storing the probabilities costs more memory than the time is worth


class Piece(NamedTuple):
    """Consecutive tokens in a sequence of packed rows, and what they attend to before themselves:
    the first tokens of earlier pieces, each given as the piece's index and a number of tokens."""

    tokens: int
    context: tuple[tuple[int, int], ...]


def register() -> str:
    """Register this attention with transformers; returns the name to load a model with."""
    AttentionInterface.register(NAME, forward)
    AttentionMaskInterface.register(NAME, masks)
    return NAME


def masks(**options: Any) -> Tensor | None:
    """Transformers' own mask, or None if every query attends to all positions up to its own, which
    holds after a cache as well."""
    causal_only = options.get("allow_is_causal_skip", True) and options.get("local_size") is None
    if causal_only and options.get("attention_mask") is None:
        return None
    mask: Tensor | None = sdpa_mask(**options)
    return mask


def forward(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    pieces: Sequence[Piece] | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention with transformers' signature; (B, H, T, D) in, (B, T, H, D) out.

    Without a mask, queries are those of the last positions. With `pieces`, all is one sequence of
    packed rows, and the mask is not used. Anything but plain causal attention (a mask, a bias, a
    cap) goes to PyTorch's kernel. Raises ValueError for attention sinks, which neither supports.
    """
    if pieces is not None:
        parts = zip(*_split(query, key, value, pieces), strict=True)
        outputs = [forward(module, *part, None, dropout, scaling, **kwargs)[0] for part in parts]
        return torch.cat(outputs, 1), None
    if kwargs.get("s_aux") is not None:
        raise ValueError("attention sinks are not computed on a CPU in bf16")
    length = query.shape[2]
    modified = any(kwargs.get(name) is not None for name in ("position_bias", "softcap"))
    same_for_heads = attention_mask is None or attention_mask.shape[1] == 1
    if length == 1 and same_for_heads and dropout == 0.0 and not modified:
        return single_query(query, key, value, attention_mask, scaling).transpose(1, 2), None
    plain = attention_mask is None and dropout == 0.0 and length > 1 and key.shape[2] <= _MAX_KEYS
    not_causal = kwargs.get("is_causal") is False
    if not plain or modified or not_causal:
        if attention_mask is None and length < key.shape[2] and not not_causal:
            attention_mask = _mask(length, key.shape[2], query)
        out, _ = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **kwargs
        )
        return out, None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return causal(query * scale, key, value).transpose(1, 2), None


def causal(query: Tensor, key: Tensor, value: Tensor, block: int = _BLOCK) -> Tensor:
    """Causal attention of scaled queries (B, H, T, D), of the last T positions, to keys and values
    (B, K, P + T, D)."""
    rows, heads, length, size = query.shape
    groups, before = key.shape[1], key.shape[2] - length
    query = query.view(rows, groups, heads // groups, length, size)
    outputs = []
    for start in range(0, length, block):
        queries = query[:, :, :, start : start + block]  # (B, K, G, n, D)
        shape, end = queries.shape, before + min(length, start + block)
        scores = queries.reshape(rows, groups, -1, size) @ key[:, :, :end].transpose(-1, -2)
        # Only among a block's own positions are there any to the right of a query. The gradient of
        # a sum with constants is that of the scores, so autograd need not know of it.
        own = scores.detach().view(*shape[:-1], end)[..., end - shape[3] :]
        own += _mask(shape[3], shape[3], query)
        weights = scores.softmax(-1)
        outputs.append((weights @ value[:, :, :end]).view(*shape[:-1], value.shape[-1]))
    return torch.cat(outputs, 3).flatten(1, 2)


def single_query(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scale: float | None = None
) -> Tensor:
    """Attention of one query per row, (B, H, 1, D), to keys and values (B, K, T, D).

    Heads that share keys become queries of one head. `mask` is the same for all heads of a row.
    """
    packed = query.view(len(key), key.shape[1], -1, query.shape[-1])
    out = functional.scaled_dot_product_attention(packed, key, value, attn_mask=mask, scale=scale)
    return out.reshape(*query.shape[:-1], value.shape[-1])


def _split(
    query: Tensor, key: Tensor, value: Tensor, pieces: Sequence[Piece]
) -> tuple[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]]:
    """The queries of each piece, and the keys and values of its context and its own."""

    def with_context(tensor: Tensor) -> list[Tensor]:
        parts = torch.split(tensor, sizes, 2)
        return [
            torch.cat([*(parts[i][:, :, :n] for i, n in piece.context), own], 2)
            if piece.context
            else own
            for piece, own in zip(pieces, parts, strict=True)
        ]

    sizes = [piece.tokens for piece in pieces]
    return torch.split(query, sizes, 2), with_context(key), with_context(value)


def _mask(queries: int, keys: int, like: Tensor) -> Tensor:
    """Zeros where each of the last `queries` positions may attend among `keys`, else -inf."""
    full = torch.full((queries, keys), float("-inf"), dtype=like.dtype, device=like.device)
    return full.triu(keys - queries + 1)
