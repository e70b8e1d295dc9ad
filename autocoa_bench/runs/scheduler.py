"""Drives many episodes at once against a model engine and a search engine."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import NamedTuple, Protocol

import msgspec

from autocoa_bench.engines import EPISODE, Engine, EpisodeId
from autocoa_bench.engines.openai import context_errors
from autocoa_bench.episode import Dialect, Episode, Reply, episode
from autocoa_bench.errors import CONTEXT, EngineFault, Fault, SearchFault
from autocoa_bench.search import SearchEngine
from autocoa_bench.types import (
    Budget,
    FaultNote,
    Generate,
    Observation,
    Question,
    Record,
    Sampling,
    Trajectory,
)
from autocoa_bench.util.concurrency import work_through


class Backends(NamedTuple):
    """What an episode acts on; None for what the solver does not use."""

    engine: Engine | None
    search: SearchEngine | None


class AnswersQuestions(Protocol):
    """Whatever answers a question; `solvers.Solver` is the one that the command line makes."""

    async def solve(
        self, question: Question, world: Backends, sampling: Sampling, budget: Budget
    ) -> Trajectory:
        """One episode. Raises Fault."""
        ...


_SEEDS = 0x7FFFFFFF


class Job(NamedTuple):
    """One episode to run."""

    question: Question
    sample: int

    @property
    def key(self) -> tuple[str, str, int]:
        """The key of the record that it makes."""
        return (self.question.task, self.question.id, self.sample)


async def drive(
    question: Question, dialect: Dialect, world: Backends, sampling: Sampling, budget: Budget
) -> Trajectory:
    """Run one episode to its end, timing every exchange. Raises Fault."""
    this = EpisodeId()
    outer = EPISODE.set(this)
    try:
        return await _drive(episode(question, dialect, budget), world, sampling)
    finally:
        this.over = True
        EPISODE.reset(outer)


async def _drive(run: Episode, world: Backends, sampling: Sampling) -> Trajectory:
    assert world.engine is not None, "a dialect needs a model engine"
    event = next(run)
    while True:
        start = perf_counter()
        reply: Reply
        if isinstance(event, Generate):
            # A seed of its own for every completion: draws of one episode are independent.
            sampling = msgspec.structs.replace(sampling, seed=(sampling.seed + 1) & _SEEDS)
            try:
                [completion] = await world.engine.generate(event, sampling)
                reply = msgspec.structs.replace(completion, seconds=perf_counter() - start)
            except EngineFault as fault:
                if fault.kind != CONTEXT:
                    raise
                reply = context_errors.refused(str(fault))
        else:
            if world.search is None:
                raise SearchFault("no-search-engine", "the solver searched, but nothing answers")
            passages = await world.search.search(event.query)
            reply = Observation(passages, perf_counter() - start)
        try:
            event = run.send(reply)
        except StopIteration as end:
            trajectory: Trajectory = end.value
            return trajectory


def episode_seed(seed: int, question: Question, sample: int) -> int:
    """A seed of its own for every question and sample, the same on every machine."""
    return zlib.crc32(f"{seed}:{question.task}:{question.id}:{sample}".encode()) & _SEEDS


async def run_jobs(
    jobs: Iterable[Job],
    solver: AnswersQuestions,
    world: Backends,
    sampling: Sampling,
    budget: Budget,
    concurrency: int,
    on_record: Callable[[Record], None],
) -> None:
    """Run every job, `concurrency` at a time, handing each record over as its episode ends.

    A fault becomes a record with a note and never stops the others. Whatever `on_record` raises
    stops the run at once.
    """

    async def work(job: Job) -> None:
        question, sample = job
        seeded = msgspec.structs.replace(
            sampling, seed=episode_seed(sampling.seed, question, sample)
        )
        start = perf_counter()
        trajectory, note = None, None
        try:
            trajectory = await solver.solve(question, world, seeded, budget)
        except Fault as fault:
            note = FaultNote(fault.kind, str(fault))
        on_record(Record(question, sample, trajectory, note, perf_counter() - start))

    await work_through(jobs, work, concurrency)
