"""Methods by datasets and metrics as the paper's Table 1, with the best of each column tested."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.entries import (
    OTHER,
    Catalogue,
    Entry,
    Inputs,
    Missing,
    QuestionKey,
    measure,
)
from autocoa_bench.report.model import (
    MARK,
    Cell,
    Table,
    Value,
    cell_text,
    columns,
    metric_title,
    score_cell,
)
from autocoa_bench.report.notes import missing_note, reasons_text
from autocoa_bench.stats import LEVEL, Estimate, holm, in_common, macro_average, paired_test
from autocoa_bench.tasks.subquestions import asks_subquestions

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


_Scores = dict[tuple[_Dataset, str], tuple[Estimate, Missing]]
"""A run's means and missing answers by dataset and metric, and its averages if it has any."""

_RunScores = Sequence[Mapping[QuestionKey, float]]
"""A run's scores by question, one mapping per dataset; none is empty."""


class _Contest(NamedTuple):
    """A column's best run, and the largest p of its tests against the other runs, corrected.

    Where a test finds no difference, its p: the remaining tests are not made.
    """

    run: str
    p: float

    @property
    def decided(self) -> bool:
        """True if the best run is significantly better than each other run."""
        return self.p < LEVEL


_Contests = dict[tuple[_Dataset, str], _Contest]


def leaderboard(inputs: Inputs) -> Table:
    """The table of runs by datasets and metrics (paper, Table 1)."""
    builder = TableBuilder("leaderboard", inputs.entries)
    datasets = _datasets(builder.entries, inputs.catalogue)
    # A sub-question is part of its main question, so the two are not averaged as if separate.
    averaged = len(datasets) > 1 and not any(
        asks_subquestions(dataset.task) for dataset in datasets
    )
    layout = _Layout(datasets, inputs.metrics, averaged)
    contests = _contests(builder.entries, layout)
    if contests:
        decided = sum(contest.decided for contest in contests.values())
        have = "has" if decided <= 1 else "have"
        builder.add_text("bold", columns=len(contests), runs=decided or "none", have=have)
    if averaged:
        builder.add_text("average", datasets=len(datasets))
    for entry in builder.entries:
        _add_run(builder, entry, layout, contests)
    return builder.build_with_legend(
        columns=columns(
            ("", "", "n"),
            *(
                (dataset.group, dataset.title, metric_title(metric))
                for dataset, metric in layout.score_columns()
            ),
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
        title = cell_text(catalogue.title(task), 40)
        if names[task] > 1:
            title += f" ({edition})"
        own_groups = catalogue.tasks[task].groups if task in catalogue.tasks else ()
        group = next((text for name, text in _GROUPS.items() if name in own_groups), OTHER)
        datasets.append(_Dataset(task, edition, title, group))
    if {dataset.group for dataset in datasets} == {OTHER}:
        return [dataset._replace(group="") for dataset in datasets]
    order = [*_GROUPS.values(), OTHER]
    return sorted(datasets, key=lambda dataset: order.index(dataset.group))


def _scores(entry: Entry, layout: _Layout) -> _Scores:
    scores = {}
    for sample in entry.spec.tasks:
        dataset = next(d for d in layout.datasets if d[:2] == (sample.task, sample.edition))
        for metric in layout.metrics:
            scores[dataset, metric] = measure(entry, sample, metric)
    # As in Table 1, only a run with all datasets has an average.
    if layout.averaged and {dataset for dataset, _ in scores} == set(layout.datasets):
        for metric in layout.metrics:
            means, missing = zip(*(scores[d, metric] for d in layout.datasets), strict=True)
            scores[_AVERAGE, metric] = macro_average(means), sum(missing, Counter())
    return scores


def _contests(entries: Sequence[Entry], layout: _Layout) -> _Contests:
    """The best run of each column; for the average, among the runs with all datasets.

    Sub-questions are not tested: those of one main question are not independent of one another.
    """
    runs: dict[tuple[_Dataset, str], dict[str, _RunScores]] = {}
    for metric in layout.metrics:
        for entry in entries:
            samples = {(sample.task, sample.edition) for sample in entry.spec.tasks}
            scores = entry.scores_by_question(metric)
            by_dataset = {
                dataset: {key: score for key, score in scores.items() if key[0] == dataset.task}
                for dataset in layout.datasets
                if dataset[:2] in samples and not asks_subquestions(dataset.task)
            }
            columns = {dataset: [scores] for dataset, scores in by_dataset.items() if scores}
            if layout.averaged and len(columns) == len(layout.datasets):
                columns[_AVERAGE] = list(by_dataset.values())
            for dataset, column in columns.items():
                runs.setdefault((dataset, metric), {})[entry.name] = column
    return _best_runs(runs)


def _best_runs(columns: Mapping[tuple[_Dataset, str], Mapping[str, _RunScores]]) -> _Contests:
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


def _contest(runs: Mapping[str, _RunScores]) -> _Contest:
    means = {run: fmean(fmean(dataset.values()) for dataset in runs[run]) for run in runs}
    best, *rivals = sorted(runs, key=means.__getitem__, reverse=True)
    largest = 0.0
    for rival in rivals:
        largest = max(largest, _p_value(runs[best], runs[rival]))
        if largest >= LEVEL:  # no correction makes it smaller
            break
    return _Contest(best, largest)


def _p_value(best: _RunScores, rival: _RunScores) -> float:
    """The test's p; 1 if there are no common questions or the best is not better on them."""
    pairs = [in_common(ours, theirs) for ours, theirs in zip(best, rival, strict=True)]
    if not all(pairs):
        return 1.0
    lead = fmean(fmean(our - their for our, their in dataset) for dataset in pairs)
    return paired_test(pairs) if lead > 0 else 1.0


def _add_run(builder: TableBuilder, entry: Entry, layout: _Layout, contests: _Contests) -> None:
    scores = _scores(entry, layout)
    values: list[Value] = [_count_cell(scores, layout)]
    for dataset, metric in layout.score_columns():
        contest = contests.get((dataset, metric))
        strong = bool(contest and contest.decided and contest.run == entry.name)
        mean, missing = scores.get((dataset, metric), (None, None))
        values.append(score_cell(mean, bool(missing), strong) if mean else None)
    builder.add_method(entry, values)
    for (dataset, metric), (mean, _) in scores.items():
        fields = {"task": dataset.task, "edition": dataset.edition}
        builder.add_covered(entry, metric, mean, **fields)
    gaps = _gaps(scores, layout)
    if gaps:
        builder.add_note(missing_note(entry, gaps))


def _count_cell(scores: _Scores, layout: _Layout) -> Cell:
    """Questions scored, by the metric that scored fewest, and their share if under 100 %."""
    by_metric = [
        [scores[dataset, metric][0] for dataset in layout.datasets if (dataset, metric) in scores]
        for metric in layout.metrics
    ]
    n = min(sum(mean.n for mean in means) for means in by_metric)
    if not any(missing for _, missing in scores.values()):
        return Cell(f"{n:,}")
    planned = sum(mean.planned for mean in by_metric[0])
    return Cell(f"{n:,}{MARK}", f"{100 * n / max(planned, 1):.1f} %")


def _gaps(scores: _Scores, layout: _Layout) -> str:
    """Why answers have no score, by dataset; metrics share the faults of the harness."""
    parts = []
    for dataset in dict.fromkeys(dataset for dataset, _ in scores if dataset != _AVERAGE):
        missing: Missing = Counter()
        for metric in layout.metrics:
            missing |= scores[dataset, metric][1]
        if missing:
            parts.append(f"{dataset.title} ({reasons_text(missing)})")
    return "; ".join(parts)
