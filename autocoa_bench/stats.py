"""Intervals for means of scores, pass@k, and the paired difference of two runs with its test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from msgspec import Struct

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RESAMPLES = 2_000
"""Bootstrap samples of an interval."""

TEST_RESAMPLES = 10_000
"""Bootstrap samples of a test, more because a correction for many tests needs small p-values."""

LEVEL = 0.05
"""The p-value below which a difference is significant."""

POWER = 0.8
"""The power of `detectable`: the share of samples in which its difference is significant."""

_SEED = 20_250_309


Key = TypeVar("Key")


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class Estimate(Struct, frozen=True):
    """A mean of scores in [0, 1] with its interval; all None where nothing was scored.

    `n` counts the scored questions, `planned` all questions of the run.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    planned: int

    @property
    def coverage(self) -> float:
        """Share of the planned questions that were scored; 1 where none were planned."""
        return self.n / self.planned if self.planned else 1.0


def wilson(successes: float, n: int) -> Interval:
    """Wilson's 95 % score interval of a proportion (Wilson 1927, no continuity correction).

    For n = 0 the interval is [0, 1].
    """
    if n == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf(0.975)
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At p = 0 and p = 1 one limit is p itself; rounding must not move it beyond p.
    low = min(p, max(0.0, (centre - half) / scale))
    high = max(p, min(1.0, (centre + half) / scale))
    return Interval(low, high)


def proportion(successes: float, n: int) -> Estimate:
    """A share of `n` questions with Wilson's interval; without a mean if there are none."""
    if n == 0:
        return Estimate(None, None, None, 0, 0)
    return Estimate(successes / n, *wilson(successes, n), n, n)


def bootstrap(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The percentile bootstrap interval of the mean of one value per question.

    Deterministic: the seed is fixed. The interval of fewer than two values is [0, 1], as their
    spread is unknown.
    """
    if len(values) < 2:
        return Interval(0.0, 1.0)
    import numpy as np

    # Scores take few distinct values: sample the count of each value, not every question.
    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    n = len(values)
    samples = np.random.default_rng(_SEED).multinomial(n, counts / n, size=RESAMPLES)
    means = samples @ distinct / n
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(float(low), float(high))


def estimate(by_question: Sequence[Sequence[float]]) -> Estimate:
    """The mean over questions of the mean over a question's samples, with its 95 % interval.

    `by_question` has a sequence for each planned question; an empty one does not count for the mean
    and `n`. Questions are the unit of sampling: where the mean of every question is 0 or 1, the
    interval is Wilson's over questions, otherwise the bootstrap over questions, which keeps a
    question's samples together. Where all questions have the same mean, the bootstrap has no
    spread; the interval is then Wilson's of that mean, the widest that scores in [0, 1] allow.
    """
    means = [fmean(scores) for scores in by_question if scores]
    planned = len(by_question)
    if not means:
        return Estimate(None, None, None, 0, planned)
    if all(mean in (0.0, 1.0) for mean in means) or (len(means) > 1 and len(set(means)) == 1):
        low, high = wilson(sum(means), len(means))
    else:
        low, high = bootstrap(means)
    return Estimate(fmean(means), low, high, len(means), planned)


def macro_average(estimates: Sequence[Estimate]) -> Estimate:
    """The unweighted mean of independent estimates (Table 1's Average).

    The interval adds the distances to each limit in quadrature (MOVER: Zou and Donner 2008), so
    that it stays within [0, 1] and asymmetric where its parts are. The mean is None unless each
    estimate has one.
    """
    n = sum(part.n for part in estimates)
    planned = sum(part.planned for part in estimates)
    below, above, total = 0.0, 0.0, 0.0
    for part in estimates:
        if part.mean is None or part.low is None or part.high is None:
            return Estimate(None, None, None, n, planned)
        total += part.mean
        below += (part.mean - part.low) ** 2
        above += (part.high - part.mean) ** 2
    if not estimates:
        return Estimate(None, None, None, 0, 0)
    k = len(estimates)
    mean = total / k
    return Estimate(mean, mean - math.sqrt(below) / k, mean + math.sqrt(above) / k, n, planned)


def corrected(
    judged: Estimate, sensitivity: tuple[int, int], specificity: tuple[int, int]
) -> Estimate:
    """The share of right answers, from the share that a fallible judge calls right.

    `sensitivity` and `specificity` come from an audit: of the answers labelled right (wrong), the
    number that the judge called so, and their total; the two rates add up to more than 1. The
    estimate is Rogan and Gladen's (1978), within [0, 1]. The interval is Lang and Reiczigel's
    (2014), by the delta method at shrunken figures; centre and error of the judge's share come from
    its own interval (Wilson's has the centre that they use), which allows for clustered samples.
    """
    if judged.mean is None or judged.low is None or judged.high is None:
        return judged
    (hits, right), (rejections, wrong) = sensitivity, specificity
    mean = (judged.mean + rejections / wrong - 1) / (hits / right + rejections / wrong - 1)
    mean = min(1.0, max(0.0, mean))
    z = NormalDist().inv_cdf(0.975)
    se, sp = (hits + 1) / (right + 2), (rejections + 1) / (wrong + 2)
    slope = se + sp - 1
    if slope <= 0:
        return Estimate(mean, 0.0, 1.0, judged.n, judged.planned)
    centre, error = (judged.low + judged.high) / 2, (judged.high - judged.low) / (2 * z)
    share = (centre + sp - 1) / slope
    se_variance, sp_variance = se * (1 - se) / (right + 2), sp * (1 - sp) / (wrong + 2)
    variance = error**2 + share**2 * se_variance + (1 - share) ** 2 * sp_variance
    spread = math.sqrt(variance) / slope
    middle = share + 2 * z * z * (share * se_variance - (1 - share) * sp_variance)
    low, high = max(0.0, middle - z * spread), min(1.0, middle + z * spread)
    return Estimate(mean, min(low, mean), max(high, mean), judged.n, judged.planned)


def scaled(part: Estimate, share: Estimate) -> Estimate:
    """The mean over all questions if a share of them has the mean of `part` and the rest 0.

    The interval of the product adds the distances to each limit in quadrature, each times the
    other mean. `n` and `planned` are the share's. Where `part` has no mean, the share must be 0.
    """
    if share.mean is None or share.low is None or share.high is None:
        return share
    if part.mean is None or part.low is None or part.high is None:
        return Estimate(0.0, 0.0, share.high, share.n, share.planned)
    mean = share.mean * part.mean
    below = math.hypot(share.mean * (part.mean - part.low), part.mean * (share.mean - share.low))
    above = math.hypot(share.mean * (part.high - part.mean), part.mean * (share.high - share.mean))
    low, high = max(0.0, mean - below), min(1.0, mean + above)
    return Estimate(mean, low, high, share.n, share.planned)


class Difference(NamedTuple):
    """A difference of two means, in [-1, 1], with its 95 % interval."""

    mean: float
    low: float
    high: float


def difference(ours: Estimate, theirs: Estimate) -> Difference | None:
    """Our mean minus theirs, for independent samples; None unless both have a mean.

    The interval adds the distances to each limit in quadrature: for two proportions with Wilson's
    intervals it is Newcombe's (1998, method 10).
    """
    if ours.mean is None or ours.low is None or ours.high is None:
        return None
    if theirs.mean is None or theirs.low is None or theirs.high is None:
        return None
    mean = ours.mean - theirs.mean
    below = math.hypot(ours.mean - ours.low, theirs.high - theirs.mean)
    above = math.hypot(ours.high - ours.mean, theirs.mean - theirs.low)
    return Difference(mean, mean - below, mean + above)


class Paired(Struct, frozen=True):
    """The mean difference of two runs' scores on the same questions, in [-1, 1].

    `won` and `lost` count the questions on which the first scores higher, and lower. `p` is
    the result of `paired_test`, and `detectable` that of `detectable`.
    """

    mean: float
    low: float
    high: float
    n: int
    won: int
    lost: int
    p: float
    detectable: float | None


Pairs = Sequence[tuple[float, float]]
"""The scores of two runs on the same questions."""


def paired(ours: Mapping[Key, float], theirs: Mapping[Key, float]) -> Paired | None:
    """Our scores minus theirs, over the questions that both have; None where there is none.

    Both sides have one mean score per question. The interval treats questions as the unit of
    sampling, as `estimate` does. Where no question's scores differ, its limits are those of the
    rate of differing questions (Wilson).
    """
    pairs = in_common(ours, theirs)
    # Map [-1, 1] to the range of scores and back, so that all intervals follow one rule.
    share = estimate([[(1 + our - their) / 2] for our, their in pairs])
    if share.mean is None or share.low is None or share.high is None:
        return None
    won = sum(our > their for our, their in pairs)
    lost = sum(our < their for our, their in pairs)
    limit = wilson(0, share.n).high
    return Paired(
        mean=2 * share.mean - 1,
        low=2 * share.low - 1 if won or lost else -limit,
        high=2 * share.high - 1 if won or lost else limit,
        n=share.n,
        won=won,
        lost=lost,
        p=paired_test([pairs]),
        detectable=detectable(pairs),
    )


def paired_average(
    ours: Sequence[Mapping[Key, float]], theirs: Sequence[Mapping[Key, float]]
) -> Paired | None:
    """The `paired` differences of datasets, averaged with equal weights as `macro_average` does.

    `detectable` adds those of the datasets in quadrature. None unless each dataset has a question
    in common.
    """
    parts: list[Paired] = []
    for our_scores, their_scores in zip(ours, theirs, strict=True):
        part = paired(our_scores, their_scores)
        if part is None:
            return None
        parts.append(part)
    if len(parts) < 2:
        return parts[0] if parts else None
    # Map [-1, 1] to the range of scores and back, as `paired` does.
    average = macro_average(
        [
            Estimate((1 + part.mean) / 2, (1 + part.low) / 2, (1 + part.high) / 2, part.n, part.n)
            for part in parts
        ]
    )
    assert average.mean is not None
    assert average.low is not None
    assert average.high is not None
    detectables = [part.detectable for part in parts if part.detectable is not None]
    return Paired(
        mean=2 * average.mean - 1,
        low=2 * average.low - 1,
        high=2 * average.high - 1,
        n=average.n,
        won=sum(part.won for part in parts),
        lost=sum(part.lost for part in parts),
        p=paired_test([in_common(*pair) for pair in zip(ours, theirs, strict=True)]),
        detectable=math.hypot(*detectables) / len(parts)
        if len(detectables) == len(parts)
        else None,
    )


def in_common(ours: Mapping[Key, float], theirs: Mapping[Key, float]) -> Pairs:
    """Both scores of each question that both have."""
    return [(ours[question], theirs[question]) for question in ours if question in theirs]


def paired_test(datasets: Sequence[Pairs]) -> float:
    """The two-sided p of a difference of two runs, averaged over datasets with equal weights.

    For one dataset on which every score is 0 or 1: McNemar's exact test. Otherwise a paired
    bootstrap over questions within datasets: the share of samples, from the observed differences
    centred on 0, whose average is at least as far from 0 as the observed one. p is never below
    that of a sign test in which all questions that differ differ one way. Each dataset has at
    least one pair.
    """
    if len(datasets) == 1 and all(score in (0.0, 1.0) for pair in datasets[0] for score in pair):
        return mcnemar(won=datasets[0].count((1, 0)), lost=datasets[0].count((0, 1)))
    differing = sum(our != their for pairs in datasets for our, their in pairs)
    if not differing:
        return 1.0
    import numpy as np

    rng = np.random.default_rng(_SEED)
    observed, by_chance = 0.0, np.zeros(TEST_RESAMPLES)
    for pairs in datasets:
        differences = np.asarray([our - their for our, their in pairs], dtype=np.float64)
        observed += float(differences.mean())
        by_chance += _resampled_means(differences - differences.mean(), rng)
    as_extreme = int(np.count_nonzero(np.abs(by_chance) >= abs(observed) - 1e-12))
    return max((1 + as_extreme) / (1 + TEST_RESAMPLES), 2.0 ** (1 - differing))


def _resampled_means(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """The means of TEST_RESAMPLES bootstrap samples."""
    import numpy as np

    n, rows = len(values), 500
    distinct, counts = np.unique(values, return_counts=True)
    if 4 * len(distinct) < n:  # sampling the count of each value is faster
        return rng.multinomial(n, counts / n, size=TEST_RESAMPLES) @ distinct / n
    parts = [values[rng.integers(n, size=(rows, n))].mean(1) for _ in range(TEST_RESAMPLES // rows)]
    return np.concatenate(parts)


def detectable(pairs: Pairs) -> float | None:
    """The least true difference that is significant in a share POWER of samples of this size.

    It follows from the spread of the observed differences (Connor 1987, without his second-order
    term); at least six questions must differ one way to reach LEVEL. None where there are too few
    questions for that. There is at least one.
    """
    squares = [(our - their) ** 2 for our, their in pairs if our != their]
    size = math.sqrt(fmean(squares)) if squares else 1.0
    normal = NormalDist()
    z = normal.inv_cdf(1 - LEVEL / 2) + normal.inv_cdf(POWER)
    least = size * max(z * math.sqrt(len(squares)), 6.0) / len(pairs)
    return least if least <= 1 else None


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for multiple tests (Holm 1979), in the given order."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def pass_at(k: int, right: int, n: int) -> float:
    """The chance that k of n samples, drawn without replacement, include a right one.

    This is the unbiased estimate of pass@k (Chen et al. 2021, equation 1), for k up to n.
    """
    return 1 - math.comb(n - right, k) / math.comb(n, k)


def mcnemar(won: int, lost: int) -> float:
    """McNemar's test (1947), exact and two-sided: a fair coin over the pairs that differ.

    It is 1 where no pair differs.
    """
    differing = won + lost
    tail = sum(math.comb(differing, heads) for heads in range(min(won, lost) + 1))
    return min(1.0, 2 * tail / (1 << differing))
