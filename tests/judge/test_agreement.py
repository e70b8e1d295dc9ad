"""Scorers beside labelled verdicts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autocoa_bench.judge.agreement import Label, audit, read_labels
from autocoa_bench.scoring import load_scorers
from autocoa_bench.scoring.text import exact_match
from autocoa_bench.stats import wilson
from support.commands import Cli, caller, refused
from support.shared_data import SHARED_DATA, needs_shared_data


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.chdir(tmp_path)
    return caller(monkeypatch, capsys, "judge", "audit")


def labels(agreed_right: int, missed: int, wrongly: int, agreed_wrong: int) -> list[Label]:
    """So many answers by label and by what exact match says of them."""
    kinds = [
        (agreed_right, Label("q", ("x",), "x", True)),
        (missed, Label("q", ("x",), "an x or so", True)),
        (wrongly, Label("q", ("x",), "x", False)),
        (agreed_wrong, Label("q", ("x",), "y", False)),
    ]
    return [label for number, label in kinds for _ in range(number)]


def write(*rows: object) -> str:
    Path("labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "labels.jsonl"


ROW = {"question": "Who?", "golden_answers": ["Anna"], "prediction": "Anne", "verdict": True}


def test_the_figures_are_those_of_cohens_example() -> None:
    """Twenty and fifteen agreed of fifty, 5 and 10 not: agreement 0.7, kappa 0.4."""
    audited = audit(labels(20, 5, 10, 15), exact_match)
    result = audited.counts
    assert result.agreement.mean == 0.7
    assert result.sensitivity.mean == 0.8
    assert result.specificity.mean == 0.6
    assert result.specificity.interval == wilson(15, 25)
    assert result.kappa is not None
    assert result.kappa[0] == pytest.approx(0.4)
    assert result.kappa[1] == pytest.approx((0.146, 0.654), abs=0.001)
    assert len(audited.differing) == 15


def test_without_wrong_answers_there_is_no_specificity_and_no_kappa() -> None:
    result = audit(labels(3, 0, 0, 0), exact_match).counts
    assert (result.agreement.mean, result.specificity.mean, result.kappa) == (1.0, None, None)


def test_perfect_agreement_on_a_few_answers_leaves_kappa_open() -> None:
    """Wilson's lower limit of 5 of 5 is 0.566, chance agrees on 0.52: 0.046 / 0.48."""
    result = audit(labels(3, 0, 0, 2), exact_match).counts.kappa
    assert result is not None
    assert result[0] == 1.0
    assert result[1] == pytest.approx((0.095, 1.0), abs=0.001)


def test_half_a_score_calls_an_answer_right() -> None:
    result = audit([Label("q", ("New York",), "New Orleans", True)], lambda *_: 0.5)
    assert result.verdicts == (True,)


def test_the_command_prints_each_scorer_and_where_it_differs(cli: Cli) -> None:
    done = cli(write(ROW, {**ROW, "prediction": "Anna"}), "--scorers", "em,f1")
    assert done.code == 0, done.err
    assert "50.0" in done.out
    assert "em differs from the label on 1 of 2 answers; shown: 1" in done.out
    assert "Anne" in done.out


def test_scorers_and_labels_are_tested_in_pairs(cli: Cli) -> None:
    """em calls 2 right, cover_em 8, six of them alone; the labels all 8: p = 2 / 2 ** 6."""
    rows = [{**ROW, "prediction": "Anna"}] * 2 + [{**ROW, "prediction": "Anna of B"}] * 6
    done = cli(write(*rows), "--scorers", "em,cover_em", "--limit", "0", "--format", "markdown")
    lines = [line.replace("*", "") for line in done.out.splitlines() if " − " in line]
    result = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    heads = [cells[0] for cells in result]
    assert heads == ["em − cover_em", "em − labels", "cover_em − labels"]
    assert [cells[2:] for cells in result] == [
        ["0", "6", "0.031", "0.094"],
        ["0", "6", "0.031", "0.094"],
        ["0", "0", "1.000", "1.000"],
    ]


def test_the_differing_answers_can_be_left_out(cli: Cli) -> None:
    assert "Anne" not in cli(write(ROW), "--limit", "0").out


def test_kinds_of_answers_have_a_table_with_the_share_that_is_called_rightly(cli: Cli) -> None:
    rows = [{**ROW, "kind": "spelling"}] * 2 + [{**ROW, "verdict": False, "kind": "other"}] * 3
    rows += [{**ROW, "prediction": "Anna", "verdict": False, "kind": "other"}]
    done = cli(write(*rows), "--scorers", "em", "--limit", "0", "--format", "markdown")
    printed = [line.strip("|").split("|") for line in done.out.splitlines()]
    lines = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in printed}
    assert lines["spelling"] == ["2", "0.0 (0–66)"]
    assert lines["other"] == ["4", "75.0 (30–95)"]


def test_labels_without_kinds_have_no_table_of_them(cli: Cli) -> None:
    assert "by kind" not in cli(write(ROW), "--limit", "0").out


def test_the_figures_can_be_had_as_data(cli: Cli) -> None:
    done = cli(write(ROW, {**ROW, "prediction": "Anna"}), "--scorer", "em", "--format", "csv")
    assert ",em:agreement,,,,0.5," in done.out


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"question": "Who?"}, "labels.jsonl:2: a label has question, golden_answers"),
        ({**ROW, "verdict": "yes"}, "$.verdict"),
        ({**ROW, "golden_answers": []}, "golden_answers is empty"),
    ],
)
def test_a_bad_label_is_named_by_its_line(cli: Cli, row: object, problem: str) -> None:
    refused(cli(write(ROW, row)), problem)


def test_a_missing_file_and_an_unknown_scorer_are_refused(cli: Cli) -> None:
    refused(cli("none.jsonl"), "the file 'none.jsonl' does not exist")
    refused(cli(write(ROW), "--scorers", "emm"), "did you mean 'em'")


@pytest.mark.real_data
@needs_shared_data
def test_exact_match_agrees_with_gpt_4o_on_the_published_agents_as_logged() -> None:
    result = read_labels(SHARED_DATA / "judge" / "labelled.jsonl")
    scorers = load_scorers(["em", "cover_em"])
    figures = {name: audit(result, scorer).counts for name, scorer in scorers.items()}
    agreement = [counts.agreement.mean or 0 for counts in figures.values()]
    assert [round(100 * mean, 1) for mean in agreement] == [86.7, 89.9]
    assert [round((counts.kappa or (0,))[0], 2) for counts in figures.values()] == [0.72, 0.78]
