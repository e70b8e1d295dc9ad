"""The judge that ships: what it is, that it judges, and when it is asked."""

from hashlib import sha256
from pathlib import Path

import pytest
from rich.console import Console

from autocoa_bench.engines.weights.models import DEFAULT
from autocoa_bench.judge import Case, JudgeConfig, load_prompt
from autocoa_bench.judge.agreement import read_audit
from autocoa_bench.runs.run_folder import load_run
from autocoa_bench.runs.scores import judge_cases
from support.commands import Cli, caller, refused
from support.towns import write_task

BRIEF = load_prompt("brief")
ADAPTER = BRIEF.adapters[DEFAULT]
LARGEST = 12 * 2**20

SAID = {
    ("Where was Ada Lovelace born?", "London", "It was London, England."): True,
    ("Where was Ada Lovelace born?", "London", "Paris"): False,
    ("When did the war end?", "11 November 1918", "November 11, 1918"): True,
    ("When did the war end?", "11 November 1918", "11 November 1919"): False,
    ("Who wrote it?", "J. R. R. Tolkien", "Tolkien"): True,
    ("Who wrote it?", "J. R. R. Tolkien", "C. S. Lewis"): False,
    ("Which country is it in?", "the United States", "USA"): True,
    ("Which country is it in?", "the United States", "Canada"): False,
}


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.chdir(tmp_path)
    return caller(monkeypatch, capsys)


def test_the_adapter_is_small_and_the_one_that_its_card_and_its_audit_are_of() -> None:
    content = ADAPTER.read_bytes()
    digest = sha256(content).hexdigest()
    assert len(content) <= LARGEST
    assert digest in (ADAPTER.parent / "README.md").read_text()
    [audit] = [read_audit(file) for file in BRIEF.audits]
    assert audit.judge.engine.settings["adapter_sha256"] == digest
    assert audit.judge.prompt_sha256 == BRIEF.sha256


@pytest.mark.slow
def test_it_tells_other_words_for_the_gold_from_other_things() -> None:
    cases = [Case(question, (gold,), answer) for question, gold, answer in SAID]
    plan = JudgeConfig(model=DEFAULT, engine="embedded", concurrency=2)
    spec, verdicts = judge_cases(cases, plan, None, Console(quiet=True))
    assert spec.engine.settings["adapter"] == ADAPTER.stem
    right = [
        verdict.right == wanted for verdict, wanted in zip(verdicts, SAID.values(), strict=True)
    ]
    assert sum(right) >= len(right) - 1


@pytest.mark.slow
def test_an_embedded_run_is_judged_by_it_unless_told_otherwise(cli: Cli, tmp_path: Path) -> None:
    write_task(tmp_path, 2)
    run = ("run", "--solver", "model-only", "--tasks", "towns.jsonl", "--step-tokens", "24")
    alone = cli(*run, "--judge", "none", "--out", "alone")
    assert alone.code == 0, alone.err
    assert load_run(Path("alone")).info.judge is None
    judged = cli(*run, "--out", "judged")
    assert judged.code == 0, judged.err
    info = load_run(Path("judged")).info
    assert info.judge is not None
    assert info.judge.engine.settings["adapter"] == ADAPTER.stem
    assert info.scorers[-1] == "judge"
    assert "kappa" in judged.out


def test_who_judges_nothing_is_asked_nothing(cli: Cli, tmp_path: Path) -> None:
    write_task(tmp_path, 2)
    run = ("run", "--solver", "model-only", "--tasks", "towns.jsonl", "--judge", "none")
    refused(cli(*run, "--scorers", "em,judge"), "--scorers judge needs --judge MODEL")
    refused(cli(*run, "--judge-votes", "3"), "--judge-votes need --judge MODEL")
