"""What the page draws of a report's tables, from their facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote, urlencode

from autocoa_bench.report.leaderboard import metric_title
from autocoa_bench.report.model import Fact, Table
from autocoa_bench.report.page import charts
from autocoa_bench.report.page.charts import Line, Part, Point, Series
from autocoa_bench.report.page.markup import Html, joined, tag
from autocoa_bench.scoring.evidence import CAUSES

_WRONG = ":wrong:"


def figures(table: Table, runs: Sequence[str], titles: Mapping[str, str]) -> Html:
    """A table's plots; nothing for a table that has none.

    `runs` are all runs of the page: each has one colour in all plots. `titles` are the tasks' by
    name.
    """
    draw: dict[str, Callable[[], Html]] = {
        "leaderboard": lambda: _datasets(table.facts, runs, titles),
        "actions": lambda: _actions(table.facts, runs),
        "evidence": lambda: _evidence(table.facts, runs),
        "acting": lambda: _acting(table.facts, runs),
        "temporal": lambda: _datasets(table.facts, runs, titles),
    }
    return draw[table.name]() if table.name in draw else joined()


def _figure(caption: str, *content: str) -> Html:
    return tag("figure", tag("figcaption", caption), *content)


def _panels(
    facts: Sequence[Fact], runs: Sequence[str], caption: Callable[[Fact], str | None]
) -> Html:
    """Means with their intervals, a panel a caption, a line a run; facts without any left out."""
    panels: dict[str, list[Line]] = {}
    for fact in facts:
        title = caption(fact)
        if title and fact.mean is not None and fact.low is not None and fact.high is not None:
            line = Line(fact.run, runs.index(fact.run), fact.mean, fact.low, fact.high)
            panels.setdefault(title, []).append(line)
    found = (_figure(title, charts.intervals(drawn)) for title, drawn in panels.items())
    return tag("div", *found, class_="panels")


def _datasets(facts: Sequence[Fact], runs: Sequence[str], titles: Mapping[str, str]) -> Html:
    """A panel a dataset, and the average: each run's mean on the first metric; then the gaps."""
    several = len({fact.edition for fact in facts if fact.edition}) > 1

    def caption(fact: Fact) -> str | None:
        title = titles.get(fact.task, fact.task.capitalize())
        name = f"{title} ({fact.edition})" if several and fact.edition else title
        if fact.metric.endswith(":gap"):
            return f"{name}, compositionality gap %"
        return f"{name}, {metric_title(fact.metric)} %" if fact.metric == facts[0].metric else None

    return _panels(facts, runs, caption)


def _acting(facts: Sequence[Fact], runs: Sequence[str]) -> Html:
    """How many questions of each kind were searched for, and how many were right."""

    def caption(fact: Fact) -> str | None:
        kind, _, what = fact.metric.partition(":")
        if what == "searched":
            return f"{kind}: searched %"
        return None if ":" in what else f"{kind}: {metric_title(what)} %"

    return _panels(facts, runs, caption)


def _actions(facts: Sequence[Fact], runs: Sequence[str]) -> Html:
    """Figure 3a and 3b."""
    correct = _series(facts, runs, lambda fact: fact.metric.endswith(":share_of_correct"))
    success = _series(facts, runs, lambda fact: fact.metric.endswith(":success_rate"))
    found = []
    if correct:
        caption = "Figure 3a: correct answers by number of actions, % of each run's"
        found.append(_figure(caption, charts.legend(correct), charts.bars(correct, "actions")))
    if success:
        caption = "Figure 3b: success by number of actions, %, with 95 % intervals"
        found.append(_figure(caption, charts.legend(success), charts.lines(success, "actions")))
    return tag("div", *found, class_="pair")


def _evidence(facts: Sequence[Fact], runs: Sequence[str]) -> Html:
    """Gold passages shown by number of actions; where wrong answers come from."""
    whole = [fact for fact in facts if fact.task == _whole(facts, fact.run)]
    recall = [fact for fact in whole if fact.actions is not None]
    shown = _series(recall, runs, lambda fact: fact.metric == "gold_passages_shown")
    found = []
    if shown:
        caption = "Gold passages shown after so many actions, %, with 95 % intervals"
        drawn = charts.lines(shown, "actions made")
        found.append(_figure(caption, charts.legend(shown), drawn))
    stacks = [part for run in runs for part in _causes(whole, run)]
    if stacks:
        caption = "Where wrong answers come from (a part leads to its trajectories)"
        names = [*CAUSES, "not traced"]
        found.append(_figure(caption, charts.stack_legend(names), *stacks))
    return tag("div", *found, class_="pair")


def _causes(facts: Sequence[Fact], run: str) -> list[Html]:
    """A run's wrong answers as a stack under its name; nothing where it has none."""
    parts = []
    for fact in facts:
        if fact.run == run and _WRONG in fact.metric:
            cause = fact.metric.partition(_WRONG)[2].replace("_", " ")
            chosen = {"run": run, "outcome": "wrong", "cause": cause}
            link = "#trajectories?" + urlencode(chosen, quote_via=quote)
            parts.append(Part(cause, int(fact.total or 0), link))
    total = sum(part.number for part in parts)
    if not total:
        return []
    return [tag("p", f"{run}: {total:,} wrong", class_="name"), charts.stack(parts)]


def _whole(facts: Sequence[Fact], run: str) -> str:
    """What the facts about all of a run name as task: "all", or the only one."""
    return [fact.task for fact in facts if fact.run == run][-1]


def _series(
    facts: Sequence[Fact], runs: Sequence[str], wanted: Callable[[Fact], bool]
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
