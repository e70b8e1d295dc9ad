"""Group-relative policy optimisation (paper 3.3.2), as functions of rewards and log-probabilities.

Shapes: P problems, K rollouts of each, N trained tokens.
"""

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
    weight: Tensor | None = None,
    reference: Tensor | None = None,
    kl: float = 0.0,
) -> Tensor:
    """The loss (N,) of each token, which `losses.aggregate` makes one number of.

    It is minus the token's advantage times its log-probability (paper 3.3.2), times its `weight`,
    plus `kl` times k3. `logps` (N,) are the policy's, at the sampling temperature; `advantage`
    (N,) is that of the token's rollout, and `weight` (N,) is `truncated`.
    """
    # Every batch is sampled anew and used for one step, so this ratio is 1 and its gradient that of
    # log pi, and no ratio between policies before and after an update is ever clipped.
    loss = -(logps - logps.detach()).exp() * advantage
    if weight is not None:
        loss = loss * weight
    if reference is not None and kl:
        loss = loss + kl * k3(logps, reference)
    return loss


def importance_ratios(logps: Tensor, sampled: Tensor) -> Tensor:
    """The probability of each token by the policy that learns over that with which it was sampled.

    Shape (N,), without gradient. They differ from 1 where another engine, or other rounding,
    samples than learns. `sampled` (N,) are the sampler's log-probabilities; where one is NaN, its
    ratio is too.
    """
    return (logps.detach() - sampled).exp()


def truncated(ratios: Tensor, clip: float) -> Tensor | None:
    """The weights (N,) of tokens by importance ratios of at most `clip`; None if that is 0 (off).

    This is truncated importance sampling: a token that was sampled more rarely than the policy
    would counts more, but never more than `clip` times. Unknown ratios (NaN) count as 1.
    """
    return ratios.clamp(max=clip).nan_to_num(1.0) if clip else None
