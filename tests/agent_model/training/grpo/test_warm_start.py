"""Runs of GRPO that begin as another one: what is taken over, and from whom it is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from agent_model.training import metrics
from agent_model.training.config import GRPOConfig
from agent_model.training.grpo.metrics import GRPOStep
from agent_model.training.grpo.warm_start import last_shared_step
from autocoa_bench.errors import UserError
from support.towers import recipe, train
from support.training_processes import resumed_step

TIMES = {"rollout_seconds", "seconds", "tokens_per_second"}


@pytest.fixture(scope="module")
def simulated(place: Path) -> Path:
    """A run in the simulated environment, from which others begin."""
    out = place / "simulated"
    train(config_of(place, simulated_steps=6), out)
    return out


def config_of(place: Path, **changes: object) -> GRPOConfig:
    return recipe(place, max_steps=6, lr=1e-3, **changes)


def metrics_of(out: Path) -> list[dict[str, object]]:
    rows = map(msgspec.structs.asdict, metrics.read_metrics(out / "metrics.csv", GRPOStep))
    return [{name: row[name] for name in row.keys() - TIMES} for row in rows]


@pytest.mark.parametrize(("switch", "read"), [(4, 4), (5, 4), (3, 0)])
def test_a_run_started_from_another_is_the_run_that_computes_every_step(
    place: Path, simulated: Path, tmp_path: Path, switch: int, read: int
) -> None:
    whole, begun = tmp_path / "whole", tmp_path / "begun"
    train(config_of(place, simulated_steps=switch), whole)
    before = {file.name for file in (simulated / "rollouts").iterdir()}
    train(config_of(place, simulated_steps=switch, begins=str(simulated)), begun)
    assert metrics_of(begun) == metrics_of(whole)
    assert [row["environment"] for row in metrics_of(begun)].count("simulated") == switch
    assert {file.name for file in (begun / "rollouts").iterdir()} == before
    taken = metrics.read_metrics(begun / "metrics.csv", GRPOStep)[:read]
    other = metrics.read_metrics(simulated / "metrics.csv", GRPOStep)
    assert taken == other[:read]
    assert resumed_step(other, metrics.read_metrics(begun / "metrics.csv", GRPOStep)) == read
    weights = [load_file(out / "model" / "model.safetensors") for out in (whole, begun)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_run_of_other_settings_is_refused_as_a_start(
    place: Path, simulated: Path, tmp_path: Path
) -> None:
    other = msgspec.structs.replace(
        config_of(place, simulated_steps=4, begins=str(simulated)), kl=0.5
    )
    with pytest.raises(UserError, match=r"cannot start from .* which differs in .*kl"):
        train(other, tmp_path / "out")


def test_a_run_that_differs_from_step_1_is_refused_as_a_start(
    place: Path, simulated: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="differs from step 1 on"):
        train(config_of(place, begins=str(simulated)), tmp_path / "out")


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("metrics.csv", b"", "does not contain the 4 steps of the checkpoint; leave begins out"),
        ("metrics.csv", b"step\none\n", "is damaged .* leave begins out"),
        ("checkpoints/step-000004/state.pt", b"junk", "the checkpoint .*step-000004' is damaged"),
    ],
)
def test_a_damaged_run_is_refused_as_a_start(
    place: Path, simulated: Path, tmp_path: Path, file: str, content: bytes, problem: str
) -> None:
    other = Path(shutil.copytree(simulated, tmp_path / "simulated"))
    (other / file).write_bytes(content)
    begun = config_of(place, simulated_steps=4, begins=str(other))
    with pytest.raises(UserError, match=problem):
        train(begun, tmp_path / "out")
    train(msgspec.structs.replace(begun, begins=str(simulated)), tmp_path / "out")


def test_a_folder_without_a_run_is_refused_as_a_start(
    place: Path, simulated: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="cannot read"):
        train(config_of(place, begins=str(tmp_path / "nothing")), tmp_path / "out")


@pytest.mark.parametrize(
    ("one", "other", "step"),
    [
        ((48, 48), (48, 40), 40),
        ((48, 0), (48, 40), 0),
        ((48, 48), (24, 24), 24),
        ((48, 12), (96, 12), 48),
    ],
)
def test_runs_differ_once_the_first_leaves_the_simulation_or_ends(
    one: tuple[int, int], other: tuple[int, int], step: int
) -> None:
    made = [
        GRPOConfig(stage="grpo", model="m", max_steps=steps, simulated_steps=simulated)
        for steps, simulated in (one, other)
    ]
    assert last_shared_step(*made) == step


def test_a_learning_rate_that_falls_over_other_steps_shares_none() -> None:
    made = GRPOConfig(stage="grpo", model="m", schedule="cosine", max_steps=48)
    assert last_shared_step(made, msgspec.structs.replace(made, max_steps=24)) == 0
