"""The ablation of the simulated environment: its arms, its commands and its table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from agent_model.reproduce import ablation
from agent_model.reproduce.commands import FULL
from agent_model.reproduce.runner import Command
from agent_model.reproduce.scale import load_scale
from agent_model.reproduce.table1 import table1_experiment
from agent_model.reproduce.training_cost import TrainingEnd
from agent_model.training.config import GRPOConfig, load_grpo_config
from agent_model.training.grpo.warm_start import last_shared_step
from autocoa_bench.errors import UserError
from autocoa_bench.report.entries import EMPTY_CATALOGUE, Entry, make_entries
from autocoa_bench.runs import scores
from autocoa_bench.runs.run_folder import Run
from support.handmade import make

SCALE = load_scale("nano")
OUT = Path("out")
KINDS = {"nq": "known", "triviaqa": "unknown", "hotpotqa": "2hop"}


def config(arm: str) -> GRPOConfig:
    variant = ablation.arm_variants(SCALE)[arm]
    return load_grpo_config(SCALE.recipes / "grpo.toml", variant.changes)


def planned() -> dict[str, Command]:
    commands = ablation.ablation_experiment(SCALE, OUT, 3).commands
    return {command.name: command for command in commands}


def run(right: int, searches: int = 1, folder: str = "run") -> Run:
    """A run with so many right answers of 20 in each of three tasks."""
    answers = [(searches, float(number < right)) for number in range(20)]
    return make(dict.fromkeys(KINDS, answers), folder=folder, kinds=KINDS)


def entries(*runs: Run) -> Sequence[Entry]:
    return make_entries(runs, EMPTY_CATALOGUE)


def outcomes() -> list[ablation.ArmOutcome]:
    start, closed = entries(run(10)), entries(run(20, 0))
    change = ablation.change_of_average(entries(run(15)), start)
    assert change is not None
    end = TrainingEnd(12, 24, 3)
    arm = ablation.ArmOutcome("greedy", entries(run(15)), closed, change, (0.5, 0.75), [end])
    return [ablation.ArmOutcome(FULL, start, closed), arm]


def test_every_arm_is_a_recipe_of_short_rl_after_all_sft_stages() -> None:
    arms = ablation.arm_variants(SCALE)
    assert len(arms) == 14
    assert {variant.start for variant in arms.values()} == {FULL}
    for arm in arms:
        assert (config(arm).max_steps, config(arm).patience) == (24, 0)
        assert config(arm).simulated_steps == (20 if arm == "switch-20" else 24)


def test_no_two_arms_are_the_same() -> None:
    arms = ablation.arm_variants(SCALE)
    assert len({(config(arm), variant.replay) for arm, variant in arms.items()}) == len(arms)


def test_a_change_of_an_arm_replaces_the_common_one() -> None:
    changes = ablation.arm_variants(SCALE)["sampled"].changes
    assert "simulation.temperature=1" in changes
    assert "simulation.temperature=0" not in changes


def test_the_guard_of_an_arm_keeps_the_best_model_and_can_stop_it() -> None:
    guarded, plain = config("plain-guard"), config("plain")
    assert (guarded.stop_on_fall, guarded.live.best, guarded.live.every) == (True, True, 3)
    assert not plain.stop_on_fall
    assert guarded.simulation == plain.simulation


def test_the_arm_with_real_steps_begins_as_another_one_does() -> None:
    variant = ablation.arm_variants(SCALE)["switch-20"]
    begun = config("recipe")
    shared = last_shared_step(begun, config("switch-20"))
    assert variant.begins == "ablation-recipe"
    assert shared == 20
    assert shared % begun.checkpoint_every == 0


def test_an_arm_without_replay_has_no_data_of_it() -> None:
    commands = planned()
    assert "replay.data" in commands["train ablation-recipe"].line
    assert "replay.data" not in commands["train ablation-no-replay"].line
    assert "data replay" not in commands["train ablation-no-replay"].needs


def test_every_arm_is_trained_and_asked_with_and_without_a_search_engine() -> None:
    commands = planned()
    for variant in (f"ablation-{arm}" for arm in ablation.arm_variants(SCALE)):
        for run_name in (variant, f"{variant}-closed"):
            assert commands[f"run {run_name}"].needs == (f"train {variant}",)


def test_every_command_comes_after_those_that_it_needs() -> None:
    seen: set[str] = set()
    for command in ablation.ablation_experiment(SCALE, OUT, 3).commands:
        assert command.name not in seen
        assert seen >= set(command.needs)
        seen.add(command.name)


def test_a_folder_of_table_1_serves_the_ablation() -> None:
    table = {command.name: command for command in table1_experiment(SCALE, OUT, 3).commands}
    shared = planned().keys() & table.keys()
    assert {f"train {FULL.replace('&', '-')}", "run SFT-stage1-2-3-closed"} < shared
    assert all(planned()[name] == table[name] for name in shared)


def test_a_scale_without_arms_is_refused() -> None:
    with pytest.raises(UserError, match="scale smollm2 has no ablation; give --scale nano"):
        ablation.arm_variants(load_scale("smollm2"))


def test_an_arm_has_its_scores_its_change_and_how_its_training_ended() -> None:
    table = ablation.ablation_table(outcomes())
    [section] = table.sections
    headings = [" ".join(column.headings).strip() for column in table.columns]
    start, arm = (
        dict(zip(headings, (cell.text for cell in row.cells), strict=True)) for row in section.rows
    )
    assert arm == {
        "average EM": "75.0",
        "less the start": "+25.0",
        "p": "< 0.001",
        **dict.fromkeys(("EM % known", "EM % unknown", "EM % 2hop"), "75.0"),
        **dict.fromkeys(("Searched % known", "Searched % unknown"), "100.0"),
        "Closed book % known": "100.0",
        "True facts % first third": "50.0",
        "True facts % last third": "75.0",
        "steps": "stopped after 12, kept 3",
    }
    assert start["less the start"] == start["steps"] == start["True facts % last third"] == "–"


def test_the_ablation_is_plotted(tmp_path: Path) -> None:
    ablation.write_plot(outcomes(), tmp_path / "ablation.png")
    assert (tmp_path / "ablation.png").read_bytes().startswith(b"\x89PNG")


def test_outcomes_are_read_from_the_folders_of_all_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "seed-0", tmp_path / "seed-1"]
    for folder, (facts, steps) in zip(folders, ((0.6, 9), (0.2, 6)), strict=True):
        for name in ablation.arm_variants(SCALE):
            training = folder / "train" / f"ablation-{name}"
            training.mkdir(parents=True)
            rows = [f"{n},simulated,{n},1.0,{facts if n <= 3 else ''}" for n in range(1, steps)]
            rows.append(f"{steps},real,{steps},1.0,1.0")
            metrics = "\n".join(["step,environment,tokens,seconds,facts", *rows, ""])
            (training / "metrics.csv").write_text(metrics)
            kept = ', "best": {"step": 3}' if steps == 6 else ""
            info = f'{{"steps": {steps}, "recipe": {{"max_steps": 9}}{kept}}}'
            (training / "run.json").write_text(info)

    def load(path: Path) -> Run:
        trained = path.name.startswith("ablation-")
        return run(15 if trained else 10, folder=f"{path.parts[-3]}-{path.name}")

    monkeypatch.setattr(scores, "load_scored", load)
    start, arm, *_ = ablation.arm_outcomes(SCALE, folders)
    assert (start.name, start.change, list(start.trainings)) == (FULL, None, [])
    assert arm.name == "recipe"
    assert [entry.run.path.name for entry in arm.closed_book] == [
        f"seed-{seed}-ablation-recipe-closed" for seed in (0, 1)
    ]
    assert arm.change is not None
    assert arm.change.mean == pytest.approx(0.25)
    # Of 8 simulated steps the first 2 count, of 5 the first 1; those at the end state no shares.
    assert arm.fidelity == (pytest.approx((0.6 + 0.6 + 0.2) / 3), None)
    assert list(arm.trainings) == [TrainingEnd(9, 9, None), TrainingEnd(6, 9, 3)]
