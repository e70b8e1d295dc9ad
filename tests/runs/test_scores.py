"""A run is scored and reported from memory: no record is scored or read twice."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from autocoa_bench.runs import run_folder
from autocoa_bench.scoring import text
from autocoa_bench.util import json_lines
from support.commands import Cli, caller
from support.mock_server import MockServer
from support.towns import reply, write_task


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs four towns into the folder `run`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    tasks, corpus = write_task(tmp_path, 4)
    words = ["run", "--solver", "agent:shots=0", "--tasks", tasks, "--corpus", corpus]
    return caller(monkeypatch, capsys, *words, "--model", "mock", "--out", "run")


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The predictions that exact match is computed of."""
    predictions: list[str] = []
    exact_match = text.exact_match

    def counting(prediction: str, golds: Sequence[str]) -> float:
        predictions.append(prediction)
        return exact_match(prediction, golds)

    monkeypatch.setattr(text, "exact_match", counting)
    return predictions


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The run folders whose records are read."""
    folders: list[Path] = []
    read_records = run_folder._read_records

    def counting(path: Path) -> object:
        folders.append(path)
        return read_records(path)

    monkeypatch.setattr(run_folder, "_read_records", counting)
    return folders


@pytest.mark.parametrize("judged", [False, True])
def test_exact_match_is_computed_once_a_record(
    cli: Cli, scored: list[str], reads: list[Path], judged: bool
) -> None:
    with MockServer(reply) as server, MockServer(lambda _: "Verdict: correct") as judge:
        options = ("--judge", "mock", "--judge-base-url", judge.url) if judged else ()
        done = cli("--base-url", server.url, *options)
        assert done.code == 0, done.err
        assert (len(scored), len(reads)) == (4, 1)
        assert cli("--base-url", server.url, *options).code == 0
    assert (len(scored), len(reads)) == (8, 2)


def test_a_resumed_run_scores_what_was_recorded_before_too(cli: Cli) -> None:
    with MockServer(reply) as server:
        whole = cli("--base-url", server.url, "--limit", "4")
        scores = Path("run/scores.jsonl").read_bytes()
        records = Path("run/records.jsonl").read_bytes().splitlines(keepends=True)
        Path("run/records.jsonl").write_bytes(b"".join(records[:2]))
        resumed = cli("--base-url", server.url, "--limit", "4")
    assert "2 of 4 recorded" in resumed.err
    assert resumed.out.splitlines()[:5] == whole.out.splitlines()[:5]
    assert sorted(Path("run/scores.jsonl").read_bytes().splitlines()) == sorted(scores.splitlines())


@pytest.mark.parametrize("command", ["report", "show"])
def test_a_folder_that_cannot_be_written_is_read_all_the_same(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with MockServer(reply) as server:
        assert cli("--base-url", server.url).code == 0
    Path("run/scores.jsonl").unlink()

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(json_lines, "replace_file", refuse)
    done = caller(monkeypatch, capsys)(command, "run")
    assert done.code == 0, done.err
    assert "em 1" in done.out or "100.0" in done.out
    assert not Path("run/scores.jsonl").exists()
