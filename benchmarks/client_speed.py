"""What the client costs: the real runner and client beside a bare aiohttp loop.

    python benchmarks/client_speed.py             # CPU and wall time, alternated three times
    python benchmarks/client_speed.py --memory    # peak memory as well (takes minutes)
    python benchmarks/client_speed.py --solver tools    # tool calls instead of the agent's tags

Both sides ask a mock model server in a process of its own (tests/support/mock_server.py; 50 ms +-
20 ms a request) the same search-agent questions: three searches and an answer each, so four
requests. Ours drives the agent's episodes, renders and parses them, and appends every record to a
run folder; the bare loop posts chats of the same sizes and keeps nothing. Search is a stub on both
sides. CPU is of the client's process alone. Ideal is the requests' latency over those in flight.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

LATENCY, JITTER = 0.05, 0.02
REQUESTS_A_QUESTION = 4
PASSAGE = " ".join(["The tower was built by Anna, who was born in the town by the river."] * 7)
MOCK_SERVER = Path(__file__).parent.parent / "tests" / "support" / "mock_server.py"


class Load(NamedTuple):
    """What is asked of one side."""

    url: str
    questions: int
    in_flight: int
    solver: str = "agent"


class Cost(NamedTuple):
    """Milliseconds of CPU a request, and seconds by the clock."""

    cpu: float
    wall: float


@contextmanager
def mock_server() -> Iterator[str]:
    """The URL of a mock server that runs for the length of the block."""
    command = [sys.executable, str(MOCK_SERVER), "--latency", str(LATENCY), "--jitter", str(JITTER)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


async def ours(load: Load) -> None:
    """Run episodes with the project's own runner, client and run folder."""
    from agent_model.dialects import Agent, Tools
    from autocoa_bench.engines.openai.client import OpenAIEngine
    from autocoa_bench.episode import prompt_sha256
    from autocoa_bench.runs.run_folder import FORMAT, RunFolder
    from autocoa_bench.runs.scheduler import Job, run_jobs
    from autocoa_bench.runs.solvers import Backends, Solver
    from autocoa_bench.types import (
        Budget,
        Environment,
        Passage,
        Question,
        RunInfo,
        RunSpec,
        Sampling,
        SearchSpec,
    )

    passages = tuple(Passage(str(i), f"Title {i}", PASSAGE) for i in range(3))

    class Stub:
        spec = SearchSpec("stub", "stub", "", 3, {}, 3)

        async def search(self, query: str) -> tuple[Passage, ...]:
            return passages

        async def close(self) -> None:
            pass

    engine = OpenAIEngine("mock", load.url, concurrency=load.in_flight)
    dialect = {"agent": Agent, "tools": Tools}[load.solver]()
    solver = Solver(load.solver, "", True, prompt_sha256(dialect), dialect)
    sampling, budget = Sampling(), Budget()
    spec = RunSpec(
        load.solver, solver.prompt_sha256, (), Stub.spec, await engine.start(), sampling, 1, budget
    )
    info = RunInfo(FORMAT, spec, "", (Environment("", "", load.in_flight, "", {}),), ())
    jobs = (
        Job(Question(str(i), f"Who built tower number {i}?", ("yes",)), 0)
        for i in range(load.questions)
    )
    answered = 0
    with tempfile.TemporaryDirectory() as folder:
        run = RunFolder(Path(folder), info)

        def on_record(record: Any) -> None:
            nonlocal answered
            assert record.fault is None, record.fault
            assert len(record.trajectory.steps) == REQUESTS_A_QUESTION
            answered += 1
            run.append(record)

        await run_jobs(
            jobs, solver, Backends(engine, Stub()), sampling, budget, load.in_flight, on_record
        )
        run.close()
    await engine.close()
    assert answered == load.questions


def chat_sizes() -> tuple[str, str]:
    """The opening and the observation that our side sends, for the bare loop to send too."""
    from agent_model.dialects.agent import Agent
    from autocoa_bench.types import Passage, Question

    agent = Agent(shots=0)
    [opening] = agent.opening(Question("0", "Who built tower number 100?", ()))
    passages = [Passage(str(i), f"Title {i}", PASSAGE) for i in range(3)]
    return opening.content, agent.show(passages)


async def bare(load: Load, opening: str, observation: str) -> None:
    """Post the same chats with nothing around aiohttp."""
    import aiohttp

    waiting = iter(range(load.questions))
    url = f"{load.url}/v1/chat/completions"

    async def work(session: aiohttp.ClientSession) -> None:
        for _ in waiting:
            messages = [{"role": "user", "content": opening}]
            for _ in range(REQUESTS_A_QUESTION):
                body = {"model": "mock", "messages": messages, "max_tokens": 512, "temperature": 0}
                async with session.post(url, json=body) as response:
                    reply = await response.json()
                text = reply["choices"][0]["message"]["content"]
                messages.append({"role": "assistant", "content": text})
                messages.append({"role": "user", "content": observation})

    connector = aiohttp.TCPConnector(limit=load.in_flight)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(work(session) for _ in range(load.in_flight)))


def cost(side: Any, load: Load) -> Cost:
    """Run one side in this process."""
    cpu, wall = time.process_time(), time.perf_counter()
    asyncio.run(side)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    return Cost(cpu * 1000 / (load.questions * REQUESTS_A_QUESTION), wall)


def peak_memory(side: str, load: Load) -> float:
    """Peak resident memory in MiB of one side in a process of its own."""
    command = [sys.executable, __file__, "--side", side, *map(str, load)]
    texts = json.dumps(chat_sizes())
    run = subprocess.run(command, input=texts, capture_output=True, text=True, check=True)
    return float(run.stdout) / 1024


def run_side(side: str, load: Load) -> None:
    """Run one side and print this process's peak resident memory in KiB."""
    opening, observation = json.load(sys.stdin)
    asyncio.run(ours(load) if side == "ours" else bare(load, opening, observation))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def print_table(rows: list[tuple[str, float, float]]) -> None:
    """Rows of a figure, ours and the bare loop's, with their ratio."""
    print(f"{'':<26}{'ours':>9}{'bare':>9}{'ratio':>9}")
    for name, own, other in rows:
        print(f"{name:<26}{own:>9.3f}{other:>9.3f}{own / other:>9.2f}")


def compare(questions: int, in_flight: int, rounds: int, solver: str, *, memory: bool) -> None:
    """Measure both sides in turn and print their medians."""
    texts = chat_sizes()
    with mock_server() as url:
        warm = Load(url, in_flight, in_flight, solver)
        load = Load(url, questions, in_flight, solver)
        own: list[Cost] = []
        other: list[Cost] = []
        cost(ours(warm), warm)
        cost(bare(warm, *texts), warm)
        for _ in range(rounds):
            own.append(cost(ours(load), load))
            other.append(cost(bare(load, *texts), load))
        median = statistics.median
        rows = [
            ("CPU ms a request", median(c.cpu for c in own), median(c.cpu for c in other)),
            ("wall s", median(c.wall for c in own), median(c.wall for c in other)),
        ]
        ideal = questions * REQUESTS_A_QUESTION * LATENCY / in_flight
        print(f"{questions} questions, {in_flight} in flight, ideal {ideal:.2f} s, {rounds} rounds")
        print_table(rows)
        if memory:
            many = Load(url, 5000, 256, solver)
            print(f"{many.questions} questions, {many.in_flight} in flight")
            print_table([("peak memory MiB", peak_memory("ours", many), peak_memory("bare", many))])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--questions", type=int, default=400)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--solver", choices=("agent", "tools"), default="agent")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--side", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        name, address, questions, in_flight, solver = arguments.side
        run_side(name, Load(address, int(questions), int(in_flight), solver))
    else:
        sizes = arguments.questions, arguments.in_flight, arguments.rounds
        compare(*sizes, arguments.solver, memory=arguments.memory)
