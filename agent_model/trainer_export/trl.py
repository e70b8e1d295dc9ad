"""TRL's side of a hand-over: GRPOTrainer with our episodes as `rollout_func`, and our reward."""

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

from agent_model.rollout.rollout import Rollout, rollout
from agent_model.rollout.sampler import PolicySampler
from agent_model.rollout.search_client import SearchClient
from agent_model.tokens import Tokenizer
from agent_model.trainer_export.folder import open_export, question_of, reward_of, tokens_of
from agent_model.training.config import GRPOConfig
from agent_model.training.distributed import share_of_process
from agent_model.training.model import Policy, at_rest, dtype_of, load_policy
from autocoa_bench.episode import episode, n_actions
from autocoa_bench.errors import UserError
from autocoa_bench.types import Question, Record, Trajectory


def trainer(folder: Path, **changes: Any) -> trl.GRPOTrainer:  # type: ignore[no-any-unimported, unused-ignore]
    """TRL's trainer of a hand-over's recipe; `changes` are values of GRPOConfig. Raises UserError.

    Weights are loaded in fp32, as TRL does not keep copies of others: under autocast where the
    recipe says bf16.
    """
    recipe = open_export(folder).recipe
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text("utf-8").splitlines()]
    policy, tokenizer = load_policy(msgspec.structs.replace(recipe, dtype="fp32"))
    play = RolloutWorkers(
        folder, tokenizer, {_key(row["prompt"]): question_of(row) for row in rows}
    )
    return trl.GRPOTrainer(
        model=policy.model,
        processing_class=tokenizer,
        reward_funcs=play.reward,
        rollout_func=play,
        train_dataset=Dataset.from_list([{"prompt": row["prompt"]} for row in rows]),
        args=trl.GRPOConfig(**{**_values(recipe, folder), **changes}),
    )


class RolloutWorkers:
    """Plays the questions of prompts, and rewards what was played.

    Questions of the same words are one question to the policy, and are scored as the last of them.
    """

    def __init__(
        self, folder: Path, tokenizer: Tokenizer, questions: Mapping[str, Question]
    ) -> None:
        self._folder = folder
        self._handed = open_export(folder)
        self._tokenizer = tokenizer
        self._questions = questions
        self._finder = SearchClient(self._handed.search)

    def __call__(self, prompts: Sequence[Any], trainer: trl.GRPOTrainer) -> dict[str, Any]:  # type: ignore[no-any-unimported, unused-ignore]
        """TRL's `rollout_func`: the prompts come as often as a group has members.

        Raises UserError where every search fails.
        """
        questions = [self._questions[_key(prompt)] for prompt in prompts]
        calls, faults = self._finder.calls, len(self._finder.faults)
        played = self._play(questions, trainer)
        if 0 < self._finder.calls - calls == len(self._finder.faults) - faults:
            raise UserError(f"all searches of a step failed: {self._finder.faults[-1]}")
        tokens = [tokens_of(each, self._tokenizer) for each in played]
        records = map(Record, questions, range(len(played)), played)
        return {
            "prompt_ids": [each.prompt for each in tokens],
            "completion_ids": [each.response for each in tokens],
            "logprobs": None,  # TRL computes them anew, at the sampling temperature
            "env_mask": [each.mask for each in tokens],
            "record": list(records),
        }

    def _play(self, questions: Sequence[Question], trainer: trl.GRPOTrainer) -> list[Trajectory]:  # type: ignore[no-any-unimported, unused-ignore]
        """An episode of each question, by the policy as it is, in process."""
        recipe, accelerator = self._handed.recipe, trainer.accelerator
        seed = f"{recipe.seed}:{trainer.state.global_step}:{accelerator.process_index}"
        rollouts = [
            Rollout(
                episode(question, self._handed.dialect, recipe.budget), Random(f"{seed}:{place}")
            )
            for place, question in enumerate(questions)
        ]
        self._finder.clear()
        model = accelerator.unwrap_model(trainer.model)
        policy = Policy(model).train(model.training)
        seats = min(recipe.seats, len(rollouts))
        with at_rest(policy), accelerator.autocast():
            sampler = PolicySampler(policy, self._tokenizer, seats, trainer.temperature)
            return rollout(rollouts, sampler, self._finder)

    def reward(self, record: Sequence[Record], log_metric: Any, **_: Any) -> list[float]:
        """TRL's reward function, of what `__call__` has played."""
        rewards = [reward_of(each, self._folder) for each in record]
        searches = [n_actions(each.trajectory) for each in record if each.trajectory]
        log_metric("em", sum(each.score for each in rewards) / len(rewards))
        log_metric("formed", sum(each.formed for each in rewards) / len(rewards))
        log_metric("searches", sum(searches) / len(rewards))
        return [each.value for each in rewards]


def _key(prompt: Sequence[Mapping[str, str]]) -> str:
    return json.dumps([[message["role"], message["content"]] for message in prompt])


def _values(recipe: GRPOConfig, folder: Path) -> dict[str, Any]:
    """The recipe in GRPOConfig's terms."""
    share = share_of_process(recipe.batch, int(os.environ.get("WORLD_SIZE", "1"))) * recipe.group
    most = max(1, recipe.micro_tokens // recipe.context_tokens)
    micro = max(size for size in range(1, min(most, share) + 1) if share % size == 0)
    return {
        "output_dir": str(folder / "run"),
        "max_steps": recipe.max_steps,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": share // micro,
        "num_generations": recipe.group,
        "max_completion_length": recipe.context_tokens,
        "temperature": recipe.temperature,
        "beta": recipe.kl,
        "use_bias_correction_kl": False,
        "loss_type": "grpo",
        "scale_rewards": "group" if recipe.by_std else "none",
        "learning_rate": recipe.lr,
        "lr_scheduler_type": "constant_with_warmup" if recipe.schedule == "constant" else "cosine",
        "warmup_steps": round(recipe.warmup * recipe.max_steps),
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "seed": recipe.seed,
        "bf16": dtype_of(recipe.dtype) is torch.bfloat16,
        "use_cpu": not torch.cuda.is_available(),
        "activation_checkpointing": False,  # `load_policy` turns it on where the recipe says so
        "save_steps": recipe.checkpoint_every,
        "logging_steps": 1,
        "report_to": "none",
    }
