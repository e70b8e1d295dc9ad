"""A command that is killed at a file operation, and given again, leaves what it leaves otherwise.

`AUTOCOA_BENCH_KILLS=100` kills each command at so many points, each in a folder of its own.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest

from support.judges import exact
from support.kill_points import files_of, run_command
from support.mock_server import MockServer
from support.runs import answered, info, write_run
from support.tiny import numpy_lora
from support.towns import reply, write_task

EARLIER = Path(__file__).parents[1] / "written_by_3d60abd"

KILLS = int(os.environ.get("AUTOCOA_BENCH_KILLS", "5"))
QUESTIONS = 4


class Scenario(NamedTuple):
    """A command, and the folder that it begins in."""

    arguments: tuple[str, ...]
    prepare: Callable[[Path], None]
    environment: Mapping[str, str] = MappingProxyType({})


@pytest.fixture(scope="module")
def model() -> Iterator[MockServer]:
    with MockServer(reply, models=("mock",)) as server:
        yield server


@pytest.fixture(scope="module")
def judge() -> Iterator[MockServer]:
    with MockServer(exact, models=("judge",)) as server:
        yield server


def towns(folder: Path) -> None:
    write_task(folder, QUESTIONS)


def chained(folder: Path) -> None:
    write_task(folder, QUESTIONS)
    rows = [json.loads(row) for row in (folder / "towns.jsonl").read_text().splitlines()]
    for number, row in enumerate(rows):
        hop = {"question": row["question"], "answer": row["golden_answers"][0]}
        row["metadata"] = {"hops": [{**hop, "passage_id": f"p{number}"}]}
    (folder / "towns.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def judged(folder: Path) -> None:
    numbers = range(1, QUESTIONS + 1)
    records = [answered(number, "Anna") for number in numbers]
    write_run(folder / "run", info(ids=tuple(f"q{number}" for number in numbers)), records)


def adapter(folder: Path) -> None:
    numpy_lora(folder / "adapter", layers=2, rank=32, shapes={"self_attn.q_proj": (32, 64)})
    (folder / "base").mkdir()
    shape = {"model_type": "llama", "num_attention_heads": 4, "num_key_value_heads": 2}
    (folder / "base" / "config.json").write_text(json.dumps(shape))


def mirrored(folder: Path) -> None:
    rows = [
        {"id": f"test_{n}", "question": f"Who is {n}?", "golden_answers": ["A"], "metadata": {}}
        for n in range(125)
    ]
    file = folder.parent / "mirror" / "bamboogle" / "test.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def trained(folder: Path) -> None:
    shutil.copytree(EARLIER / "model", folder / "model")
    for name in ("towns.jsonl", "corpus.jsonl", "records.jsonl", "grpo.toml", "sft2.toml"):
        shutil.copy(EARLIER / name, folder / name)


def killed_at_all_points(scenario: Scenario, tmp_path: Path) -> None:
    """Kill the command at points spread over its operations, and give it again to its end."""

    def work(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        scenario.prepare(folder)
        return folder

    def run(folder: Path, kill_at: int = 0) -> int:
        environment = {"AUTOCOA_BENCH_CACHE": "cache", **scenario.environment}
        ended = run_command(scenario.arguments, folder, environment, kill_at)
        if not kill_at:
            assert ended.code == 0, ended.errors
        return ended.operations

    whole = work("whole")
    operations = run(whole)
    expected = files_of(whole)
    points = sorted({1 + operations * number // KILLS for number in range(KILLS)})
    one_folder = KILLS < 20
    folder = work("killed") if one_folder else whole
    for point in points:
        if not one_folder:
            folder = work(f"killed-{point}")
        run(folder, point)
        if not one_folder:
            run(folder)
            assert files_of(folder) == expected, f"killed at operation {point} of {operations}"
            shutil.rmtree(folder)
    if one_folder:
        run(folder)
        assert files_of(folder) == expected


def test_a_run_killed_at_its_file_operations(tmp_path: Path, model: MockServer) -> None:
    command = ("run", "--solver", "agent:shots=0", "--tasks", "towns.jsonl", "--corpus")
    servers = ("--model", "mock", "--base-url", model.url, "--out", "out")
    killed_at_all_points(Scenario((*command, "corpus.jsonl", *servers), towns), tmp_path)


def test_synthesis_by_the_gold_teacher_killed_at_its_file_operations(tmp_path: Path) -> None:
    command = ("synth", "coa", "--tasks", "towns.jsonl", "--corpus", "corpus.jsonl")
    killed_at_all_points(Scenario((*command, "--out", "out"), chained), tmp_path)


def test_synthesis_by_a_model_killed_at_its_file_operations(
    tmp_path: Path, model: MockServer
) -> None:
    command = ("synth", "coa", "--teacher", "model", "--tasks", "towns.jsonl", "--corpus")
    limits = ("corpus.jsonl", "--shots", "0", "--samples", "2", "--out", "out")
    servers = ("--model", "mock", "--base-url", model.url)
    killed_at_all_points(Scenario((*command, *limits, *servers), towns), tmp_path)


def test_judging_killed_at_its_file_operations(tmp_path: Path, judge: MockServer) -> None:
    command = ("score", "run", "--judge", "judge", "--judge-base-url", judge.url)
    killed_at_all_points(Scenario(command, judged), tmp_path)


def test_fetching_a_dataset_killed_at_its_file_operations(tmp_path: Path) -> None:
    command = ("tasks", "pull", "bamboogle@all")
    mirror = {"AUTOCOA_BENCH_HUB_MIRROR": "../mirror"}
    killed_at_all_points(Scenario(command, mirrored, mirror), tmp_path)


@pytest.mark.parametrize("target", ["adapter.gguf"])
def test_a_conversion_killed_at_its_file_operations(tmp_path: Path, target: str) -> None:
    command = ("models", "convert", "adapter", target, "--base", "base")
    killed_at_all_points(Scenario(command, adapter), tmp_path)


@pytest.mark.skipif(KILLS < 20, reason="agent_model/training/test_sft.py kills trainings")
@pytest.mark.parametrize("stage", ["sft2", "grpo"])
def test_training_killed_at_its_file_operations(tmp_path: Path, stage: str) -> None:
    command = ("train", stage, "--config", f"{stage}.toml", "--out", "out")
    environment = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    killed_at_all_points(Scenario(command, trained, environment), tmp_path)
