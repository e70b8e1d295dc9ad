"""What a person sees while a run works: one bar a task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from time import perf_counter
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from autocoa_bench.types import Record, Score


class RunProgress:
    """A bar a task with running exact match, tokens a second, faults and time left."""

    def __init__(self, console: Console, totals: Mapping[str, int]) -> None:
        """`totals`: how many episodes each task has in all, recorded ones included."""
        self._progress = _bars(console)
        self._bars = {
            task: _Bar(self._progress.add_task(escape(task), total=total, figures="", start=False))
            for task, total in totals.items()
        }

    def __enter__(self) -> RunProgress:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def resume(self, record: Record, score: Score) -> None:
        """Count an episode that was recorded before: it says nothing of this session's speed."""
        bar = self._bars[record.question.task]
        bar.count(record, score)
        self._progress.reset(bar.id, start=False, completed=bar.done, figures=bar.figures())

    def add(self, record: Record, score: Score) -> None:
        """Count an episode that ended now."""
        bar = self._bars[record.question.task]
        if bar.started is None:
            bar.started = perf_counter() - record.seconds
            self._progress.start_task(bar.id)
        bar.count(record, score)
        if record.trajectory is not None:
            bar.tokens += sum(step.completion_tokens or 0 for step in record.trajectory.steps)
        self._progress.update(bar.id, advance=1, figures=bar.figures())


class JudgeProgress:
    """A bar of answers that are judged, with the share of those called right and what failed."""

    def __init__(self, console: Console, label: str, total: int) -> None:
        self._progress = _bars(console)
        self._bar = self._progress.add_task(escape(label), total=total, figures="")
        self._verdicts: Counter[bool | None] = Counter()

    def __enter__(self) -> JudgeProgress:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def add(self, right: bool | None) -> None:
        """Count a verdict; None: there is none."""
        self._verdicts[right] += 1
        judged = self._verdicts[True] + self._verdicts[False]
        parts = [f"right {100 * self._verdicts[True] / judged:.1f}" if judged else "right –"]
        if failed := self._verdicts[None]:
            parts.append(f"[red]{failed} without verdict[/red]")
        self._progress.update(self._bar, advance=1, figures=" · ".join(parts))


def _bars(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeElapsedColumn(),
        TextColumn("·"),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console,
        refresh_per_second=4,
        disable=not console.is_terminal,
    )


class _Bar:
    def __init__(self, bar_id: TaskID) -> None:
        self.id = bar_id
        self.started: float | None = None
        self.tokens = 0
        self.correct = 0.0
        self.scored = 0
        self.done = 0
        self.faults = 0

    def count(self, record: Record, score: Score) -> None:
        self.done += 1
        if score.value is not None:
            self.correct += score.value
            self.scored += 1
        self.faults += record.trajectory is None

    def figures(self) -> str:
        parts = [f"EM {100 * self.correct / self.scored:.1f}" if self.scored else "EM –"]
        if self.started is not None and (seconds := perf_counter() - self.started) > 0.5:
            parts.append(f"{self.tokens / seconds:.0f} tok/s")
        if self.faults:
            parts.append(f"[red]{self.faults} faults[/red]")
        return " · ".join(parts)
