"""What a run shows while it trains: a bar, metrics.csv and curves.png."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import msgspec
from matplotlib.figure import Figure
from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from agent_model.training.curves import read_rows
from agent_model.training.files import writing
from autocoa_bench.errors import UserError


class MetricsRow(Struct, frozen=True, kw_only=True):
    """One line of metrics.csv. Tokens are without padding; a value not taken is empty.

    `loss` is the stage's, averaged over trained tokens (stage 1: pairs); `ranked` is the share of
    held-out pairs whose chosen text is likelier. `live_em`, `live_formed` and `live_searches` are
    of the live episodes.
    """

    step: int
    epoch: float
    loss: float
    lr: float
    grad_norm: float
    tokens: int
    trained: int
    seconds: float
    tokens_per_second: float
    held_out: float | None = None
    ranked: float | None = None
    live_em: float | None = None
    live_formed: float | None = None
    live_searches: float | None = None


class StepMetrics(Protocol):
    """A row of one step."""

    @property
    def step(self) -> int:
        """Which, from 1."""
        ...


R = TypeVar("R", bound=StepMetrics)


class Metrics(Generic[R]):
    """metrics.csv, appended row by row; a resumed run cuts what its checkpoint does not hold."""

    def __init__(self, path: Path, step: int, kind: type[R]) -> None:
        """Keep the rows of the first `step` steps. Raises UserError where they are not there."""
        self._path = path
        found = read(path, kind) if path.exists() else []
        self.rows = first(found, step, path, "put it back as it was, or give another --out")
        part = path.with_suffix(".part")
        with writing(path), part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(_names(kind))
            writer.writerows(_cells(row) for row in self.rows)
        part.replace(path)

    def add(self, row: R) -> None:
        """Append one row, safe against a kill of this process."""
        self.rows.append(row)
        with writing(self._path), self._path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(_cells(row))

    def sync(self) -> None:
        """Make sure the disk has every row, as a checkpoint is about to rely on them."""
        with writing(self._path), self._path.open("rb") as file:
            os.fsync(file.fileno())


def read(
    path: Path, kind: type[R], advice: str = "mend that line, or give another --out"
) -> list[R]:
    """The rows of a metrics.csv; a torn last line is left out. Raises UserError, which ends in the
    advice."""
    try:
        return read_rows(path, kind)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"'{path}' is damaged ({error}); {advice}") from None


def first(rows: Sequence[R], step: int, path: Path, advice: str) -> list[R]:
    """Those of the first `step` steps. Raises UserError where `path` did not hold them."""
    found = [row for row in rows if row.step <= step]
    if [row.step for row in found] != list(range(1, step + 1)):
        raise UserError(f"'{path}' does not hold the {step} steps that were trained; {advice}")
    return found


def plot(rows: list[MetricsRow], path: Path, title: str) -> None:
    """Draw loss, held-out loss and live scores over steps."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    steps = [row.step for row in rows]
    axes.plot(steps, [row.loss for row in rows], color="#9ecae1", linewidth=0.8, label="loss")
    axes.plot(steps, list(smooth([r.loss for r in rows])), color="#08519c", label="loss, smoothed")
    if held := [(row.step, row.held_out) for row in rows if row.held_out is not None]:
        axes.plot(*zip(*held, strict=True), "o-", color="#d94801", label="held-out loss")
    axes.set(xlabel="step", ylabel="loss", title=title)
    live = [(row.step, row.live_em) for row in rows if row.live_em is not None]
    if live:
        right = axes.twinx()
        right.plot(*zip(*live, strict=True), "s--", color="#238b45", label="live exact match")
        right.set(ylim=(0, 1.02), ylabel="exact match of live episodes")
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    part = path.with_name(f"{path.stem}.part{path.suffix}")
    with writing(path):
        figure.savefig(part, dpi=120)
        part.replace(path)


class Bar:
    """The progress bar: loss, tokens a second and time left."""

    def __init__(self, console: Console, done: int, steps: int, quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[said]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=quiet,
            speed_estimate_period=600,
        )
        self._task = self._progress.add_task("", total=steps, completed=done, said="")
        self._lines = not (quiet or console.is_terminal)
        self._console = console
        self._steps = steps

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._progress.stop()

    def add(self, step: int, said: str, *, shown: bool = False) -> None:
        """Show one more step; where no terminal shows a bar, every tenth and those to be `shown` as
        a line."""
        self._progress.update(self._task, completed=step, said=said)
        if self._lines and (step % 10 == 0 or shown):
            self._console.print(f"step {step}/{self._steps} · {said}", highlight=False)


def progress_text(row: MetricsRow) -> str:
    """A step in one line."""
    text = f"loss {row.loss:.4f} · {row.tokens_per_second:,.0f} tokens/s"
    if row.held_out is not None:
        text += f" · held out {row.held_out:.4f}"
    if row.live_em is not None:
        text += f" · live exact match {row.live_em:.2f}"
    return text


def _names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in msgspec.structs.fields(kind))


def _cells(row: StepMetrics) -> list[str]:
    values = (getattr(row, name) for name in _names(type(row)))
    return ["" if value is None else str(value) for value in values]


def smooth(values: Sequence[float], keep: float = 0.9) -> Iterator[float]:
    """An exponential mean, started without bias; what is not a number is passed over."""
    mean = weight = 0.0
    for value in values:
        if math.isfinite(value):
            mean, weight = keep * mean + (1 - keep) * value, keep * weight + (1 - keep)
        yield mean / weight if weight else math.nan
