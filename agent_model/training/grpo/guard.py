"""Notices that a policy becomes worse in the real environment while its rollouts look no worse.

In the simulated environment a policy may be paid for what does not help it against a search engine.
Exact match then falls while the reward rises, which no check of rollouts alone can see.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, variance

from agent_model.training.live import Evaluation

BOUND = 3.0
"""Standard errors by which exact match must be below its best."""

SUCCESSIVE = 2
"""Evaluations in a row that must be so.

Together: of runs whose exact match changes by chance alone, 1 to 4 % are stopped over 25
evaluations of 200 questions (one evaluation of 2 standard errors would stop 65 to 90 %)."""

_REWARD_BOUND = 2.0


def fall(evaluations: Sequence[Evaluation], rewards: Mapping[int, float]) -> str:
    """How exact match fell while the reward of rollouts did not; empty if that is not so.

    The evaluations are of the same questions; `rewards` are the mean rewards of the steps since the
    first of them, all in one environment. Exact match fell if the last evaluations are
    significantly below the best one before them. The reward fell if it was significantly lower in
    the second half of the steps since the best evaluation: then training itself may correct the
    policy.
    """
    if len(evaluations) <= SUCCESSIVE:
        return ""
    best = max(evaluations[:-SUCCESSIVE], key=lambda evaluation: evaluation.em)
    if any(paired_z(best.scores, e.scores) > -BOUND for e in evaluations[-SUCCESSIVE:]):
        return ""
    since = [reward for step, reward in rewards.items() if step > best.step]
    first, second = since[: len(since) // 2], since[len(since) // 2 :]
    if welch_z(first, second) < -_REWARD_BOUND:
        return ""
    latest = evaluations[-1]
    return (
        f"live exact match fell from {best.em:.3f} (step {best.step}) to {latest.em:.3f} (step "
        f"{latest.step}) while the reward of rollouts did not (first half of these steps "
        f"{fmean(first):.3f}, second half {fmean(second):.3f})"
    )


def paired_z(before: Sequence[float], after: Sequence[float]) -> float:
    """The change of scores of the same questions, in standard errors; 0 if none changed.

    The standard error is that of questions which are as likely won as lost, so for scores of 0 and
    1 this is McNemar's statistic: (won - lost) / sqrt(won + lost).
    """
    changes = [new - old for old, new in zip(before, after, strict=True)]
    spread = math.sqrt(math.fsum(change * change for change in changes))
    return math.fsum(changes) / spread if spread else 0.0


def welch_z(before: Sequence[float], after: Sequence[float]) -> float:
    """The difference of two means in standard errors; 0 if one has fewer than two values."""
    if min(len(before), len(after)) < 2:
        return 0.0
    difference = fmean(after) - fmean(before)
    error = math.sqrt(variance(before) / len(before) + variance(after) / len(after))
    if not error:
        return math.copysign(math.inf, difference) if difference else 0.0
    return difference / error
