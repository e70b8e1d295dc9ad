"""What tables of reproductions measure: scores and searches of the runs of a row, one a seed."""

from collections.abc import Sequence

from autocoa_bench.episode import n_actions
from autocoa_bench.report.comparison.claim_tests import Contrast, contrast
from autocoa_bench.report.entries import Entry, estimate_over_questions, question_key
from autocoa_bench.report.published import Claim
from autocoa_bench.stats import Estimate, estimate, macro_average

SCORER = "em"


def average_score(runs: Sequence[Entry]) -> Estimate:
    """The mean over datasets of their mean score; a question's score is its mean over the runs."""
    by_task: dict[str, dict[str, list[float]]] = {}
    for run in runs:
        for (task, question), score in run.scores_by_question(SCORER).items():
            by_task.setdefault(task, {}).setdefault(question, []).append(score)
    return macro_average([estimate(list(questions.values())) for questions in by_task.values()])


def change_of_average(runs: Sequence[Entry], baseline: Sequence[Entry]) -> Contrast | None:
    """The paired difference of two averages; None without a question in common."""
    claim = Claim("change", "", "", "better", ("runs",), "baseline")
    change = contrast(claim, {"runs": runs, "baseline": baseline}, SCORER)
    return change if isinstance(change, Contrast) else None


def right(runs: Sequence[Entry], kind: str) -> Estimate:
    """The mean score of the questions of a kind."""
    return estimate_over_questions(
        (question_key(record.question), score)
        for run in runs
        for record in run.run.records
        if record.question.kind == kind and (score := run.score(record, SCORER)) is not None
    )


def searched(runs: Sequence[Entry], kind: str) -> Estimate:
    """The share of the questions of a kind that are searched for at least once."""
    return estimate_over_questions(
        (question_key(record.question), float(n_actions(trajectory) > 0))
        for run in runs
        for record, trajectory in run.trajectories()
        if record.question.kind == kind
    )
