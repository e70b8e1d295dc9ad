"""Small run folders' contents for tests."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from autocoa_bench.runs.run_folder import RunFolder
from autocoa_bench.types import (
    Budget,
    EngineSpec,
    Environment,
    FaultNote,
    Message,
    Question,
    Record,
    RunInfo,
    RunSpec,
    Sampling,
    Step,
    TaskSample,
    Trajectory,
)


def info(solver: str = "agent", top_seed: int = 0, ids: tuple[str, ...] = ("q1", "q2")) -> RunInfo:
    """What run.json holds, for a run of one task `toy`."""
    spec = RunSpec(
        solver=solver,
        prompt_sha256="0" * 64,
        tasks=(TaskSample("toy", "file", "1" * 64, ids),),
        search=None,
        engine=EngineSpec("scripted", "script", "chat"),
        sampling=Sampling(seed=top_seed),
        samples=1,
        budget=Budget(),
    )
    environment = Environment("2026-01-01T00:00:00+00:00", "", 1, "", {})
    return RunInfo(1, spec, "Agent model", (environment,), ("em",))


def question(number: int = 1, gold: str = "Anna") -> Question:
    """Question q<number> of task `toy`."""
    return Question(f"q{number}", f"Who is number {number}?", (gold,), "toy")


def answered(number: int = 1, answer: str | None = "Anna", searches: int = 0) -> Record:
    """A record that ends with `answer` after so many searches."""
    steps = [Step("search", "s", "query", observation="o") for _ in range(searches)]
    steps.append(Step("answer", f"\\boxed{{{answer}}}", answer or ""))
    trajectory = Trajectory("agent", (Message("user", "?"),), "", tuple(steps), answer, "answered")
    return Record(question(number), 0, trajectory)


def failed(number: int = 1, kind: str = "timeout") -> Record:
    """A record of the harness's failure."""
    return Record(question(number), 0, fault=FaultNote(kind, "no reply in 600 s"))


def write_run(path: Path, about: RunInfo, records: Iterable[Record]) -> None:
    """A run folder with these records, not scored yet."""
    folder = RunFolder(path, about)
    for record in records:
        folder.append(record)
    folder.close()
