"""curves.png: a run's metrics, drawn over its steps."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from agent_model.training.files import writing
from agent_model.training.grpo.metrics import GRPOStep
from agent_model.training.metrics import SFTStep, StepMetrics


def plot_sft(rows: Sequence[SFTStep], path: Path, title: str) -> None:
    """Draw loss, held-out loss and evaluation scores."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    steps, losses = [row.step for row in rows], [row.loss for row in rows]
    axes.plot(steps, losses, color="#9ecae1", linewidth=0.8, label="loss")
    axes.plot(steps, list(smooth(losses)), color="#08519c", label="loss, smoothed")
    _plot_measured(axes, rows, "held_out", "o-", color="#d94801", label="held-out loss")
    axes.set(xlabel="step", ylabel="loss", title=title)
    if any(row.live_em is not None for row in rows):
        right = axes.twinx()
        _plot_measured(right, rows, "live_em", "s--", color="#238b45", label="live exact match")
        right.set(ylim=(0, 1.02), ylabel="exact match of live episodes")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    _save(figure, path)


def plot_grpo(rows: Sequence[GRPOStep], path: Path, title: str) -> None:
    """Draw rewards and scores, and below them searches, entropy and divergence."""
    figure = Figure(figsize=(8, 6.5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    steps = [row.step for row in rows]
    for name, colour in (("reward", "#08519c"), ("em", "#238b45"), ("formed", "#88419d")):
        values = [getattr(row, name) for row in rows]
        upper.plot(steps, values, color=colour, linewidth=0.5, alpha=0.4)
        upper.plot(steps, list(smooth(values)), color=colour, label=name)
    _plot_measured(upper, rows, "facts", "-", color="#d94801", linewidth=0.8, label="true facts")
    real = [row.step for row in rows if row.environment == "real"]
    if real and real[0] > 1:
        upper.axvline(real[0] - 0.5, color="#bdbdbd", label="real from here")
    _plot_measured(upper, rows, "live_em", "s--", color="black", label="live exact match")
    upper.set(ylabel="mean of a step's rollouts", title=title)
    upper.legend(ncols=3, frameon=False)
    lower.plot(steps, [row.searches for row in rows], color="#d94801", label="searches an episode")
    _plot_measured(lower, rows, "entropy", "-", color="#737373", label="entropy")
    lower.set(xlabel="step")
    lower.legend(loc="upper left", frameon=False)
    if any(row.kl is not None for row in rows):
        right = lower.twinx()
        _plot_measured(right, rows, "kl", "-", color="#ce1256", label="KL (right)")
        right.legend(loc="upper right", frameon=False)
    _save(figure, path)


def smooth(values: Sequence[float], decay: float = 0.9) -> Iterator[float]:
    """The bias-corrected exponential mean; values that are not finite are ignored."""
    mean = weight = 0.0
    for value in values:
        if math.isfinite(value):
            mean, weight = decay * mean + (1 - decay) * value, decay * weight + (1 - decay)
        yield mean / weight if weight else math.nan


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
