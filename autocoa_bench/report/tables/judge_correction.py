"""A judge's means beside what they would be if the judge did not err, by its audit."""

from __future__ import annotations

from collections.abc import Sequence

from autocoa_bench.errors import UserError
from autocoa_bench.judge import SCORER
from autocoa_bench.judge.agreement import SavedAudit
from autocoa_bench.report.entries import EMPTY_CATALOGUE, Catalogue, Entry, make_entries, measure
from autocoa_bench.report.model import Cell, Column, Row, Section, Table, percent, score_cell
from autocoa_bench.report.notes import no_verdict, shared_notes, title_with_model
from autocoa_bench.runs.run_folder import Run, differing
from autocoa_bench.scoring import answer_of
from autocoa_bench.stats import Estimate, corrected, estimate, macro_average, scaled
from autocoa_bench.tasks.subquestions import asks_subquestions
from autocoa_bench.types import TaskSample

_AVERAGE = "average"


def judge_correction(
    runs: Sequence[Run], audit: SavedAudit, catalogue: Catalogue = EMPTY_CATALOGUE
) -> Table:
    """A section a judged run, a row a task and one for their average: as judged, and corrected.

    Raises UserError for runs that another judge judged, or none, and for an audit in which the
    judge is no better than chance.
    """
    found = [entry for entry in make_entries(runs, catalogue) if SCORER in entry.run.info.scorers]
    _check(found, audit)
    sections, facts = [], []
    for entry in found:
        rows = []
        for task, (judged, true) in _means(entry, audit).items():
            info = catalogue.tasks.get(task)
            label = "Average" if task == _AVERAGE else info.title if info else task
            cells = (Cell(f"{judged.n:,}"), score_cell(judged), score_cell(true))
            rows.append(Row(Cell(label), cells))
            of = {"task": task, "planned": true.planned, "coverage": true.coverage}
            facts.append(entry.estimated("corrected", f"{SCORER}:corrected", true, **of))
        sections.append(Section(f"{entry.label}, {entry.model}", tuple(rows)))
    return Table(
        name="corrected",
        title=title_with_model("The judge's means, corrected for its errors", found),
        stub="Task",
        columns=(Column(("n",)), Column(("judge %",)), Column(("corrected %",))),
        sections=tuple(sections),
        notes=(_method(audit), *shared_notes(found)),
        data_points=tuple(facts),
        lead=1,
    )


def _means(entry: Entry, audit: SavedAudit) -> dict[str, tuple[Estimate, Estimate]]:
    """Each task's mean as judged and as corrected, then their average, where it is one of datasets.

    A question without an answer is wrong without asking: the judge erred on the others alone.
    """
    means = {}
    for sample in entry.spec.tasks:
        answered, given = _by_question(entry, sample)
        true = scaled(_corrected(estimate(answered), audit), estimate(given))
        means[sample.task] = (measure(entry, sample, SCORER)[0], true)
    if len(means) > 1 and not any(map(asks_subquestions, means)):
        judged, corrected_ = zip(*means.values(), strict=True)
        means[_AVERAGE] = (macro_average(judged), macro_average(corrected_))
    return means


def _by_question(entry: Entry, sample: TaskSample) -> tuple[list[list[float]], list[list[float]]]:
    """By planned question: the judge's scores of its answers, and of each sample whether it has
    an answer."""
    answered: list[list[float]] = []
    given: list[list[float]] = []
    for question in sample.question_ids:
        records = entry.answers.get((sample.task, question), [])
        scored = [each for each in records if entry.score(each, SCORER) is not None]
        asked = [each for each in scored if isinstance(answer_of(each), str)]
        answered.append([entry.score(each, SCORER) or 0.0 for each in asked])
        given.append([float(each in asked) for each in scored])
    return answered, given


def _corrected(judged: Estimate, audit: SavedAudit) -> Estimate:
    counts = audit.counts
    return corrected(
        judged,
        (counts.both_right, counts.both_right + counts.missed),
        (counts.both_wrong, counts.both_wrong + counts.wrongly),
    )


def _check(found: Sequence[Entry], audit: SavedAudit) -> None:
    if not found:
        raise UserError("no run here has a judge's scores to correct: score with --judge first")
    for entry in found:
        judge = entry.run.info.judge
        if judge is not None and judge != audit.judge:
            raise UserError(
                f"the audit is of another judge than that of {entry.name}: it differs in "
                f"{'; '.join(differing(audit.judge, judge))}"
            )
    sensitivity, specificity = audit.counts.sensitivity.mean, audit.counts.specificity.mean
    if sensitivity is None or specificity is None or sensitivity + specificity <= 1:
        raise UserError(
            f"the audit on {audit.labels} has no answers of both kinds, or a judge no better than "
            "chance on them: nothing can be corrected by it"
        )


def _method(audit: SavedAudit) -> str:
    sensitivity, specificity = audit.counts.sensitivity, audit.counts.specificity
    return (
        "corrected: the share of right answers from the judge's, its sensitivity "
        f"({percent(sensitivity.mean or 0)} % of {sensitivity.n:,}) and specificity "
        f"({percent(specificity.mean or 0)} % of {specificity.n:,}) in the audit on "
        f"{audit.labels}{no_verdict(audit)} (Rogan and Gladen 1978), with a 95 % interval that has "
        "the audit's uncertainty in it (Lang and Reiczigel 2014); questions without an answer are "
        "wrong without asking. It holds as far as the judge errs on these answers as it did on the "
        "audited ones"
    )
