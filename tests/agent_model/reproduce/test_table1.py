"""Table 1's steps: the paper's rows, each made from what the paper makes it from."""

from collections.abc import Callable
from inspect import signature
from pathlib import Path

import pytest

from agent_model.commands import synth
from agent_model.reproduce import nano, smollm2, table1
from agent_model.training.config import load_grpo_config, load_sft_config
from agent_model.training.grpo.train import scenes
from autocoa_bench.errors import UserError
from autocoa_bench.report.published import paper_tables
from autocoa_bench.tasks import resolve

OUT = Path("out")
SCALE = nano.scale(share=1.0)


def steps() -> dict[str, table1.Command]:
    return {step.name: step for step in table1.steps(SCALE, OUT, 3)}


@pytest.mark.parametrize("scale", [nano.scale(1.0), smollm2.scale(1.0)], ids=["nano", "smollm2"])
def test_a_scales_recipes_take_what_its_rows_change(scale: table1.ScaleConfig) -> None:
    for each in table1.variants(scale):
        file = table1.RECIPES / scale.name / f"{each.stage}.toml"
        if each.stage == "grpo":
            made = load_grpo_config(file, each.changes)
            assert made.simulated_steps <= made.max_steps
            assert made.tasks == scale.tasks
        else:
            assert load_sft_config(file, each.stage, each.changes).lora is None


def test_the_table_of_acting_is_of_scales_whose_questions_are_known_or_not() -> None:
    assert "acting" in nano.scale(1.0).tables
    assert "acting" not in smollm2.scale(1.0).tables


@pytest.mark.parametrize("made", [nano.scale, smollm2.scale], ids=["nano", "smollm2"])
def test_a_share_of_a_scale_has_both_environments_and_some_questions(
    made: Callable[[float], table1.ScaleConfig],
) -> None:
    least = made(0.01)
    assert 0 < least.rl_steps * 5 // 6 < least.rl_steps
    assert 0 < least.limit < made(1.0).limit


def test_every_row_is_one_of_the_papers() -> None:
    rows = {row.name for row in paper_tables()[0].rows}
    made = [line.row for line in table1.lines(SCALE, OUT)]
    assert len(made) == len(set(made)) == 10
    assert set(made) <= rows


def test_every_step_stands_after_those_that_it_needs() -> None:
    seen: set[str] = set()
    for step in table1.steps(SCALE, OUT, 3):
        assert seen >= set(step.needs)
        seen.add(step.name)


def test_every_row_is_trained_and_evaluated() -> None:
    runs = {line.folder.name for line in table1.lines(SCALE, OUT)}
    assert {name.removeprefix("run ") for name in steps() if name.startswith("run ")} == runs
    for each in table1.variants(SCALE):
        assert f"--out {OUT / 'train' / each.name}" in steps()[f"train {each.name}"].line


def test_five_of_six_steps_in_two_environments_are_simulated() -> None:
    rows = {each.row: each.changes for each in table1.variants(SCALE)}
    assert rows["SFT-stage1&2&3+RL-stage1&2"] == ("max_steps=48", "simulated_steps=40")
    assert rows["SFT-stage1&2&3+RL-stage1"] == ("max_steps=48", "simulated_steps=48")
    assert rows["SFT-stage1&2+RL-stage2"] == ("max_steps=48",)


def test_a_row_in_two_environments_begins_as_the_simulated_one_does() -> None:
    step = steps()["train SFT-stage1-2-3+RL-stage1-2"]
    assert step.line.endswith(f"--set begins={OUT / 'train' / 'SFT-stage1-2-3+RL-stage1'}")
    assert step.needs == ("train SFT-stage1-2-3", "train SFT-stage1-2-3+RL-stage1")


def test_rl_without_sft_starts_from_the_base_by_examples_and_takes_half_as_many_steps_more() -> (
    None
):
    [alone] = [each for each in table1.variants(SCALE) if each.row == "RL-stage2"]
    assert alone.start == ""
    assert alone.changes == ("max_steps=72", "solver=agent:shots=2")
    assert "--solver agent:shots=2" in steps()["run RL-stage2"].line


def test_no_command_trains_on_test_questions() -> None:
    assert all("--split" not in step.words for step in steps().values())
    assert signature(synth.make).parameters["split"].default == "train"
    made = load_grpo_config(table1.RECIPES / SCALE.name / "grpo.toml")
    scene, watched = scenes(made)
    asked = {"scene": scene.questions, "watched": watched.questions if watched else []}
    tested = {question.text for task in resolve(SCALE.tasks) for question in task.load("test")}
    assert all(questions for questions in asked.values())
    assert tested.isdisjoint(question.text for each in asked.values() for question in each)


def test_a_model_goes_by_its_rows_name_and_the_base_by_its_own(tmp_path: Path) -> None:
    table1.link_models(table1.variants(SCALE), tmp_path, nano.base())
    assert (tmp_path / "models" / "base").resolve() == nano.base().resolve()
    made = tmp_path / "train" / "SFT-stage1-2" / "model"
    assert (tmp_path / "models" / "SFT-stage1-2").resolve() == made


def test_another_base_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    table1.link_models(table1.variants(SCALE), tmp_path, nano.base())
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"was begun from the base .*; give another --out"):
        table1.link_models(table1.variants(SCALE), tmp_path, other)


def test_a_folder_copied_with_its_links_followed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models" / "SFT-stage1").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot make .*SFT-stage1' stand for .*: File exists"):
        table1.link_models(table1.variants(SCALE), tmp_path, nano.base())


def test_a_base_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no folder of a model in transformers' format"):
        table1.link_models(table1.variants(SCALE), tmp_path, tmp_path)
