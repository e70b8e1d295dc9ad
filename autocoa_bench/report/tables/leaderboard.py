"""Methods by datasets and metrics, laid out as the paper's Table 1."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from autocoa_bench.report.comparison.significance import Contest, Scores, contests
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
    NOTHING,
    Cell,
    Column,
    DataPoint,
    Row,
    Section,
    Table,
    printable,
    score_cell,
)
from autocoa_bench.report.notes import shared_notes, title_with_model
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import Estimate, macro_average
from autocoa_bench.tasks.subquestions import asks_subquestions
from autocoa_bench.types import TaskInfo

_GROUPS = {"singlehop": "Single-hop QA", "multihop": "Multi-hop QA"}
_READING = (
    "percent, each mean with its 95 % interval, rounded: Wilson's where every question scores "
    "0 or 1, else a bootstrap over questions; n: questions scored"
)


class _Dataset(NamedTuple):
    task: str
    edition: str
    title: str
    group: str


class _Line(NamedTuple):
    """A run's measurements by dataset and metric."""

    entry: Entry
    found: dict[tuple[_Dataset, str], tuple[Estimate, Missing]]


_Contests = dict[tuple[_Dataset | None, str], Contest]
"""By dataset (None: the average) and metric."""


def leaderboard(
    runs: Sequence[Run],
    metrics: Sequence[str] = ("em", "f1"),
    catalogue: Catalogue = EMPTY_CATALOGUE,
) -> Table:
    """The table of runs by datasets and metrics (paper, Table 1)."""
    found = make_entries(runs, catalogue)
    datasets = _datasets(found, catalogue)
    lines = [_line(entry, datasets, metrics) for entry in found]
    columns = [Column(("", "", "n"))]
    columns += [Column((d.group, d.title, metric_title(m))) for d in datasets for m in metrics]
    # A sub-question is no dataset of its own beside the question that it is part of.
    averaged = len(datasets) > 1 and not any(asks_subquestions(each.task) for each in datasets)
    if averaged:
        columns += [Column(("", "Average", metric_title(m))) for m in metrics]
    decided = _contests(lines, datasets, metrics, averaged)
    return Table(
        name="leaderboard",
        title=title_with_model("Leaderboard", found),
        stub="Method",
        columns=tuple(columns),
        sections=_sections(lines, datasets, metrics, averaged, decided),
        notes=(
            _READING,
            *([_bold(decided)] if decided else []),
            *_notes(lines, datasets, metrics, averaged),
            *shared_notes(found),
        ),
        data_points=tuple(
            fact for line in lines for fact in _facts(line, datasets, metrics, averaged)
        ),
        lead=1,
    )


def metric_title(name: str) -> str:
    """A scorer's name as a heading."""
    return name.upper() if len(name) <= 3 else name.replace("_", " ")


def _datasets(found: Sequence[Entry], catalogue: Catalogue) -> list[_Dataset]:
    """The datasets of all runs, single-hop first; the same name in two editions is two."""
    pairs = dict.fromkeys((s.task, s.edition) for entry in found for s in entry.spec.tasks)
    names = Counter(task for task, _ in pairs)
    datasets = []
    for task, edition in pairs:
        info = catalogue.tasks.get(task)
        title = printable(info.title if info else task, 40)
        if names[task] > 1:
            title += f" ({edition})"
        datasets.append(_Dataset(task, edition, title, _group(info)))
    if {dataset.group for dataset in datasets} == {OTHER}:
        return [dataset._replace(group="") for dataset in datasets]
    order = [*_GROUPS.values(), OTHER]
    return sorted(datasets, key=lambda dataset: order.index(dataset.group))


def _group(info: TaskInfo | None) -> str:
    names = info.groups if info else ()
    return next((title for name, title in _GROUPS.items() if name in names), OTHER)


def _line(entry: Entry, datasets: Sequence[_Dataset], metrics: Sequence[str]) -> _Line:
    found = {}
    for sample in entry.spec.tasks:
        dataset = next(d for d in datasets if d[:2] == (sample.task, sample.edition))
        for metric in metrics:
            found[dataset, metric] = measure(entry, sample, metric)
    return _Line(entry, found)


def _contests(
    lines: Sequence[_Line], datasets: Sequence[_Dataset], metrics: Sequence[str], averaged: bool
) -> _Contests:
    """The best run of each column; an average's runs are those with all datasets.

    Sub-questions are not tested: those of one main question are not independent of one another.
    """
    tested = [dataset for dataset in datasets if not asks_subquestions(dataset.task)]
    columns: dict[tuple[_Dataset | None, str], dict[str, Scores]] = {}
    for metric in metrics:
        for line in lines:
            scores = line.entry.by_question(metric)
            by_task = {
                dataset: {key: score for key, score in scores.items() if key[0] == dataset.task}
                for dataset in tested
                if (dataset, metric) in line.found
            }
            for dataset, each in by_task.items():
                if each:
                    columns.setdefault((dataset, metric), {})[line.entry.name] = [each]
            if averaged and len(by_task) == len(datasets) and all(by_task.values()):
                columns.setdefault((None, metric), {})[line.entry.name] = list(by_task.values())
    return contests(columns)


def _bold(decided: _Contests) -> str:
    """What bold means, and in how many columns a run earned it."""
    won = sum(contest.decided for contest in decided.values())
    return (
        "bold: better than each other run of the column, by paired tests over the questions of "
        "both (McNemar's exact where scores are 0 or 1, else a bootstrap over questions), p < 0.05 "
        f"after Holm's correction for {len(decided)} columns; {won or 'none'} of them "
        f"{'has' if won <= 1 else 'have'} such a run"
    )


def _sections(
    lines: Sequence[_Line],
    datasets: Sequence[_Dataset],
    metrics: Sequence[str],
    averaged: bool,
    decided: _Contests,
) -> tuple[Section, ...]:
    rows: dict[str, list[Row]] = {}
    for line in lines:
        cells = [_count_cell(line, metrics)]
        for dataset in (*datasets, *([None] if averaged else [])):
            for metric in metrics:
                cell = _score_cell(line, datasets, dataset, metric)
                contest = decided.get((dataset, metric))
                strong = bool(contest and contest.decided and contest.run == line.entry.name)
                cells.append(replace(cell, strong=strong))
        label = Cell(line.entry.label, line.entry.model)
        rows.setdefault(line.entry.section, []).append(Row(label, tuple(cells)))
    return tuple(Section(title, tuple(found)) for title, found in rows.items())


def _count_cell(line: _Line, metrics: Sequence[str]) -> Cell:
    """Questions scored, by the metric that scored fewest, and their share if under 100 %."""
    by_metric = [
        [found for (_, name), (found, _) in line.found.items() if name == metric]
        for metric in metrics
    ]
    n = min(sum(found.n for found in each) for each in by_metric)
    if not any(missing for _, missing in line.found.values()):
        return Cell(f"{n:,}")
    planned = sum(found.planned for found in by_metric[0])
    return Cell(f"{n:,}{MARK}", f"{100 * n / max(planned, 1):.1f} %")


def _average(line: _Line, datasets: Sequence[_Dataset], metric: str) -> Estimate | None:
    """Table 1's Average, where the run has all datasets shown."""
    if any((dataset, metric) not in line.found for dataset in datasets):
        return None
    return macro_average([line.found[dataset, metric][0] for dataset in datasets])


def _score_cell(
    line: _Line, datasets: Sequence[_Dataset], dataset: _Dataset | None, metric: str
) -> Cell:
    """A dataset's mean, or the average (None) over all of them."""
    if dataset is None:
        average = _average(line, datasets, metric)
        marked = average is not None and any(line.found[d, metric][1] for d in datasets)
        return score_cell(average, marked) if average else Cell(NOTHING)
    found = line.found.get((dataset, metric))
    return score_cell(found[0], bool(found[1])) if found else Cell(NOTHING)


def _notes(
    lines: Sequence[_Line], datasets: Sequence[_Dataset], metrics: Sequence[str], averaged: bool
) -> list[str]:
    notes = []
    if averaged:
        notes.append(
            f"average: the unweighted mean over the {len(datasets)} datasets, as in the paper's "
            "Table 1; only for runs with a score on each of them"
        )
    for line in lines:
        gaps = _gaps(line, metrics)
        if gaps:
            notes.append(f"{MARK} {line.entry.name}: fewer answers than planned: {gaps}")
    return notes


def _gaps(line: _Line, metrics: Sequence[str]) -> str:
    """Why answers have no score, by dataset; metrics share their harness faults."""
    parts = []
    for dataset in dict.fromkeys(dataset for dataset, _ in line.found):
        reasons: Missing = Counter()
        for metric in metrics:
            reasons |= line.found[dataset, metric][1]
        if reasons:
            said = ", ".join(f"{reason} {number}" for reason, number in reasons.most_common())
            parts.append(f"{dataset.title} ({said})")
    return "; ".join(parts)


def _facts(
    line: _Line, datasets: Sequence[_Dataset], metrics: Sequence[str], averaged: bool
) -> list[DataPoint]:
    facts = [
        _fact(line.entry, metric, dataset.task, dataset.edition, found)
        for (dataset, metric), (found, _) in line.found.items()
    ]
    for metric in metrics if averaged else ():
        average = _average(line, datasets, metric)
        if average is not None:
            facts.append(_fact(line.entry, metric, "average", "", average))
    return facts


def _fact(entry: Entry, metric: str, task: str, edition: str, found: Estimate) -> DataPoint:
    return entry.estimated(
        "leaderboard",
        metric,
        found,
        task=task,
        edition=edition,
        planned=found.planned,
        coverage=found.coverage,
    )
