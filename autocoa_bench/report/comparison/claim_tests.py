"""The statistical tests that decide the paper's claims from the runs of its rows."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

from autocoa_bench.episode import n_actions
from autocoa_bench.report.entries import (
    Entry,
    QuestionKey,
    estimate_over_questions,
    grouped,
    mean_by_question,
    question_key,
)
from autocoa_bench.report.published import Claim, paper_tables
from autocoa_bench.stats import (
    LEVEL,
    POWER,
    Difference,
    Estimate,
    Paired,
    difference,
    in_common,
    paired,
    paired_average,
    paired_test,
)

Rows = Mapping[str, Sequence[Entry]]
"""The runs of each row of Table 1; several runs are its seeds."""

_Scores = Mapping[QuestionKey, float]


class Contrast(NamedTuple):
    """The difference that decides a claim, in [-1, 1]; the claim is true where it is above `bound`.

    `p` is two-sided, for a true difference at the bound, before correction. `detectable` is the
    least distance from the bound that the test would find with power 0.8. `row` is the row that
    the numbers belong to if the claim is about several, `n` counts questions and `datasets` the
    datasets averaged over (0: no average).
    """

    mean: float
    low: float
    high: float
    bound: float
    p: float
    detectable: float | None
    n: int
    datasets: int = 0
    row: str = ""

    @property
    def difference(self) -> Difference:
        """The mean with its interval."""
        return Difference(self.mean, self.low, self.high)

    @property
    def favours(self) -> bool:
        """True if the measured difference speaks for the claim."""
        return self.mean > self.bound


def contrast(claim: Claim, rows: Rows, scorer: str) -> Contrast | str:
    """The claim's contrast, or why there is none, in a few words. `rows` has all of its rows.

    A claim about several rows is true if it is true of each. If all are in favour, the one with
    the largest p stands for them (an intersection-union test); otherwise the one with the smallest
    p of those against it, times the number of rows (Bonferroni).
    """
    contrasts = []
    for row in claim.first:
        result = _row_contrast(claim, row, rows, scorer)
        if isinstance(result, str):
            return result
        contrasts.append(result._replace(row=row) if len(claim.first) > 1 else result)
    against = [result for result in contrasts if not result.favours]
    if not against:
        return max(contrasts, key=lambda result: result.p)
    strongest = min(against, key=lambda result: result.p)
    return strongest._replace(p=min(1.0, strongest.p * len(contrasts)))


def _row_contrast(claim: Claim, row: str, rows: Rows, scorer: str) -> Contrast | str:
    if claim.kind == "most":
        return _majority(rows[row], claim.first_actions, scorer)
    if claim.kind == "success":
        return _success(claim, rows[row], rows[claim.second], scorer)
    ours = _scores_by_task(rows[row], scorer, claim.from_actions)
    theirs = _scores_by_task(rows[claim.second], scorer, claim.from_actions)
    # Datasets that only one side has would shift the average.
    common = [task for task, scores in ours.items() if scores.keys() & theirs.get(task, {}).keys()]
    pair = [ours[task] for task in common], [theirs[task] for task in common]
    average = paired_average(*pair)
    if average is None:
        return "no question in common"
    result = _of_paired(average)._replace(datasets=len(common))
    if claim.margin:
        result = result._replace(bound=-claim.margin / 100)
        result = result._replace(p=_p_at_bound(*pair, result))
    return result


def _of_paired(result: Paired) -> Contrast:
    return Contrast(
        result.mean, result.low, result.high, 0.0, result.p, result.detectable, result.n
    )


def _p_at_bound(ours: Sequence[_Scores], theirs: Sequence[_Scores], result: Contrast) -> float:
    """The p for a true difference that equals the bound.

    In favour of no loss it is at least the chance that n questions show no loss when the share
    lost is the margin: a few questions that all tie say little about a small margin.
    """
    shifted = [
        [(our_score - result.bound, their_score) for our_score, their_score in in_common(*dataset)]
        for dataset in zip(ours, theirs, strict=True)
    ]
    p = paired_test(shifted)
    return max(p, (1 + result.bound) ** result.n) if result.favours else p


def _majority(entries: Sequence[Entry], actions: tuple[int, ...], scorer: str) -> Contrast | str:
    """The share of right answers after these numbers of actions, less one half."""
    shares = mean_by_question(
        (question, float(_is_in(number, actions)))
        for question, number, score in _scored_answers(entries, scorer)
        if score >= 1
    )
    against_half = paired(shares, dict.fromkeys(shares, 0.5))
    return "no right answers" if against_half is None else _of_paired(against_half)


def _success(
    claim: Claim, first: Sequence[Entry], second: Sequence[Entry], scorer: str
) -> Contrast | str:
    """Success after some numbers of actions less success after others, as independent samples."""
    ours = _success_after(first, claim.first_actions, scorer)
    theirs = _success_after(second, claim.second_actions, scorer)
    result = difference(ours, theirs)
    if result is None:
        actions = claim.second_actions if ours.n else claim.first_actions
        return f"no answers after {actions_text(actions)}"
    # The p and the detectable distance derive from the interval: where that ends at the bound, p is
    # exactly 0.05.
    normal = NormalDist()
    z = normal.inv_cdf(1 - LEVEL / 2)
    bound = -claim.margin / 100
    distance = result.mean - bound
    below, above = result.mean - result.low, result.high - result.mean
    reach = below if distance > 0 else above
    p = 1.0 if not distance else 2 * (1 - normal.cdf(z * abs(distance) / reach))
    least = max(below, above) * (z + normal.inv_cdf(POWER)) / z
    return Contrast(*result, bound, p, least if least <= 1 else None, ours.n + theirs.n)


def _success_after(entries: Sequence[Entry], actions: tuple[int, ...], scorer: str) -> Estimate:
    """Success over the questions whose answers took these numbers of actions."""
    return estimate_over_questions(
        (question, float(score >= 1))
        for question, number, score in _scored_answers(entries, scorer)
        if _is_in(number, actions)
    )


def _scores_by_task(
    entries: Sequence[Entry], scorer: str, from_actions: int
) -> dict[str, dict[QuestionKey, float]]:
    """Each question's mean score over all samples of all runs, by task.

    An answer that took fewer actions than `from_actions` counts 0.
    """
    means = mean_by_question(
        (question, score if number >= from_actions else 0.0)
        for question, number, score in _scored_answers(entries, scorer)
    )
    by_task = grouped((question[0], (question, mean)) for question, mean in means.items())
    return {task: dict(questions) for task, questions in by_task.items()}


def _scored_answers(
    entries: Sequence[Entry], scorer: str
) -> Iterator[tuple[QuestionKey, int, float]]:
    """Question, actions and score of each scored trajectory on Table 1's datasets."""
    table, _ = paper_tables()
    for entry in entries:
        for record, trajectory in entry.trajectories():
            score = entry.score(record, scorer)
            if score is not None and record.question.task.partition("@")[0] in table.sets:
                yield question_key(record.question), n_actions(trajectory), score


def _is_in(number: int, actions: tuple[int, ...]) -> bool:
    return number >= actions[0] if len(actions) == 1 else number in actions


def actions_text(actions: tuple[int, ...]) -> str:
    """A claim's range of actions in words."""
    if len(actions) == 1:
        return f"{actions[0]} or more actions"
    return f"{actions[0]} or {actions[1]} actions"
