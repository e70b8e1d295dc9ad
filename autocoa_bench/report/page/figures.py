"""A report's plots as the page's markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, urlencode

from autocoa_bench.report.page import charts
from autocoa_bench.report.page.charts import Part
from autocoa_bench.report.page.markup import Html, joined, tag
from autocoa_bench.report.render.plots import PARTS, Bars, Curves, Panels, Plot, Stacks


def figures(found: Sequence[Plot]) -> Html:
    """A table's plots; nothing for none."""
    if not found:
        return joined()
    kind = "panels" if isinstance(found[0], Panels) else "pair"
    return tag("div", *(each for plot in found for each in _drawn(plot)), class_=kind)


def _drawn(plot: Plot) -> list[Html]:
    match plot:
        case Panels():
            return [_figure(title, charts.intervals(lines)) for title, lines in plot.panels.items()]
        case Bars():
            chart = charts.bars(plot.series, plot.x_title)
            return [_figure(plot.caption, charts.legend(plot.series), chart)]
        case Curves():
            chart = charts.lines(plot.series, plot.x_title)
            return [_figure(plot.caption, charts.legend(plot.series), chart)]
        case Stacks():
            caption = f"{plot.caption} (a part leads to its trajectories)"
            stacks = [each for run in plot.stacks for each in _stack(run, plot.stacks[run])]
            return [_figure(caption, charts.stack_legend(PARTS), *stacks)]


def _figure(caption: str, *content: str) -> Html:
    return tag("figure", tag("figcaption", caption), *content)


def _stack(run: str, numbers: Mapping[str, int]) -> list[Html]:
    """A run's wrong answers as a stack under its name."""
    parts = []
    for cause, number in numbers.items():
        chosen = {"run": run, "outcome": "wrong", "cause": cause}
        parts.append(Part(cause, number, "#trajectories?" + urlencode(chosen, quote_via=quote)))
    total = sum(numbers.values())
    return [tag("p", f"{run}: {total:,} wrong", class_="name"), charts.stack(parts)]
