"""Runs made by hand: a few lines say which questions, which answers and which scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from autocoa_bench.runs.run_folder import Run
from autocoa_bench.types import (
    Budget,
    EngineSpec,
    Environment,
    FaultNote,
    Question,
    Record,
    RunInfo,
    RunSpec,
    Sampling,
    Score,
    SearchSpec,
    Step,
    TaskSample,
    Trajectory,
)

MODEL = "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"
BM25 = SearchSpec("bm25", "embedded", "0123456789abcdef", 2412, {"k1": 1.2, "b": 0.75}, 5)

Outcome = tuple[int, float] | str | None
"""Searches made and EM, or a fault's kind, or None for a question not asked yet."""


def trajectory(solver: str, searches: int, ending: str = "answered") -> Trajectory:
    """A trajectory of some searches and an answer, with token counts."""
    tokens = {"prompt_tokens": 200, "completion_tokens": 30}
    steps = [Step("search", "q", "q", observation_tokens=90, **tokens) for _ in range(searches)]
    steps.append(Step("answer", "a", "a", forced=ending != "answered", **tokens))
    return Trajectory(solver, (), "", tuple(steps), "a", ending)


def make(
    outcomes: dict[str, Sequence[Outcome | list[Outcome]]],
    solver: str = "agent",
    model: str = MODEL,
    folder: str = "run",
    edition: str = "embedded",
    seed: int = 0,
    search: SearchSpec | None = BM25,
    f1: Callable[[float], float] = lambda em: em,
    kinds: Mapping[str, str] = MappingProxyType({}),
) -> Run:
    """A run over tasks; a list stands for the samples of one question.

    `kinds` are those of the questions, by task.
    """
    samples = max(
        (len(o) for many in outcomes.values() for o in many if isinstance(o, list)), default=1
    )
    records, em = [], {}
    for task, answers in outcomes.items():
        for number, each in enumerate(answers):
            question = Question(f"q{number}", "?", ("a",), task, kinds.get(task, ""))
            for sample, outcome in enumerate(each if isinstance(each, list) else [each]):
                if outcome is None:
                    continue
                if isinstance(outcome, str):
                    note = FaultNote(outcome, f"{outcome} after 3 tries")
                    records.append(Record(question, sample, fault=note))
                    continue
                done = Record(question, sample, trajectory(solver, outcome[0]), seconds=2.0)
                em[done.key] = Score(outcome[1])
                records.append(done)
    spec = RunSpec(
        solver=solver,
        prompt_sha256=solver,
        tasks=tuple(
            TaskSample(task, edition, "ab" * 32, tuple(f"q{n}" for n in range(len(answers))))
            for task, answers in outcomes.items()
        ),
        search=search,
        engine=EngineSpec("openai", model, "continue"),
        sampling=Sampling(seed=seed),
        samples=samples,
        budget=Budget(),
    )
    environment = Environment("2025-03-09", "", 8, "7e39770aa1", {})
    scores = {
        "em": em,
        "f1": {key: Score(f1(score.value or 0.0)) for key, score in em.items()},
    }
    return Run(
        Path("runs") / folder,
        RunInfo(1, spec, "", (environment,), ("em", "f1")),
        tuple(records),
        scores,
    )
