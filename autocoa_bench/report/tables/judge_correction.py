"""A judge's means, and what they would be without the judge's errors, according to its audit."""

from collections.abc import Sequence

from autocoa_bench.errors import UserError
from autocoa_bench.judge import SCORER
from autocoa_bench.judge.agreement import SavedAudit
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.entries import Entry, Inputs, measure
from autocoa_bench.report.model import Table, columns, percent
from autocoa_bench.report.notes import no_verdict
from autocoa_bench.runs.run_folder import differing
from autocoa_bench.scoring import answer_of
from autocoa_bench.stats import Estimate, corrected, estimate, macro_average, scaled
from autocoa_bench.tasks.subquestions import asks_subquestions
from autocoa_bench.types import TaskSample

_AVERAGE = "average"


def judge_correction(inputs: Inputs, audit: SavedAudit) -> Table:
    """A section per judged run, a row per task and one for their average: judged and corrected.

    Raises UserError for runs that another judge judged, or none, and for an audit in which the
    judge is no better than chance.
    """
    entries = inputs.entries
    judged_entries = [entry for entry in entries if SCORER in entry.run.info.scorers]
    _check_audit(judged_entries, audit)
    builder = TableBuilder("corrected", judged_entries)
    for entry in builder.entries:
        builder.start_section(entry.title)
        for task, (judged, true) in _means(entry, audit).items():
            label = "Average" if task == _AVERAGE else inputs.catalogue.title(task)
            builder.add_row(label, (judged.n, judged, true))
            builder.add_covered(entry, f"{SCORER}:corrected", true, task=task)
    return builder.build_with_legend(
        columns=columns("n", "judge %", "corrected %"),
        notes=(_method_note(audit),),
    )


def _means(entry: Entry, audit: SavedAudit) -> dict[str, tuple[Estimate, Estimate]]:
    """Each task's mean as judged and as corrected, and their average if the tasks are datasets.

    A question without an answer is wrong without asking the judge, who errs only on the others.
    """
    means = {}
    for sample in entry.spec.tasks:
        scores, answered = _by_question(entry, sample)
        counts = audit.counts
        true = corrected(
            estimate(scores),
            (counts.both_right, counts.both_right + counts.missed),
            (counts.both_wrong, counts.both_wrong + counts.wrongly),
        )
        true = scaled(true, estimate(answered))
        means[sample.task] = (measure(entry, sample, SCORER)[0], true)
    if len(means) > 1 and not any(map(asks_subquestions, means)):
        judged_means, true_means = zip(*means.values(), strict=True)
        means[_AVERAGE] = (macro_average(judged_means), macro_average(true_means))
    return means


def _by_question(entry: Entry, sample: TaskSample) -> tuple[list[list[float]], list[list[float]]]:
    """Per planned question: the judge's scores of its answers, and 1.0 or 0.0 for each sample that
    has an answer or none."""
    scores_by_question: list[list[float]] = []
    answered: list[list[float]] = []
    for question in sample.question_ids:
        scored = [
            (score, isinstance(answer_of(record), str))
            for record in entry.answers.get((sample.task, question), [])
            if (score := entry.score(record, SCORER)) is not None
        ]
        scores_by_question.append([score for score, has_answer in scored if has_answer])
        answered.append([float(has_answer) for _, has_answer in scored])
    return scores_by_question, answered


def _check_audit(entries: Sequence[Entry], audit: SavedAudit) -> None:
    if not entries:
        raise UserError("no run here has a judge's scores to correct: score with --judge first")
    for entry in entries:
        judge = entry.run.info.judge
        if judge is not None and judge != audit.judge:
            raise UserError(
                f"the audit is for a different judge from the one in {entry.name}: they differ in "
                f"{'; '.join(differing(audit.judge, judge))}"
            )
    sensitivity, specificity = audit.counts.sensitivity.mean, audit.counts.specificity.mean
    if sensitivity is None or specificity is None or sensitivity + specificity <= 1:
        raise UserError(
            f"the audit on {audit.labels} has no answers of both kinds, or a judge no better than "
            "chance on them: nothing can be corrected by it"
        )


def _method_note(audit: SavedAudit) -> str:
    sensitivity, specificity = audit.counts.sensitivity, audit.counts.specificity
    return (
        "corrected: the share of right answers computed from the judge's share, its sensitivity "
        f"({percent(sensitivity.mean or 0)} % of {sensitivity.n:,}) and specificity "
        f"({percent(specificity.mean or 0)} % of {specificity.n:,}) in the audit on "
        f"{audit.labels}{no_verdict(audit)} (Rogan and Gladen 1978), with a 95 % interval that "
        "includes the audit's uncertainty (Lang and Reiczigel 2014); questions without an answer "
        "are wrong without asking. It is valid as far as the judge errs on these answers as it did "
        "on the audited ones"
    )
