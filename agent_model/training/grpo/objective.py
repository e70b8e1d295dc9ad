"""Group-relative policy optimisation (paper 3.3.2), as functions of rewards and log-probabilities.

Shapes: P problems, K rollouts of each, N trained tokens, R rollouts.
"""

import torch
from torch import Tensor

_EPSILON = 1e-6
_MAX_LOG_RATIO = 10.0  # log-ratios to the reference are clamped, as in the released code


def advantages(rewards: Tensor, *, by_std: bool) -> Tensor:
    """Each rollout's reward minus its group's mean, (P, K) of (P, K).

    `by_std` divides by the group's sample standard deviation plus 1e-6, as the released code does;
    the paper's formula has no such division. A group of equal rewards gets zeros.
    """
    centred = rewards - rewards.mean(1, keepdim=True)
    if by_std and rewards.shape[1] > 1:
        centred = centred / (rewards.std(1, keepdim=True) + _EPSILON)
    # The mean of equal rewards may be rounded, so that they would not cancel exactly.
    equal = rewards.amax(1, keepdim=True) == rewards.amin(1, keepdim=True)
    return centred.masked_fill(equal, 0.0)


def k3(logps: Tensor, reference: Tensor) -> Tensor:
    """The per-token estimate (N,) of the KL divergence from the reference, which is never negative.

    With d = reference - logps it is exp(d) - d - 1.
    """
    difference = (reference - logps).clamp(-_MAX_LOG_RATIO, _MAX_LOG_RATIO)
    return difference.exp() - difference - 1


def objective(
    logps: Tensor,
    advantage: Tensor,
    rows: Tensor,
    lengths: Tensor,
    reference: Tensor | None = None,
    kl: float = 0.0,
) -> Tensor:
    """The loss summed over rollouts, of each the mean over its own trained tokens.

    `logps` (N,) are the policy's, at the sampling temperature; `advantage` (R,) is each rollout's,
    `rows` (N,) the rollout of each token, and `lengths` (R,) the number of tokens that each trains.
    A token's loss is minus its advantage times its ratio to the policy that sampled it, plus `kl`
    times k3.
    """
    # Every batch is sampled anew and used for one step, so the ratio is 1 and its gradient that of
    # log pi: this is the paper's objective, and nothing is ever clipped.
    ratio = (logps - logps.detach()).exp()
    loss = -ratio * advantage[rows]
    if reference is not None and kl:
        loss = loss + kl * k3(logps, reference)
    return torch.sum(loss / lengths[rows])
