"""Recipes: defaults, changes, and what is refused."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_model.training.config import (
    EvalConfig,
    GRPOConfig,
    LoraConfig,
    as_resumed,
    load_grpo_config,
    load_sft_config,
)
from agent_model.training.optimiser import learning_rate, total_steps
from autocoa_bench.errors import UserError
from autocoa_bench.runs.run_folder import differing

ROOT = Path(__file__).parents[3]
RECIPES = ROOT / "recipes"
BASIC = 'model = "m"\ndata = ["d.jsonl"]\n'


def write(folder: Path, text: str = BASIC) -> Path:
    file = folder / "recipe.toml"
    file.write_text(text)
    return file


def recipe_name(file: Path) -> str:
    return file.relative_to(RECIPES).as_posix()


def test_missing_values_are_the_papers(tmp_path: Path) -> None:
    first = load_sft_config(write(tmp_path), "sft1")
    second = load_sft_config(write(tmp_path), "sft2")
    assert (first.alpha, first.lr, first.epochs, first.batch) == (0.2, 5e-6, 2.0, 16)
    assert (second.lr, second.epochs, second.batch, second.max_tokens) == (5e-5, 2.0, 32, 8192)
    assert first.schedule == second.schedule == "cosine"


def test_changes_reach_into_tables(tmp_path: Path) -> None:
    changes = ["lr=1e-3", "lora.rank=4", "model=other/name", "live.tasks=nq"]
    recipe = load_sft_config(write(tmp_path), "sft2", changes)
    assert (recipe.lr, recipe.model, recipe.live.tasks) == (1e-3, "other/name", "nq")
    assert recipe.lora == LoraConfig(rank=4)


def test_lora_false_trains_all_weights(tmp_path: Path) -> None:
    assert load_sft_config(write(tmp_path, BASIC + "lora = false\n"), "sft2").lora is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BASIC + "learning_rate = 1\n", "unknown key of a recipe 'learning_rate'"),
        (BASIC + "bach = 1\n", "did you mean 'batch'"),
        (BASIC + "[lora]\nrang = 1\n", "did you mean 'rank'"),
        (BASIC + 'lr = "fast"\n', "lr = 'fast': expected `float`, got `str`"),
        (BASIC + "batch = 0\n", "has batch = 0: expected `int` >= 1"),
        (BASIC + "lr = nan\n", "lr = nan: expected `float` >= 0"),
        (BASIC + "lr = inf\n", "lr = inf: expected `float` <= 100"),
        (BASIC + "warmup = 1.5\n", "warmup = 1.5: expected `float` <= 1"),
        (BASIC + "epochs = inf\n", "epochs = inf: expected `float` <="),
        (BASIC + "alpha = nan\n", "alpha = nan"),
        (BASIC + f"seed = {2**64}\n", "expected `int` <= 4294967295"),
        (BASIC + "seed = -1\n", "seed = -1"),
        (BASIC + "[lora]\nrank = 0\n", "lora.rank = 0: expected `int` >= 1"),
        (BASIC + "[live]\nmax_actions = -1\n", "live.max_actions = -1: expected `int` >= 0"),
        (BASIC + "[live]\nstep_tokens = -5\n", "live.step_tokens = -5: expected `int` >= 1"),
        (BASIC + "[live]\nevery = 0\n", "live.every = 0: expected `int` >= 1"),
        (BASIC + 'stage = "sft9"\n', "unknown stage 'sft9'; did you mean"),
        (BASIC + 'sharding = "fsdp"\nlive.tasks = "nq"\n', "a sharded model cannot run episodes"),
        (BASIC + 'adapter = "nowhere"\n', "'nowhere' is not a LoRA adapter in PEFT's format"),
        (BASIC + "held_out = 1.5\n", "held_out = 1.5: expected `float` < 1"),
        (BASIC + 'stage = "sft3"\n', "is for stage 'sft3', not 'sft2'"),
        ("model = [", "is not TOML"),
        (BASIC + f"lr = {'9' * 5000}\n", "is not TOML"),
        ('model = "m"\ndata = []\n', "names no file"),
        (BASIC + 'observations = ["o.jsonl"]\n', "which only stage 3 learns"),
    ],
)
def test_a_wrong_recipe_says_what_is_wrong(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(UserError) as caught:
        load_sft_config(write(tmp_path, text), "sft2")
    assert problem in str(caught.value)


def test_a_change_of_several_lines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="without a line break"):
        load_sft_config(write(tmp_path), "sft2", ["lr=1e-3\nbatch=4"])


@pytest.mark.parametrize("value", ["[" * 20_000, "9" * 5_000])
def test_an_absurd_change_is_refused(tmp_path: Path, value: str) -> None:
    with pytest.raises(UserError, match="--set lr does not accept this value"):
        load_sft_config(write(tmp_path), "sft2", [f"lr={value}"])


def write_adapter(folder: Path, alpha: str) -> None:
    modules = '"target_modules": ["up", "down"]'
    config = f'{{"peft_type": "LORA", "r": 4, "lora_alpha": {alpha}, {modules}}}'
    (folder / "adapter_config.json").write_text(config)


@pytest.mark.parametrize("alpha", ["8", "8.0"])  # the second is how an adapter from GGUF has it
def test_an_adapters_own_form_is_the_recipes_where_none_is_given(
    tmp_path: Path, alpha: str
) -> None:
    write_adapter(tmp_path, alpha)
    recipe = load_sft_config(write(tmp_path), "sft2", [f"adapter={tmp_path}"])
    assert recipe.lora == LoraConfig(4, 8, ("down", "up"))


def test_an_adapter_of_a_broken_alpha_is_refused(tmp_path: Path) -> None:
    write_adapter(tmp_path, "8.5")
    with pytest.raises(UserError, match=r"lora_alpha = 8\.5; it must be a whole number"):
        load_sft_config(write(tmp_path), "sft2", [f"adapter={tmp_path}"])


def test_the_schedule_warms_up_then_falls_to_nothing(tmp_path: Path) -> None:
    recipe = load_sft_config(write(tmp_path), "sft2", ["lr=1.0", "warmup=0.1"])
    rates = [learning_rate(recipe, step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[55] == pytest.approx(0.5)
    assert rates[-1] < 0.001


def test_epochs_count_in_whole_batches(tmp_path: Path) -> None:
    recipe = load_sft_config(write(tmp_path), "sft2")
    assert total_steps(recipe, 6000) == 375


@pytest.mark.parametrize("file", sorted(RECIPES.rglob("*.toml")), ids=recipe_name)
def test_every_recipe_that_ships_is_valid_and_says_what_it_leaves_out(file: Path) -> None:
    stage = tomllib.loads(file.read_text())["stage"]
    assert load_grpo_config(file) if stage == "grpo" else load_sft_config(file, stage)
    assert "Left out:" in file.read_text().partition("\n\n")[0]


GRPO = GRPOConfig(stage="grpo", model="m", live=EvalConfig(tasks="nq", count=4))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (
            {"live": EvalConfig(tasks="nq", count=8)},
            "live.count: 4 -> 8",
        ),  # they are not learned from
        ({"live": EvalConfig(tasks="musique", count=4)}, 'live.tasks: "nq" -> "musique"'),
        ({"seats": 2}, "seats: 32 -> 2"),
    ],
)
def test_grpo_is_not_resumed_with_other_questions_or_seats(
    changed: dict[str, Any], named: str
) -> None:
    now = msgspec.structs.replace(GRPO, **changed)
    assert list(differing(as_resumed(GRPO, now), now)) == [named]


def test_grpo_may_evaluate_at_other_times_when_it_is_resumed() -> None:
    now = msgspec.structs.replace(GRPO, live=EvalConfig(tasks="nq", count=4, every=7), patience=3)
    assert as_resumed(GRPO, now) == now
