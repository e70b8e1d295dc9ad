"""A run folder open for recording: what is there, what is still to run, and how far it has come."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from autocoa_bench import scoring
from autocoa_bench.errors import UserError
from autocoa_bench.runs import provenance, run_folder
from autocoa_bench.runs.scheduler import Job
from autocoa_bench.types import Question, Record, RunInfo, Score
from autocoa_bench.util.run_progress import RunProgress


@contextmanager
def recording(
    path: Path, info: RunInfo, questions: Sequence[Question], samples: int, console: Console
) -> Iterator[tuple[list[Job], Callable[[Record], None]]]:
    """A run folder open for recording: what is still to run, and who takes its records."""
    folder = run_folder.RunFolder(path, info)
    jobs = [Job(question, n) for question in questions for n in range(samples)]
    totals = Counter(job.question.task for job in jobs)
    exact = scoring.load_scorers(("em",))
    try:
        with RunProgress(console, totals) as progress:
            done = _resume(folder, {job.key for job in jobs}, progress, exact)
            if done:
                recorded = f"{len(done)} of {totals.total()} recorded"
                console.print(f"resuming {escape(str(path))}: {recorded}")
                for change in provenance.changes(*folder.info.sessions[-2:]):
                    console.print(f"[yellow]{escape(change)}[/yellow]")

            def on_record(record: Record) -> None:
                folder.append(record)
                progress.add(record, _em(record, exact))

            yield [job for job in jobs if job.key not in done], on_record
    finally:
        folder.close()


def _resume(
    folder: run_folder.RunFolder,
    planned: set[run_folder.Key],
    progress: RunProgress,
    exact: dict[str, scoring.TextScorer],
) -> set[run_folder.Key]:
    """The keys of what a run folder holds already; a fault is asked again."""
    done: set[run_folder.Key] = set()

    def take(record: Record) -> None:
        if record.key not in planned:
            raise UserError(
                f"'{folder.path}' holds a record of question {record.question.id!r} of task "
                f"{record.question.task!r}, which its run.json does not plan"
            )
        if record.trajectory is not None:
            done.add(record.key)
            progress.resume(record, _em(record, exact))

    for record in folder.recorded():
        take(record)
    for record in folder.left_over():
        if record.key not in done:
            take(record)
            folder.append(record)
    return done


def _em(record: Record, exact: dict[str, scoring.TextScorer]) -> Score:
    return scoring.score_record(record, exact)["em"]
