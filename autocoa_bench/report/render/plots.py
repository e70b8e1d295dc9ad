"""What there is to draw of a report's tables, as data: the page and the plot files both draw it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from autocoa_bench.report.model import DataPoint, Table
from autocoa_bench.report.tables.leaderboard import metric_title
from autocoa_bench.scoring.evidence import CAUSES

_WRONG = ":wrong:"

PARTS = (*CAUSES, "not traced")
"""Where wrong answers come from, in the order of a stack."""


class Point(NamedTuple):
    """A share in [0, 1] with its interval, over a whole number or a name."""

    x: int
    y: float
    low: float | None = None
    high: float | None = None
    n: int | None = None


class Series(NamedTuple):
    """Points of one name, in the colour and with the marker of a number."""

    name: str
    number: int
    points: tuple[Point, ...]


class Line(NamedTuple):
    """A share in [0, 1] with its interval, in the colour of a series."""

    name: str
    number: int
    mean: float
    low: float
    high: float


class Panels(NamedTuple):
    """Means with their intervals, a panel a caption, a line a run."""

    name: str
    panels: Mapping[str, Sequence[Line]]


class Bars(NamedTuple):
    """Shares over whole numbers, a bar a series side by side."""

    name: str
    caption: str
    x_title: str
    series: Sequence[Series]


class Curves(NamedTuple):
    """Shares with their 95 % intervals over whole numbers, a line a series."""

    name: str
    caption: str
    x_title: str
    series: Sequence[Series]


class Stacks(NamedTuple):
    """By run, numbers as parts of a whole: one for each of PARTS that occurs."""

    name: str
    caption: str
    stacks: Mapping[str, Mapping[str, int]]


Plot = Panels | Bars | Curves | Stacks
"""`name` is unique among a report's plots, and fit to name a file."""


def plots(table: Table, runs: Sequence[str], titles: Mapping[str, str]) -> list[Plot]:
    """A table's plots; none for a table without any, or without a number to draw.

    `runs` are all runs of the report: each has one colour in all plots. `titles` are the tasks' by
    name.
    """
    draw: dict[str, Callable[[], list[Plot]]] = {
        "leaderboard": lambda: _datasets(table, runs, titles),
        "actions": lambda: _actions(table.data_points, runs),
        "evidence": lambda: _evidence(table.data_points, runs),
        "acting": lambda: _acting(table, runs),
        "temporal": lambda: _datasets(table, runs, titles),
    }
    return draw[table.name]() if table.name in draw else []


def _panels(
    table: Table, runs: Sequence[str], caption: Callable[[DataPoint], str | None]
) -> list[Plot]:
    """Facts that have an interval, by the caption that they have."""
    panels: dict[str, list[Line]] = {}
    for fact in table.data_points:
        title = caption(fact)
        if title and fact.mean is not None and fact.low is not None and fact.high is not None:
            line = Line(fact.run, runs.index(fact.run), fact.mean, fact.low, fact.high)
            panels.setdefault(title, []).append(line)
    return [Panels(table.name, panels)] if panels else []


def _datasets(table: Table, runs: Sequence[str], titles: Mapping[str, str]) -> list[Plot]:
    """A panel a dataset, and the average: each run's mean on the first metric; then the gaps."""
    several = len({fact.edition for fact in table.data_points if fact.edition}) > 1

    def caption(fact: DataPoint) -> str | None:
        title = titles.get(fact.task, fact.task.capitalize())
        name = f"{title} ({fact.edition})" if several and fact.edition else title
        if fact.metric.endswith(":gap"):
            return f"{name}, compositionality gap %"
        first = table.data_points[0].metric
        return f"{name}, {metric_title(fact.metric)} %" if fact.metric == first else None

    return _panels(table, runs, caption)


def _acting(table: Table, runs: Sequence[str]) -> list[Plot]:
    """How many questions of each kind were searched for, and how many were right."""

    def caption(fact: DataPoint) -> str | None:
        kind, _, what = fact.metric.partition(":")
        if what == "searched":
            return f"{kind}: searched %"
        return None if ":" in what else f"{kind}: {metric_title(what)} %"

    return _panels(table, runs, caption)


def _actions(facts: Sequence[DataPoint], runs: Sequence[str]) -> list[Plot]:
    """Figure 3a and 3b."""
    correct = _series(facts, runs, lambda fact: fact.metric.endswith(":share_of_correct"))
    success = _series(facts, runs, lambda fact: fact.metric.endswith(":success_rate"))
    found: list[Plot] = []
    if correct:
        caption = "Figure 3a: correct answers by number of actions, % of each run's"
        found.append(Bars("figure-3a", caption, "actions", correct))
    if success:
        caption = "Figure 3b: success by number of actions, %, with 95 % intervals"
        found.append(Curves("figure-3b", caption, "actions", success))
    return found


def _evidence(facts: Sequence[DataPoint], runs: Sequence[str]) -> list[Plot]:
    """Gold passages shown by number of actions; where wrong answers come from."""
    whole = [fact for fact in facts if fact.task == _whole(facts, fact.run)]
    recall = [fact for fact in whole if fact.actions is not None]
    shown = _series(recall, runs, lambda fact: fact.metric == "gold_passages_shown")
    found: list[Plot] = []
    if shown:
        caption = "Gold passages shown after so many actions, %, with 95 % intervals"
        found.append(Curves("gold-passages", caption, "actions made", shown))
    stacks = {run: parts for run in runs if (parts := _causes(whole, run))}
    if stacks:
        found.append(Stacks("wrong-answers", "Where wrong answers come from", stacks))
    return found


def _causes(facts: Sequence[DataPoint], run: str) -> dict[str, int]:
    """A run's wrong answers by cause; nothing where it has none."""
    parts = {
        fact.metric.partition(_WRONG)[2].replace("_", " "): int(fact.total or 0)
        for fact in facts
        if fact.run == run and _WRONG in fact.metric
    }
    return parts if any(parts.values()) else {}


def _whole(facts: Sequence[DataPoint], run: str) -> str:
    """What the facts about all of a run name as task: "all", or the only one."""
    return [fact.task for fact in facts if fact.run == run][-1]


def _series(
    facts: Sequence[DataPoint], runs: Sequence[str], wanted: Callable[[DataPoint], bool]
) -> list[Series]:
    """A series for each run that has such facts."""
    found = []
    for number, run in enumerate(runs):
        points = tuple(
            Point(fact.actions or 0, fact.mean, fact.low, fact.high, fact.n)
            for fact in facts
            if fact.run == run and wanted(fact) and fact.mean is not None
        )
        if points:
            found.append(Series(run, number, points))
    return found
