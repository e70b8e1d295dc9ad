"""Runs many episodes at once."""

import zlib
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import NamedTuple

from autocoa_bench.errors import Fault
from autocoa_bench.runs.solvers import Backends, Solver
from autocoa_bench.types import Budget, FaultNote, Question, Record, Sampling
from autocoa_bench.util.concurrency import work_through


class Job(NamedTuple):
    """One episode to run: a question and the number of its sample."""

    question: Question
    sample: int

    @property
    def key(self) -> tuple[str, str, int]:
        """The key of the episode's record."""
        return (self.question.task, self.question.id, self.sample)


async def run_jobs(
    jobs: Iterable[Job],
    solver: Solver,
    backends: Backends,
    sampling: Sampling,
    budget: Budget,
    concurrency: int,
    on_record: Callable[[Record], None],
) -> None:
    """Run every job, `concurrency` at a time, and hand over each record as its episode ends.

    A fault becomes a record with a note and does not stop the others. An exception of `on_record`
    stops the run at once.
    """

    async def work(job: Job) -> None:
        question, number = job
        seeded = sampling.with_seed(episode_seed(sampling.seed, question, number))
        start = perf_counter()
        trajectory, fault = None, None
        try:
            trajectory = await solver.solve(question, backends, seeded, budget)
        except Fault as error:
            fault = FaultNote(error.kind, str(error))
        on_record(Record(question, number, trajectory, fault, perf_counter() - start))

    await work_through(jobs, work, concurrency)


def episode_seed(seed: int, question: Question, sample: int) -> int:
    """The seed of one question's sample, the same on every machine and in any order."""
    text = f"{seed}:{question.task}:{question.id}:{sample}"
    return zlib.crc32(text.encode()) & 0x7FFFFFFF
