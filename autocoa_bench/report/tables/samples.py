"""Several samples a question: the mean over them, and pass@k."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from autocoa_bench.errors import UserError
from autocoa_bench.report.entries import EMPTY_CATALOGUE, Catalogue, Entry, make_entries
from autocoa_bench.report.model import Cell, Column, DataPoint, Row, Section, Table, score_cell
from autocoa_bench.report.notes import shared_notes, title_with_model
from autocoa_bench.report.tables.leaderboard import metric_title
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import Estimate, estimate, macro_average, pass_at
from autocoa_bench.tasks.subquestions import asks_subquestions
from autocoa_bench.types import TaskSample


def samples(
    runs: Sequence[Run], scorer: str = "em", catalogue: Catalogue = EMPTY_CATALOGUE
) -> Table:
    """A section a run, a row a task and one for their average: mean@n, then pass@k.

    k doubles up to the most samples that a run has. Raises UserError where no run has several.
    """
    found = make_entries(runs, catalogue)
    most = max(entry.spec.samples for entry in found)
    if most == 1:
        raise UserError(
            "no run has several samples a question; `autocoa-bench run --samples 4 --temperature "
            "0.7` draws them"
        )
    ks = [*(2**power for power in range(1, most.bit_length()) if 2**power < most), most]
    sections, facts = [], []
    for entry in found:
        lines = {sample.task: _line(entry, sample, scorer, ks) for sample in entry.spec.tasks}
        if len(lines) > 1 and not any(map(asks_subquestions, lines)):
            columns = zip(*lines.values(), strict=True)
            lines["Average"] = [macro_average(column) for column in columns]
        rows = []
        for task, line in lines.items():
            info = catalogue.tasks.get(task)
            label = info.title if info else task
            rows.append(Row(Cell(label), (Cell(f"{line[0].n:,}"), *map(score_cell, line))))
            facts += _facts(entry, task, scorer, ks, line)
        title = f"{entry.label}, {entry.model}: {entry.spec.samples} samples"
        sections.append(Section(title, tuple(rows)))
    return Table(
        name="samples",
        title=title_with_model(f"Several samples a question, {metric_title(scorer)}", found),
        stub="Task",
        columns=(Column(("n",)), Column(("mean@n",)), *(Column((f"pass@{k}",)) for k in ks)),
        sections=tuple(sections),
        notes=(
            "percent, each with its 95 % interval over questions, a question's samples kept "
            "together; mean@n: the mean over all samples; pass@k: the chance that one of k samples "
            "scores 1, the unbiased estimate from all n (Chen et al. 2021), over the questions "
            "with at least k scored samples",
            *shared_notes(found),
        ),
        data_points=tuple(facts),
        lead=1,
    )


def _line(entry: Entry, sample: TaskSample, scorer: str, ks: Sequence[int]) -> list[Estimate]:
    """A task's mean@n, then its pass@k for each k."""
    scores = [
        [
            score
            for record in entry.answers.get((sample.task, question), [])
            if (score := entry.score(record, scorer)) is not None
        ]
        for question in sample.question_ids
    ]
    passed = [
        estimate(
            [[pass_at(k, each.count(1.0), len(each))] if len(each) >= k else [] for each in scores]
        )
        for k in ks
    ]
    return [estimate([[fmean(each)] if each else [] for each in scores]), *passed]


def _facts(
    entry: Entry, task: str, scorer: str, ks: Sequence[int], line: Sequence[Estimate]
) -> list[DataPoint]:
    names = [f"{scorer}:mean@n", *(f"{scorer}:pass@{k}" for k in ks)]
    return [
        entry.estimated("samples", name, found, task=task, planned=found.planned)
        for name, found in zip(names, line, strict=True)
    ]
