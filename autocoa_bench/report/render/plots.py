"""The plots of a report's tables as data, which `plot_figures` draws for files and for the page."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from autocoa_bench.report.model import DataPoint, Table, metric_title
from autocoa_bench.scoring.evidence import CAUSES

CAUSE_ORDER = (*CAUSES, "not traced")
"""Causes of wrong answers, in the order of a stack."""

_WRONG = ":wrong:"


class Point(NamedTuple):
    """A share in [0, 1] with its 95 % interval and its number of questions, over a whole number."""

    x: int
    share: float
    low: float | None = None
    high: float | None = None
    n: int | None = None


class Series(NamedTuple):
    """The points of a run. `number` counts the report's runs and decides colour and marker."""

    name: str
    number: int
    points: tuple[Point, ...]


class IntervalPlot(NamedTuple):
    """Means with their intervals: a panel per caption, a series of one point per run."""

    name: str
    panels: Mapping[str, Sequence[Series]]


class ActionPlot(NamedTuple):
    """Shares over the number of actions, as curves with their intervals or as bars."""

    name: str
    caption: str
    x_title: str
    series: Sequence[Series]
    bars: bool = False


class StackPlot(NamedTuple):
    """The number of each run's wrong answers by cause, where it has any."""

    name: str
    caption: str
    stacks: Mapping[str, Mapping[str, int]]


Plot = IntervalPlot | ActionPlot | StackPlot
"""The `name` is unique among a report's plots and can name a file."""


def plots(table: Table, runs: Sequence[str], titles: Mapping[str, str]) -> list[Plot]:
    """A table's plots; empty for a table that has none or holds no number.

    `runs` names all runs of the report, so that a run has the same colour in every plot. `titles`
    maps the names of tasks to their titles.
    """
    match table.name:
        case "leaderboard" | "temporal":
            return _dataset_plots(table, runs, titles)
        case "actions":
            return _action_plots(table.data_points, runs)
        case "evidence":
            return _evidence_plots(table.data_points, runs)
        case "acting":
            return _interval_plots(table, runs, _acting_caption)
        case _:
            return []


def _interval_plots(
    table: Table, runs: Sequence[str], caption_of: Callable[[DataPoint], str | None]
) -> list[Plot]:
    """The points that have an interval, by caption; points without one are left out.

    Returns at most one plot.
    """
    panels: dict[str, list[Series]] = {}
    for point in table.data_points:
        caption = caption_of(point)
        if caption and point.mean is not None and point.low is not None:
            mean = Point(0, point.mean, point.low, point.high, point.n)
            series = Series(point.run, runs.index(point.run), (mean,))
            panels.setdefault(caption, []).append(series)
    return [IntervalPlot(table.name, panels)] if panels else []


def _dataset_plots(table: Table, runs: Sequence[str], titles: Mapping[str, str]) -> list[Plot]:
    """A panel per dataset and one for the average, on the first metric; then the gaps."""
    editions = {point.edition for point in table.data_points if point.edition}

    def caption(point: DataPoint) -> str | None:
        title = titles.get(point.task, point.task.capitalize())
        if len(editions) > 1 and point.edition:
            title = f"{title} ({point.edition})"
        if point.metric.endswith(":gap"):
            return f"{title}, compositionality gap %"
        is_first = point.metric == table.data_points[0].metric
        return f"{title}, {metric_title(point.metric)} %" if is_first else None

    return _interval_plots(table, runs, caption)


def _acting_caption(point: DataPoint) -> str | None:
    kind, _, metric = point.metric.partition(":")
    if metric == "searched":
        return f"{kind}: searched %"
    return None if ":" in metric else f"{kind}: {metric_title(metric)} %"


def _action_plots(points: Sequence[DataPoint], runs: Sequence[str]) -> list[Plot]:
    """Figures 3a and 3b of the paper."""
    plots: list[Plot] = []
    if correct := _series(points, runs, ":share_of_correct"):
        caption = "Figure 3a: correct answers by number of actions, % of each run's"
        plots.append(ActionPlot("figure-3a", caption, "actions", correct, bars=True))
    if success := _series(points, runs, ":success_rate"):
        caption = "Figure 3b: success by number of actions, %, with 95 % intervals"
        plots.append(ActionPlot("figure-3b", caption, "actions", success))
    return plots


def _evidence_plots(points: Sequence[DataPoint], runs: Sequence[str]) -> list[Plot]:
    """Recall of gold passages by number of actions, and the causes of wrong answers."""
    # The last point of a run names all of its tasks: "all", or its only one.
    all_tasks = {point.run: point.task for point in points}
    points = [point for point in points if point.task == all_tasks[point.run]]
    plots: list[Plot] = []
    recall = [point for point in points if point.actions is not None]
    if series := _series(recall, runs, "gold_passages_shown"):
        caption = "Gold passages shown within a number of actions, %, with 95 % intervals"
        plots.append(ActionPlot("gold-passages", caption, "actions", series))
    wrong: dict[str, dict[str, int]] = {run: {} for run in runs}
    for point in points:
        if _WRONG in point.metric and point.total:
            cause = point.metric.partition(_WRONG)[2].replace("_", " ")
            wrong[point.run][cause] = int(point.total)
    if stacks := {run: causes for run, causes in wrong.items() if causes}:
        plots.append(StackPlot("wrong-answers", "Causes of wrong answers", stacks))
    return plots


def _series(points: Sequence[DataPoint], runs: Sequence[str], metric: str) -> list[Series]:
    """A series for each run with points whose metric ends in `metric`."""
    series = []
    for number, run in enumerate(runs):
        run_points = tuple(
            Point(point.actions or 0, point.mean, point.low, point.high, point.n)
            for point in points
            if point.run == run and point.metric.endswith(metric) and point.mean is not None
        )
        if run_points:
            series.append(Series(run, number, run_points))
    return series
