"""Whole training runs of a tiny model: resumed, killed, on two processes, in all stages."""

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from typer.testing import CliRunner

from agent_model.cli import train as train_command
from agent_model.training import data, losses, metrics, sft
from agent_model.training.config import Aggregate, EvalConfig, LoraConfig, SFTConfig
from agent_model.training.data import examples_of_step
from agent_model.training.model import load_policy, trainable
from autocoa_bench.engines.weights.models import sha256_of
from autocoa_bench.errors import MissingExtra, UserError
from autocoa_bench.types import Record
from support.commands import caller, refused
from support.tiny import edit_json
from support.tiny_llm import make_model, write_pairs, write_records
from support.towns import write_task
from support.training_processes import kill_at, resumed_step, train_together


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, records.jsonl and pairs.jsonl."""
    folder = tmp_path_factory.mktemp("place")
    make_model(folder / "model")
    write_records(folder / "records.jsonl", 48)
    write_pairs(folder / "pairs.jsonl", 48)
    return folder


def recipe(place: Path, **changes: Any) -> SFTConfig:
    data = "pairs" if changes.get("stage") == "sft1" else "records"
    basic = SFTConfig(
        stage="sft2",
        model=str(place / "model"),
        data=(str(place / f"{data}.jsonl"),),
        dtype="fp32",
        lr=1e-2,
        batch=8,
        micro_tokens=1500,
        max_steps=6,
        checkpoint_every=2,
        eval_every=3,
        held_out=0.1,
        lora=LoraConfig(rank=4),
    )
    return msgspec.structs.replace(basic, **changes)


def write_recipe(config: SFTConfig, file: Path) -> Path:
    """As a person would write it; JSON's scalars and lists are TOML's too."""
    keys = ("stage", "model", "data", "dtype", "lr", "batch", "micro_tokens", "max_steps")
    keys += ("checkpoint_every", "eval_every", "held_out")
    lines = [f"{key} = {msgspec.json.encode(getattr(config, key)).decode()}" for key in keys]
    file.write_text("\n".join([*lines, "lora.rank = 4", ""]))
    return file


def rows_of(out: Path) -> list[metrics.SFTStep]:
    return metrics.read_metrics(out / "metrics.csv", metrics.SFTStep)


def curve(rows: Sequence[metrics.SFTStep]) -> list[tuple[int, float, float, float]]:
    return [(row.step, row.loss, row.grad_norm, row.held_out or 0.0) for row in rows]


def run(config: SFTConfig, out: Path) -> str:
    output = io.StringIO()
    sft.train(config, out, Console(file=output, width=200))
    return output.getvalue()


def command(place: Path, out: Path, config: SFTConfig) -> list[str]:
    config = write_recipe(config, place / f"{out.name}.toml")
    return ["train", config.stage, "--config", str(config), "--out", str(out)]


@pytest.fixture(scope="module")
def unbroken(place: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """A run of an adapter (True) and one of all weights (False), neither of them interrupted."""
    outs = {lora: tmp_path_factory.mktemp("unbroken") / "out" for lora in (True, False)}
    for lora, out in outs.items():
        run(with_lora(recipe(place), lora), out)
    return outs


def with_lora(config: SFTConfig, lora: bool) -> SFTConfig:
    return config if lora else msgspec.structs.replace(config, lora=None)


@pytest.mark.parametrize("stage", ["sft1", "sft2", "sft3"])
def test_every_stage_learns(place: Path, tmp_path: Path, stage: str) -> None:
    output = run(recipe(place, stage=stage), tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert rows[-1].loss < rows[0].loss - 0.05
    assert rows[-1].held_out is not None
    assert (rows[-1].ranked is not None) is (stage == "sft1")
    assert f"{stage}: " in output
    assert "loss" in output
    assert "tokens/s" in output


def test_a_run_leaves_a_model_its_facts_and_its_curves(unbroken: dict[bool, Path]) -> None:
    out = unbroken[True]
    assert {file.name for file in (out / "model").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    facts = msgspec.json.decode((out / "run.json").read_bytes())
    assert facts["recipe"]["lora"]["rank"] == 4
    assert [len(each) for each in facts["data_sha256"].values()] == [64]
    assert facts["steps"] == 6
    assert facts["hours"] > 0
    assert "torch" in facts["sessions"][0]["versions"]
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((out / "checkpoints").iterdir())) == 2


def test_all_weights_can_be_trained_and_are_saved_as_a_model(
    place: Path, unbroken: dict[bool, Path]
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = unbroken[False] / "model"
    model = AutoModelForCausalLM.from_pretrained(folder)
    before = AutoModelForCausalLM.from_pretrained(place / "model")
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(model.state_dict()[name], before.state_dict()[name])
    assert AutoTokenizer.from_pretrained(folder).chat_template


def test_live_episodes_give_columns_and_trajectories(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    tasks, corpus = write_task(tmp_path, 6)
    short = EvalConfig(tasks, count=3, every=2, corpus=corpus, max_actions=1, step_tokens=8)
    run(recipe(place, max_steps=3, live=short), tmp_path / "out")
    rows = rows_of(tmp_path / "out")
    assert [row.live_em is not None for row in rows] == [False, True, True]
    assert (rows[2].live_em, rows[2].live_formed, rows[2].live_searches) == (0.0, 0.0, 0.0)
    for step in (0, 2, 3):
        file = tmp_path / "out" / "live" / f"step-{step:06d}.jsonl"
        assert len(msgspec.json.Decoder(Record).decode_lines(file.read_bytes())) == 3


def test_a_supervised_run_may_result_in_its_best_model_too(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    tasks, corpus = write_task(tmp_path, 6)
    short = EvalConfig(
        tasks, count=3, every=2, corpus=corpus, max_actions=1, step_tokens=8, best=True
    )
    said = run(recipe(place, max_steps=2, live=short), tmp_path / "out")  # nothing is ever right
    assert "model of step 0, live exact match 0.000)" in said
    adapter = load_file(tmp_path / "out" / "model" / "adapter_model.safetensors")
    assert not any(weight.any() for name, weight in adapter.items() if "lora_B" in name)


def test_micro_batches_do_not_change_the_curve(
    place: Path, unbroken: dict[bool, Path], tmp_path: Path
) -> None:
    run(recipe(place, micro_tokens=400), tmp_path / "cut")
    same_curve(tmp_path / "cut", unbroken[True])


@pytest.mark.parametrize("how", get_args(Aggregate))
def test_a_step_has_the_hand_worked_loss_however_it_is_cut(
    place: Path, tmp_path: Path, how: Aggregate
) -> None:
    config = recipe(place, aggregate=how, batch=4, max_steps=1, held_out=0.0, max_tokens=1000)
    policy, tokenizer = load_policy(config)
    train = data.load_data(config, tokenizer).train
    examples = [train[i] for i in examples_of_step(len(train), 4, config.seed, 0)]
    losses = []  # of each trajectory's tokens
    for [row] in examples:
        ids, mask = torch.tensor(row.ids)[None].long(), torch.tensor(row.mask)[None]
        losses.append((-policy(ids, mask).detach()).tolist())
    assert len({len(each) for each in losses}) > 1
    expected = {
        "sum": sum(map(sum, losses)) / 4,
        "token-mean": sum(map(sum, losses)) / sum(map(len, losses)),
        "trajectory-mean": sum(sum(each) / len(each) for each in losses) / 4,
        "constant": sum(map(sum, losses)) / 4000,
    }
    norms = []
    for micro_tokens in (1, 1 << 20):
        out = tmp_path / str(micro_tokens)
        run(msgspec.structs.replace(config, micro_tokens=micro_tokens), out)
        [row] = rows_of(out)
        assert row.loss == pytest.approx(expected[how], rel=1e-4)
        norms.append(row.grad_norm)
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)


def same_curve(out: Path, expected: Path, rel: float = 1e-4) -> None:
    for row, other in zip(curve(rows_of(out)), curve(rows_of(expected)), strict=True):
        assert row == pytest.approx(other, rel=rel)


def test_a_run_resumes_from_its_last_checkpoint(
    place: Path, unbroken: dict[bool, Path], tmp_path: Path
) -> None:
    whole, stopped = unbroken[True], tmp_path / "stopped"
    run(recipe(place, checkpoint_every=4), stopped)
    last = stopped / "checkpoints" / "step-000006"
    last.rename(last.with_suffix(".part"))  # as a kill while it was written leaves it
    before = rows_of(stopped)
    with (stopped / "metrics.csv").open("a") as file:
        file.write("7,0.1,")  # a torn line
    run(recipe(place), stopped)
    assert resumed_step(before, rows_of(stopped)) == 4
    assert curve(rows_of(stopped)) == curve(rows_of(whole))
    weights = [out / "model" / "adapter_model.safetensors" for out in (whole, stopped)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_another_recipes_folder_is_refused(place: Path, tmp_path: Path) -> None:
    run(recipe(place, max_steps=1), tmp_path / "out")
    with pytest.raises(UserError, match=r"another training run, which differs in lr: 0.01 -> 0.02"):
        run(recipe(place, max_steps=1, lr=2e-2), tmp_path / "out")


def test_a_folder_in_use_is_refused(place: Path, tmp_path: Path) -> None:
    from agent_model.training.run_folder import lock_folder

    with (
        lock_folder(tmp_path / "out"),
        pytest.raises(UserError, match="another process is training in"),
    ):
        run(recipe(place), tmp_path / "out")


def test_kills_in_the_middle_leave_the_curve_of_an_unbroken_run(
    place: Path, tmp_path: Path
) -> None:
    config = recipe(place, max_steps=10, checkpoint_every=3)
    out = tmp_path / "killed"
    before: list[metrics.SFTStep] = []
    checkpoint = 0
    for kill, kept in (("4-row", 3), ("6-checkpoint", 3), ("8-row", 6)):
        kill_at(kill, sft.train, config, out)
        assert resumed_step(before, rows_of(out)) == checkpoint
        checkpoints = sorted(path.name for path in (out / "checkpoints").glob("step-??????"))
        assert checkpoints[-1] == f"step-{kept:06d}"
        before, checkpoint = rows_of(out), kept
    run(config, out)
    assert resumed_step(before, rows_of(out)) == checkpoint
    run(config, tmp_path / "whole")
    assert len(rows_of(out)) == 10
    same_curve(out, tmp_path / "whole", rel=1e-6)


@pytest.mark.slow
def test_two_processes_that_accelerate_launches_draw_the_curve_of_one(
    place: Path, unbroken: dict[bool, Path], tmp_path: Path
) -> None:
    config = write_recipe(recipe(place), tmp_path / "recipe.toml")
    line = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    line += ["--num_processes", "2", "--main_process_port", "0", "-m", "autocoa_bench"]
    line += ["train", "sft2", "--config", str(config), "--out", str(tmp_path / "two")]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    subprocess.run(line, env=environment, check=True, timeout=300)
    facts = msgspec.json.decode((tmp_path / "two" / "run.json").read_bytes())
    assert facts["sessions"][0]["processes"] == 2
    same_curve(tmp_path / "two", unbroken[True])


def test_two_processes_that_train_all_weights_draw_the_curve_of_one(
    place: Path, unbroken: dict[bool, Path], tmp_path: Path
) -> None:
    assert train_together(sft.train, recipe(place, lora=None), [tmp_path / "two"] * 2) == ["", ""]
    same_curve(tmp_path / "two", unbroken[False])


@pytest.mark.parametrize("lora", [True, False])
def test_sharded_weights_draw_the_curve_of_copied_ones(
    place: Path, unbroken: dict[bool, Path], tmp_path: Path, lora: bool
) -> None:
    config = with_lora(recipe(place, checkpoint_every=4), lora)
    sharded = msgspec.structs.replace(config, sharding="fsdp")
    out = tmp_path / "sharded"
    assert train_together(sft.train, sharded, [out, out]) == ["", ""]
    same(out, unbroken[lora])
    # Checkpoints hold full weights: one process resumes from them, and they are sharded again.
    before = forget_the_end(out)
    run(config, out)
    assert resumed_step(before, rows_of(out)) == 4
    same(out, unbroken[lora])
    before = forget_the_end(out)
    assert train_together(sft.train, sharded, [out, out]) == ["", ""]
    assert resumed_step(before, rows_of(out)) == 4
    same(out, unbroken[lora])


def forget_the_end(out: Path) -> list[metrics.SFTStep]:
    """Remove what the last two steps left, other than their rows; returns all rows."""
    shutil.rmtree(out / "checkpoints" / "step-000006")
    shutil.rmtree(out / "model")
    return rows_of(out)


def same(out: Path, expected: Path) -> None:
    same_curve(out, expected)
    found, expected_weights = weights(out / "model"), weights(expected / "model")
    assert found.keys() == expected_weights.keys()
    for name, weight in found.items():
        torch.testing.assert_close(weight, expected_weights[name], rtol=1e-2, atol=1e-4)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    [file] = folder.glob("*.safetensors")
    return load_file(file)


def test_a_wrong_recipe_is_one_line_and_exit_code_2(
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = write_recipe(recipe(place, data=("missing.jsonl",)), tmp_path / "recipe.toml")
    call = caller(monkeypatch, capsys, "train", "sft2")
    refused(
        call("--config", str(config), "--out", str(tmp_path / "out")),
        "error: cannot read 'missing.jsonl'",
    )


def test_processes_of_different_progress_are_refused(place: Path, tmp_path: Path) -> None:
    """As on machines that do not share a folder."""
    config = recipe(place, checkpoint_every=4)
    run(config, tmp_path / "0")
    shutil.rmtree(tmp_path / "0" / "checkpoints" / "step-000006")
    errors = train_together(sft.train, config, [tmp_path / "0", tmp_path / "1"])
    for error in errors:
        assert re.match(r"UserError: the processes do not agree .*: 4 \w{8}, 0 \w{8}; give", error)


@pytest.mark.parametrize("way", ["FSDP", "DEEPSPEED"])
def test_an_unsupported_distribution_strategy_is_refused(
    place: Path, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"ACCELERATE_USE_{way}", "true")  # as `accelerate launch --use_...` does
    with pytest.raises(UserError, match=f"told to distribute by {way}"):
        run(recipe(place), tmp_path / "out")


def test_slices_over_one_process_are_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="but there is only one"):
        run(recipe(place, sharding="fsdp"), tmp_path / "out")


def test_held_out_examples_are_evaluated_without_dropout(place: Path, tmp_path: Path) -> None:
    policy, _ = load_policy(recipe(place, lora=LoraConfig(rank=4)))
    with torch.no_grad():
        for _, weight in trainable(policy):  # a new adapter does nothing, with dropout or without
            weight.add_(0.05)
    policy.save(tmp_path / "adapter", str(place / "model"), None)
    found = []
    for share in (0.0, 0.9):
        edit_json(tmp_path / "adapter" / "adapter_config.json", lora_dropout=share)
        config = recipe(place, adapter=str(tmp_path / "adapter"), lr=0.0, max_steps=1)
        run(config, tmp_path / f"out-{share}")
        found.append(
            metrics.read_metrics(tmp_path / f"out-{share}" / "metrics.csv", metrics.SFTStep)[
                0
            ].held_out
        )
    assert found[0] == found[1]


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_loss_or_gradient_that_is_not_finite_ends_the_run_before_weights_change(
    place: Path, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    step = [0]

    def drawn(count: int, batch: int, seed: int, now: int) -> list[int]:
        step[0] = now
        return examples_of_step(count, batch, seed, now)

    def spoilt(each: torch.Tensor, *others: Any) -> torch.Tensor:
        nothing = each.sum() * 0
        if step[0] == 2:  # the slope of a root is infinite at 0
            nothing = nothing / nothing if what == "loss" else nothing.sqrt()
        return nothing + losses.aggregate(each, *others)

    monkeypatch.setattr(data, "examples_of_step", drawn)
    monkeypatch.setattr(sft, "aggregate", spoilt)
    config = recipe(place, lr=1e-2, schedule="constant")
    with pytest.raises(UserError, match=rf"the {what} of step 3 is not finite \(lr 0.01\)"):
        run(config, out)
    assert [row.step for row in rows_of(out)] == [
        1,
        2,
    ]
    assert [each.name for each in (out / "checkpoints").iterdir()] == ["step-000002"]
    for weight in weights(out / "checkpoints" / "step-000002" / "model").values():
        assert weight.isfinite().all()
    assert not (out / "model").exists()


def test_a_run_records_what_it_started_from(place: Path, tmp_path: Path) -> None:
    run(recipe(place, max_steps=1), tmp_path / "first")
    config = recipe(place, max_steps=1, adapter=str(tmp_path / "first" / "model"))
    run(config, tmp_path / "out")
    facts = msgspec.json.decode((tmp_path / "out" / "run.json").read_bytes())
    assert facts["start"] == {
        "dtype": "float32",
        "base": sha256_of(place / "model" / "model.safetensors"),
        "adapter": sha256_of(tmp_path / "first" / "model" / "adapter_model.safetensors"),
    }
    assert facts["sessions"][0]["device"] == "cpu"
    assert 0 < facts["retokenised"]["others"] < facts["retokenised"]["tokens"]


def test_another_adapter_under_the_same_name_is_refused(place: Path, tmp_path: Path) -> None:
    adapter = tmp_path / "first" / "model"
    run(recipe(place, max_steps=1), tmp_path / "first")
    config = recipe(place, max_steps=1, adapter=str(adapter))
    run(config, tmp_path / "out")
    shutil.rmtree(tmp_path / "first")
    run(recipe(place, max_steps=1, seed=1), tmp_path / "first")
    with pytest.raises(UserError, match="which differs in adapter: "):
        run(config, tmp_path / "out")


def test_a_run_of_an_earlier_version_is_resumed(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(recipe(place, max_steps=3, checkpoint_every=2), out)
    facts = msgspec.json.decode((out / "run.json").read_bytes())
    del facts["start"], facts["retokenised"], facts["recipe"]["sharding"]
    del facts["sessions"][0]["device"]
    (out / "run.json").write_bytes(msgspec.json.encode(facts))
    shutil.rmtree(out / "checkpoints" / "step-000003")
    before = rows_of(out)
    run(recipe(place, max_steps=3, checkpoint_every=2), out)
    assert resumed_step(before, rows_of(out)) == 2
    assert curve(rows_of(out)) == curve(before)


def test_a_missing_extra_shows_at_the_start(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("sft", "curves"):
        monkeypatch.delitem(sys.modules, f"agent_model.training.{name}")
        monkeypatch.delattr(f"agent_model.training.{name}")
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    config = write_recipe(recipe(place), tmp_path / "recipe.toml")
    arguments = ["sft2", "--config", str(config), "--out", str(tmp_path / "out")]
    error = CliRunner().invoke(train_command.app, arguments).exception
    assert isinstance(error, MissingExtra)
    assert "autocoa-bench[train]" in str(error)
    assert not (tmp_path / "out").exists()
