"""A judge's means beside what they would be if the judge did not err, by its audit."""

from __future__ import annotations

from collections.abc import Sequence

from autocoa_bench.audit import SavedAudit
from autocoa_bench.errors import UserError
from autocoa_bench.judge import SCORER
from autocoa_bench.parts import is_sub
from autocoa_bench.report.captions import shared_notes, titled
from autocoa_bench.report.model import Cell, Column, Row, Section, Table, percent, score_cell
from autocoa_bench.report.reading import NOTHING_KNOWN, Catalogue, Entry, entries, measure
from autocoa_bench.stats import Estimate, corrected, macro_average
from autocoa_bench.store import Run, differing

_AVERAGE = "average"


def corrected_means(
    runs: Sequence[Run], audit: SavedAudit, known: Catalogue = NOTHING_KNOWN
) -> Table:
    """A section a judged run, a row a task and one for their average: as judged, and corrected.

    Raises UserError for runs that another judge judged, or none, and for an audit in which the
    judge is no better than chance.
    """
    found = [entry for entry in entries(runs, known) if SCORER in entry.run.info.scorers]
    _check(found, audit)
    sections, facts = [], []
    for entry in found:
        rows = []
        for task, judged in _judged(entry).items():
            info = known.tasks.get(task)
            label = "Average" if task == _AVERAGE else info.title if info else task
            true = _corrected(judged, audit)
            cells = (Cell(f"{judged.n:,}"), score_cell(judged), score_cell(true))
            rows.append(Row(Cell(label), cells))
            of = {"task": task, "planned": true.planned, "coverage": true.coverage}
            facts.append(entry.estimated("corrected", f"{SCORER}:corrected", true, **of))
        sections.append(Section(f"{entry.label}, {entry.model}", tuple(rows)))
    return Table(
        name="corrected",
        title=titled("The judge's means, corrected for its errors", found),
        stub="Task",
        columns=(Column(("n",)), Column(("judge %",)), Column(("corrected %",))),
        sections=tuple(sections),
        notes=(_method(audit), *shared_notes(found)),
        facts=tuple(facts),
        lead=1,
    )


def _judged(entry: Entry) -> dict[str, Estimate]:
    """The judge's mean of each task, then their average, where that is one of datasets."""
    means = {sample.task: measure(entry, sample, SCORER)[0] for sample in entry.spec.tasks}
    if len(means) > 1 and not any(map(is_sub, means)):
        means[_AVERAGE] = macro_average(list(means.values()))
    return means


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
        f"{audit.labels} (Rogan and Gladen 1978), with a 95 % interval that has the audit's "
        "uncertainty in it (Lang and Reiczigel 2014); it holds as far as the judge errs on these "
        "answers as it did on the audited ones"
    )
