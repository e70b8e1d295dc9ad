"""Figures of a report's plots, drawn by matplotlib: files for a paper, and SVG for the page."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode

from autocoa_bench.errors import UserError
from autocoa_bench.report.entries import make_catalogue, make_entries, task_titles
from autocoa_bench.report.model import Report
from autocoa_bench.report.render.layout import fold
from autocoa_bench.report.render.plots import (
    CAUSE_ORDER,
    ActionPlot,
    IntervalPlot,
    Plot,
    Point,
    Series,
    StackPlot,
    plots,
)
from autocoa_bench.runs.run_folder import Run

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

FILE_FORMATS = ("svg", "pdf", "png")
COLOURS = ("#0072b2", "#c8500a", "#00805e", "#9b4a8f", "#8a6a00", "#4d4d4d")
INK, QUIET, RULE, PAPER = "#191c21", "#545c69", "#d9dde3", "#ffffff"
"""Colours of the runs; then of text, axes, grid and background, as plots.mplstyle has them."""

_MARKERS = "osD^vP"
_HATCHES = ("", "///", "...", "xxx", "---", "\\\\\\")
_COLUMN = 3.4
_PANEL = 2.3
"""Widths in inches: of a column in a paper, and of a panel."""
_LINE = 0.13
"""The height of a line of text in inches."""

_STYLE = Path(__file__).with_name("plots.mplstyle")


class Mark(NamedTuple):
    """An element of a figure in words; `query` selects the trajectories that it counts."""

    text: str
    query: str = ""


class Drawing:
    """A figure and its marks by group id: the `gid` of the artists that a mark describes."""

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(width, height), layout="constrained")
        self.marks: dict[str, Mark] = {}

    def mark(self, text: str, query: str = "") -> str:
        """Add a mark and return its group id."""
        gid = f"mark-{len(self.marks)}"
        self.marks[gid] = Mark(text, query)
        return gid


def write_plots(report: Report, runs: Sequence[Run], folder: Path) -> list[Path]:
    """Draw the plots of a report on these runs, each as .svg, .pdf and .png (300 dpi).

    Returns the files; the same report gives the same bytes. Raises UserError if the report has
    nothing to draw or the folder cannot be written.
    """
    catalogue = make_catalogue(runs)
    entries = make_entries(runs, catalogue)
    names, titles = [entry.name for entry in entries], task_titles(entries, catalogue)
    to_draw = [plot for table in report.tables for plot in plots(table, names, titles)]
    if not to_draw:
        tables = ", ".join(table.name for table in report.tables)
        raise UserError(
            f"there is nothing to draw for {tables}; the tables with plots are leaderboard, "
            "actions, evidence, acting and temporal"
        )
    undated = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
    files = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for plot in to_draw:
            with _style(plot.name):
                figure = _draw(plot).figure
                for artist in figure.findobj():
                    artist.set_gid(None)  # only the page reads the marks
                for suffix in FILE_FORMATS:
                    files.append(folder / f"{plot.name}.{suffix}")
                    figure.savefig(files[-1], dpi=300, metadata=undated.get(suffix))
    except OSError as error:
        raise UserError(f"cannot write plots to '{folder}': {error.strerror}") from None
    return files


def svg(plot: Plot, salt: str) -> tuple[bytes, dict[str, Mark]]:
    """A plot as an SVG document, with its marks by the id of their `g` elements.

    The document's other ids derive from `salt`: plots on one page need salts of their own.
    """
    content = BytesIO()
    with _style(salt):
        drawing = _draw(plot)
        drawing.figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue(), drawing.marks


@contextmanager
def _style(salt: str) -> Iterator[None]:
    from matplotlib import style

    with style.context([_STYLE, {"svg.hashsalt": salt}]), warnings.catch_warnings():
        # Names may need glyphs that matplotlib's font lacks; in SVG the reader's font has them.
        warnings.filterwarnings("ignore", message="Glyph")
        yield


def _draw(plot: Plot) -> Drawing:
    if isinstance(plot, IntervalPlot):
        return _draw_intervals(plot)
    return _draw_actions(plot) if isinstance(plot, ActionPlot) else _draw_stacks(plot)


def _draw_intervals(plot: IntervalPlot) -> Drawing:
    """Panels side by side, at most three in a row."""
    columns = min(3, len(plot.panels))
    rows = -(-len(plot.panels) // columns)
    ends = {
        caption: _line_ends([fold(series.name, 27) for series in panel], 0.2)
        for caption, panel in plot.panels.items()
    }
    height = max(panel_ends[-1] for panel_ends in ends.values())
    drawing = Drawing(_PANEL * columns, rows * (height + 0.45))
    all_axes = drawing.figure.subplots(rows, columns, squeeze=False).flat
    for axes, (caption, panel) in zip(all_axes, plot.panels.items(), strict=False):
        _prepare_lines(axes, caption, height)
        for series, end in zip(panel, ends[caption], strict=True):
            # A run's mean with its interval, under the run's name and the mean in digits.
            (mean,) = series.points
            value, y = f"{100 * mean.share:.1f}", end - 0.12
            gid = drawing.mark(f"{series.name}: {value}{_bounds(mean)}")
            look = _line_look(series.number)
            axes.errorbar(100 * mean.share, y, xerr=_reach(mean), elinewidth=1.5, gid=gid, **look)
            _write_above(axes, 0, y - 0.06, "\n".join(fold(series.name, 27)))
            _write_above(axes, 100, y - 0.06, value, horizontalalignment="right")
    for axes in all_axes[len(plot.panels) :]:
        axes.set_visible(False)
    return drawing


def _line_ends(labels: Sequence[Sequence[str]], space: float) -> list[float]:
    """Where lines end that stand under one another, each with `space` below its label (inches)."""
    return list(accumulate(_LINE * len(label) + space for label in labels))


def _prepare_lines(axes: Axes, title: str, height: float) -> None:
    """Give axes a scale of percents from left to right and one of inches from the top down."""
    axes.set(title=title, xlim=(0, 100), ylim=(height, 0), xticks=range(0, 101, 25), yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)


def _write_above(axes: Axes, x: float, y: float, text: str, **properties: Any) -> None:
    label = axes.text(x, y, text, verticalalignment="bottom", **properties)
    label.set_in_layout(False)  # it stands inside the axes, however far it reaches


def _draw_actions(plot: ActionPlot) -> Drawing:
    from matplotlib.ticker import MaxNLocator

    labels = [fold(series.name, 48) for series in plot.series]
    # Two columns of short names, else one: names of runs are too long to stand beside the axes.
    columns = 2 if len(labels) > 3 and max(len(label[0]) for label in labels) <= 20 else 1
    height = 0.72 * _COLUMN + (_LINE + 0.03) * sum(map(len, labels)) / columns
    drawing = Drawing(_COLUMN, height)
    axes = drawing.figure.subplots()
    draw = _draw_bars if plot.bars else _draw_curve
    keys = [
        draw(drawing, axes, series, at - (len(plot.series) - 1) / 2, 1 / len(plot.series))
        for at, series in enumerate(plot.series)
    ]
    axes.set(title="\n".join(fold(plot.caption, 50)), xlabel=plot.x_title, ylim=(0, None))
    axes.grid(visible=False, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    texts = ["\n".join(label) for label in labels]
    drawing.figure.legend(keys, texts, loc="outside lower left", ncols=columns)
    return drawing


def _draw_bars(drawing: Drawing, axes: Axes, series: Series, place: float, share: float) -> Artist:
    """The bars of a series, `place` bars right of the middle; returns one for the legend."""
    width = 0.8 * share
    places = [point.x + place * width for point in series.points]
    heights = [100 * point.share for point in series.points]
    bars = axes.bar(places, heights, width, **_area_look(series.number))
    for bar, point in zip(bars, series.points, strict=True):
        bar.set_gid(drawing.mark(_point_text(series.name, point)))
    return bars.patches[0]


def _draw_curve(drawing: Drawing, axes: Axes, series: Series, place: float, share: float) -> Artist:
    """A curve with its intervals, moved a little aside; returns the curve for the legend."""
    look = _line_look(series.number)
    # Curves are moved aside, so that their intervals do not cover one another.
    places = [point.x + place * min(0.08, 0.7 * share) for point in series.points]
    (curve,) = axes.plot(places, [100 * point.share for point in series.points], **look)
    for x, point in zip(places, series.points, strict=True):
        gid = drawing.mark(_point_text(series.name, point))
        axes.errorbar(x, 100 * point.share, yerr=_reach(point), capsize=1.5, gid=gid, **look)
    return curve


def _draw_stacks(plot: StackPlot) -> Drawing:
    from matplotlib.patches import Patch

    labels = [
        fold(f"{run}: {sum(numbers.values()):,} wrong", 50) for run, numbers in plot.stacks.items()
    ]
    ends = _line_ends(labels, 0.3)
    drawing = Drawing(_COLUMN, 1.0 + ends[-1])
    axes = drawing.figure.subplots()
    _prepare_lines(axes, "\n".join(fold(plot.caption, 50)), ends[-1])
    axes.set(xlabel="% of a run's wrong answers")
    axes.grid(visible=False)
    for (run, numbers), label, end in zip(plot.stacks.items(), labels, ends, strict=True):
        _write_above(axes, 0, end - 0.29, "\n".join(label))
        _draw_stack(drawing, axes, end - 0.18, run, numbers)
    keys = [Patch(**_area_look(number)) for number in range(len(CAUSE_ORDER))]
    drawing.figure.legend(keys, CAUSE_ORDER, loc="outside lower left", ncols=3)
    return drawing


def _draw_stack(
    drawing: Drawing, axes: Axes, y: float, run: str, numbers: Mapping[str, int]
) -> None:
    """A run's wrong answers as parts of a bar, each with its number where that fits."""
    total, left = sum(numbers.values()), 0.0
    for place, cause in enumerate(CAUSE_ORDER):
        share = 100 * numbers.get(cause, 0) / total
        if not share:
            continue
        (part,) = axes.barh(y, share, 0.2, left=left, **_area_look(place))
        query = urlencode({"run": run, "outcome": "wrong", "cause": cause}, quote_via=quote)
        part.set_gid(drawing.mark(f"{cause}: {numbers[cause]:,} of {total:,}", query))
        text = f"{numbers[cause]:,}"
        # A digit is about 2.2 percent of the bar wide.
        if share > 3 + 2.2 * len(text):
            label = axes.text(left + share / 2, y, text, color=PAPER, weight="bold", ha="center")
            label.set(va="center_baseline", bbox={"color": part.get_facecolor(), "pad": 1})
        left += share


# From the seventh run on colours repeat, with another marker and hatch.
def _line_look(number: int) -> dict[str, Any]:
    marker = _MARKERS[(number + number // len(COLOURS)) % len(_MARKERS)]
    return {"color": COLOURS[number % len(COLOURS)], "marker": marker, "clip_on": False}


def _area_look(number: int) -> dict[str, Any]:
    hatch = _HATCHES[(number + number // len(COLOURS)) % len(_HATCHES)]
    colour = COLOURS[number % len(COLOURS)]
    return {"facecolor": colour, "hatch": hatch, "edgecolor": PAPER, "linewidth": 0.4}


def _reach(point: Point) -> list[list[float]]:
    """The distances from a share down and up to its limits in percent, as errorbar wants them."""
    low = point.share if point.low is None else point.low
    high = point.share if point.high is None else point.high
    return [[100 * max(0.0, point.share - low)], [100 * max(0.0, high - point.share)]]


def _bounds(point: Point) -> str:
    if point.low is None or point.high is None:
        return ""
    return f" ({100 * point.low:.0f} % to {100 * point.high:.0f} %)"


def _point_text(name: str, point: Point) -> str:
    text = f"{name}, {point.x}: {100 * point.share:.0f} %{_bounds(point)}"
    return text if point.n is None else f"{text}, n = {point.n:,}"
