"""Exports a GRPO recipe for verl or TRL: data, settings, and the scripts that they load."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from string import Template

import msgspec

from agent_model.data.export import Row, verl_prompt, write_lines, write_parquet
from agent_model.trainer_export.folder import LOSSES, RECIPE
from agent_model.training.config import GroupsConfig, GRPOConfig
from agent_model.training.evaluation import EpisodeSetup, load_evaluation
from agent_model.training.grpo import train
from agent_model.training.model import checkpoint_of
from autocoa_bench.episode import estimate_tokens, opening_of
from autocoa_bench.errors import UserError
from autocoa_bench.util.commands import command_line
from autocoa_bench.util.json_lines import indented_json, replace_file

_TEMPLATES = Path(__file__).parent / "templates"
_PROMPT_MULTIPLE = 256  # verl's prompt limit is rounded up to a multiple of it
_MESSAGE_TOKENS = 16  # of a chat template around each message, at most


def export_recipe(recipe: GRPOConfig, to: str, out: Path) -> list[Path]:
    """Write the folder `out` for `to`, "trl" or "verl"; return its files. Raises UserError."""
    _check(recipe, to)
    evaluation = load_evaluation(recipe.live)
    training = train.load_training(recipe, evaluation)
    recipe = msgspec.structs.replace(recipe, corpus=training.corpus)
    rows = _rows(training, "train")
    test_rows = _rows(evaluation, recipe.live.split) if evaluation else rows[:1]
    folder = out.resolve()
    readme = _fill(f"{to}/README.md", folder=shlex.quote(str(folder)))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if to == "verl":
            write_parquet(folder / "train.parquet", rows)
            write_parquet(folder / "test.parquet", test_rows)
            names = ["train.parquet", "test.parquet"]
            loop = {
                "name": rows[0]["agent_name"],
                "_target_": "agent_model.trainer_export.verl.AutoCoALoop",
                "folder": str(folder),
            }
            texts = {
                "grpo.yaml": _verl_config(recipe, [*rows, *test_rows], folder),
                "agent_loop.yaml": json.dumps([loop], indent=2) + "\n",
                "reward.py": _fill("verl/reward.py"),
            }
        else:
            write_lines(folder / "train.jsonl", rows)
            names = ["train.jsonl"]
            texts = {"train.py": _fill("trl/train.py")}
        texts |= {RECIPE: indented_json(recipe).decode(), "README.md": readme}
        for name, text in texts.items():
            replace_file(folder / name, text.encode())
    except OSError as error:
        raise UserError(f"cannot write to '{out}': {error.strerror or error}") from None
    return [out / name for name in (*names, *texts)]


def _check(recipe: GRPOConfig, to: str) -> None:
    if recipe.simulated_steps:
        raise UserError(
            "another trainer has only the real environment, and the recipe has simulated_steps = "
            f"{recipe.simulated_steps}; train those steps here, then add --set simulated_steps=0"
        )
    if recipe.aggregate not in LOSSES[to]:
        raise UserError(
            f"{to} has no loss like aggregate = '{recipe.aggregate}'; set it to one of "
            f"{', '.join(LOSSES[to])}"
        )
    if recipe.ratio_clip:
        raise UserError(
            f"ratio_clip = {recipe.ratio_clip:g} is not exported: {to} has settings of its own for "
            "importance ratios; add --set ratio_clip=0"
        )
    terms = recipe.reward
    if (
        terms.evidence
        or terms.must_search in ("needed", "hops")
        or (terms.per_search and terms.price_on == "known")
    ):
        raise UserError(
            "another trainer's data tells neither which questions need a search nor their gold "
            "chains; give reward.evidence = 0, reward.must_search never or always, and "
            "reward.price_on = all"
        )
    if recipe.groups != GroupsConfig():
        raise UserError(
            "another trainer draws its questions itself, and leaves no group out; leave out the "
            "recipe's table [groups]"
        )
    if to == "verl" and recipe.adapter:
        merge = command_line("models", "merge", Path(recipe.adapter), "merged")
        merge += f" --base {shlex.quote(recipe.model)}"
        raise UserError(
            "verl's KL loss compares a policy with the model without its adapter, not with the "
            f"policy it starts from; merge them (`{merge}`), and "
            "add --set model=merged --set adapter=''"
        )


def _rows(setup: EpisodeSetup, split: str) -> list[Row]:
    return [
        verl_prompt(question, opening_of(setup.dialect, question), index, split)
        for index, question in enumerate(setup.questions)
    ]


def _fill(name: str, **values: str) -> str:
    """A template file with its `$placeholders` filled in."""
    template = Template((_TEMPLATES / f"{name}.template").read_text(encoding="utf-8"))
    return template.substitute(values)


def _verl_config(recipe: GRPOConfig, rows: Sequence[Row], folder: Path) -> str:
    """The recipe as settings on top of verl's ppo_trainer. Values are JSON, which is YAML too."""
    # A cautious estimate of the longest prompt.
    longest_prompt = max(
        sum(estimate_tokens(message["content"]) + _MESSAGE_TOKENS for message in row["prompt"])
        for row in rows
    )
    prompt_tokens = -(-longest_prompt // _PROMPT_MULTIPLE) * _PROMPT_MULTIPLE
    total_tokens = prompt_tokens + recipe.context_tokens
    settings = {
        name: getattr(recipe, name)
        for name in (
            *("batch", "context_tokens", "seed", "gradient_checkpointing", "kl", "lr", "schedule"),
            *("warmup", "group", "temperature", "by_std", "max_steps", "checkpoint_every"),
        )
    }
    settings |= {
        "model": checkpoint_of(recipe.model),
        "prompt_tokens": prompt_tokens,
        "total_tokens": total_tokens,
        "gpu_tokens": max(recipe.micro_tokens, total_tokens),
        "use_kl": recipe.kl > 0,
        "loss": LOSSES["verl"][recipe.aggregate],
        "load_format": "safetensors" if recipe.lora else "dummy",
        "test_every": recipe.live.every if recipe.live.tasks else -1,
        "experiment": folder.name,
        "train_file": str(folder / "train.parquet"),
        "test_file": str(folder / "test.parquet"),
        "loop_file": str(folder / "agent_loop.yaml"),
        "reward_file": str(folder / "reward.py"),
        "checkpoints": str(folder / "checkpoints"),
    }
    lora = ""
    if recipe.lora:
        lora = (
            f"    lora_rank: {recipe.lora.rank}\n    lora_alpha: {json.dumps(recipe.lora.alpha)}\n"
            f"    target_modules: {json.dumps(list(recipe.lora.targets))}\n"
        )
    values = {name: json.dumps(value) for name, value in settings.items()}
    return _fill("verl/grpo.yaml", **values, lora=lora)
