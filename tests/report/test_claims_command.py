"""Claims from the command line, over runs against a mock server."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.commands import caller, refused
from support.mock_server import MockServer
from support.towns import reply, write_task


def test_claims_are_decided_from_run_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cli = caller(monkeypatch, capsys)
    tasks, corpus = write_task(tmp_path, 20)
    Path(tasks).rename("hotpotqa.jsonl")
    options = ("run", "--tasks", "hotpotqa.jsonl", "--corpus", corpus, "--model", "mock")
    with MockServer(reply) as server:
        for solver, out in (("agent:shots=0", "both"), ("model-only", "alone")):
            result = cli(*options, "--solver", solver, "--base-url", server.url, "--out", out)
            assert result.code == 0, result.err
    report = ("report", "both", "alone", "--by", "claims")
    result = cli(*report, "--as", "both=SFT-stage1&2", "--as", "alone=SFT-stage2")
    assert result.code == 0, result.err
    (line,) = (line for line in result.out.splitlines() if line.startswith("when-before-how"))
    assert line.split()[:5] == ["when-before-how", "20", "+50.0", "0.002", "44.3"]
    refused(cli(*report), "none of these runs is matched to a row", "--as")
