"""Runs that a model judges: `run --judge` and `score --judge` against a real socket."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autocoa_bench.runs.run_folder import load_run
from support.commands import Cli, caller, refused
from support.interrupt import Interrupter, heed_ctrl_c
from support.judges import asked_about, exact
from support.mock_server import Body, MockServer
from support.runs import answered, failed, info, write_run
from support.towns import reply as towns
from support.towns import write_task

SCORE = ("score", "run", "--judge", "mock", "--judge-base-url")
ANSWERS = ("Anna", "Anne", "Bert", "Anna", None, "Cleo")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs the command beside a run of six answers, one of them none, and a fault."""
    monkeypatch.chdir(tmp_path)
    for variable in ("AUTOCOA_BENCH_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    write_run(
        Path("run"),
        info(ids=tuple(f"q{n}" for n in range(1, 8))),
        [*(answered(n, answer) for n, answer in enumerate(ANSWERS, 1)), failed(7)],
    )
    return caller(monkeypatch, capsys)


def lenient(body: Body) -> str:
    """A judge to whom Anne is Anna."""
    _, golds, answer = asked_about(body)
    return f"Verdict: {'correct' if answer.replace('e', 'a') in golds else 'incorrect'}"


def scores() -> dict[str, tuple[float | None, str]]:
    """The judge's scores by question."""
    scores = load_run(Path("run")).scores["judge"]
    return {key[1]: (score.value, score.reason) for key, score in scores.items()}


def test_a_judges_scores_stand_beside_the_others(cli: Cli) -> None:
    with MockServer(lenient) as server:
        done = cli(*SCORE, server.url)
    assert done.code == 0, done.err
    assert scores() == {
        "q1": (1.0, ""),
        "q2": (1.0, ""),
        "q3": (0.0, ""),
        "q4": (1.0, ""),
        "q5": (0.0, "no answer"),
        "q6": (0.0, ""),
        "q7": (None, "fault: timeout"),
    }
    words = " ".join(done.out.split())
    assert "EM" in words
    assert "judge: the share called right by mock (prompt brief #" in words
    assert "1 greedy vote" in words


def test_the_question_is_always_shown_and_no_answer_is_never_asked_about(cli: Cli) -> None:
    with MockServer(exact) as server:
        cli(*SCORE, server.url)
    requests = [asked_about(body) for body in server.generations()]
    assert ("Who is number 3?", ["Anna"], "Bert") in requests
    assert len(requests) == 5


def test_run_json_and_the_verdicts_say_who_judged_and_hold_no_key(cli: Cli) -> None:
    key = Path("key")
    key.write_text("sk-very-secret")
    key.chmod(0o600)
    with MockServer(lambda body: f"sk-very-secret\n{exact(body)}") as server:
        done = cli(*SCORE, server.url, "--judge-key-file", "key", "--judge-votes", "3")
    assert done.code == 0, done.err
    keys = [headers.get("Authorization") for headers in server.headers]
    assert "Bearer sk-very-secret" in keys
    judge = load_run(Path("run")).info.judge
    assert judge is not None
    assert (judge.engine.model, judge.prompt, judge.votes) == ("mock", "brief", 3)
    assert judge.sampling.temperature == 0.7
    for file in Path("run").iterdir():
        assert "very-secret" not in file.read_text(), file
    assert len(server.generations()) == 15


def test_what_was_judged_is_not_asked_again_and_needs_no_server(cli: Cli) -> None:
    with MockServer(lenient) as server:
        cli(*SCORE, server.url)
    before = scores()
    for command in (("score", "run"), ("report", "run"), ("score", "run", "--scorers", "em,judge")):
        done = cli(*command)
        assert done.code == 0, done.err
        assert "judge" in done.out
    done = cli(*SCORE, server.url)
    assert done.code == 0, done.err
    assert "judged" in done.err
    assert scores() == before


def test_other_scorers_leave_the_judge_out_and_its_verdicts_in_place(cli: Cli) -> None:
    with MockServer(lenient) as server:
        cli(*SCORE, server.url)
    assert "judge:" not in cli("score", "run", "--scorers", "em").out.replace("judge: none", "")
    assert load_run(Path("run")).info.scorers == ("em",)
    assert cli("score", "run", "--scorers", "judge").code == 0
    assert scores()["q2"] == (1.0, "")


def test_another_judge_is_asked_anew_and_the_first_one_is_not_forgotten(cli: Cli) -> None:
    with MockServer(lenient) as first, MockServer(exact, models=("strict",)) as second:
        cli(*SCORE, first.url)
        assert scores()["q2"] == (1.0, "")
        done = cli("score", "run", "--judge", "strict", "--judge-base-url", second.url)
        assert done.code == 0, done.err
        assert scores()["q2"] == (0.0, "")
        requests = len(first.generations())
        cli(*SCORE, first.url)
        assert len(first.generations()) == requests
    assert scores()["q2"] == (1.0, "")


def test_a_fault_and_an_unreadable_reply_are_none_and_listed_and_asked_again(cli: Cli) -> None:
    def reply(body: Body) -> str:
        return "I think so." if "Bert" in asked_about(body)[2] else exact(body)

    def ill(body: Body) -> str | None:
        return "400" if "Cleo" in str(body["messages"]) else None

    with MockServer(reply, ill=ill) as server:
        done = cli(*SCORE, server.url)
    assert done.code == 0, done.err
    assert scores()["q3"] == (None, "unreadable: 'I think so.'")
    value, reason = scores()["q6"]
    assert value is None
    assert reason.startswith("judge's engine: http-400")
    assert "unscored (judge): unreadable" in done.out
    assert "unscored (judge): judge's engine" in done.out
    words = " ".join(done.out.split())
    assert "unscored by judge: unreadable 1, unscored by judge: judge's engine 1" in words
    with MockServer(exact) as mended:
        cli(*SCORE, mended.url)
        assert {asked_about(body)[2] for body in mended.generations()} == {"Bert", "Cleo"}
    assert (scores()["q3"], scores()["q6"]) == ((0.0, ""), (0.0, ""))


def test_a_judge_that_cannot_be_read_is_one_error_and_costs_neither_replies_nor_scores(
    cli: Cli,
) -> None:
    with MockServer(exact) as server:
        cli(*SCORE, server.url)
    before = scores(), load_run(Path("run")).info
    with MockServer(lambda _: "Let me think about it.", models=("poet",)) as poet:
        done = cli("score", "run", "--judge", "poet", "--judge-base-url", poet.url)
        refused(done, "the judge: the first 5 replies", "Let me think about it.", "max_tokens=4096")
        assert len(poet.generations()) == 5
    assert Path("run/verdicts.jsonl").read_text().count("Let me think about it.") >= 5
    assert cli("report", "run").code == 0
    assert (scores(), load_run(Path("run")).info) == before


def test_a_judge_that_reasons_has_tokens_for_it(cli: Cli) -> None:
    def reply(body: Body) -> str:
        return f"<think>{'Hm. ' * 300}</think>\n\n**{exact(body)}**"

    with MockServer(reply) as server:
        prompt = ("--judge-prompt", "reasoned:max_tokens=4096")
        done = cli(*SCORE, server.url, *prompt)
        assert done.code == 0, done.err
        assert all(body["max_tokens"] >= 4096 for body in server.generations())
    assert scores()["q1"] == (1.0, "")
    judge = load_run(Path("run")).info.judge
    assert judge is not None
    assert judge.prompt == "reasoned:max_tokens=4096"
    assert cli("report", "run").code == 0


def test_a_judge_that_fails_on_everything_is_an_error_once_all_is_recorded(cli: Cli) -> None:
    with MockServer(exact, ill=lambda body: "400") as server:
        refused(cli(*SCORE, server.url), "no answer of 'run' could be judged", "http-400")
    assert scores()["q1"][0] is None


def test_answers_recorded_after_the_judging_are_said_to_be_unjudged(cli: Cli) -> None:
    with MockServer(exact) as server:
        cli(*SCORE, server.url)
    verdicts = Path("run/verdicts.jsonl")
    lines = verdicts.read_bytes().splitlines(keepends=True)
    verdicts.write_bytes(b"".join(lines[:-1]))
    done = cli("report", "run")
    assert "not judged yet" in done.out
    assert [reason for _, reason in scores().values()].count("not judged yet") == 1


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--judge-votes", "3"), "--judge-votes need --judge MODEL"),
        (("--judge", "m", "--judge-key-file", "k"), "give --judge-base-url too"),
        (
            ("--judge", "m", "--judge-prompt", "brif", "--judge-base-url", "x"),
            "did you mean 'brief'",
        ),
        (("--judge", "m", "--judge-engine", "openai"), "the judge: the engine 'openai' needs"),
        (("--judge", "m", "--judge-base-url", "http://127.0.0.1:1"), "judge: no model server"),
        (("--scorers", "judge"), "no model has judged 'run'"),
        (("--judge", "no-such-model"), "no-such-model"),
    ],
)
def test_a_judge_that_cannot_be_had_is_refused(
    cli: Cli, options: tuple[str, ...], problem: str
) -> None:
    refused(cli("score", "run", *options), problem)


def test_no_vote_is_refused(cli: Cli) -> None:
    assert cli("score", "run", "--judge", "m", "--judge-votes", "0").code == 2


def test_a_model_that_the_judges_server_has_not_is_refused(cli: Cli) -> None:
    with MockServer(exact) as server:
        done = cli("score", "run", "--judge", "mok", "--judge-base-url", server.url)
    refused(done, "the judge: unknown model", "did you mean 'mock'")


@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_what_was_judged_before_a_stop_is_not_asked_again(
    cli: Cli, tmp_path: Path, stop: signal.Signals
) -> None:
    many = range(1, 61)
    write_run(
        Path("many"),
        info(ids=tuple(f"q{n}" for n in many)),
        [answered(n, f"Anna {n}") for n in many],
    )
    interrupter = Interrupter(exact, stop, requests=30)
    with MockServer(interrupter) as server:
        command = [sys.executable, "-m", "autocoa_bench", "score", "many", "--judge", "mock"]
        command += ["--judge-base-url", server.url]
        environment = {**os.environ, "AUTOCOA_BENCH_CACHE": str(tmp_path / "cache")}
        interrupter.process = process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            preexec_fn=heed_ctrl_c,
        )  # fmt: skip
        _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors
    assert process.returncode == (130 if stop == signal.SIGINT else -signal.SIGKILL)
    verdicts = Path("many/verdicts.jsonl")
    stored = verdicts.read_bytes().count(b"\n") - 1
    assert 0 < stored < 60
    with MockServer(exact, port=server.port) as server:
        done = cli("score", "many", "--judge", "mock", "--judge-base-url", server.url)
        assert done.code == 0, done.err
        requests = len(server.generations())
    lines = [json.loads(line) for line in verdicts.read_text().splitlines()]
    keys = [line["key"] for line in lines if "key" in line]
    assert len(keys) == len(set(keys)) == 60
    assert requests == 60 - stored
    assert all(score.value == 0.0 for score in load_run(Path("many")).scores["judge"].values())


AGENT = ("run", "--solver", "agent:shots=0", "--tasks", "towns.jsonl", "--corpus", "corpus.jsonl")


def test_a_run_is_judged_once_it_is_recorded_and_resuming_keeps_its_judge(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    write_task(tmp_path, 6)
    with MockServer(towns) as server, MockServer(exact, models=("judge",)) as judge:
        command = (*AGENT, "--model", "mock", "--base-url", server.url, "--out", "judged")
        done = cli(*command, "--judge", "judge", "--judge-base-url", judge.url)
        assert done.code == 0, done.err
        assert len(judge.generations()) == 6
        assert "judge: the share called right by judge" in " ".join(done.out.split())
        assert cli(*command).code == 0
        assert len(judge.generations()) == 6
    run = load_run(Path("judged"))
    assert run.info.scorers == ("em", "f1", "cover_em", "judge")
    assert sum(score.value or 0 for score in run.scores["judge"].values()) == 3.0


@pytest.mark.parametrize(
    ("judge", "problem"),
    [
        (("--judge", "m", "--judge-base-url", "http://127.0.0.1:1"), "the judge: no model server"),
        (("--judge", "smollm2-135m"), "the judge: unknown embedded model 'smollm2-135m'"),
        (("--judge", "missing.gguf"), "the judge: cannot read the model file 'missing.gguf'"),
        (("--judge", "corpus.gguf"), "the judge: 'corpus.gguf' is not a GGUF file"),
        (("--judge", "m", "--judge-prompt", "brif"), "did you mean 'brief'"),
        (("--judge", "m", "--judge-prompt", "brief:tokens=9"), "did you mean 'max_tokens'"),
        (("--judge", "m", "--judge-engine", "opnai"), "did you mean 'openai'"),
        (("--scorers", "em,judge"), "--scorers judge needs --judge MODEL"),
    ],
)
def test_a_judge_that_cannot_judge_is_refused_before_anything_is_generated(
    cli: Cli, tmp_path: Path, judge: tuple[str, ...], problem: str
) -> None:
    write_task(tmp_path, 6)
    Path("corpus.gguf").write_text("no model")
    with MockServer(towns) as server:
        refused(cli(*AGENT, "--model", "mock", "--base-url", server.url, *judge), problem)
        assert not server.generations()
