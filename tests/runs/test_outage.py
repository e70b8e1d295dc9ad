"""A server that goes away in the middle of a run: one message, and a folder to resume."""

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from autocoa_bench.runs.run_folder import load_run
from autocoa_bench.util import http_client
from support.commands import Cli, caller
from support.mock_server import MockServer
from support.search_server import Scripted, as_json
from support.towns import reply, town_of, write_task

QUESTIONS = 60


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs sixty towns into the folder `run`; an outage is found out in half a second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(http_client, "BACKOFF_BASE", 0.01)
    monkeypatch.setattr(http_client, "OUTAGE_WAITS", (0.0, 0.1, 0.2))
    tasks, corpus = write_task(tmp_path, QUESTIONS)
    words = ["run", "--solver", "agent:shots=0", "--tasks", tasks, "--corpus", corpus]
    return caller(monkeypatch, capsys, *words, "--model", "mock", "--out", "run")


@pytest.mark.parametrize("goes", ["away", "to nothing but 500"])
def test_a_server_that_goes_down_in_the_middle_of_a_run(cli: Cli, goes: str) -> None:
    def go(number: int) -> None:
        if number == 50 and goes == "away":
            server.stop()
        elif number == 50:
            server.down = "500"

    with MockServer(reply, fault=go) as server:
        done = cli("--base-url", server.url, "--concurrency", "8")
    assert done.code == 75
    assert done.err.count("error:") == 1
    assert f"the model server at {server.url} has answered nothing for a minute" in done.err
    assert ("connection refused" if goes == "away" else "HTTP 500") in done.err
    assert "the same command resumes" in done.err
    before = load_run(Path("run")).records
    assert 0 < len(before) < QUESTIONS
    assert not any(record.fault for record in before)

    with MockServer(reply, port=server.port) as back:
        done = cli("--base-url", back.url, "--concurrency", "8")
    assert done.code == 0, done.err
    run = load_run(Path("run"))
    assert len(run.records) == QUESTIONS
    assert all(record.trajectory for record in run.records)
    assert run.info.spec.engine.protocol == "chat"
    towns = {town_of(body) for body in back.generations()}
    assert not towns & {int(record.question.id[1:]) for record in before}


def test_a_field_that_is_refused_in_the_middle_is_recorded_and_the_run_resumes(cli: Cli) -> None:
    def refusal(body: Any) -> str | None:
        is_late = len(server.generations()) > 50 and "seed" in body
        return "Unrecognized request argument supplied: seed" if is_late else None

    with MockServer(reply, refusal=refusal) as server:
        done = cli("--base-url", server.url, "--concurrency", "8")
    assert done.code == 0, done.err
    assert done.err.count("has refused a part of a request") == 1
    before = load_run(Path("run"))
    assert before.info.spec.engine.settings == {}
    assert before.info.sessions[-1].late_settings == {"refused_fields": "seed"}
    with MockServer(reply) as server:
        done = cli("--base-url", server.url, "--concurrency", "8")
    assert done.code == 0, done.err
    assert load_run(Path("run")).records == before.records


@pytest.mark.parametrize("of", ["the model", "the search"])
def test_a_quota_that_is_used_up_in_the_middle_of_a_run(cli: Cli, of: str) -> None:
    answers = 0

    def limited(path: str, body: Any) -> web.Response:
        nonlocal answers
        answers += 1
        if of == "the search" and answers > 50:
            return as_json({"error": {"code": "insufficient_quota", "message": "Pay."}}, 429)
        document = {"id": "1", "contents": '"Town"\nAnna.'}
        return as_json({"result": [[document]] * len(body["queries"])})

    with MockServer(reply) as model, Scripted(limited) as search:
        model.error = {"code": "insufficient_quota", "message": "Pay."}
        model.fault = lambda number: "429" if of == "the model" and number > 50 else None
        words = ["--corpus", "", "--search", search.url, "--base-url", model.url]
        done = cli(*words, "--concurrency", "8")
    assert done.code == 2
    assert done.err.count("error:") == 1
    assert f"{of} server at" in done.err
    assert "used up (HTTP 429: Pay.)" in " ".join(done.err.split())
    records = load_run(Path("run")).records
    assert 0 < len(records) < QUESTIONS
    assert not any(record.fault for record in records)


def test_a_search_server_that_goes_down_in_the_middle_of_a_run(cli: Cli, tmp_path: Path) -> None:
    searches = 0

    def search(path: str, body: Any) -> web.Response:
        nonlocal searches
        searches += 1
        if 50 < searches <= down_until:
            return as_json({"detail": "no index"}, 500)
        document = {"id": "1", "contents": '"Town"\nAnna.'}
        return as_json({"result": [[document]] * len(body["queries"])})

    down_until = 10_000
    with MockServer(reply) as model, Scripted(search) as server:
        words = ["--corpus", "", "--search", server.url, "--base-url", model.url]
        done = cli(*words, "--concurrency", "8")
        assert done.code == 75
        assert done.err.count("error:") == 1
        assert f"the search server at {server.url} has answered nothing for a minute" in done.err
        before = load_run(Path("run")).records
        assert 0 < len(before) < QUESTIONS
        assert not any(record.fault for record in before)
        down_until = 0
        done = cli(*words, "--concurrency", "8")
    assert done.code == 0, done.err
    records = load_run(Path("run")).records
    assert len(records) == QUESTIONS
    assert all(record.trajectory for record in records)
