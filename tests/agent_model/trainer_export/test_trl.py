"""TRL itself, where it is installed, trains from what is handed over to it: with our gradient."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from agent_model.trainer_export.write import export_recipe
from agent_model.training.config import GRPOConfig, LoraConfig
from agent_model.training.grpo import learner as learning
from agent_model.training.grpo.learner import Learner
from agent_model.training.grpo.objective import advantages
from agent_model.training.grpo.rollouts import ScoredRollout
from agent_model.training.model import load_policy
from autocoa_bench.episode import n_actions
from autocoa_bench.types import Passage, Record
from support.towers import recipe, teach

pytest.importorskip("trl", reason="there is no trl")
pytestmark = pytest.mark.slow

QUIET = {"save_strategy": "no", "disable_tqdm": True}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A model that answers Bert at once, or searches and answers Anna."""
    folder = tmp_path_factory.mktemp("place")
    search = ["I look.\n<begin_search> tower </end_search>", "So.\n</think>\n\n\\boxed{Anna}"]
    passages = (Passage("p1", "Tower", "Anna built it."),)
    episodes = [(["I know it.\n</think>\n\n\\boxed{Bert}"], ()), (search, passages)]
    teach(folder, "sft2", episodes, "Anna", steps=120)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOCOA_BENCH_CACHE", str(folder / "cache"))
        patch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
        yield folder


class Trained(NamedTuple):
    """The outputs of our rollouts that TRL received, and its log of the steps."""

    outputs: list[dict[str, Any]]
    log: list[dict[str, Any]]


def trained(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Trained:
    from agent_model.trainer_export import trl

    outputs: list[dict[str, Any]] = []
    play = trl.RolloutWorkers.__call__

    def watched(*arguments: Any) -> dict[str, Any]:
        outputs.append(dict(play(*arguments)))
        return dict(outputs[-1])

    monkeypatch.setattr(trl.RolloutWorkers, "__call__", watched)
    run = trl.trainer(folder, **QUIET, **changes)
    run.train()
    return Trained(outputs, run.state.log_history)


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)])
def test_trls_first_step_has_the_gradient_that_ours_would_have(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: LoraConfig | None
) -> None:
    config = recipe(place, lora=lora, batch=8, temperature=1.0, micro_tokens=1 << 14)
    export_recipe(config, "trl", tmp_path)
    training = trained(tmp_path, monkeypatch, max_steps=1)
    [records] = [output["record"] for output in training.outputs]
    policy, tokenizer = load_policy(config)
    rows = learning.sampled_rows
    monkeypatch.setattr(learning, "sampled_rows", lambda *given: rows(*given)[:1])  # as TRL can
    learner = Learner(config, policy, tokenizer)
    learner.learn(groups(records, config))
    assert training.log[0]["grad_norm"] == pytest.approx(learner.optimizer.step(0.0), rel=1e-3)
    assert any(n_actions(record.trajectory) for record in records)
    assert (
        training.log[0]["searches"] == sum(n_actions(record.trajectory) for record in records) / 32
    )


def groups(records: list[Record], config: GRPOConfig) -> list[list[ScoredRollout]]:
    """Groups as `train grpo` makes them: rewarded by the recipe's scorer, beside their question's
    others."""
    from agent_model.training.grpo.reward import reward
    from autocoa_bench.scoring import load_scorers

    scorer = load_scorers(("em",))["em"]
    rewards = [reward(record, config, scorer) for record in records]
    values = torch.tensor([item.value for item in rewards]).view(-1, config.group)
    gained = advantages(values, by_std=False).flatten().tolist()
    played = [
        ScoredRollout(record, record.trajectory, earned, advantage)
        for record, earned, advantage in zip(records, rewards, gained, strict=True)
        if record.trajectory
    ]
    by_question = [played[i : i + config.group] for i in range(0, len(played), config.group)]
    for group in by_question:
        assert len({rollout.record.question.id for rollout in group}) == 1
    return by_question


def test_what_is_rewarded_is_learned_by_trl(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = recipe(place, batch=8, group=4, max_steps=12, lr=1e-3, micro_tokens=1 << 16)
    export_recipe(config, "trl", tmp_path)
    log = trained(tmp_path, monkeypatch).log
    rewards = [row["reward"] for row in log if "reward" in row]
    assert len(rewards) == 12
    assert rewards[0] < 0.7 < 0.8 < sum(rewards[-2:]) / 2


def test_the_script_of_the_folder_trains_and_keeps_the_model(place: Path, tmp_path: Path) -> None:
    export_recipe(recipe(place, max_steps=1, batch=2, dtype="bf16"), "trl", tmp_path)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "train.py")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "run" / "model.safetensors").is_file()
