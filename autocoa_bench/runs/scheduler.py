"""Drives many episodes at once against a model engine and a search engine."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import NamedTuple, Protocol

import msgspec

from autocoa_bench.engines import CURRENT_EPISODE, Engine, EpisodeId
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
    """The engine and the search of an episode; None for what the solver does not use."""

    engine: Engine | None
    search: SearchEngine | None

    async def close(self) -> None:
        """Close both."""
        if self.engine is not None:
            await self.engine.close()
        if self.search is not None:
            await self.search.close()


class AnswersQuestions(Protocol):
    """Anything that answers questions; `runs.solvers.Solver` is the usual one."""

    async def solve(
        self, question: Question, backends: Backends, sampling: Sampling, budget: Budget
    ) -> Trajectory:
        """Run one episode. Raises Fault."""
        ...


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
    solver: AnswersQuestions,
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


async def drive(
    question: Question, dialect: Dialect, backends: Backends, sampling: Sampling, budget: Budget
) -> Trajectory:
    """Run one episode to its end and time every exchange. Raises Fault."""
    # Engines read the id from the context, to keep an episode's requests on one server.
    identifier = EpisodeId()
    token = CURRENT_EPISODE.set(identifier)
    try:
        return await _drive(episode(question, dialect, budget), backends, sampling)
    finally:
        identifier.over = True
        CURRENT_EPISODE.reset(token)


async def _drive(events: Episode, backends: Backends, sampling: Sampling) -> Trajectory:
    event = next(events)
    while True:
        if isinstance(event, Generate):
            # Each completion has a seed of its own, so that an episode's samples are independent.
            sampling = sampling.with_seed(sampling.seed + 1)
            reply = await _generate(event, backends, sampling)
        else:
            reply = await _search(event.query, backends)
        try:
            event = events.send(reply)
        except StopIteration as end:
            trajectory: Trajectory = end.value
            return trajectory


async def _generate(request: Generate, backends: Backends, sampling: Sampling) -> Reply:
    assert backends.engine is not None, "a dialect needs a model engine"
    start = perf_counter()
    try:
        [completion] = await backends.engine.generate(request, sampling)
    except EngineFault as fault:
        # A prompt that is too long for the server is the episode's to shorten.
        if fault.kind == CONTEXT:
            return context_errors.refused(str(fault))
        raise
    return msgspec.structs.replace(completion, seconds=perf_counter() - start)


async def _search(query: str, backends: Backends) -> Observation:
    if backends.search is None:
        raise SearchFault("no-search-engine", "the solver searched, but the run has no search")
    start = perf_counter()
    passages = await backends.search.search(query)
    return Observation(passages, perf_counter() - start)
