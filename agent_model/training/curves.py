"""curves.png: a run's metrics, drawn over its steps."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from agent_model.training.files import writing
from agent_model.training.grpo.metrics import GRPOStep
from agent_model.training.live import LiveEvaluation
from agent_model.training.metrics import SFTStep, StepMetrics
from autocoa_bench.stats import wilson


def plot_sft(rows: Sequence[SFTStep], live: LiveEvaluation | None, path: Path, title: str) -> None:
    """Draw loss, held-out loss and evaluation scores."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    steps, losses = [row.step for row in rows], [row.loss for row in rows]
    axes.plot(steps, losses, color="#9ecae1", linewidth=0.8, label="loss")
    axes.plot(steps, list(smooth(losses)), color="#08519c", label="loss, smoothed")
    _plot_measured(axes, rows, "held_out", "o-", color="#d94801", label="held-out loss")
    axes.set(xlabel="step", ylabel="loss", title=title)
    if live and live.evaluations:
        right = axes.twinx()
        _plot_live(right, live)
        _plot_column(right, live, "live_known", "#88419d", "known facts, closed book")
        right.set(ylim=(0, 1.02), ylabel="exact match of live episodes")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    _save(figure, path)


def plot_grpo(
    rows: Sequence[GRPOStep], live: LiveEvaluation | None, path: Path, title: str
) -> None:
    """Draw rewards and scores of rollouts; scores in the real environment; searches, entropy and
    divergence. Simulated steps have a grey background."""
    figure = Figure(figsize=(11, 9), layout="constrained")
    upper, middle, lower = figure.subplots(3, sharex=True)
    steps = [row.step for row in rows]
    for name, colour in (("reward", "#08519c"), ("em", "#238b45"), ("formed", "#88419d")):
        values = [getattr(row, name) for row in rows]
        upper.plot(steps, values, color=colour, linewidth=0.5, alpha=0.4)
        upper.plot(steps, list(smooth(values)), color=colour, label=name)
    _plot_measured(upper, rows, "facts", "-", color="#d94801", linewidth=0.8, label="true facts")
    upper.set(ylabel="mean of a step's rollouts")
    figure.suptitle(title)
    if live and live.evaluations:
        _plot_live(middle, live)
        for name, colour, label in (
            ("live_known", "#88419d", "known facts, closed book"),
            ("live_searched_known", "#08519c", "known facts searched for"),
            ("live_searched_unknown", "#d94801", "unknown facts searched for"),
        ):
            _plot_column(middle, live, name, colour, label)
    middle.set(ylabel="evaluation, real environment", ylim=(-0.02, 1.02))
    lower.plot(steps, [row.searches for row in rows], color="#d94801", label="searches an episode")
    _plot_measured(lower, rows, "entropy", "-", color="#737373", label="entropy")
    lower.set(xlabel="step", ylabel="per episode, per token")
    simulated = [row.step for row in rows if row.environment == "simulated"]
    if simulated:
        for axes in (upper, middle, lower):
            label = "simulated steps" if axes is upper else ""
            axes.axvspan(0, simulated[-1] + 0.5, color="#eeeeee", zorder=0, label=label)
    if any(row.kl is not None for row in rows):
        right = lower.twinx()
        _plot_measured(right, rows, "kl", "-", color="#ce1256")
        right.set_ylabel("KL", color="#ce1256")
    for axes in (upper, middle, lower):
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.1, 0.5))
    _save(figure, path)


def smooth(values: Sequence[float], decay: float = 0.9) -> Iterator[float]:
    """The bias-corrected exponential mean; values that are not finite are ignored."""
    mean = weight = 0.0
    for value in values:
        if math.isfinite(value):
            mean, weight = decay * mean + (1 - decay) * value, decay * weight + (1 - decay)
        yield mean / weight if weight else math.nan


def _plot_live(axes: Any, live: LiveEvaluation) -> None:
    """Draw exact match in the real environment with its 95 % intervals, and mark the best model."""
    steps, means = [item.step for item in live.evaluations], [item.em for item in live.evaluations]
    intervals = [wilson(sum(item.scores), len(item.scores)) for item in live.evaluations]
    below = [mean - interval.low for mean, interval in zip(means, intervals, strict=True)]
    above = [interval.high - mean for mean, interval in zip(means, intervals, strict=True)]
    axes.errorbar(
        *(steps, means, (below, above)),
        fmt="s--",
        color="black",
        markersize=4,
        capsize=2,
        linewidth=0.8,
        label="exact match",
    )
    if live.best:
        label = "best: the result"
        axes.plot(live.best.step, live.best.em, "*", color="#e6ab02", markersize=16, label=label)


def _plot_column(axes: Any, live: LiveEvaluation, name: str, colour: str, label: str) -> None:
    """Draw a column of the evaluations, if it was measured."""
    points = [
        (item.step, value)
        for item in live.evaluations
        if (value := item.columns.get(name)) is not None
    ]
    if points:
        axes.plot(*zip(*points, strict=True), "^:", color=colour, markersize=4, label=label)


def _plot_measured(
    axes: Any, rows: Sequence[StepMetrics], name: str, style: str, **line: Any
) -> None:
    """Draw a column over the steps at which it was measured, if there are any."""
    points = [(row.step, getattr(row, name)) for row in rows if getattr(row, name) is not None]
    if points:
        axes.plot(*zip(*points, strict=True), style, **line)


def _save(figure: Figure, path: Path) -> None:
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    with writing(path):
        figure.savefig(part, dpi=120)
        part.replace(path)
