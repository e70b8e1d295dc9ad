"""A run over a Ray cluster: the records of one process, whatever becomes of a worker."""

import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.runs.ray_executor import RayExecutor
from autocoa_bench.runs.run_folder import SHARDS, RunFolder, load_run
from support.commands import Cli, caller, refused
from support.interrupt import has_ended
from support.mock_server import MockServer
from support.runs import answered, info
from support.towns import reply, write_task

QUESTIONS = 60


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs sixty towns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    tasks, corpus = write_task(tmp_path, QUESTIONS)
    words = ["run", "--solver", "agent:shots=0", "--tasks", tasks, "--corpus", corpus]
    return caller(monkeypatch, capsys, *words, "--model", "mock", "--concurrency", "8")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes on this machine, with room for one worker each."""
    ray = pytest.importorskip("ray", reason="Ray is not installed (extra 'ray')")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    node = {"num_cpus": 1, "object_store_memory": 80_000_000}
    nodes = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **node})
    nodes.second = nodes.add_node(**node)
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


def records(run: str) -> dict[str, Any]:
    """What was recorded, by question, without what a clock says."""
    by_question = {}
    for record in load_run(Path(run)).records:
        plain = msgspec.to_builtins(record)
        plain.pop("seconds")
        for step in plain["trajectory"]["steps"]:
            step.pop("generate_seconds", None)
            step.pop("search_seconds", None)
        by_question[record.question.id] = plain
    assert len(by_question) == QUESTIONS
    return by_question


def children(parent: int) -> list[int]:
    """The processes that a process has started."""
    pids = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            if file.read_text().rpartition(")")[2].split()[1] == str(parent):
                pids.append(int(file.parent.name))
    return pids


@pytest.mark.slow
def test_a_run_loses_a_node_and_nothing_else(cli: Cli, cluster: Any) -> None:
    def lose(number: int) -> None:
        if number == 60:
            raylet = cluster.second.all_processes["raylet"][0].process.pid
            workers = children(raylet)
            assert workers
            cluster.remove_node(cluster.second, False)
            # No reply goes out before the node's workers have ended: they leave work behind.
            deadline = time.monotonic() + 60
            while not all(map(has_ended, workers)):
                assert time.monotonic() < deadline
                time.sleep(0.01)

    with MockServer(reply) as server:
        assert cli("--base-url", server.url, "--out", "single").code == 0
    with MockServer(reply, fault=lose) as server:
        done = cli("--base-url", server.url, "--out", "run", "--executor", "ray")
    assert done.code == 0, done.err
    assert "a Ray worker is lost; 1 remain" in done.err
    assert records("run") == records("single")
    assert load_run(Path("run")).info.spec == load_run(Path("single")).info.spec
    assert not Path("run", SHARDS).exists()


def test_shards_of_a_killed_run_are_taken_over(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", info())
    shards = tmp_path / "run" / SHARDS
    shards.mkdir()
    line = msgspec.json.encode(answered(1)) + b"\n"
    (shards / "one.jsonl").write_bytes(line + line[:20])
    assert [record.question.id for record in folder.left_over()] == ["q1"]
    assert not list(shards.iterdir())
    folder.close()


def test_what_is_no_use_to_it_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    refused(cli("--executor", "ray", "--record", "tape"), "does not go with --record")
    refused(cli("--executor", "rya"), "did you mean 'ray'?")
    refused(cli("--executor", "ray:wrokers=2"), "did you mean 'workers'?")
    refused(cli("--executor", "ray"), "needs the extra 'ray'")
    with pytest.raises(UserError, match="workers=-1"):
        RayExecutor(workers=-1)
