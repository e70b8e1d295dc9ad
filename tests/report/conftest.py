"""Handmade runs, and the registry's information on their tasks and solvers."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from autocoa_bench.report import Catalogue
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.types import TaskInfo
from support.handmade import BM25, Outcome, make

SIX = {
    "nq": ("NQ", "singlehop"),
    "triviaqa": ("TriviaQA", "singlehop"),
    "hotpotqa": ("HotpotQA", "multihop"),
    "2wikimultihopqa": ("2WikiMultihopQA", "multihop"),
    "musique": ("MuSiQue", "multihop"),
    "bamboogle": ("Bamboogle", "multihop"),
}


@pytest.fixture
def known() -> Catalogue:
    """The registry's information on three solvers and the paper's six datasets."""
    return Catalogue(
        {
            "model-only": "Model only (w/o action)",
            "react": "Agentic workflow",
            "agent": "Agent model",
        },
        {
            name: TaskInfo(name, title, "embedded", "", "", "", 500, None, (group, "paper"))
            for name, (title, group) in SIX.items()
        },
    )


def random_run(solver: str, chance: float, searches: int, seed: int, n: int = 100) -> Run:
    """A run over the six datasets with random answers, F1 a little above EM."""
    rng = random.Random(seed)
    outcomes: dict[str, list[Outcome | list[Outcome]]] = {
        task: [
            (rng.randint(0, searches), float(rng.random() < chance))
            for _ in range(n if task != "bamboogle" else min(n, 125))
        ]
        for task in SIX
    }
    search = BM25 if searches else None
    return make(
        outcomes,
        solver,
        folder=solver,
        search=search,
        f1=lambda em: em or rng.choice([0.0, 0.0, 0.4]),
    )


@pytest.fixture
def make_run() -> Callable[..., Run]:
    """See `make`."""
    return make


@pytest.fixture
def three_runs() -> list[Run]:
    """Model only, ReAct and agent over six datasets."""
    return [
        random_run("model-only", 0.1, 0, 1),
        random_run("react", 0.15, 4, 2),
        random_run("agent", 0.3, 7, 3),
    ]
