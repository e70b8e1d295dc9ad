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
"""Of an interval."""

TEST_RESAMPLES = 10_000
"""Of a test: a correction for many tests needs small p-values."""

LEVEL = 0.05
"""A difference is significant below it."""

POWER = 0.8
"""Of `detectable`: how often a difference of that size would be significant."""

_SEED = 20_250_309


Key = TypeVar("Key")


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


class Estimate(Struct, frozen=True):
    """A mean of scores in [0, 1] with its interval; all None where nothing was scored.

    `n` counts the questions scored, `planned` the questions that the run was to ask.
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


def wilson(successes: float, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion (Wilson 1927, no continuity correction).

    With n = 0 nothing is known: the interval is [0, 1].
    """
    if n == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = successes / n
    centre = p + z * z / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At p = 0 and p = 1 one limit is p itself; rounding must not push it past.
    low = min(p, max(0.0, (centre - half) / scale))
    high = max(p, min(1.0, (centre + half) / scale))
    return Interval(low, high)


def proportion(successes: float, n: int) -> Estimate:
    """A share of `n` questions with Wilson's interval; without a mean if there are none."""
    if n == 0:
        return Estimate(None, None, None, 0, 0)
    return Estimate(successes / n, *wilson(successes, n), n, n)


def bootstrap(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The percentile bootstrap interval of the mean of one value a question.

    Deterministic: the seed is fixed. One value says nothing of the spread, so the interval of
    fewer than two is [0, 1].
    """
    if len(values) < 2:
        return Interval(0.0, 1.0)
    import numpy as np

    # Scores take few distinct values: draw how often each comes up, not each question's own.
    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    n = len(values)
    drawn = np.random.default_rng(_SEED).multinomial(n, counts / n, size=RESAMPLES)
    means = drawn @ distinct / n
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Interval(float(low), float(high))


def estimate(by_question: Sequence[Sequence[float]]) -> Estimate:
    """The mean over questions of the mean over a question's samples, with its 95 % interval.

    One sequence a planned question; an empty one is left out of the mean and of `n`. Questions
    are the unit of sampling: where each one's mean is 0 or 1, Wilson's interval over questions;
    otherwise the bootstrap over questions, which keeps a question's samples together. Where all
    questions have one mean, nothing can be drawn from them, and Wilson's interval of that mean,
    the widest that scores within [0, 1] allow, stands in.
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
    that it stays within [0, 1] and asymmetric where its parts are. Without a mean for each
    estimate there is none.
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
    """A share of right answers from the share that an erring judge calls right.

    `sensitivity` and `specificity` are an audit's: how many answers known to be right (wrong) the
    judge called so, and of how many; together they are above 1. The estimate is Rogan and
    Gladen's (1978), within [0, 1]. The interval is Lang and Reiczigel's (2014), by the delta
    method at shrunken figures; centre and error of the judge's share are taken from its own
    interval (Wilson's has the centre that they use), so that clustered samples are allowed for.
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
    of_se, of_sp = se * (1 - se) / (right + 2), sp * (1 - sp) / (wrong + 2)
    spread = math.sqrt(error**2 + share**2 * of_se + (1 - share) ** 2 * of_sp) / slope
    middle = share + 2 * z * z * (share * of_se - (1 - share) * of_sp)
    low, high = max(0.0, middle - z * spread), min(1.0, middle + z * spread)
    return Estimate(mean, min(low, mean), max(high, mean), judged.n, judged.planned)


def scaled(part: Estimate, share: Estimate) -> Estimate:
    """The mean over all, of which a share has the mean of `part` and the rest 0.

    The interval of the product adds the distances to each limit in quadrature, each times the
    other mean. `n` and `planned` are the share's. Without a mean in `part`, the share must be 0.
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
    """How much higher our mean is than theirs, as of independent samples; None without either.

    The interval adds the distances to each limit in quadrature: of two proportions with Wilson's
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
    `paired_test`'s. `detectable`: see `detectable`.
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
"""Two runs' scores of the same questions."""


def paired(ours: Mapping[Key, float], theirs: Mapping[Key, float]) -> Paired | None:
    """How much higher our scores are than theirs, over the questions that both have.

    One mean score a question on either side; the interval treats questions as the unit of
    sampling, as `estimate` does. Where no question's scores differ, it reaches as far as the rate
    of questions that do may (Wilson). None where no question is common.
    """
    pairs = in_common(ours, theirs)
    # From [-1, 1] into the range of scores and back: one rule for intervals everywhere.
    found = estimate([[(1 + mine - other) / 2] for mine, other in pairs])
    if found.mean is None or found.low is None or found.high is None:
        return None
    won = sum(mine > other for mine, other in pairs)
    lost = sum(mine < other for mine, other in pairs)
    most = wilson(0, found.n).high
    return Paired(
        mean=2 * found.mean - 1,
        low=2 * found.low - 1 if won or lost else -most,
        high=2 * found.high - 1 if won or lost else most,
        n=found.n,
        won=won,
        lost=lost,
        p=paired_test([pairs]),
        detectable=detectable(pairs),
    )


def _as_share(found: Paired) -> Estimate:
    """A difference, from -1 to 1, as a share from 0 to 1."""
    mean, low, high = ((1 + each) / 2 for each in (found.mean, found.low, found.high))
    return Estimate(mean, low, high, found.n, found.n)


def paired_average(
    ours: Sequence[Mapping[Key, float]], theirs: Sequence[Mapping[Key, float]]
) -> Paired | None:
    """`paired` of each dataset, averaged with equal weights as `macro_average` does.

    `detectable` adds those of the datasets in quadrature. None unless each dataset has a question
    in common.
    """
    parts = [paired(mine, others) for mine, others in zip(ours, theirs, strict=True)]
    found = [part for part in parts if part is not None]
    if not found or len(found) < len(parts):
        return None
    if len(found) == 1:
        return found[0]
    whole = macro_average([_as_share(each) for each in found])
    assert whole.mean is not None
    assert whole.low is not None
    assert whole.high is not None
    least = [each.detectable for each in found if each.detectable is not None]
    return Paired(
        mean=2 * whole.mean - 1,
        low=2 * whole.low - 1,
        high=2 * whole.high - 1,
        n=whole.n,
        won=sum(each.won for each in found),
        lost=sum(each.lost for each in found),
        p=paired_test([in_common(*pair) for pair in zip(ours, theirs, strict=True)]),
        detectable=math.hypot(*least) / len(found) if len(least) == len(found) else None,
    )


def in_common(ours: Mapping[Key, float], theirs: Mapping[Key, float]) -> Pairs:
    """Both scores of each question that both have."""
    return [(ours[each], theirs[each]) for each in ours if each in theirs]


def paired_test(datasets: Sequence[Pairs]) -> float:
    """The two-sided p of a difference of two runs, averaged over datasets with equal weights.

    One dataset on which every score is 0 or 1: McNemar's exact test. Otherwise a paired bootstrap
    over questions within datasets: how often differences of mean 0, distributed about it as those
    found are about theirs, average at least as far from 0. That is trusted no further than the
    signs go: p is at least what a coin gives where all questions that differ differ one way.
    Each dataset has at least one pair.
    """
    if len(datasets) == 1 and all(score in (0.0, 1.0) for pair in datasets[0] for score in pair):
        won, lost = (sum(pair == each for pair in datasets[0]) for each in ((1, 0), (0, 1)))
        return mcnemar(won, lost)
    differing = sum(mine != other for pairs in datasets for mine, other in pairs)
    if not differing:
        return 1.0
    import numpy as np

    rng = np.random.default_rng(_SEED)
    found, by_chance = 0.0, np.zeros(TEST_RESAMPLES)
    for pairs in datasets:
        differences = np.asarray([mine - other for mine, other in pairs], dtype=np.float64)
        found += float(differences.mean())
        by_chance += _resampled_means(differences - differences.mean(), rng)
    further = int(np.count_nonzero(np.abs(by_chance) >= abs(found) - 1e-12))
    return max((1 + further) / (1 + TEST_RESAMPLES), 2.0 ** (1 - differing))


def _resampled_means(values: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """The means of TEST_RESAMPLES bootstrap samples."""
    import numpy as np

    n, rows = len(values), 500
    distinct, counts = np.unique(values, return_counts=True)
    if 4 * len(distinct) < n:  # draw how often each comes up
        return rng.multinomial(n, counts / n, size=TEST_RESAMPLES) @ distinct / n
    parts = [values[rng.integers(n, size=(rows, n))].mean(1) for _ in range(TEST_RESAMPLES // rows)]
    return np.concatenate(parts)


def detectable(pairs: Pairs) -> float | None:
    """The least true difference that `paired_test` would find in POWER of samples of this size.

    From the spread of the differences found (Connor 1987, without his second-order term); six
    questions that differ one way are the least that reach LEVEL. None where there are too few
    questions for that. There is at least one.
    """
    squares = [(mine - other) ** 2 for mine, other in pairs if mine != other]
    size = math.sqrt(fmean(squares)) if squares else 1.0
    normal = NormalDist()
    z = normal.inv_cdf(1 - LEVEL / 2) + normal.inv_cdf(POWER)
    least = size * max(z * math.sqrt(len(squares)), 6.0) / len(pairs)
    return least if least <= 1 else None


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for being several (Holm 1979), in the order given."""
    adjusted = [0.0] * len(p_values)
    worst = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[at]))
        adjusted[at] = worst
    return adjusted


def pass_at(k: int, right: int, n: int) -> float:
    """The chance that k of n samples, drawn without replacement, hold one of those right.

    The unbiased estimate of pass@k (Chen et al. 2021, equation 1), for k up to n.
    """
    return 1 - math.comb(n - right, k) / math.comb(n, k)


def mcnemar(won: int, lost: int) -> float:
    """McNemar's test (1947), exact and two-sided: a fair coin over the pairs that differ.

    1 where none differ.
    """
    differing = won + lost
    tail = sum(math.comb(differing, heads) for heads in range(min(won, lost) + 1))
    return min(1.0, 2 * tail / (1 << differing))
