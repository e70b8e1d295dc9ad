"""TRL's side of an exported folder: GRPOTrainer with our episodes and our reward."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import torch
import trl
from datasets import Dataset

from agent_model.rollout.environments import SearchClient
from agent_model.rollout.rollout import Rollout, rollout
from agent_model.rollout.sampler import PolicySampler
from agent_model.trainer_export.folder import LOSSES, open_export, question_of, reward_of, tokens_of
from agent_model.training.config import GRPOConfig, episode_budget
from agent_model.training.distributed import batch_per_process
from agent_model.training.model import Policy, dtype_of, eval_mode, load_policy
from autocoa_bench.engines.tokenizer import Tokenizer, traits
from autocoa_bench.episode import episode, n_actions
from autocoa_bench.errors import UserError
from autocoa_bench.types import Question, Record, Trajectory


def trainer(folder: Path, **changes: Any) -> trl.GRPOTrainer:  # type: ignore[no-any-unimported, unused-ignore]
    """TRL's trainer for an exported recipe; `changes` are values of its GRPOConfig.

    Weights are loaded in fp32, because TRL keeps no fp32 copy of bf16 weights; a bf16 recipe trains
    them under autocast. Raises UserError.
    """
    recipe = open_export(folder).recipe
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text("utf-8").splitlines()]
    policy, tokenizer = load_policy(msgspec.structs.replace(recipe, dtype="fp32"))
    questions = {_prompt_key(row["prompt"]): question_of(row) for row in rows}
    workers = RolloutWorkers(folder, tokenizer, questions)
    return trl.GRPOTrainer(
        model=policy.model,
        processing_class=tokenizer,
        reward_funcs=workers.reward,
        rollout_func=workers,
        train_dataset=Dataset.from_list([{"prompt": row["prompt"]} for row in rows]),
        args=trl.GRPOConfig(**{**_settings(recipe, folder), **changes}),
    )


class RolloutWorkers:
    """Runs an episode for each prompt, and scores it.

    Questions are found by their prompt: of several with the same prompt, the last is scored.
    """

    def __init__(
        self, folder: Path, tokenizer: Tokenizer, questions: Mapping[str, Question]
    ) -> None:
        self._folder = folder
        self._export = open_export(folder)
        self._tokenizer = tokenizer
        self._questions = questions
        self._search = SearchClient(self._export.search)

    def __call__(self, prompts: Sequence[Any], trainer: trl.GRPOTrainer) -> dict[str, Any]:  # type: ignore[no-any-unimported, unused-ignore]
        """TRL's `rollout_func`: each prompt comes once for every rollout of its group.

        Raises UserError if every search of the step fails.
        """
        questions = [self._questions[_prompt_key(prompt)] for prompt in prompts]
        trajectories = self._run_episodes(questions, trainer)
        if 0 < self._search.calls == len(self._search.faults):
            raise UserError(f"all searches of a step failed: {self._search.faults[-1]}")
        tokens = [tokens_of(trajectory, self._tokenizer) for trajectory in trajectories]
        return {
            "prompt_ids": [ids.prompt for ids in tokens],
            "completion_ids": [ids.response for ids in tokens],
            "logprobs": None,  # TRL computes them itself, at the sampling temperature
            "env_mask": [ids.mask for ids in tokens],
            "record": list(map(Record, questions, range(len(trajectories)), trajectories)),
        }

    def _run_episodes(  # type: ignore[no-any-unimported, unused-ignore]
        self, questions: Sequence[Question], trainer: trl.GRPOTrainer
    ) -> list[Trajectory]:
        """An episode of each question, sampled in process from the current policy."""
        recipe, accelerator = self._export.recipe, trainer.accelerator
        seed = f"{recipe.seed}:{trainer.state.global_step}:{accelerator.process_index}"
        dialect, budget = self._export.dialect, episode_budget(recipe)
        of_model = traits(self._tokenizer)
        rollouts = [
            Rollout(episode(question, dialect, budget, of_model), Random(f"{seed}:{i}"))
            for i, question in enumerate(questions)
        ]
        self._search.clear()
        model = accelerator.unwrap_model(trainer.model)
        policy = Policy(model).train(model.training)
        n_slots = min(recipe.seats, len(rollouts))
        with eval_mode(policy), accelerator.autocast():
            sampler = PolicySampler(policy, self._tokenizer, n_slots, trainer.temperature)
            return rollout(rollouts, sampler, self._search)

    def reward(self, record: Sequence[Record], log_metric: Any, **_: Any) -> list[float]:
        """TRL's reward function, over the records that `__call__` returned."""
        rewards = [reward_of(item, self._folder) for item in record]
        searches = [n_actions(item.trajectory) for item in record if item.trajectory]
        log_metric("em", sum(reward.score for reward in rewards) / len(rewards))
        log_metric("formed", sum(reward.formed for reward in rewards) / len(rewards))
        log_metric("searches", sum(searches) / len(rewards))
        return [reward.value for reward in rewards]


def _prompt_key(prompt: Sequence[Mapping[str, str]]) -> str:
    return json.dumps([[message["role"], message["content"]] for message in prompt])


def _settings(recipe: GRPOConfig, folder: Path) -> dict[str, Any]:
    """The recipe as values of TRL's GRPOConfig."""
    n_rollouts = recipe.group * batch_per_process(
        recipe.batch, int(os.environ.get("WORLD_SIZE", "1"))
    )
    # The largest micro-batch that divides the step and stays within the recipe's tokens.
    limit = min(max(1, recipe.micro_tokens // recipe.context_tokens), n_rollouts)
    micro_batch = max(size for size in range(1, limit + 1) if n_rollouts % size == 0)
    return {
        "output_dir": str(folder / "run"),
        "max_steps": recipe.max_steps,
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": n_rollouts // micro_batch,
        "num_generations": recipe.group,
        "max_completion_length": recipe.context_tokens,
        "temperature": recipe.temperature,
        "beta": recipe.kl,
        "use_bias_correction_kl": False,
        "loss_type": LOSSES["trl"][recipe.aggregate],
        "scale_rewards": "group" if recipe.by_std else "none",
        "learning_rate": recipe.lr,
        "lr_scheduler_type": "constant_with_warmup" if recipe.schedule == "constant" else "cosine",
        "warmup_steps": round(recipe.warmup * recipe.max_steps),
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "seed": recipe.seed,
        "bf16": dtype_of(recipe.dtype) is torch.bfloat16,
        "use_cpu": not torch.cuda.is_available(),
        "activation_checkpointing": False,  # `load_policy` turns it on if the recipe says so
        "save_steps": recipe.checkpoint_every,
        "logging_steps": 1,
        "report_to": "none",
    }
