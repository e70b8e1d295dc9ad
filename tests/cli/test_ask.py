"""`autocoa-bench ask`: what a person sees of one question, and what a program reads of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from autocoa_bench import registry
from autocoa_bench.runs.run_folder import load_run
from autocoa_bench.types import Passage, Question, Record, Step, Trajectory
from support.commands import Cli, caller, refused
from support.interrupt import Interrupter, heed_ctrl_c
from support.mock_server import Body, MockServer
from support.tainted import ESCAPES, MARKUP, active, end
from support.towns import reply, write_task

QUESTION = "Who is the mayor of town 3?"
AGENT = ("--solver", "agent:shots=0", "--model", "mock")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs the command in a folder of its own, without a key in the environment."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    for variable in ("AUTOCOA_BENCH_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    return caller(monkeypatch, capsys)


@pytest.fixture
def corpus(tmp_path: Path) -> str:
    return write_task(tmp_path, 5)[1]


def record_of(out: str) -> Record:
    """The record in what `--json` printed, which is nothing else."""
    assert out.count("\n") == 1
    return msgspec.json.decode(out, type=Record)


def timeless(trajectory: Trajectory | None) -> Trajectory:
    """A trajectory without the seconds that it took."""
    assert trajectory is not None
    steps = [replace(step, generate_seconds=0.0, search_seconds=0.0) for step in trajectory.steps]
    return replace(trajectory, steps=tuple(steps))


def test_the_steps_and_the_answer_are_printed_in_order(cli: Cli, corpus: str) -> None:
    with MockServer(reply) as server:
        done = cli("ask", QUESTION, *AGENT, "--base-url", server.url, "--corpus", corpus)
    assert done.code == 0, done.err
    search = ["I look.", "<begin_search> mayor of town 3 </end_search>"]
    lines = done.out.splitlines()
    assert lines[:2] == search
    assert lines[2] == "→ Town 3: The mayor of town 3 is Bert."
    assert lines[5:8] == ["", *search]
    assert lines[-2] == "answer: Anna"
    assert lines[-1].startswith("2 searches, ")
    assert lines[-1].endswith(" s")
    assert " tokens, " in lines[-1]
    assert "mock, bm25 over corpus.jsonl (5 passages)" in done.err


def test_each_step_is_printed_before_the_next_request(
    cli: Cli, corpus: str, capsys: pytest.CaptureFixture[str]
) -> None:
    printed: list[str] = []

    def watched(body: Body) -> str:
        printed.append(capsys.readouterr().out)
        return reply(body)

    with MockServer(watched) as server:
        done = cli("ask", QUESTION, *AGENT, "--base-url", server.url, "--corpus", corpus)
    assert printed[0] == ""
    assert printed[1] == printed[2]
    assert "I look." in printed[1]
    assert "→ Town 3" in printed[1]
    assert done.out.startswith("</think>")


def test_the_trajectory_is_the_one_that_a_run_records(cli: Cli, corpus: str) -> None:
    row = {"id": "1", "question": QUESTION, "golden_answers": ["Bert"]}
    Path("ask.jsonl").write_text(json.dumps(row) + "\n")
    with MockServer(reply) as server:
        options = (*AGENT, "--base-url", server.url, "--corpus", corpus, "--temperature", "0.7")
        done = cli("ask", QUESTION, *options, "--json")
        cli("run", "--tasks", "ask.jsonl", *options, "--out", "run")
        requests = server.generations()
    [recorded] = load_run(Path("run")).records
    assert timeless(record_of(done.out).trajectory) == timeless(recorded.trajectory)
    assert requests[:3] == requests[3:]


def test_the_record_is_the_only_line_on_stdout(cli: Cli, corpus: str) -> None:
    with MockServer(reply) as server:
        done = cli("ask", QUESTION, *AGENT, "--base-url", server.url, "--corpus", corpus, "--json")
    record = record_of(done.out)
    assert (record.question.text, record.question.golden_answers) == (QUESTION, ())
    assert record.trajectory is not None
    assert record.trajectory.answer == "Anna"


def test_nothing_is_written_where_it_is_called(cli: Cli, corpus: str) -> None:
    with MockServer(reply) as server:
        cli("ask", QUESTION, *AGENT, "--base-url", server.url, "--corpus", corpus)
    assert list(Path().iterdir()) == []


def test_a_question_is_answered_from_the_embedded_world_by_default(cli: Cli) -> None:
    with MockServer(reply) as server:
        done = cli("ask", QUESTION, *AGENT, "--base-url", server.url)
    assert done.code == 0, done.err
    assert "bm25 over embedded (2,972 passages)" in done.err


def test_a_search_before_the_model_speaks_names_its_query(cli: Cli, corpus: str) -> None:
    with MockServer(lambda body: "\\boxed{Bert}") as server:
        options = ("--model", "mock", "--base-url", server.url, "--corpus", corpus)
        done = cli("ask", QUESTION, "--solver", "rag", *options)
    assert done.out.splitlines()[:2] == [
        f"search: {QUESTION}",
        "→ Town 3: The mayor of town 3 is Bert.",
    ]
    assert "1 search, " in done.out


def test_a_search_that_finds_nothing_says_so(cli: Cli, corpus: str) -> None:
    def lost(body: Body) -> str:
        return reply(body).replace("mayor of town 3", "zzzz")

    with MockServer(lost) as server:
        done = cli("ask", QUESTION, *AGENT, "--base-url", server.url, "--corpus", corpus)
    assert "→ nothing found" in done.out


def test_an_answer_that_is_forced_is_marked(cli: Cli, corpus: str) -> None:
    with MockServer(lambda body: "Anna}") as server:
        options = ("--base-url", server.url, "--corpus", corpus, "--max-actions", "0")
        done = cli("ask", QUESTION, *AGENT, *options)
    answer, figures = done.out.splitlines()
    assert answer == "answer: Anna"
    assert figures.endswith(" s, forced-actions")


def test_tokens_that_the_server_does_not_count_are_left_out(cli: Cli, corpus: str) -> None:
    with MockServer(reply) as server:
        server.usage = False
        done = cli("ask", QUESTION, *AGENT, "--base-url", server.url, "--corpus", corpus)
    assert done.code == 0, done.err
    assert "tokens" not in done.out


class Lookup:
    """A solver that runs its own loop."""

    name = "lookup"
    section = "Toys"

    def solve(self, question: Question) -> Trajectory:
        passages = (Passage("1", "Town 3", "Bert rules.\nSince 1990."),)
        steps = (
            Step("search", "I look it up.", "town 3", passages=passages),
            Step("answer", "It says Bert.", "Bert"),
        )
        return Trajectory(self.name, (), "", steps, "Bert", "answered")


def test_a_solver_with_its_own_loop_is_shown_at_its_end(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "make", lambda kind, spec: (spec, Lookup()))
    done = cli("ask", QUESTION, "--solver", "lookup")
    assert done.code == 0, done.err
    assert done.out.splitlines()[:-1] == [
        "I look it up.",
        "search: town 3",
        "→ Town 3: Bert rules.",
        "",
        "It says Bert.",
        "answer: Bert",
    ]


@pytest.fixture
def hostile(tmp_path: Path) -> str:
    """A corpus of one passage with all that a terminal or rich would obey."""
    file = tmp_path / "hostile.jsonl"
    passage = {"id": "1", "title": "T" + MARKUP + ESCAPES, "text": MARKUP + end("mayor of town 3")}
    file.write_text(json.dumps(passage) + "\n")
    return str(file)


def tainted_reply(body: Body) -> str:
    """As `reply`, with the payloads in its thoughts and its answer."""
    text = reply(body)
    return f"{ESCAPES}{MARKUP}\n{text}".replace("Anna", f"Anna {MARKUP}{ESCAPES}")


@pytest.mark.parametrize("colours", [False, True])
def test_what_strangers_wrote_is_printed_and_not_obeyed(
    cli: Cli, hostile: str, monkeypatch: pytest.MonkeyPatch, colours: bool
) -> None:
    if colours:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
    with MockServer(tainted_reply) as server:
        done = cli("ask", QUESTION, *AGENT, "--base-url", server.url, "--corpus", hostile)
    assert done.code == 0, done.err
    assert ("\x1b[36m" in done.out) == colours
    assert not active(done.out + done.err, colours)
    found = next(line for line in done.out.splitlines() if "→ " in line)
    assert found.count(MARKUP) == 2
    assert MARKUP in done.out.partition("answer: ")[2]


def test_json_holds_what_strangers_wrote_unchanged(cli: Cli, hostile: str) -> None:
    with MockServer(tainted_reply) as server:
        options = ("--base-url", server.url, "--corpus", hostile)
        done = cli("ask", QUESTION, *AGENT, *options, "--json")
    assert not active(done.out.rstrip("\n"))
    trajectory = record_of(done.out).trajectory
    assert trajectory is not None
    assert ESCAPES in trajectory.steps[0].passages[0].text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((" ",), "the question is empty"),
        ((QUESTION, "--solver", "agnt"), "did you mean 'agent'?"),
        ((QUESTION, "--corpus", "wikipedia"), "'wikipedia'"),
        ((QUESTION, "--search", "bm26"), "did you mean 'bm25'?"),
        ((QUESTION, *AGENT, "--base-url", "http://127.0.0.1:9"), "no model server at"),
        ((QUESTION, "--answer-tokens", "9000"), "leave no room"),
    ],
)
def test_bad_input_is_refused_in_three_lines(
    cli: Cli, arguments: tuple[str, ...], said: str
) -> None:
    done = cli("ask", *arguments)
    refused(done, said)
    assert done.out == ""
    assert len(done.err[done.err.index("error:") :].splitlines()) <= 3


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_fault_is_an_error_after_the_steps_before_it(
    cli: Cli, corpus: str, options: tuple[str, ...]
) -> None:
    with MockServer(reply, fault=lambda number: "400" if number == 1 else None) as server:
        serving = ("--base-url", server.url, "--corpus", corpus)
        done = cli("ask", QUESTION, *AGENT, *serving, *options)
    refused(done, "because of http-400")
    if options:
        fault = record_of(done.out).fault
        assert fault is not None
        assert fault.kind == "http-400"
    else:
        assert "→ Town 3" in done.out


def test_ctrl_c_is_one_line(tmp_path: Path, corpus: str) -> None:
    interrupter = Interrupter(reply, signal.SIGINT, requests=2)
    with MockServer(interrupter) as server:
        command = [sys.executable, "-m", "autocoa_bench", "ask", QUESTION, *AGENT]
        command += ["--base-url", server.url, "--corpus", corpus]
        interrupter.process = process = subprocess.Popen(
            command,
            env={**os.environ, "AUTOCOA_BENCH_CACHE": str(tmp_path / "cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=heed_ctrl_c,
        )
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.partition("passages)\n")[2].split("\n") == ["", "stopped", ""]
