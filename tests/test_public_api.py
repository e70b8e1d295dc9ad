"""`import autocoa_bench`: the public names, and an import that costs next to nothing."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

import autocoa_bench
from autocoa_bench.runs.run_folder import load_run
from support.mock_server import MockServer
from support.towns import reply, write_task

HEAVY = ("numpy", "pandas", "torch", "aiohttp", "rich", "typer")


def test_importing_the_package_imports_no_heavy_library() -> None:
    code = "import json, sys, autocoa_bench; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(HEAVY) & set(json.loads(done.stdout))


@pytest.mark.parametrize("name", autocoa_bench.__all__)
def test_every_public_name_resolves_to_the_object_of_that_name(name: str) -> None:
    value = getattr(autocoa_bench, name)
    # An alias of a type, such as Split, has the name of that type.
    assert not isinstance(value, type) or value.__name__ == name


def test_a_name_that_is_not_public_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'raect'"):
        autocoa_bench.__getattr__("raect")


def test_the_public_names_are_listed_once_and_complete_in_dir() -> None:
    assert len(set(autocoa_bench.__all__)) == len(autocoa_bench.__all__)
    assert set(autocoa_bench.__all__) < set(dir(autocoa_bench))


@pytest.mark.parametrize("in_notebook", [False, True])
def test_a_run_is_made_resumed_and_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_notebook: bool
) -> None:
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    tasks, corpus = write_task(tmp_path, 3)

    def run(limit: int | None = None) -> autocoa_bench.Run:
        return autocoa_bench.run(
            solver="agent:shots=0",
            tasks=tasks,
            corpus=corpus,
            limit=limit,
            model="mock",
            base_url=server.url,
            runs_dir=tmp_path / "runs",
        )

    async def in_event_loop() -> autocoa_bench.Run:
        return run()

    with MockServer(reply) as server:
        first = asyncio.run(in_event_loop()) if in_notebook else run()
        requests = len(server.generations())
        second = run()
        assert len(server.generations()) == requests
    assert load_run(first.path).records == first.records == second.records
    assert load_run(first.path).scores == first.scores == second.scores
    assert set(first.scores) == {"em", "f1", "cover_em"}
    assert len(autocoa_bench.load_runs(first.path).records) == 3


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(TypeError, match="raect"):
        autocoa_bench.run(raect="react")
