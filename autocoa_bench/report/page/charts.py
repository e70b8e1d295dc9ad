"""Charts as inline SVG: numbers in, markup out; they know nothing of runs.

Each series has a colour and a marker of its own (classes `s0` to `s5`), so that no chart is read by
colour alone. Sizes are in the SVG's own units, about a pixel each on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from autocoa_bench.report.page.markup import Html, joined, tag
from autocoa_bench.report.render.plots import Line, Point, Series

SERIES = 6
"""Colours and markers there are; more series than that use them again."""

_WIDTH, _HEIGHT = 420, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 36, 8, 12, 38
_APART = 20
"""The least distance between two numbers under an axis."""
_MARKERS = (
    "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
    "M-3.6,-3.6h7.2v7.2h-7.2z",
    "M0,-5L5,0L0,5L-5,0z",
    "M0,-5L4.6,3.4H-4.6z",
    "M0,5L4.6,-3.4H-4.6z",
    "M-4,-1.3h2.7v-2.7h2.6v2.7h2.7v2.6h-2.7v2.7h-2.6v-2.7h-2.7z",
)


class Part(NamedTuple):
    """A part of a stack, and where a click on it leads."""

    name: str
    number: int
    link: str


def percent(share: float) -> str:
    """A share as charts write it."""
    return f"{100 * share:.0f} %"


def legend(series: Sequence[Series]) -> Html:
    """The series by colour and marker."""
    return tag("ul", *(tag("li", _key(each.number), each.name) for each in series), class_="legend")


def _key(series: int) -> Html:
    return tag("svg", _marker(series, 6, 6), class_="key", viewBox="0 0 12 12", aria_hidden="true")


def _marker(series: int, x: float, y: float) -> Html:
    at = series % SERIES
    return tag(
        "path", class_=f"s{at} mark", d=_MARKERS[at], transform=f"translate({x:.1f},{y:.1f})"
    )


def _svg(said: str, *children: str, height: float = _HEIGHT, width: float = _WIDTH) -> Html:
    return tag(
        "svg",
        tag("title", said),
        *children,
        role="img",
        viewBox=f"0 0 {width} {height:.0f}",
        class_="chart",
    )


class _Frame:
    """A plane of shares over whole numbers: its axes, and where a value stands."""

    def __init__(self, series: Sequence[Series]) -> None:
        points = [point for each in series for point in each.points]
        self.first = min(point.x for point in points)
        self.number = max(point.x for point in points) - self.first + 1
        greatest = max(max(point.y, point.high or 0) for point in points)
        self.top = next(
            top for top in (0.1, 0.2, 0.4, 0.6, 0.8, 1.0) if greatest <= top or top == 1
        )
        self.band = (_WIDTH - _LEFT - _RIGHT) / self.number

    def x(self, value: int) -> float:
        return _LEFT + (value - self.first + 0.5) * self.band

    def y(self, share: float) -> float:
        return _TOP + (1 - min(share / self.top, 1)) * (_HEIGHT - _TOP - _BOTTOM)

    def axes(self, x_title: str) -> Html:
        parts = []
        for step in range(5):
            share = self.top * step / 4
            y = self.y(share)
            parts.append(tag("line", class_="grid", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=y, y2=y))
            text = f"{100 * share:g}"
            parts.append(tag("text", text, x=_LEFT - 6, y=f"{y + 4:.1f}", text_anchor="end"))
        apart = math.ceil(_APART / self.band)
        for value in range(self.first, self.first + self.number, apart):
            at = f"{self.x(value):.1f}"
            below = _HEIGHT - _BOTTOM + 16
            parts.append(tag("text", str(value), x=at, y=below, text_anchor="middle"))
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        parts.append(tag("text", x_title, x=middle, y=_HEIGHT - 6, text_anchor="middle"))
        return joined(*parts)


def lines(series: Sequence[Series], x_title: str) -> Html:
    """Shares with their intervals over whole numbers, a line a series."""
    frame = _Frame(series)
    return _svg(
        _told(series, x_title),
        frame.axes(x_title),
        *(_line(frame, at, each, len(series)) for at, each in enumerate(series)),
    )


def _line(frame: _Frame, at: int, series: Series, of: int) -> Html:
    shift = (at - (of - 1) / 2) * min(6, frame.band / (of + 1))
    places = [(frame.x(point.x) + shift, frame.y(point.y), point) for point in series.points]
    colour = f"s{series.number % SERIES}"
    path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y, _ in places)
    parts = [tag("path", class_=f"{colour} line", d=path)]
    for x, y, point in places:
        if point.low is not None and point.high is not None:
            low, high = frame.y(point.low), frame.y(point.high)
            d = f"M{x:.1f},{low:.1f}V{high:.1f}"
            parts.append(tag("path", class_=f"{colour} whisker", d=d))
        spot = joined(tag("title", _say(series.name, point)), _marker(series.number, x, y))
        parts.append(tag("g", spot))
    return joined(*parts)


def bars(series: Sequence[Series], x_title: str) -> Html:
    """Shares over whole numbers, a bar a series side by side."""
    frame = _Frame(series)
    wide = min(26.0, frame.band * 0.8 / len(series))
    parts = [frame.axes(x_title)]
    for at, each in enumerate(series):
        for point in each.points:
            x = frame.x(point.x) + (at - len(series) / 2) * wide
            y = frame.y(point.y)
            parts.append(
                tag(
                    "rect",
                    tag("title", _say(each.name, point)),
                    class_=f"s{each.number % SERIES} fill",
                    x=f"{x + 0.5:.1f}",
                    y=f"{y:.1f}",
                    width=f"{wide - 1:.1f}",
                    height=f"{_HEIGHT - _BOTTOM - y:.1f}",
                )
            )
    return _svg(_told(series, x_title), *parts)


def intervals(found: Sequence[Line]) -> Html:
    """Means with their intervals, a line each under its name, on a scale from 0 to 100."""
    left, right, step = 6.0, 264.0, 34.0
    bottom = step * len(found)
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        x = left + share * (right - left)
        parts.append(tag("line", class_="grid", x1=x, x2=x, y1=4, y2=bottom))
        anchor = "start" if share == 0 else "end" if share == 1 else "middle"
        parts.append(tag("text", f"{100 * share:g}", x=x, y=bottom + 14, text_anchor=anchor))
    for at, line in enumerate(found):
        y = step * at + 24
        low, mean, high = (left + v * (right - left) for v in (line.low, line.mean, line.high))
        colour = f"s{line.number % SERIES}"
        parts += [
            tag("text", line.name, class_="name", x=left, y=y - 10),
            tag(
                "text",
                f"{100 * line.mean:.1f}",
                class_="name",
                x=right,
                y=y - 10,
                text_anchor="end",
            ),
            tag("path", class_=f"{colour} whisker", d=f"M{low:.1f},{y}H{high:.1f}"),
            _marker(line.number, mean, y),
        ]
    said = "; ".join(
        f"{line.name}: {100 * line.mean:.1f} ({percent(line.low)} to {percent(line.high)})"
        for line in found
    )
    return _svg(said, *parts, height=bottom + 20, width=270)


def stack(parts: Sequence[Part]) -> Html:
    """Numbers as parts of a whole; a click on one leads to what it counts."""
    total = sum(part.number for part in parts)
    at, drawn = 0.0, []
    for colour, part in enumerate(parts):
        if not part.number:
            continue
        wide = _WIDTH * part.number / total
        said = f"{part.name}: {part.number:,} of {total:,}"
        shape = tag("rect", class_=f"c{colour}", x=f"{at:.1f}", width=f"{wide - 1:.1f}", height=24)
        text = f"{part.number:,}"
        inside = (
            [tag("text", text, class_=f"on{colour}", x=f"{at + 6:.1f}", y=17)]
            if wide > 9 + 8 * len(text)
            else []
        )
        drawn.append(tag("a", tag("title", said), shape, *inside, href=part.link, aria_label=said))
        at += wide
    return tag("svg", *drawn, viewBox=f"0 0 {_WIDTH} 24", class_="chart stack", role="group")


def stack_legend(names: Sequence[str]) -> Html:
    """The parts of stacks by colour, in their order."""
    keys = (
        tag(
            "svg",
            tag("rect", class_=f"c{at}", width=12, height=12),
            class_="key",
            viewBox="0 0 12 12",
            aria_hidden="true",
        )
        for at in range(len(names))
    )
    return tag(
        "ul",
        *(tag("li", key, name) for key, name in zip(keys, names, strict=True)),
        class_="legend",
    )


def _say(name: str, point: Point) -> str:
    said = f"{name}, {point.x}: {percent(point.y)}"
    if point.low is not None and point.high is not None:
        said += f" ({percent(point.low)} to {percent(point.high)})"
    return said if point.n is None else f"{said}, n = {point.n:,}"


def _told(series: Sequence[Series], x_title: str) -> str:
    """A chart in words, for who cannot see it."""
    return f"By {x_title}. " + " ".join(
        f"{each.name}: " + ", ".join(f"{p.x}: {percent(p.y)}" for p in each.points) + "."
        for each in series
    )
