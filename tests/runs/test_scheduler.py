"""The runner drives many episodes and loses none."""

import asyncio

import pytest

from agent_model.dialects.agent import Agent
from autocoa_bench.errors import EngineFault, SearchFault, UserError
from autocoa_bench.runs.scheduler import Job, episode_seed, run_jobs
from autocoa_bench.runs.solvers import Backends, Solver
from autocoa_bench.types import (
    Budget,
    Completion,
    EngineSpec,
    Generate,
    Passage,
    Question,
    Record,
    Sampling,
    SearchSpec,
)
from support.play import PASSAGES

SOLVER = Solver("agent", "Agent model", True, "", Agent(shots=0))
QUESTIONS = [Question(f"q{i}", f"Who is {i}?", ("Anna",), "toy") for i in range(20)]


class Engine:
    """Searches once, then answers Anna; `broken` questions fault; counts what is in flight."""

    def __init__(self, broken: str = "none") -> None:
        self.broken = broken
        self.in_flight = self.most = 0
        self.seeds: list[int] = []

    async def start(self) -> EngineSpec:
        return EngineSpec("toy", "toy", "none")

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        self.seeds.append(sampling.seed)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        if self.broken in request.prompt.opening[0].content:
            raise EngineFault("timeout", "no reply")
        searched = "<search_result>" in request.prompt.continuation
        return [Completion("</think>\\boxed{Anna}" if searched else "<begin_search> x")]

    async def close(self) -> None:
        pass


class Shelf:
    """Always the same two passages."""

    spec = SearchSpec("toy", "toy", "", 2, {}, 2)

    async def search(self, query: str) -> tuple[Passage, ...]:
        return PASSAGES

    async def close(self) -> None:
        pass


def run(engine: Engine, world: Backends | None = None, samples: int = 1) -> list[Record]:
    records: list[Record] = []
    jobs = [Job(question, sample) for question in QUESTIONS for sample in range(samples)]
    asyncio.run(
        run_jobs(
            jobs,
            SOLVER,
            world or Backends(engine, Shelf()),
            Sampling(),
            Budget(),
            4,
            records.append,
        )
    )
    return records


def test_every_question_is_recorded_once() -> None:
    records = run(Engine())
    assert sorted(record.question.id for record in records) == sorted(q.id for q in QUESTIONS)
    assert all(record.trajectory and record.trajectory.answer == "Anna" for record in records)


def test_no_more_episodes_are_in_flight_than_asked() -> None:
    engine = Engine()
    run(engine)
    assert engine.most == 4


def test_a_fault_is_recorded_with_its_kind_and_stops_no_other() -> None:
    records = {record.question.id: record for record in run(Engine(broken="Who is 7?"))}
    assert len(records) == 20
    fault = records["q7"].fault
    assert fault is not None
    assert (fault.kind, records["q7"].trajectory) == ("timeout", None)
    assert all(record.trajectory for key, record in records.items() if key != "q7")


def test_a_search_that_fails_is_a_fault_not_a_wrong_answer() -> None:
    class Burnt(Shelf):
        async def search(self, query: str) -> tuple[Passage, ...]:
            raise SearchFault("http-500", "the shelf burnt down")

    engine = Engine()
    records = run(engine, Backends(engine, Burnt()))
    assert {record.fault.kind for record in records if record.fault} == {"http-500"}
    assert len(records) == 20


def test_a_record_that_cannot_be_written_stops_the_run() -> None:
    def full(record: Record) -> None:
        raise UserError("the disk is full")

    jobs = [Job(question, 0) for question in QUESTIONS]
    with pytest.raises(UserError, match="the disk is full"):
        asyncio.run(
            run_jobs(jobs, SOLVER, Backends(Engine(), Shelf()), Sampling(), Budget(), 4, full)
        )


def test_every_sample_has_a_seed_of_its_own_and_keeps_it() -> None:
    first, second = Engine(), Engine()
    run(first, samples=3)
    run(second, samples=3)
    assert len(set(first.seeds)) == 120  # every completion has a seed of its own
    assert sorted(first.seeds) == sorted(second.seeds)


def test_a_seed_is_the_same_on_every_machine() -> None:
    assert episode_seed(0, QUESTIONS[0], 0) == 1453732854


def test_generation_and_search_are_timed() -> None:
    record = run(Engine())[0]
    assert record.trajectory is not None
    step = record.trajectory.steps[0]
    assert step.generate_seconds > 0
    assert step.search_seconds > 0
    assert record.seconds >= step.generate_seconds
