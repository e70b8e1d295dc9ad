"""Runs as logs of Inspect."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from autocoa_bench.runs.inspect_logs import inspect_logs
from autocoa_bench.runs.run_folder import RunFolder
from autocoa_bench.runs.scores import load_scored
from support.commands import Cli, caller, refused
from support.runs import answered, failed, info

NAME = "2026-01-01T00-00-00+00-00_toy_one.toy.json"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.chdir(tmp_path)
    return caller(monkeypatch, capsys, "export")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two searches and a right answer; a fault."""
    run = RunFolder(tmp_path / "one", info())
    run.append(answered(1, searches=2))
    run.append(failed(2))
    run.close()
    return tmp_path / "one"


@pytest.fixture
def log(folder: Path) -> dict[str, Any]:
    return inspect_logs(load_scored(folder))[NAME]


def test_searches_are_tool_calls_and_observations_their_results(log: dict[str, Any]) -> None:
    messages = log["samples"][0]["messages"]
    roles = ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert [message["role"] for message in messages] == roles
    calls = [message["tool_calls"][0] for message in messages if "tool_calls" in message]
    assert [call["arguments"] for call in calls] == [{"query": "query"}] * 2
    results = [message for message in messages if message["role"] == "tool"]
    assert [message["tool_call_id"] for message in results] == [call["id"] for call in calls]
    assert len({call["id"] for call in calls}) == 2


def test_a_fault_is_an_error_and_its_score_is_no_number(log: dict[str, Any]) -> None:
    sample = log["samples"][1]
    assert sample["error"]["message"] == "timeout: no reply in 600 s"
    assert math.isnan(sample["scores"]["em"]["value"])
    assert sample["scores"]["em"]["explanation"] == "fault: timeout"


def test_the_result_is_the_mean_of_what_was_scored(log: dict[str, Any]) -> None:
    [result] = log["results"]["scores"]
    assert (result["scored_samples"], result["unscored_samples"]) == (1, 1)
    assert result["metrics"]["mean"]["value"] == 1.0
    assert result["metrics"]["ci_low"]["value"] < 1


def test_a_run_that_is_not_whole_is_not_a_success(tmp_path: Path, log: dict[str, Any]) -> None:
    run = RunFolder(tmp_path / "part", info())
    run.append(answered(1))
    run.close()
    assert log["status"] == "success"
    [part] = inspect_logs(load_scored(tmp_path / "part")).values()
    assert part["status"] == "started"


def test_the_command_writes_a_log_a_task(cli: Cli, folder: Path) -> None:
    done = cli(str(folder), "--out", "logs")
    assert done.out.strip() == f"logs/{NAME}"
    assert json.loads(Path("logs", NAME).read_text())["eval"]["task"] == "toy"
    Path("file").touch()
    refused(cli(str(folder), "--out", "file"), "cannot write to 'file'")


def test_inspect_reads_the_log(cli: Cli, folder: Path) -> None:
    inspect = pytest.importorskip("inspect_ai.log", reason="there is no inspect_ai")
    cli(str(folder), "--out", "logs")
    [listed] = inspect.list_eval_logs("logs")
    assert (listed.task, listed.task_id) == ("toy", "one.toy")
    read = inspect.read_eval_log(listed)
    assert (read.eval.model, read.status, len(read.samples)) == ("script", "success", 2)
    first, second = read.samples
    assert [message.role for message in first.messages][-2:] == ["tool", "assistant"]
    assert first.scores["em"].value == 1.0
    assert second.error.message.startswith("timeout")
