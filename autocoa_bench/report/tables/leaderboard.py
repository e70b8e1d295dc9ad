"""Methods by datasets and metrics, laid out as the paper's Table 1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.comparison.significance import Contest, Scores, best_runs
from autocoa_bench.report.entries import (
    EMPTY_CATALOGUE,
    OTHER,
    Catalogue,
    Entry,
    Missing,
    make_entries,
    measure,
)
from autocoa_bench.report.model import (
    MARK,
    Cell,
    Table,
    Value,
    columns,
    metric_title,
    printable,
    score_cell,
)
from autocoa_bench.report.notes import missing_note, reasons_text
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import Estimate, macro_average
from autocoa_bench.tasks.subquestions import asks_subquestions
from autocoa_bench.types import TaskInfo

_GROUPS = {"singlehop": "Single-hop QA", "multihop": "Multi-hop QA"}


class _Dataset(NamedTuple):
    task: str
    edition: str
    title: str
    group: str


_AVERAGE = _Dataset("average", "", "Average", "")
"""Stands in for a dataset in the columns of the average over all."""


class _Layout(NamedTuple):
    """The columns of the table; `averaged` adds those of the average."""

    datasets: list[_Dataset]
    metrics: Sequence[str]
    averaged: bool

    def score_columns(self) -> Iterator[tuple[_Dataset, str]]:
        """The dataset (or average) and metric of each column of scores, from left to right."""
        for dataset in (*self.datasets, *([_AVERAGE] if self.averaged else [])):
            for metric in self.metrics:
                yield dataset, metric


class _Line(NamedTuple):
    """A run's means and missing answers by dataset and metric, and its averages by metric."""

    entry: Entry
    scores: dict[tuple[_Dataset, str], tuple[Estimate, Missing]]
    averages: dict[str, Estimate]


_Contests = dict[tuple[_Dataset, str], Contest]


def leaderboard(
    runs: Sequence[Run],
    metrics: Sequence[str] = ("em", "f1"),
    catalogue: Catalogue = EMPTY_CATALOGUE,
) -> Table:
    """The table of runs by datasets and metrics (paper, Table 1)."""
    builder = TableBuilder("leaderboard", make_entries(runs, catalogue))
    datasets = _datasets(builder.entries, catalogue)
    # A sub-question is part of its main question, so the two are not averaged as if separate.
    averaged = len(datasets) > 1 and not any(
        asks_subquestions(dataset.task) for dataset in datasets
    )
    layout = _Layout(datasets, metrics, averaged)
    lines = [_line(entry, layout) for entry in builder.entries]
    contests = _contests(lines, layout)
    for line in lines:
        builder.add_method(line.entry, _values(line, layout, contests))
        _add_points(builder, line)
    _add_notes(builder, lines, layout, contests)
    return builder.build(
        title="Leaderboard",
        stub="Method",
        columns=columns(
            ("", "", "n"),
            *(
                (dataset.group, dataset.title, metric_title(metric))
                for dataset, metric in layout.score_columns()
            ),
        ),
        notes=(
            "percent, each mean with its 95 % interval, rounded: Wilson's where every question "
            "scores 0 or 1, else a bootstrap over questions; n: questions scored",
        ),
    )


def _datasets(entries: Sequence[Entry], catalogue: Catalogue) -> list[_Dataset]:
    """The datasets of all runs, single-hop first; one name in two editions is two datasets."""
    pairs = dict.fromkeys(
        (sample.task, sample.edition) for entry in entries for sample in entry.spec.tasks
    )
    names = Counter(task for task, _ in pairs)
    datasets = []
    for task, edition in pairs:
        title = printable(catalogue.title(task), 40)
        if names[task] > 1:
            title += f" ({edition})"
        datasets.append(_Dataset(task, edition, title, _group(catalogue.tasks.get(task))))
    if {dataset.group for dataset in datasets} == {OTHER}:
        return [dataset._replace(group="") for dataset in datasets]
    order = [*_GROUPS.values(), OTHER]
    return sorted(datasets, key=lambda dataset: order.index(dataset.group))


def _group(info: TaskInfo | None) -> str:
    names = info.groups if info else ()
    return next((title for name, title in _GROUPS.items() if name in names), OTHER)


def _line(entry: Entry, layout: _Layout) -> _Line:
    scores = {}
    for sample in entry.spec.tasks:
        dataset = next(d for d in layout.datasets if d[:2] == (sample.task, sample.edition))
        for metric in layout.metrics:
            scores[dataset, metric] = measure(entry, sample, metric)
    # As in Table 1, only a run with all datasets has an average.
    averages = {}
    if layout.averaged and {dataset for dataset, _ in scores} == set(layout.datasets):
        for metric in layout.metrics:
            means = [scores[dataset, metric][0] for dataset in layout.datasets]
            averages[metric] = macro_average(means)
    return _Line(entry, scores, averages)


def _contests(lines: Sequence[_Line], layout: _Layout) -> _Contests:
    """The best run of each column; for the average, among the runs with all datasets.

    Sub-questions are not tested: those of one main question are not independent of one another.
    """
    tested = [dataset for dataset in layout.datasets if not asks_subquestions(dataset.task)]
    runs: dict[tuple[_Dataset, str], dict[str, Scores]] = {}
    for metric in layout.metrics:
        for line in lines:
            scores = line.entry.scores_by_question(metric)
            by_dataset = {
                dataset: {key: score for key, score in scores.items() if key[0] == dataset.task}
                for dataset in tested
                if (dataset, metric) in line.scores
            }
            for dataset, own in by_dataset.items():
                if own:
                    runs.setdefault((dataset, metric), {})[line.entry.name] = [own]
            complete = len(by_dataset) == len(layout.datasets) and all(by_dataset.values())
            if layout.averaged and complete:
                runs.setdefault((_AVERAGE, metric), {})[line.entry.name] = [*by_dataset.values()]
    return best_runs(runs)


def _values(line: _Line, layout: _Layout, contests: _Contests) -> Iterator[Value]:
    yield _count_cell(line, layout.metrics)
    for dataset, metric in layout.score_columns():
        contest = contests.get((dataset, metric))
        strong = bool(contest and contest.decided and contest.run == line.entry.name)
        if dataset == _AVERAGE:
            mean = line.averages.get(metric)
            marked = any(
                missing for (_, name), (_, missing) in line.scores.items() if name == metric
            )
        else:
            mean, missing = line.scores.get((dataset, metric), (None, None))
            marked = bool(missing)
        yield score_cell(mean, marked, strong) if mean else None


def _count_cell(line: _Line, metrics: Sequence[str]) -> Cell:
    """Questions scored, by the metric that scored fewest, and their share if under 100 %."""
    by_metric = [
        [mean for (_, name), (mean, _) in line.scores.items() if name == metric]
        for metric in metrics
    ]
    n = min(sum(mean.n for mean in means) for means in by_metric)
    if not any(missing for _, missing in line.scores.values()):
        return Cell(f"{n:,}")
    planned = sum(mean.planned for mean in by_metric[0])
    return Cell(f"{n:,}{MARK}", f"{100 * n / max(planned, 1):.1f} %")


def _add_points(builder: TableBuilder, line: _Line) -> None:
    means = {column: mean for column, (mean, _) in line.scores.items()}
    means |= {(_AVERAGE, metric): average for metric, average in line.averages.items()}
    for (dataset, metric), mean in means.items():
        builder.add_estimate(
            line.entry,
            metric,
            mean,
            task=dataset.task,
            edition=dataset.edition,
            planned=mean.planned,
            coverage=mean.coverage,
        )


def _add_notes(
    builder: TableBuilder, lines: Sequence[_Line], layout: _Layout, contests: _Contests
) -> None:
    if contests:
        decided = sum(contest.decided for contest in contests.values())
        builder.add_note(
            "bold: better than each other run of the column, by paired tests over the questions of "
            "both (McNemar's exact where scores are 0 or 1, else a bootstrap over questions), "
            f"p < 0.05 after Holm's correction for {len(contests)} columns; {decided or 'none'} of "
            f"them {'has' if decided <= 1 else 'have'} such a run"
        )
    if layout.averaged:
        builder.add_note(
            f"average: the unweighted mean over the {len(layout.datasets)} datasets, as in the "
            "paper's Table 1; only for runs with a score on each of them"
        )
    for line in lines:
        gaps = _gaps(line, layout.metrics)
        if gaps:
            builder.add_note(missing_note(line.entry, gaps))


def _gaps(line: _Line, metrics: Sequence[str]) -> str:
    """Why answers have no score, by dataset; metrics share the faults of the harness."""
    parts = []
    for dataset in dict.fromkeys(dataset for dataset, _ in line.scores):
        missing: Missing = Counter()
        for metric in metrics:
            missing |= line.scores[dataset, metric][1]
        if missing:
            parts.append(f"{dataset.title} ({reasons_text(missing)})")
    return "; ".join(parts)
