"""Several --base-url: the work is shared out, and a server that dies is left out."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from autocoa_bench.runs.run_folder import load_run
from autocoa_bench.util import http_client
from support.commands import Cli, caller, refused
from support.mock_server import Body, MockServer, is_probe
from support.towns import reply, town_of, write_task

QUESTIONS = 60


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs sixty towns, eight at once; an outage is found out in half a second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(http_client, "BACKOFF_BASE", 0.01)
    monkeypatch.setattr(http_client, "OUTAGE_WAITS", (0.0, 0.1, 0.2, 0.2))
    tasks, corpus = write_task(tmp_path, QUESTIONS)
    words = ["run", "--solver", "agent:shots=0", "--tasks", tasks, "--corpus", corpus]
    return caller(monkeypatch, capsys, *words, "--model", "mock", "--concurrency", "8")


def at(*servers: MockServer) -> list[str]:
    return [word for server in servers for word in ("--base-url", server.url)]


def records(run: str) -> dict[str, Any]:
    """What was recorded, by question, without what a clock says."""
    by_question = {}
    for line in Path(run, "records.jsonl").read_text().splitlines():
        record = json.loads(line)
        record.pop("seconds")
        record.pop("crc32", None)
        for step in record["trajectory"]["steps"]:
            step.pop("generate_seconds", None)
            step.pop("search_seconds", None)
        by_question[record["question"]["id"]] = record
    assert len(by_question) == QUESTIONS
    return by_question


def towns(server: MockServer) -> list[int]:
    return [town_of(body) for body in server.generations()]


def test_episodes_are_shared_out_and_each_stays_at_its_server(cli: Cli) -> None:
    with MockServer(reply) as first, MockServer(reply) as second:
        assert cli(*at(first, second), "--out", "run").code == 0
    assert not set(towns(first)) & set(towns(second))
    assert min(len(set(towns(first))), len(set(towns(second)))) >= 4


def test_a_slow_server_gets_fewer_episodes(cli: Cli) -> None:
    def late(body: Body) -> str:
        deadline = time.monotonic() + 120
        while len(fast.generations()) < 2 * QUESTIONS and not is_probe(body):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        return reply(body)

    with MockServer(late) as slow, MockServer(reply) as fast:
        assert cli(*at(slow, fast), "--out", "run").code == 0
    assert len(set(towns(slow))) < len(set(towns(fast)))


def test_a_server_killed_in_the_middle_of_a_run_is_left_out(cli: Cli) -> None:
    with MockServer(reply) as only:
        assert cli(*at(only), "--out", "single").code == 0

    def die(number: int) -> None:
        if number == 20:
            dying.stop()

    with MockServer(reply) as lasting:
        with MockServer(reply, fault=die) as dying:
            done = cli(*at(dying, lasting), "--out", "run")
        assert done.code == 0, done.err
        assert f"{dying.url}/v1 is down and no longer used; 1 of 2 servers remain" in done.err
        assert done.err.count("no longer used") == 1
    assert records("run") == records("single")
    assert load_run(Path("run")).info.spec == load_run(Path("single")).info.spec


def test_all_servers_down_stop_the_run_and_others_resume_it(cli: Cli) -> None:
    def die(number: int) -> None:
        if number == 30:
            first.stop()
            second.stop()

    with MockServer(reply, fault=die) as first, MockServer(reply) as second:
        done = cli(*at(first, second), "--out", "run")
    assert done.code == 75
    assert done.err.count("error:") == 1
    assert "the last of 2 servers is down: the model server at" in done.err
    with MockServer(reply) as third, MockServer(reply) as fourth:
        done = cli(*at(fourth, third), "--out", "run")
    assert done.code == 0, done.err
    records("run")
    sessions = load_run(Path("run")).info.sessions
    assert sessions[1].base_url == ",".join(sorted([third.url, fourth.url]))


def test_the_order_of_the_servers_is_no_difference(cli: Cli) -> None:
    with MockServer(reply) as first, MockServer(reply) as second:
        assert cli(*at(first, second), "--out", "run").code == 0
        done = cli(*at(second, first, second), "--out", "run")
    assert done.code == 0
    assert "60 of 60 recorded" in done.err
    assert "the server was" not in done.err


def test_servers_that_are_not_alike_are_refused(cli: Cli) -> None:
    with MockServer(reply) as first, MockServer(reply, kind="vllm") as second:
        done = cli(*at(first, second), "--out", "run")
    refused(done, "must be alike", f"{first.url}/v1 has protocol chat", "has protocol template")


def test_an_address_where_nothing_is_is_named_before_the_run(cli: Cli) -> None:
    with MockServer(reply) as first:
        done = cli(*at(first), "--base-url", "http://127.0.0.1:9", "--out", "run")
    refused(done, "no model server at http://127.0.0.1:9")


def test_a_question_that_one_server_refuses_is_its_fault_alone(cli: Cli) -> None:
    def ill(body: Body) -> str | None:
        return "no such thing" if not is_probe(body) and town_of(body) == 7 else None

    with MockServer(reply, refusal=ill) as first, MockServer(reply, refusal=ill) as second:
        assert cli(*at(first, second), "--out", "run").code == 0
    faults = [record for record in load_run(Path("run")).records if record.fault]
    assert [record.question.id for record in faults] == ["q7"]
