"""A third party's package, really installed, adds one plug-in of every kind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.mock_server import MockServer

PLUGIN = Path(__file__).parent / "plugin"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    target = tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run(
        [*install, "--no-build-isolation", "--target", str(target), str(PLUGIN)], check=True
    )
    return {**os.environ, "PYTHONPATH": str(target), "COLUMNS": "120"}


def bench(environment: dict[str, str], folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "autocoa_bench", *arguments]
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_all_parts_of_a_run_may_be_a_third_partys(
    environment: dict[str, str], tmp_path: Path
) -> None:
    solvers = ("--solver", "toy-dialect", "--solver", "toy-function")
    parts = ("--tasks", "toy", "--engine", "toy", "--search", "toy", "--scorers", "em,toy-initial")
    bench(environment, tmp_path, "run", *solvers, *parts)
    runs = sorted(str(run) for run in (tmp_path / "results" / "runs").iterdir())
    table = bench(environment, tmp_path, "report", *runs, "--by", "leaderboard", "--format", "csv")
    rows = [line.split(",") for line in table.splitlines() if ",em," in line and ",toy," in line]
    assert len(rows) == 2
    assert any("1.0" in row for row in rows)
    assert any("0.5" in row for row in rows)


def test_a_judge_may_be_asked_in_a_third_partys_words(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "labels.jsonl").write_text(
        '{"question": "Who?", "golden_answers": ["Anna"], "prediction": "Anna", "verdict": true}\n'
    )
    options = ("--judge-prompt", "toy", "--format", "csv", "--scorers", "em")
    with MockServer(lambda body: "yes" if "Is Anna Anna?" in str(body) else "no") as server:
        judge = ("--judge", "mock", "--judge-base-url", server.url)
        table = bench(environment, tmp_path, "judge", "audit", "labels.jsonl", *judge, *options)
    assert ",judge:agreement,,,,1.0," in table


def test_a_third_partys_task_is_listed(environment: dict[str, str], tmp_path: Path) -> None:
    assert "the test suite" in bench(environment, tmp_path, "tasks")


def test_a_plug_in_that_cannot_be_imported_is_named(
    environment: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "autocoa_bench", "run", "--solver", "toy-broken"]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "'toy-broken' of autocoa-bench-toy cannot be loaded" in done.stderr


def test_a_third_partys_command_stands_beside_our_own(
    environment: dict[str, str], tmp_path: Path
) -> None:
    assert "toy-greet" in bench(environment, tmp_path, "--help")
    assert bench(environment, tmp_path, "toy-greet", "Anna") == "hello Anna\n"


def test_a_command_that_cannot_be_loaded_stops_no_other(
    environment: dict[str, str], tmp_path: Path
) -> None:
    assert "toy-mute" in bench(environment, tmp_path, "--help")
    command = [sys.executable, "-m", "autocoa_bench", "toy-mute", "--loud"]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "'toy-mute' of autocoa-bench-toy cannot be loaded" in done.stderr
