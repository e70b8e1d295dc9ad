"""A model as judge beside labelled verdicts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.judge.agreement import Confusion, read_audit
from support.commands import Cli, caller, refused
from support.judges import asked_about, exact
from support.mock_server import Body, MockServer

ROWS = [
    ("Anna", True),
    ("Anne", True),
    ("Bert", False),
    ("Hanna", False),
    ("", False),
    ("Anna, I think", True),
]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Audits; labels.jsonl has six answers, one of them empty."""
    monkeypatch.chdir(tmp_path)
    rows = (
        {"question": "Who?", "golden_answers": ["Anna"], "prediction": answer, "verdict": verdict}
        for answer, verdict in ROWS
    )
    Path("labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return caller(monkeypatch, capsys, "judge", "audit", "labels.jsonl")


def holding(body: Body) -> str:
    """A judge to whom an answer with the gold in it is right; of Bert it says nothing."""
    _, golds, answer = asked_about(body)
    if answer == "Bert":
        return "Who knows?"
    return f"Verdict: {'correct' if golds[0].lower() in answer.lower() else 'incorrect'}"


def judge(server: MockServer, *more: str) -> tuple[str, ...]:
    return ("--judge", "mock", "--judge-base-url", server.url, *more)


def test_a_judge_stands_beside_the_scorers_and_what_it_left_open_is_said(cli: Cli) -> None:
    with MockServer(holding) as server:
        done = cli("--scorers", "em", *judge(server))
    assert done.code == 0, done.err
    words = " ".join(done.out.split())
    assert "judge gave no verdict on 2 of them, which its numbers leave out" in words
    assert "judge: mock (prompt brief #" in words
    assert "em differs from the label on 2 of 6 answers" in words
    assert "judge differs from the label on 2 of 6 answers" in words


def test_the_figures_are_those_of_a_hand_count(cli: Cli) -> None:
    with MockServer(holding) as server:
        done = cli(*judge(server, "--save", "audit.json"))
    assert done.code == 0, done.err
    saved = read_audit(Path("audit.json"))
    assert saved.counts == Confusion(both_right=2, missed=1, wrongly=1, both_wrong=0)
    assert (saved.unscored, saved.labels, saved.judge.engine.model) == (2, "labels.jsonl", "mock")
    assert saved.counts.agreement.mean == 0.5
    assert saved.counts.sensitivity.mean == pytest.approx(2 / 3)
    assert saved.counts.specificity.mean == 0.0


def test_an_answer_that_is_empty_is_wrong_without_asking(cli: Cli) -> None:
    with MockServer(exact) as server:
        cli(*judge(server))
        assert len(server.generations()) == 5


def test_kept_verdicts_replay_the_audit_without_a_server(cli: Cli) -> None:
    with MockServer(holding) as server:
        first = cli(*judge(server, "--verdicts", "kept.jsonl"))
    again = cli(*judge(server, "--verdicts", "kept.jsonl"))
    assert again.code == 0, again.err
    assert again.out == first.out
    refused(cli(*judge(server)), "the judge: no model server")


def test_kept_verdicts_of_another_prompt_are_no_replay(cli: Cli) -> None:
    with MockServer(exact) as server:
        cli(*judge(server, "--verdicts", "kept.jsonl"))
    done = cli(*judge(server, "--verdicts", "kept.jsonl", "--judge-prompt", "reasoned"))
    refused(done, "the judge: no model server")


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--save", "a.json"), "--save 'a.json' has no effect without a judge"),
        (("--verdicts", "a.jsonl"), "--verdicts 'a.jsonl' has no effect without a judge"),
        (("--judge-votes", "3"), "need --judge MODEL"),
        (("--judge", "m", "--save", "no/such/folder.json"), "cannot write"),
    ],
)
def test_options_without_a_judge_or_a_place_are_refused(
    cli: Cli, options: tuple[str, ...], problem: str
) -> None:
    refused(cli(*options), problem)


def test_a_file_that_is_no_audit_is_refused(cli: Cli) -> None:
    Path("audit.json").write_text('{"format": 2}')
    with pytest.raises(UserError, match="has format 2; this version reads format 1"):
        read_audit(Path("audit.json"))
    with pytest.raises(UserError, match=r"there is no audit .* --save writes one"):
        read_audit(Path("none.json"))


def test_the_judge_among_the_scorers_needs_a_model(cli: Cli) -> None:
    refused(cli("--scorers", "judge"), "--scorers judge needs --judge MODEL")


@pytest.mark.parametrize("option", ["--verdicts", "--save", "--out"])
def test_the_labels_are_never_written_over(cli: Cli, option: str) -> None:
    before = Path("labels.jsonl").read_bytes()
    with MockServer(holding) as server:
        refused(cli(*judge(server, option, "./labels.jsonl")), "given twice")
    assert Path("labels.jsonl").read_bytes() == before


def test_a_file_of_something_else_is_not_cut(cli: Cli) -> None:
    Path("other.jsonl").write_text('{"question": "Who?"}\n{"question": "Who else?"}')
    with MockServer(holding) as server:
        refused(cli(*judge(server, "--verdicts", "other.jsonl")), "line 1 is damaged")
    assert Path("other.jsonl").read_text().endswith('"Who else?"}')


def test_another_server_is_asked_although_its_model_has_the_same_name(cli: Cli) -> None:
    with MockServer(holding) as one:
        cli(*judge(one, "--verdicts", "kept.jsonl"))
    refused(
        cli(
            "--judge", "mock", "--judge-base-url", "http://127.0.0.1:9", "--verdicts", "kept.jsonl"
        ),
        "the judge: no model server at http://127.0.0.1:9",
    )
