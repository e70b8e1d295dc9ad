"""The best run of each column, and whether it is significantly better than all others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple, TypeVar

from autocoa_bench.stats import LEVEL, holm, in_common, paired_test

Key = TypeVar("Key")

Scores = Sequence[Mapping[tuple[str, str], float]]
"""A run's scores by question, one mapping per dataset; none is empty."""


class Contest(NamedTuple):
    """A column's best run, and the largest p of its tests against the other runs, corrected.

    Where a test finds no difference, its p: the remaining tests are not made.
    """

    run: str
    p: float

    @property
    def decided(self) -> bool:
        """True if the best run is significantly better than each other run."""
        return self.p < LEVEL


def best_runs(columns: Mapping[Key, Mapping[str, Scores]]) -> dict[Key, Contest]:
    """The contest of each column with several runs, Holm-corrected over the columns.

    A run is better than all others only if it is so in each of its paired tests. The largest p of
    them therefore stands for the column, and only the number of columns calls for correction.
    """
    contests = {column: _contest(runs) for column, runs in columns.items() if len(runs) > 1}
    corrected = holm([contest.p for contest in contests.values()])
    return {
        column: contest._replace(p=p)
        for (column, contest), p in zip(contests.items(), corrected, strict=True)
    }


def _contest(runs: Mapping[str, Scores]) -> Contest:
    means = {run: fmean(fmean(dataset.values()) for dataset in runs[run]) for run in runs}
    best, *rivals = sorted(runs, key=means.__getitem__, reverse=True)
    largest = 0.0
    for rival in rivals:
        largest = max(largest, _p_value(runs[best], runs[rival]))
        if largest >= LEVEL:  # no correction makes it smaller
            break
    return Contest(best, largest)


def _p_value(best: Scores, rival: Scores) -> float:
    """The test's p; 1 if there are no common questions or the best is not better on them."""
    pairs = [in_common(ours, theirs) for ours, theirs in zip(best, rival, strict=True)]
    if not all(pairs):
        return 1.0
    lead = fmean(fmean(our - their for our, their in dataset) for dataset in pairs)
    return paired_test(pairs) if lead > 0 else 1.0
