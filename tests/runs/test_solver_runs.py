"""Whole runs of the solvers whose passages reach the model elsewhere than in its turn."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from autocoa_bench.episode import n_actions
from autocoa_bench.frames import load_runs
from autocoa_bench.report.tables.costs import _QUANTITIES
from autocoa_bench.runs.inspect_logs import inspect_logs
from autocoa_bench.runs.run_folder import Run, load_run
from autocoa_bench.runs.scores import load_scored
from autocoa_bench.runs.solvers import load_solver
from autocoa_bench.types import Record
from support.commands import Cli, caller
from support.declared import SOLVERS, declare_solvers
from support.mock_server import Body, MockServer
from support.towns import write_task

NAMES = ("rag", "rag:thinking=False", "ircot", "self-ask", "search-o1")


@pytest.fixture(autouse=True)
def declared(monkeypatch: pytest.MonkeyPatch) -> None:
    declare_solvers(monkeypatch)


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[str, Run]]:
    """Run all solvers; returns their runs by the solver's name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    cli: Cli = caller(monkeypatch, capsys)
    tasks, corpus = write_task(tmp_path, 4)
    solvers = [word for name in NAMES for word in ("--solver", name)]
    words = ["run", "--tasks", tasks, "--corpus", corpus, "--model", "mock", *solvers]

    def call(*more: str) -> dict[str, Run]:
        with MockServer(answer) as server:
            done = cli(*words, "--base-url", server.url, *more)
        assert done.code == 0, done.err
        runs = [load_run(path) for path in Path("results/runs").iterdir()]
        return {run.info.spec.solver: run for run in runs}

    return call


def answer(body: Body) -> str:
    """What the passages name as the mayor; a solver that searches asks first."""
    texts = [message["content"] for message in body["messages"]]
    asked = [int(number) for number in re.findall(r"mayor of town (\d+)\?", texts[0])]
    if not asked:  # a reading
        return "**Final Information**\n" + next(iter(re.findall(r"The mayor of [^.]*\.", texts[0])))
    found = re.findall(rf"mayor of town {asked[-1]} is (\w+)", " ".join(texts))
    mayor = found[0] if found else "unknown"
    searched = len(texts) > 1
    if "begin_search_query" in texts[0] and not searched:
        return f"Hm. <|begin_search_query|> mayor of town {asked[-1]} <|end_search_query|>"
    if "Follow up:" in texts[0]:
        if searched:
            return f" {mayor} is.\nSo the final answer is: {mayor}"
        return f" Yes.\nFollow up: Who is the mayor of town {asked[-1]}?"
    if "So the answer is:" in texts[0]:
        return f"So the answer is: {mayor}." if searched else f"{mayor} is the mayor of a town."
    return f"\\boxed{{{mayor}}}"


def timeless(run: Run) -> list[Record]:
    records = []
    for record in run.records:
        assert record.trajectory is not None
        steps = [
            replace(step, generate_seconds=0, search_seconds=0) for step in record.trajectory.steps
        ]
        trajectory = replace(record.trajectory, steps=tuple(steps))
        records.append(replace(record, seconds=0, trajectory=trajectory))
    return sorted(records, key=lambda record: record.key)


def test_each_solver_answers_records_and_replays(run: Callable[..., dict[str, Run]]) -> None:
    recorded = run("--record", "tape.jsonl")
    assert set(recorded) == set(NAMES)
    for name, actions in zip(NAMES, (1, 1, 2, 1, 1), strict=True):
        scores = recorded[name].scores["em"].values()
        assert [score.value for score in scores] == [1.0] * 4, name
        for record in recorded[name].records:
            assert record.trajectory is not None
            assert (record.trajectory.ending, n_actions(record.trajectory)) == ("answered", actions)
    Path("results").rename("recorded")
    replayed = run("--replay", "tape.jsonl")
    for name in NAMES:
        assert timeless(replayed[name]) == timeless(recorded[name])


def test_costs_frames_and_logs_count_calls_and_searches(
    run: Callable[..., dict[str, Run]],
) -> None:
    runs = run()
    calls = _QUANTITIES["model_calls"][1]
    for name, expected in {"rag": 1, "ircot": 2, "self-ask": 2, "search-o1": 3}.items():
        trajectory = runs[name].records[0].trajectory
        assert trajectory is not None
        assert calls(trajectory) == expected
    frames = load_runs(*(run.path for run in runs.values()))
    assert frames.records.prompt_tokens.notna().all()
    assert "reading" in set(frames.steps.kind)
    for name, results in {"rag": [], "search-o1": ["The mayor of town"]}.items():
        [log] = inspect_logs(load_scored(runs[name].path)).values()
        messages = log["samples"][0]["messages"]
        tools = [message["content"] for message in messages if message["role"] == "tool"]
        assert len(tools) == len(results)
        assert all(text in tool for text, tool in zip(results, tools, strict=True))


def test_a_solver_that_asks_for_passages_gets_as_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    tasks, corpus = write_task(tmp_path, 6)
    with MockServer(answer) as server:
        words = ("--tasks", tasks, "--corpus", corpus, "--model", "mock", "--base-url", server.url)
        done = caller(monkeypatch, capsys)(
            "run", "--solver", "rag:top_k=5", "--solver", "ircot", "--top-k", "2", *words
        )
    assert done.code == 0, done.err
    runs = {run.info.spec.solver: run for run in map(load_run, Path("results/runs").iterdir())}
    for name, top_k in {"rag:top_k=5": 5, "ircot": 2}.items():
        search = runs[name].info.spec.search
        assert search is not None
        assert search.top_k == top_k
        trajectory = runs[name].records[0].trajectory
        assert trajectory is not None
        assert len(trajectory.steps[0].passages) == top_k


@pytest.mark.parametrize("name", SOLVERS)
def test_every_declared_solver_loads_under_its_own_name(name: str) -> None:
    solver = load_solver(name)
    assert solver.plugin.name == name
    assert solver.section
    assert solver.searches == (name not in ("model-only", "cot"))
