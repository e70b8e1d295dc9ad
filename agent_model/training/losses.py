"""The losses of the three supervised stages (paper 3.2.2), as functions of log-probabilities.

Shapes: B rows of a batch, T tokens, D hidden size, V vocabulary, N trained tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from agent_model.tokens import Kind

ALPHA = 0.2
"""The weight of stage 1's likelihood term (the released code's; the paper gives no value)."""

_OWN = frozenset({Kind.THOUGHT, Kind.ACTION, Kind.ANSWER})

TRAINS: Mapping[str, frozenset[Kind]] = MappingProxyType(
    {
        "pretrain": _OWN,
        "sft1": _OWN,
        "sft2": _OWN,
        "sft3": _OWN | {Kind.OBSERVATION},
    }
)
"""The kinds of tokens that enter a stage's loss: stage 3 learns observations too (paper 3.2.2)."""


def token_logps(
    hidden: Tensor,
    head: Callable[[Tensor], Tensor],
    ids: Tensor,
    keep: Tensor,
    temperature: float = 1.0,
) -> Tensor:
    """Log-probabilities of the tokens at `keep`, (N,), in row order.

    `hidden` (B, T, D) are a decoder's last states, `ids` (B, T) its input, and `keep` (B, T)
    says which tokens are scored, each from the position before it; a row's first token cannot
    be. The head, the dearest matrix of a small model, sees those N positions alone, and its logits
    are divided by `temperature`.
    """
    wanted = keep[:, 1:]
    logits = head(hidden[:, :-1][wanted]).float()
    if temperature != 1:  # a copy of the largest tensor of all
        logits = logits / temperature
    return -F.cross_entropy(logits, ids[:, 1:][wanted], reduction="none")


def mean_logp(logps: Tensor, rows: Tensor, count: int) -> Tensor:
    """The mean log-probability of each of `count` rows, (count,): P, normalised for length.

    `rows` (N,) says which row each log-probability belongs to.
    """
    total = logps.new_zeros(count).index_add(0, rows, logps)
    return total / torch.bincount(rows, minlength=count).clamp(min=1)


def contrastive(chosen: Tensor, rejected: Tensor, alpha: float = ALPHA) -> Tensor:
    """Stage 1, by pair: -log sigmoid(P(chosen|c) - P(rejected|c)) - alpha P(chosen|c).

    Both are length-normalised log-probabilities (`mean_logp`) given the shared context c.
    """
    return -F.logsigmoid(chosen - rejected) - alpha * chosen


def nll(logps: Tensor) -> Tensor:
    """Stages 2 and 3: the summed negative log-likelihood of what is trained.

    It is a sum so that a step over many batches and processes can divide by all its tokens.
    """
    return -logps.sum()
