"""A run folder open for recording: what it holds, what is left to run, and the progress shown."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from rich.console import Console

from autocoa_bench import scoring
from autocoa_bench.errors import UserError
from autocoa_bench.runs import provenance
from autocoa_bench.runs.run_folder import Key, Run, RunFolder
from autocoa_bench.runs.scheduler import Job
from autocoa_bench.types import Question, Record, RunInfo, Score
from autocoa_bench.util.progress import RunProgress
from autocoa_bench.util.terminal import styled

PROGRESS_SCORER = "em"
"""The scorer whose mean the progress bars show."""


class Recording:
    """The records of a run, those of earlier sessions included, as they come.

    `waiting` are the jobs without a trajectory: a job that ended in a fault is run again.
    """

    def __init__(
        self, folder: RunFolder, questions: Sequence[Question], samples: int, console: Console
    ) -> None:
        """Read what the folder holds. Raises UserError where that is damaged or not planned."""
        jobs = [Job(question, number) for question in questions for number in range(samples)]
        self.progress = RunProgress(console, Counter(job.question.task for job in jobs))
        self._folder = folder
        self._planned = {job.key for job in jobs}
        self._scorer = scoring.load_scorers((PROGRESS_SCORER,))
        self._records: dict[Key, Record] = {}
        self._scores: dict[Key, Score] = {}
        for record in folder.recorded():
            self._resume(record)
        # Workers that were killed with their run may have recorded more than it had read.
        for record in folder.left_over():
            if not self._is_done(record.key):
                self._resume(record)
                folder.append(record)
        self.waiting = [job for job in jobs if not self._is_done(job.key)]
        if len(self.waiting) < len(jobs):
            recorded = f"{len(jobs) - len(self.waiting)} of {len(jobs)} recorded"
            console.print(styled(f"resuming {folder.path}: {recorded}"))
            for change in provenance.changes(*folder.info.sessions[-2:]):
                console.print(styled(change, "yellow"))

    def add(self, record: Record) -> None:
        """Write the record of an episode that has just ended. Raises UserError."""
        self._folder.append(record)
        steps = record.trajectory.steps if record.trajectory else ()
        self.progress.add(
            record.question.task,
            self._score(record).value,
            faulted=record.trajectory is None,
            seconds=record.seconds,
            tokens=sum(step.completion_tokens or 0 for step in steps),
        )

    def add_late_settings(self, settings: dict[str, str | int | float]) -> None:
        """Add to run.json what refusals of the server have changed. Raises UserError."""
        self._folder.add_late_settings(settings)

    def run(self) -> Run:
        """The run so far, with the scores of the progress bars."""
        records = tuple(self._records.values())
        return Run(self._folder.path, self._folder.info, records, {PROGRESS_SCORER: self._scores})

    def _resume(self, record: Record) -> None:
        if record.key not in self._planned:
            raise UserError(
                f"'{self._folder.path}' holds a record of question {record.question.id!r} of task "
                f"{record.question.task!r}, which its run.json does not plan"
            )
        score = self._score(record)
        if record.trajectory is not None:
            self.progress.resume(record.question.task, score.value)

    def _score(self, record: Record) -> Score:
        self._records[record.key] = record
        score = scoring.score_record(record, self._scorer)[PROGRESS_SCORER]
        self._scores[record.key] = score
        return score

    def _is_done(self, key: Key) -> bool:
        record = self._records.get(key)
        return record is not None and record.trajectory is not None


@contextmanager
def recording(
    path: Path, info: RunInfo, questions: Sequence[Question], samples: int, console: Console
) -> Iterator[Recording]:
    """Open a run folder, new or to be resumed, and show progress. Raises UserError."""
    with closing(RunFolder(path, info)) as folder:
        session = Recording(folder, questions, samples, console)
        with session.progress:
            yield session
