"""Progress bars on rich: of long work, of a run's tasks, of judging and of training."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from autocoa_bench.util.terminal import stderr_console
from autocoa_bench.util.text import printable

PATIENCE_SECONDS = 2.0
"""The time after which a `DelayedProgressBar` appears."""


class _Bars:
    """Bars that are shown inside a `with` statement; `options` are those of rich's `Progress`."""

    def __init__(self, *columns: ProgressColumn, **options: Any) -> None:
        self._progress = Progress(*columns, refresh_per_second=4, **options)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()


class DelayedProgressBar(_Bars):
    """A transient bar on stderr for work that may take long; it appears after two seconds."""

    def __init__(self, label: str) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeRemainingColumn(),
        )
        console = stderr_console()
        hidden = not console.is_terminal
        super().__init__(*columns, console=console, disable=hidden, transient=True)
        self._task = self._progress.add_task(printable(label), total=1.0)
        self._due = time.monotonic() + PATIENCE_SECONDS

    def __enter__(self) -> Self:
        return self

    def update(self, done: float | None) -> None:
        """Show how much is done, from 0 to 1; None where that cannot be known."""
        if time.monotonic() < self._due:
            return
        self._progress.start()
        self._progress.update(self._task, total=None if done is None else 1.0, completed=done or 0)


class TrainingProgress(_Bars):
    """A bar of training steps with their figures; without a terminal, a line per tenth step.

    `quiet` shows nothing: of several processes that train together, one reports.
    """

    def __init__(self, console: Console, done: int, steps: int, *, quiet: bool = False) -> None:
        super().__init__(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=quiet,
            speed_estimate_period=600.0,
        )
        self._task = self._progress.add_task("", total=steps, completed=done, figures="")
        self._prints_lines = not (quiet or console.is_terminal)
        self._console = console
        self._steps = steps

    def update(self, step: int, figures: str, *, always: bool = False) -> None:
        """Show that `step` is done; `always` prints its line whatever its number."""
        self._progress.update(self._task, completed=step, figures=figures)
        if self._prints_lines and (step % 10 == 0 or always):
            self._console.print(
                f"step {step}/{self._steps} · {figures}", markup=False, highlight=False
            )


class RunProgress(_Bars):
    """A bar for each task with its exact match so far, tokens per second, faults and time left."""

    def __init__(self, console: Console, totals: Mapping[str, int]) -> None:
        """`totals` counts the episodes of each task, those already recorded included."""
        super().__init__(*_columns(), console=console, disable=not console.is_terminal)
        self._tasks = {
            task: _TaskFigures(
                self._progress.add_task(printable(task), total=total, figures="", start=False)
            )
            for task, total in totals.items()
        }

    def resume(self, name: str, value: float | None) -> None:
        """Count an episode of an earlier session by its score; it does not count for the speed."""
        task = self._tasks[name]
        task.count(value)
        self._progress.reset(task.id, start=False, completed=task.done, figures=task.text())

    def add(
        self, name: str, value: float | None, *, faulted: bool, seconds: float, tokens: int
    ) -> None:
        """Count an episode that has just ended, with its seconds and its sampled tokens."""
        task = self._tasks[name]
        if task.started is None:
            task.started = time.perf_counter() - seconds
            self._progress.start_task(task.id)
        task.count(value)
        task.faults += faulted
        task.tokens += tokens
        self._progress.update(task.id, advance=1, figures=task.text())


class JudgeProgress(_Bars):
    """A bar of judged answers with the share judged right and the number without a verdict."""

    def __init__(self, console: Console, label: str, total: int) -> None:
        super().__init__(*_columns(), console=console, disable=not console.is_terminal)
        self._task = self._progress.add_task(printable(label), total=total, figures="")
        self._verdicts: Counter[bool | None] = Counter()

    def add(self, right: bool | None) -> None:
        """Count a verdict; None where the judge gave none."""
        self._verdicts[right] += 1
        judged = self._verdicts[True] + self._verdicts[False]
        parts = [f"right {100 * self._verdicts[True] / judged:.1f}" if judged else "right –"]
        if missing := self._verdicts[None]:
            parts.append(f"[red]{missing} without verdict[/red]")
        self._progress.update(self._task, advance=1, figures=" · ".join(parts))


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TextColumn("·"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )


@dataclass
class _TaskFigures:
    """The figures of one task's bar."""

    id: TaskID
    started: float | None = None
    tokens: int = 0
    correct: float = 0.0
    scored: int = 0
    done: int = 0
    faults: int = 0

    def count(self, value: float | None) -> None:
        self.done += 1
        if value is not None:
            self.correct += value
            self.scored += 1

    def text(self) -> str:
        parts = [f"EM {100 * self.correct / self.scored:.1f}" if self.scored else "EM –"]
        if self.started is not None:
            seconds = time.perf_counter() - self.started
            if seconds > 0.5:  # a speed from less is noise
                parts.append(f"{self.tokens / seconds:.0f} tok/s")
        if self.faults:
            parts.append(f"[red]{self.faults} faults[/red]")
        return " · ".join(parts)
