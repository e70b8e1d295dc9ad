"""Whole runs over a search server equal the same runs over the engine in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from autocoa_bench.runs.run_folder import Run, load_run
from autocoa_bench.search.bm25 import BM25
from support.commands import Cli, caller, refused
from support.mock_server import MockServer
from support.search_server import Scripted, as_json, served
from support.towns import reply, town_of, write_task

AGENT = ("--solver", "agent:shots=0", "--model", "mock")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    for variable in ("AUTOCOA_BENCH_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    return caller(monkeypatch, capsys)


def trajectories(run: Run) -> list[bytes]:
    """Every step without its times, by question."""

    def timeless(step: object) -> object:
        return msgspec.structs.replace(step, generate_seconds=0.0, search_seconds=0.0)  # type: ignore[type-var]

    lines = []
    for record in sorted(run.records, key=lambda record: record.key):
        assert record.trajectory is not None
        steps = [timeless(step) for step in record.trajectory.steps]
        lines.append(msgspec.json.encode((record.key, steps, record.trajectory.answer)))
    return lines


def test_a_run_over_a_server_equals_the_run_over_its_engine(cli: Cli, tmp_path: Path) -> None:
    tasks, corpus = write_task(tmp_path, 10)
    with MockServer(reply) as model, served(BM25(corpus), top_k=1) as search:
        common = ("run", "--tasks", tasks, *AGENT, "--base-url", model.url)
        here = cli(*common, "--corpus", corpus, "--out", "here")
        there = cli(*common, "--search", search.url, "--out", "there")
    assert (here.code, there.code) == (0, 0), here.err + there.err
    local, remote = load_run(Path("here")), load_run(Path("there"))
    assert remote.info.spec == local.info.spec
    assert trajectories(remote) == trajectories(local)
    assert remote.scores == local.scores
    assert remote.info.sessions[0].search == search.url


def test_a_stopped_run_goes_on_over_a_server_and_says_so(cli: Cli, tmp_path: Path) -> None:
    tasks, corpus = write_task(tmp_path, 10)
    with MockServer(reply) as model, served(BM25(corpus)) as search:
        common = ("run", "--tasks", tasks, *AGENT, "--base-url", model.url, "--out", "run")
        cli(*common, "--corpus", corpus)
        lines = Path("run/records.jsonl").read_text().splitlines(keepends=True)
        Path("run/records.jsonl").write_text("".join(lines[:4]))
        requests = len(model.generations())
        done = cli(*common, "--search", search.url)
    assert done.code == 0, done.err
    recorded = {int(json.loads(line)["question"]["id"][1:]) for line in lines[:4]}
    assert {town_of(body) for body in model.generations()[requests:]} == {*range(10)} - recorded
    assert f"the search engine was bm25 and is {search.url}" in " ".join(done.err.split())
    assert len(load_run(Path("run")).records) == 10


def test_a_second_run_over_kept_results_searches_nothing(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks, corpus = write_task(tmp_path, 5)
    with MockServer(reply) as model:
        common = ("run", "--tasks", tasks, *AGENT, "--base-url", model.url, "--corpus", corpus)
        first = cli(*common, "--search-cache", "kept", "--out", "first")
        monkeypatch.setattr(BM25, "search_batch", None)
        second = cli(*common, "--search-cache", "kept", "--out", "second")
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert trajectories(load_run(Path("second"))) == trajectories(load_run(Path("first")))


def test_serve_search_without_a_corpus_says_which_there_are(cli: Cli) -> None:
    refused(cli("serve-search"), "give --corpus a name (embedded")


def test_a_search_server_that_is_not_there_stops_the_run(cli: Cli, tmp_path: Path) -> None:
    tasks, _ = write_task(tmp_path, 2)
    with MockServer(reply) as model:
        common = ("run", "--tasks", tasks, *AGENT, "--base-url", model.url)
        refused(cli(*common, "--search", "http://127.0.0.1:9"), "no search server at")


def test_the_table_of_a_foreign_servers_run_says_what_is_known(cli: Cli, tmp_path: Path) -> None:
    def foreign(path: str, body: Any) -> web.Response:
        if path != "/search":
            return as_json({"detail": "Not Found"}, 404)
        return as_json([[{"id": "1", "contents": '"Town"\nAnna.'}], [1.0]])

    tasks, _ = write_task(tmp_path, 2)
    with MockServer(reply) as model, Scripted(foreign) as search:
        done = cli("run", "--tasks", tasks, *AGENT, "--base-url", model.url, "--search", search.url)
    assert done.code == 0, done.err
    said = " ".join(done.out.split())
    assert f"http (url {search.url}, protocol flashrag) over a corpus that the server" in said
