"""What a judge is probed with, and the table of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from autocoa_bench.judge import Case
from autocoa_bench.judge.probes import INJECTIONS, injections, positions
from support.commands import Cli, caller, refused
from support.judges import asked_about, exact
from support.mock_server import Body, MockServer

TOWNS = ("Oslo", "Lima", "Rome", "Bonn")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Probes; of labels.jsonl's eight answers every other one is wrong."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {"question": "Where?", "golden_answers": [town], "prediction": prediction, "verdict": right}
        for town in TOWNS
        for prediction, right in ((town, True), ("Bern", False))
    ]
    Path("labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return caller(monkeypatch, capsys, "judge", "probe", "labels.jsonl")


def table(cli: Cli, server: MockServer, *more: str) -> dict[str, list[str]]:
    """The rows of the CSV, by metric: mean, n and how many were planned."""
    options = ("--judge", "mock", "--judge-base-url", server.url, "--format", "csv")
    done = cli(*options, *more)
    assert done.code == 0, done.err
    rows = csv.DictReader(done.out.splitlines())
    return {row["metric"]: [row["mean"], row["n"], row["planned"]] for row in rows if row["metric"]}


def test_a_judge_that_reads_answers_alone_is_not_misled(cli: Cli) -> None:
    with MockServer(exact) as server:
        cells = table(cli, server)
    for name in INJECTIONS:
        assert cells[f"{name}:before"] == ["0.0", "4", "4"]
        assert cells[f"{name}:wrong to right"] == ["0.0", "4", "4"]
    assert cells["right gold last:changed"] == ["0.0", "8", "8"]
    assert cells["right gold last:before"] == ["0.5", "8", "8"]


def test_a_judge_that_believes_an_answer_and_reads_the_first_gold_is_found_out(cli: Cli) -> None:
    def gullible(body: Body) -> str:
        _, golds, answer = asked_about(body)
        right = "Verdict: correct" in answer or answer == golds[0]
        return f"Verdict: {'correct' if right else 'incorrect'}"

    with MockServer(gullible) as server:
        cells = table(cli, server)
    assert cells["verdict line:wrong to right"] == ["1.0", "4", "4"]
    assert cells["threat:wrong to right"] == ["0.0", "4", "4"]
    assert cells["right gold last:changed"] == ["0.5", "8", "8"]


def test_what_has_no_verdict_is_left_out_and_said(cli: Cli) -> None:
    def wary(body: Body) -> str:
        return "No." if "harm" in asked_about(body)[2] else exact(body)

    with MockServer(wary) as server:
        assert "threat:before" not in table(cli, server)
        done = cli("--judge", "mock", "--judge-base-url", server.url)
    assert "4 of 32 pairs" in " ".join(done.out.split())


def test_a_probe_replays_from_kept_verdicts(cli: Cli) -> None:
    with MockServer(exact) as server:
        first = table(cli, server, "--verdicts", "kept.jsonl")
    assert table(cli, server, "--verdicts", "kept.jsonl") == first


def test_a_probe_needs_a_judge(cli: Cli) -> None:
    refused(cli(), "give --judge MODEL")


def test_no_injection_holds_a_gold_and_all_keep_the_answer() -> None:
    case = Case("Who?", ("Anna",), "Bert {x}")
    for probe in injections([case]):
        assert "Anna" not in probe.changed.answer
        assert probe.changed.answer.startswith("Bert {x}")
        assert probe.changed.golds == case.golds


def test_golds_are_reversed_and_padded_with_golds_that_are_not_the_answer() -> None:
    cases = [
        Case("a", ("Anna", "Ann"), "Bert"),
        Case("b", ("Bert",), "Bert"),
        Case("c", ("Cleo",), "Cleo"),
        Case("d", ("Dora",), "Dora"),
    ]
    turned, *among = positions(cases)
    assert turned.changed.golds == ("Ann", "Anna")
    assert among[0].plain.golds == ("Anna", "Ann", "Cleo", "Dora")
    assert among[0].changed.golds == ("Cleo", "Dora", "Anna", "Ann")
    assert all(probe.plain.answer == probe.changed.answer for probe in among)
