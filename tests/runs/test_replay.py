"""Cassettes: what was recorded is told again, without a server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from autocoa_bench.engines.scripted import ScriptedEngine
from autocoa_bench.errors import EngineFault, UserError
from autocoa_bench.runs.replay import (
    ExchangePlayer,
    RecordedEngine,
    ReplayedEngine,
    ReplayedSearch,
)
from autocoa_bench.runs.run_folder import load_run
from autocoa_bench.types import Generate, Message, Prompt, Record, Sampling
from autocoa_bench.util.json_lines import LineFile
from support.commands import Cli, caller
from support.mock_server import MockServer, room_for
from support.towns import reply, write_task

WHO = ("model engine", "scripted")
ASK = Generate(Prompt((Message("user", "Who?"),)), ("\n",), 8)
AGENT = ("--solver", "agent:shots=0", "--solver", "model-only")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    return caller(monkeypatch, capsys)


@pytest.fixture
def towns(tmp_path: Path) -> list[str]:
    tasks, corpus = write_task(tmp_path, 10)
    return ["run", "--tasks", tasks, "--corpus", corpus, "--model", "mock", *AGENT]


def recorded(path: Path, *texts: str, ask: Generate = ASK) -> None:
    """A cassette of an engine that was asked the same as often as there are texts."""

    async def record() -> None:
        recorder = LineFile(path)
        engine = RecordedEngine(ScriptedEngine(texts), recorder, WHO)
        await engine.start()
        for _ in texts:
            await engine.generate(ask, Sampling())
        recorder.close()

    asyncio.run(record())


def replies(path: Path, *asks: Generate) -> list[str]:
    """What a replay says to requests in order."""

    async def replay() -> list[str]:
        engine = ReplayedEngine(ExchangePlayer(path), WHO)
        return [(await engine.generate(ask, Sampling()))[0].text for ask in asks]

    return asyncio.run(replay())


def timeless(record: Record) -> Record:
    """A record without its times, all that a replay may change."""
    assert record.trajectory is not None
    steps = tuple(
        replace(step, generate_seconds=0, search_seconds=0) for step in record.trajectory.steps
    )
    return replace(record, seconds=0, trajectory=replace(record.trajectory, steps=steps))


def trajectories(root: Path) -> dict[tuple[str, str, str], Record]:
    runs = [load_run(path) for path in root.iterdir()]
    return {
        (run.info.spec.solver, record.question.id, record.question.task): timeless(record)
        for run in runs
        for record in run.records
    }


def test_a_replayed_run_equals_the_recorded_one_without_server_or_corpus(
    cli: Cli, towns: list[str], tmp_path: Path
) -> None:
    with MockServer(reply) as server:
        url = server.url
        done = cli(*towns, "--base-url", url, "--record", "tape.jsonl")
    assert done.code == 0, done.err
    before = trajectories(Path("results/runs"))
    Path("results/runs").rename("recorded")
    Path(towns[towns.index("--corpus") + 1]).unlink()
    done = cli(*towns, "--base-url", url, "--replay", "tape.jsonl")
    assert done.code == 0, done.err
    assert trajectories(Path("results/runs")) == before
    assert len(before) == 20
    (one, *_) = Path("results/runs").iterdir()
    assert load_run(one).info.sessions[0].base_url == "replay of tape.jsonl"


def test_a_recorded_fault_is_a_fault_again(cli: Cli, towns: list[str]) -> None:
    with MockServer(reply, fault=lambda number: "400" if number == 3 else None) as server:
        url = server.url
        cli(*towns, "--base-url", url, "--record", "tape.jsonl", "--concurrency", "1")
    Path("results/runs").rename("recorded")
    done = cli(*towns, "--base-url", url, "--replay", "tape.jsonl", "--concurrency", "1")
    assert done.code == 0, done.err
    (faulty,) = (
        record.fault
        for path in Path("results/runs").iterdir()
        for record in load_run(path).records
        if record.fault
    )
    assert faulty.kind == "http-400"


def test_an_episode_that_a_server_had_shortened_is_shortened_again(
    cli: Cli, towns: list[str]
) -> None:
    with MockServer(reply, refusal=room_for(240)) as server:
        server.usage = False
        cli(*towns, "--base-url", (url := server.url), "--record", "tape.jsonl")
    before = trajectories(Path("results/runs"))
    assert all(r.trajectory and r.trajectory.refusals for k, r in before.items() if "agent" in k[0])
    Path("results/runs").rename("recorded")
    cli(*towns, "--base-url", url, "--replay", "tape.jsonl")
    assert trajectories(Path("results/runs")) == before


def test_a_request_that_was_made_twice_is_told_both_replies_in_turn(tmp_path: Path) -> None:
    recorded(tmp_path / "tape", "one", "two")
    assert replies(tmp_path / "tape", ASK, ASK, ASK) == ["one", "two", "two"]


def test_a_request_that_was_never_made_is_a_fault(tmp_path: Path) -> None:
    recorded(tmp_path / "tape", "one")
    with pytest.raises(EngineFault, match="no completion for this request") as caught:
        replies(tmp_path / "tape", replace(ASK, max_tokens=9))
    assert caught.value.kind == "not-recorded"


def test_recording_goes_on_where_a_kill_tore_a_line(tmp_path: Path) -> None:
    recorded(tmp_path / "tape", "one")
    with (tmp_path / "tape").open("ab") as file:
        file.write(b'{"key":"torn')
    assert replies(tmp_path / "tape", ASK) == ["one"]
    recorded(tmp_path / "tape", "two")
    assert replies(tmp_path / "tape", ASK, ASK) == ["one", "two"]


def test_a_cassette_of_another_run_says_so(tmp_path: Path) -> None:
    recorded(tmp_path / "tape", "one")
    player = ExchangePlayer(tmp_path / "tape")
    with pytest.raises(UserError, match="no model engine like this run's"):
        asyncio.run(ReplayedEngine(player, ("model engine", "other")).start())
    with pytest.raises(UserError, match="no search engine like this run's"):
        ReplayedSearch(player, ("search engine", "bm25"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no exchange"),
        (b"{not json}\n", "line 1 is damaged"),
        (b'{"key":"k","format":2}\n', "format 2"),
        (b"[" * 100_000 + b"\n", "line 1 is damaged"),
    ],
)
def test_a_file_that_is_no_cassette_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "tape").write_bytes(content)
    with pytest.raises(UserError, match=message):
        ExchangePlayer(tmp_path / "tape")


def test_one_cassette_is_recorded_by_one_run_at_a_time(tmp_path: Path) -> None:
    first = LineFile(tmp_path / "tape")
    with pytest.raises(UserError, match="being written by another process"):
        LineFile(tmp_path / "tape")
    first.close()


def test_record_and_replay_together_are_refused(cli: Cli, towns: list[str]) -> None:
    done = cli(*towns, "--record", "one", "--replay", "two")
    assert done.code == 2
    assert "exclude one another" in done.err


@pytest.mark.parametrize("option", ["--record", "--replay"])
def test_a_cassette_that_cannot_be_opened_is_one_line(
    cli: Cli, towns: list[str], option: str
) -> None:
    Path("folder").mkdir()
    done = cli(*towns, "--base-url", "http://127.0.0.1:9/v1", option, "folder")
    assert done.code == 2
    assert "folder" in done.err
    assert "Traceback" not in done.err
