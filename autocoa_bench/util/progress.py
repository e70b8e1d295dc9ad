"""A bar for work that may take long: it appears only once two seconds have passed."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

PATIENCE_SECONDS = 2.0


class DelayedProgressBar:
    """A transient bar on stderr; silent where stderr is no terminal or the work is short."""

    def __init__(self, label: str) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(label, total=1.0)
        self._due = time.monotonic() + PATIENCE_SECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def update(self, done: float | None) -> None:
        """Say how much is done, from 0 to 1; None where that cannot be known."""
        if time.monotonic() < self._due:
            return
        self._bar.start()
        self._bar.update(self._task, total=None if done is None else 1.0, completed=done or 0.0)
