"""How a claim of the paper is decided from the runs of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist, fmean
from typing import NamedTuple

from autocoa_bench.episode import n_actions
from autocoa_bench.report.entries import Entry
from autocoa_bench.report.published import Claim, paper_tables
from autocoa_bench.stats import (
    LEVEL,
    POWER,
    Difference,
    Estimate,
    Paired,
    difference,
    estimate,
    paired,
    paired_average,
    paired_test,
)

Question = tuple[str, str]
"""Its task and id."""

Rows = Mapping[str, Sequence[Entry]]
"""The runs of each row of Table 1: several are its seeds."""


class Contrast(NamedTuple):
    """What the runs say of a claim: a difference in [-1, 1], of which more is in its favour.

    It is in favour where it is above `bound`; `p` is two-sided, of a true difference at the bound,
    before correction. `detectable`: how far from the bound a true one would have to be. `of` names
    the row that the figures are of, where the claim is of several, `n` counts questions and
    `datasets` what was averaged over (0: nothing was).
    """

    mean: float
    low: float
    high: float
    bound: float
    p: float
    detectable: float | None
    n: int
    datasets: int = 0
    of: str = ""

    @property
    def favours(self) -> bool:
        """Whether the difference found speaks for the claim."""
        return self.mean > self.bound


def contrast(claim: Claim, rows: Rows, scorer: str) -> Contrast | str:
    """The claim's contrast, or why there is none, in a few words. `rows` has all of its rows.

    A claim of several rows is true where it is of each. Where all are in favour, the one with the
    largest p stands for them (an intersection-union test), otherwise the one with the smallest p
    of those against it, times the number of rows (Bonferroni).
    """
    found = []
    for row in claim.first:
        one = _one(claim, row, rows, scorer)
        if isinstance(one, str):
            return one
        found.append(one._replace(of=row) if len(claim.first) > 1 else one)
    against = [each for each in found if not each.favours]
    if not against:
        return max(found, key=lambda each: each.p)
    worst = min(against, key=lambda each: each.p)
    return worst._replace(p=min(1.0, worst.p * len(found)))


def _one(claim: Claim, row: str, rows: Rows, scorer: str) -> Contrast | str:
    if claim.kind == "most":
        return _most(rows[row], claim.first_actions, scorer)
    if claim.kind == "success":
        return _success(claim, rows[row], rows[claim.second], scorer)
    ours, theirs = (
        _by_dataset(rows[each], scorer, claim.from_actions) for each in (row, claim.second)
    )
    common = [task for task, scores in ours.items() if scores.keys() & theirs.get(task, {}).keys()]
    pair = [ours[task] for task in common], [theirs[task] for task in common]
    found = paired_average(*pair)
    if found is None:
        return "no question in common"
    made = _of_paired(found)._replace(datasets=len(common))
    if not claim.margin:
        return made
    made = made._replace(bound=-claim.margin / 100)
    return made._replace(p=_beyond(*pair, made))


def _of_paired(found: Paired) -> Contrast:
    return Contrast(found.mean, found.low, found.high, 0.0, found.p, found.detectable, found.n)


def _beyond(
    ours: Sequence[Mapping[Question, float]],
    theirs: Sequence[Mapping[Question, float]],
    found: Contrast,
) -> float:
    """The p of a true difference of just the bound.

    In favour of no loss never less than the chance that no question is lost where as many are as
    the margin says: few questions that all tie say little of a small margin.
    """
    shifted = [
        [(mine[each] - found.bound, other[each]) for each in mine if each in other]
        for mine, other in zip(ours, theirs, strict=True)
    ]
    p = paired_test(shifted)
    return max(p, (1 + found.bound) ** found.n) if found.favours else p


def _most(found: Sequence[Entry], actions: tuple[int, ...], scorer: str) -> Contrast | str:
    """How much more than half of the right answers take so many actions."""
    within: dict[Question, list[float]] = {}
    for question, taken, score in _answers(found, scorer):
        if score >= 1:
            within.setdefault(question, []).append(float(_in(taken, actions)))
    shares = {question: fmean(each) for question, each in within.items()}
    against_half = paired(shares, dict.fromkeys(shares, 0.5))
    return "no right answers" if against_half is None else _of_paired(against_half)


def _success(
    claim: Claim, first: Sequence[Entry], second: Sequence[Entry], scorer: str
) -> Contrast | str:
    """Success at some numbers of actions less success at others, as of independent samples."""
    ours = _at(first, claim.first_actions, scorer)
    theirs = _at(second, claim.second_actions, scorer)
    found = difference(ours, theirs)
    if found is None:
        actions = claim.second_actions if ours.n else claim.first_actions
        return f"no answers after {in_words(actions)}"
    bound = -claim.margin / 100
    p, detectable = _independent(found, bound)
    return Contrast(*found, bound, p, detectable, ours.n + theirs.n)


def _independent(found: Difference, bound: float) -> tuple[float, float | None]:
    """The p that is 0.05 where the interval ends at the bound, and the detectable distance."""
    normal = NormalDist()
    z = normal.inv_cdf(1 - LEVEL / 2)
    away = found.mean - bound
    reach = found.mean - found.low if away > 0 else found.high - found.mean
    p = 1.0 if not away else 2 * (1 - normal.cdf(z * abs(away) / reach))
    widest = max(found.mean - found.low, found.high - found.mean)
    detectable = widest * (z + normal.inv_cdf(POWER)) / z
    return p, detectable if detectable <= 1 else None


def _at(found: Sequence[Entry], actions: tuple[int, ...], scorer: str) -> Estimate:
    """Success over the questions whose answers took so many actions."""
    scores: dict[Question, list[float]] = {}
    for question, taken, score in _answers(found, scorer):
        if _in(taken, actions):
            scores.setdefault(question, []).append(float(score >= 1))
    return estimate(list(scores.values()))


def _by_dataset(
    found: Sequence[Entry], scorer: str, from_actions: int
) -> dict[str, dict[Question, float]]:
    """Each question's mean score over all samples of all runs, by task.

    An answer that took fewer actions than `from_actions` counts 0.
    """
    scores: dict[str, dict[Question, list[float]]] = {}
    for question, taken, score in _answers(found, scorer):
        counted = score if taken >= from_actions else 0.0
        scores.setdefault(question[0], {}).setdefault(question, []).append(counted)
    return {
        task: {question: fmean(each) for question, each in several.items()}
        for task, several in scores.items()
    }


def _answers(found: Sequence[Entry], scorer: str) -> Iterator[tuple[Question, int, float]]:
    """Question, actions and score of each scored trajectory on Table 1's datasets."""
    table, _ = paper_tables()
    for entry in found:
        for record in entry.trajectories():
            score = entry.score(record, scorer)
            question = record.question.task, record.question.id
            if score is None or question[0].partition("@")[0] not in table.sets:
                continue
            assert record.trajectory is not None, "Entry.trajectories has those alone"
            yield question, n_actions(record.trajectory), score


def _in(taken: int, actions: tuple[int, ...]) -> bool:
    return taken >= actions[0] if len(actions) == 1 else taken in actions


def in_words(actions: tuple[int, ...]) -> str:
    """A claim's range of actions in words."""
    if len(actions) == 1:
        return f"{actions[0]} or more actions"
    return f"{actions[0]} or {actions[1]} actions"
