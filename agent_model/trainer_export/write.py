"""Writes what another trainer starts from: data, recipe, and the few lines that it loads."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from agent_model.data.export import Row, verl_prompt, write_lines, write_parquet
from agent_model.trainer_export.folder import RECIPE
from agent_model.training.config import GRPOConfig
from agent_model.training.evaluation import EvalSetup
from agent_model.training.grpo import train
from agent_model.training.model import checkpoint_of
from autocoa_bench.episode import estimate_tokens
from autocoa_bench.errors import UserError
from autocoa_bench.util.json_lines import replace_file

_ROUND = 256  # a prompt's limit is a multiple of it

_REWARD_FILE = '''\
"""What a rollout earns, as verl asks for it (reward.custom_reward_function)."""

from pathlib import Path

from agent_model.trainer_export.verl import score


def compute_score(data_source, solution_str, ground_truth, extra_info=None):
    return score(extra_info or {}, Path(__file__).resolve().parent)
'''

_TRAIN_FILE = '''\
"""GRPO by TRL on the questions beside this file; `trainer` takes any of GRPOConfig's values too."""

import sys
from pathlib import Path

from agent_model.trainer_export.trl import trainer
from autocoa_bench.errors import UserError

if __name__ == "__main__":
    try:
        run = trainer(Path(__file__).resolve().parent)
        run.train()
    except UserError as error:
        sys.exit(f"error: {error}")
    run.save_model()
'''

_README = {
    "verl": """\
# GRPO by verl

Made by `autocoa-bench train grpo --hand-over verl`, for verl 0.9 with vLLM. Install autocoa-bench
into verl's environment, without the extra `train` (verl pins other versions of its libraries), and
run from the folder that the recipe's paths start at:

    python -m verl.trainer.main_ppo --config-path {folder} --config-name grpo

`grpo.yaml` holds the recipe's values over verl's own; memory, GPUs and the logger are yours to set.
`agent_loop.yaml` names the class that plays the episodes, and this folder; `reward.py` is the
reward; `recipe.json` is what both read. `test.parquet`, played greedily, are the questions
of the recipe's `[live]`, or the first of the others where it has none. The files name this folder:
write them anew where it is moved.

Not as in `train grpo`: batches are drawn in verl's order; groups that earn alike stay in the
divergence, which verl bounds; ratios are clipped; a search is asked as often as it is made;
precision is verl's own.
""",
    "trl": """\
# GRPO by TRL

Made by `autocoa-bench train grpo --hand-over trl`, for TRL 1.16 (where `rollout_func` is
experimental). Install TRL beside autocoa-bench and its extra `train`, and run from the folder that
the recipe's paths start at:

    accelerate launch {folder}/train.py

The policy plays the episodes in process, as in `train grpo`. `recipe.json` holds the values,
`train.jsonl` the questions, without those of the recipe's `[live]`. The model goes to `run/`.

Not as in `train grpo`: batches are drawn in TRL's order; groups that earn alike stay in the
divergence; a recipe in bf16 trains fp32 weights under autocast.
""",
}


def export_recipe(recipe: GRPOConfig, to: str, out: Path) -> list[Path]:
    """Write the folder `out` for another trainer, trl or verl; its files. Raises UserError."""
    _check(recipe, to)
    scene, watched = train.scenes(recipe)
    recipe = msgspec.structs.replace(recipe, corpus=scene.corpus)
    rows = _rows(scene, "train")
    kept_out = _rows(watched, recipe.live.split) if watched else rows[:1]
    folder = out.resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files = _verl(recipe, rows, kept_out, folder) if to == "verl" else _trl(rows, folder)
        for name, text in (
            (RECIPE, msgspec.json.format(msgspec.json.encode(recipe), indent=2).decode() + "\n"),
            ("README.md", _README[to].format(folder=shlex.quote(str(folder)))),
        ):
            replace_file(folder / name, text.encode())
    except OSError as error:
        raise UserError(f"cannot write to '{out}': {error.strerror or error}") from None
    return [out / name for name in (*files, RECIPE, "README.md")]


def _check(recipe: GRPOConfig, to: str) -> None:
    if recipe.simulated_steps:
        raise UserError(
            f"only the real environment is handed over, and the recipe has simulated_steps = "
            f"{recipe.simulated_steps}; train those here, and give --set simulated_steps=0"
        )
    if to == "verl" and recipe.adapter:
        raise UserError(
            "verl holds a policy with an adapter close to the model without it, not to where it "
            f"starts from; make one model of both (`autocoa-bench models merge {recipe.adapter} "
            f"merged --base {recipe.model}`), and give --set model=merged --set adapter=''"
        )


def _rows(scene: EvalSetup, split: str) -> list[Row]:
    return [
        verl_prompt(question, scene.dialect.opening(question), index, split)
        for index, question in enumerate(scene.questions)
    ]


def _trl(rows: Sequence[Row], folder: Path) -> list[str]:
    write_lines(folder / "train.jsonl", rows)
    replace_file(folder / "train.py", _TRAIN_FILE.encode())
    return ["train.jsonl", "train.py"]


def _verl(
    recipe: GRPOConfig, rows: Sequence[Row], kept_out: Sequence[Row], folder: Path
) -> list[str]:
    write_parquet(folder / "train.parquet", rows)
    write_parquet(folder / "test.parquet", kept_out)
    longest = max(map(_length, (*rows, *kept_out)))
    loop = {
        "name": rows[0]["agent_name"],
        "_target_": "agent_model.trainer_export.verl.AutoCoALoop",
        "folder": str(folder),
    }
    texts = {
        "grpo.yaml": "".join(_yaml(_verl_config(recipe, folder, longest))),
        "agent_loop.yaml": json.dumps([loop], indent=2) + "\n",
        "reward.py": _REWARD_FILE,
    }
    for name, text in texts.items():
        replace_file(folder / name, text.encode())
    return ["train.parquet", "test.parquet", *texts]


def _length(row: Row) -> int:
    """Tokens of a row's prompt, by a cautious estimate."""
    return sum(estimate_tokens(message["content"]) + 16 for message in row["prompt"])


def _verl_config(recipe: GRPOConfig, folder: Path, longest: int) -> dict[str, Any]:
    """The recipe over verl's ppo_trainer."""
    prompt = -(-longest // _ROUND) * _ROUND
    tokens = prompt + recipe.context_tokens
    return {
        "hydra": {"searchpath": ["pkg://verl.trainer.config"]},
        "defaults": ["ppo_trainer", "_self_"],
        "data": {
            "train_files": str(folder / "train.parquet"),
            "val_files": str(folder / "test.parquet"),
            "train_batch_size": recipe.batch,
            "max_prompt_length": prompt,
            "max_response_length": recipe.context_tokens,
            "shuffle": True,
            "seed": recipe.seed,
        },
        "actor_rollout_ref": {
            "model": _verl_model(recipe),
            "actor": _verl_actor(recipe, tokens),
            "rollout": {
                "name": "vllm",
                "n": recipe.group,
                "temperature": recipe.temperature,
                "load_format": "safetensors" if recipe.lora else "dummy",
                "calculate_log_probs": False,
                "max_model_len": tokens,
                "agent": {"agent_loop_config_path": str(folder / "agent_loop.yaml")},
            },
        },
        "algorithm": {
            "adv_estimator": "grpo",
            "norm_adv_by_std_in_grpo": recipe.by_std,
            "use_kl_in_reward": False,
        },
        "reward": {"custom_reward_function": {"path": str(folder / "reward.py")}},
        "trainer": {
            "total_training_steps": recipe.max_steps,
            "total_epochs": recipe.max_steps,
            "save_freq": recipe.checkpoint_every,
            "test_freq": recipe.live.every if recipe.live.tasks else -1,
            "val_before_train": False,
            "project_name": "autocoa-bench",
            "experiment_name": folder.name,
            "default_local_dir": str(folder / "checkpoints"),
            "logger": ["console"],
            "n_gpus_per_node": 1,
        },
    }


def _verl_model(recipe: GRPOConfig) -> dict[str, Any]:
    found: dict[str, Any] = {
        "path": checkpoint_of(recipe.model),
        "enable_gradient_checkpointing": recipe.gradient_checkpointing,
    }
    if recipe.lora:
        found["lora_rank"] = recipe.lora.rank
        found["lora_alpha"] = recipe.lora.alpha
        found["target_modules"] = list(recipe.lora.targets)
    return found


def _verl_actor(recipe: GRPOConfig, tokens: int) -> dict[str, Any]:
    return {
        "ppo_mini_batch_size": recipe.batch,
        "use_dynamic_bsz": True,
        "ppo_max_token_len_per_gpu": max(recipe.micro_tokens, tokens),
        "loss_agg_mode": "seq-mean-token-mean",
        "entropy_coeff": 0,
        "use_kl_loss": recipe.kl > 0,
        "kl_loss_coef": recipe.kl,
        "kl_loss_type": "low_var_kl",
        "grad_clip": 1.0,
        "data_loader_seed": recipe.seed,
        "optim": {
            "lr": recipe.lr,
            "lr_scheduler_type": recipe.schedule,
            "lr_warmup_steps_ratio": recipe.warmup,
            "weight_decay": 0.0,
        },
    }


def _yaml(tree: Mapping[str, Any], depth: int = 0) -> Iterator[str]:
    """A nested mapping as YAML; its values are written as JSON, which YAML reads."""
    for key, value in tree.items():
        start = "  " * depth + f"{key}:"
        if isinstance(value, dict):
            yield start + "\n"
            yield from _yaml(value, depth + 1)
        else:
            yield f"{start} {json.dumps(value)}\n"
