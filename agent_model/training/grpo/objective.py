"""Group-relative policy optimisation (paper 3.3.2), as functions of rewards and log-probabilities.

Shapes: P problems, K rollouts of each, N trained tokens, R rollouts.
"""

from __future__ import annotations

import torch
from torch import Tensor

_EPSILON = 1e-6
_MOST = 10.0  # log-ratios to the reference are kept within this, as in the released code


def advantages(rewards: Tensor, *, by_std: bool) -> Tensor:
    """Each rollout's reward less its group's mean, (P, K) of (P, K).

    `by_std` divides by the group's standard deviation (of a sample, plus 1e-6) as the released
    code does; the paper's formula has no such division. A group of equal rewards gets zeros.
    """
    centred = rewards - rewards.mean(1, keepdim=True)
    if by_std and rewards.shape[1] > 1:
        centred = centred / (rewards.std(1, keepdim=True) + _EPSILON)
    alike = rewards.amax(1, keepdim=True) == rewards.amin(1, keepdim=True)  # a mean may be rounded
    return centred.masked_fill(alike, 0.0)


def k3(logps: Tensor, reference: Tensor) -> Tensor:
    """The estimate of the KL divergence from the reference, token by token, (N,): never below 0.

    With d = reference - logps it is exp(d) - d - 1.
    """
    difference = (reference - logps).clamp(-_MOST, _MOST)
    return difference.exp() - difference - 1


def objective(
    logps: Tensor,
    advantage: Tensor,
    rows: Tensor,
    lengths: Tensor,
    reference: Tensor | None = None,
    kl: float = 0.0,
) -> Tensor:
    """The loss, summed over rollouts: each one's mean over its own trained tokens.

    `logps` (N,) are the policy's, at the sampling temperature; `advantage` (R,) is each rollout's,
    `rows` (N,) says which rollout a token is of, and `lengths` (R,) how many tokens each trains.
    A token's loss is its advantage times minus its ratio to the policy that sampled it, plus `kl`
    times k3. Every batch is sampled anew and used for one step, so the ratio is 1 and its
    gradient that of log pi times the advantage, which is the paper's objective; it is never
    clipped.
    """
    ratio = (logps - logps.detach()).exp()
    loss = -ratio * advantage[rows]
    if reference is not None and kl:
        loss = loss + kl * k3(logps, reference)
    return torch.sum(loss / lengths[rows])
