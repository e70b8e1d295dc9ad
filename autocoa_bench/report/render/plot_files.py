"""A report's plots as files for a paper, drawn by matplotlib (extra `plots`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autocoa_bench.errors import MissingExtra, UserError
from autocoa_bench.report.entries import make_catalogue, make_entries, task_titles
from autocoa_bench.report.model import Report
from autocoa_bench.report.render.plots import (
    PARTS,
    Bars,
    Curves,
    Line,
    Panels,
    Plot,
    Series,
    Stacks,
    plots,
)
from autocoa_bench.runs.run_folder import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "pdf", "png")

_COLOURS = ("#0072b2", "#c8500a", "#00805e", "#9b4a8f", "#8a6a00", "#4d4d4d")
_MARKERS = "osD^vP"
_HATCHES = ("", "//", "..", "xx", "--", "\\\\")
_COLUMN = 3.4
"""Inches: a paper's column."""
_LOOK: dict[Any, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "autocoa-bench",
    "pdf.fonttype": 42,
}


def write_plots(report: Report, runs: Sequence[Run], folder: Path) -> list[Path]:
    """Draw every plot of a report of these runs, each as .svg, .pdf and .png (300 dpi).

    Returns the files; the same report gives the same files. Raises UserError where there is
    nothing to draw or the folder cannot be written, and MissingExtra.
    """
    try:
        from matplotlib import rc_context
    except ImportError:
        raise MissingExtra("plots as files", "plots") from None
    known = make_catalogue(runs)
    listed = make_entries(runs, known)
    names, titles = [entry.name for entry in listed], task_titles(listed, known)
    found = [each for table in report.tables for each in plots(table, names, titles)]
    if not found:
        tables = ", ".join(table.name for table in report.tables)
        raise UserError(
            f"there is nothing to draw of {tables}; plots are of leaderboard, actions, evidence, "
            "acting and temporal"
        )
    with rc_context(_LOOK):
        return [file for plot in found for file in _saved(_drawn(plot), folder, plot.name)]


def _saved(figure: Figure, folder: Path, name: str) -> Iterator[Path]:
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for suffix in FORMATS:
            file = folder / f"{name}.{suffix}"
            figure.savefig(file, dpi=300, metadata=undated.get(suffix))
            yield file
    except OSError as error:
        raise UserError(f"cannot write plots to '{folder}': {error.strerror}") from None


def _drawn(plot: Plot) -> Figure:
    match plot:
        case Panels():
            return _panels(plot)
        case Bars() | Curves():
            return _over_actions(plot)
        case Stacks():
            return _stacks(plot)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _panels(plot: Panels) -> Figure:
    """Panels side by side, at most three in a row; runs are named in the first of each row."""
    wide = min(3, len(plot.panels))
    rows = -(-len(plot.panels) // wide)
    lines = max(map(len, plot.panels.values()))
    figure = _figure(_COLUMN if wide == 1 else 2 * _COLUMN, rows * (0.55 + 0.24 * lines))
    axes = figure.subplots(rows, wide, squeeze=False, sharex=True).flat
    names = list(dict.fromkeys(line.name for each in plot.panels.values() for line in each))
    for at, (caption, found) in enumerate(plot.panels.items()):
        _panel(axes[at], caption, found, names, named=at % wide == 0)
        axes[at].tick_params(labelbottom=at + wide >= len(plot.panels))
    for empty in axes[len(plot.panels) :]:
        empty.set_visible(False)
    return figure


def _panel(
    axes: Axes, caption: str, lines: Sequence[Line], names: Sequence[str], named: bool
) -> None:
    for line in lines:
        axes.errorbar(
            100 * line.mean,
            names.index(line.name),
            xerr=_whiskers([(line.mean, line.low, line.high)]),
            fmt=_MARKERS[line.number % len(_MARKERS)],
            color=_colour(line.number),
            markersize=4,
            capsize=2,
        )
    axes.set_title(caption, loc="left", fontsize=8)
    axes.set(xlim=(0, 100), ylim=(len(names) - 0.5, -0.5))
    axes.set_yticks(range(len(names)), names if named else [""] * len(names))
    axes.grid(visible=False, axis="y")


def _over_actions(plot: Bars | Curves) -> Figure:
    from matplotlib.ticker import MaxNLocator

    figure = _figure(_COLUMN, 0.72 * _COLUMN + 0.17 * len(plot.series))
    axes = figure.subplots()
    each_draws = _bars if isinstance(plot, Bars) else _curve
    for at, series in enumerate(plot.series):
        each_draws(axes, series, at, len(plot.series))
    axes.set(xlabel=plot.x_title, ylim=(0, None))
    axes.set_title(plot.caption, loc="left", fontsize=8, wrap=True)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center")  # names of runs are too long to stand beside bars
    return figure


def _bars(axes: Axes, series: Series, at: int, of: int) -> None:
    width = 0.8 / of
    axes.bar(
        [point.x + (at - (of - 1) / 2) * width for point in series.points],
        [100 * point.y for point in series.points],
        width,
        color=_colour(series.number),
        hatch=_HATCHES[series.number % len(_HATCHES)],
        edgecolor="white",
        linewidth=0.3,
        label=series.name,
    )


def _curve(axes: Axes, series: Series, at: int, of: int) -> None:
    shift = (at - (of - 1) / 2) * 0.08
    bounds = [
        (point.y, point.y if point.low is None else point.low, point.high or point.y)
        for point in series.points
    ]
    axes.errorbar(
        [point.x + shift for point in series.points],
        [100 * point.y for point in series.points],
        yerr=_whiskers(bounds),
        marker=_MARKERS[series.number % len(_MARKERS)],
        color=_colour(series.number),
        markersize=4,
        capsize=2,
        linewidth=1,
        label=series.name,
    )


def _whiskers(bounds: Sequence[tuple[float, float, float]]) -> list[list[float]]:
    """How far each (mean, low, high) reaches down and up, in percent."""
    below = [100 * max(0.0, mean - low) for mean, low, _ in bounds]
    return [below, [100 * max(0.0, high - mean) for mean, _, high in bounds]]


def _stacks(plot: Stacks) -> Figure:
    figure = _figure(2 * _COLUMN, 0.9 + 0.3 * len(plot.stacks))
    axes = figure.subplots()
    ends = dict.fromkeys(plot.stacks, 0.0)
    for number, part in enumerate(PARTS):
        shares = [
            100 * numbers.get(part, 0) / sum(numbers.values()) for numbers in plot.stacks.values()
        ]
        axes.barh(
            list(ends),
            shares,
            left=list(ends.values()),
            color=_colour(number),
            hatch=_HATCHES[number % len(_HATCHES)],
            edgecolor="white",
            linewidth=0.3,
            label=part,
        )
        ends = dict(zip(ends, map(float.__add__, ends.values(), shares), strict=True))
    axes.invert_yaxis()
    axes.set(xlim=(0, 100), xlabel="% of a run's wrong answers")
    axes.grid(visible=False, axis="y")
    axes.set_title(plot.caption, loc="left", fontsize=8)
    figure.legend(loc="outside lower center", ncols=len(PARTS))
    return figure
