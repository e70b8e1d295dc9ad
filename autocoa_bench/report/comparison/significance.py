"""Which run of a column is better than all others by more than chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple, TypeVar

from autocoa_bench.stats import LEVEL, holm, in_common, paired_test

Key = TypeVar("Key")

Scores = Sequence[Mapping[tuple[str, str], float]]
"""A run's scores by question, one mapping a dataset; none is empty."""


class Contest(NamedTuple):
    """A column's best run, and the largest p of it against each other run, corrected.

    Where a test finds no difference, its p: no further one is made.
    """

    run: str
    p: float

    @property
    def decided(self) -> bool:
        """Whether the best is better than each other by more than chance."""
        return self.p < LEVEL


def contests(columns: Mapping[Key, Mapping[str, Scores]]) -> dict[Key, Contest]:
    """The contest of each column that has several runs, by run, Holm-corrected over the columns.

    A run is better than all others only if it is so in each of its paired tests, so the largest p
    of them stands for the column, and columns are all that there is to correct for.
    """
    found = {key: _contest(runs) for key, runs in columns.items() if len(runs) > 1}
    corrected = holm([contest.p for contest in found.values()])
    return {
        key: contest._replace(p=p)
        for (key, contest), p in zip(found.items(), corrected, strict=True)
    }


def _contest(runs: Mapping[str, Scores]) -> Contest:
    best, *others = sorted(runs, key=lambda run: _mean(runs[run]), reverse=True)
    worst = 0.0
    for other in others:
        worst = max(worst, _p(runs[best], runs[other]))
        if worst >= LEVEL:  # no correction makes it smaller
            break
    return Contest(best, worst)


def _mean(scores: Scores) -> float:
    return fmean(fmean(each.values()) for each in scores)


def _p(best: Scores, other: Scores) -> float:
    """The test's p; 1 where the best is not better on the questions that both have, or none is."""
    pairs = [in_common(mine, others) for mine, others in zip(best, other, strict=True)]
    if not all(pairs):
        return 1.0
    ahead = fmean(fmean(mine - others for mine, others in each) for each in pairs)
    return paired_test(pairs) if ahead > 0 else 1.0
