"""The commands of Table 1: the paper's rows, each trained from the data that the paper names."""

from inspect import signature
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent_model.cli import synth
from agent_model.reproduce import commands
from agent_model.reproduce.runner import Command
from agent_model.reproduce.scale import load_scale
from agent_model.reproduce.table1 import table1_experiment
from agent_model.training.config import load_grpo_config, load_sft_config
from agent_model.training.evaluation import load_evaluation
from agent_model.training.grpo.train import load_training
from autocoa_bench.errors import UserError
from autocoa_bench.report.published import paper_tables
from autocoa_bench.tasks import resolve

OUT = Path("out")
SCALE = load_scale("nano")
SCALES = ["nano", "smollm2"]


def commands_by_name() -> dict[str, Command]:
    planned = table1_experiment(SCALE, OUT, 3).commands
    return {command.name: command for command in planned}


@pytest.mark.parametrize("name", SCALES)
def test_a_scales_recipes_accept_the_changes_of_its_rows(name: str) -> None:
    scale = load_scale(name)
    for variant in commands.variants(scale):
        file = scale.recipes / f"{variant.stage}.toml"
        if variant.stage == "grpo":
            config = load_grpo_config(file, variant.changes)
            assert config.simulated_steps <= config.max_steps
            assert config.tasks == (scale.observed_tasks or scale.tasks)
        else:
            assert load_sft_config(file, variant.stage, variant.changes).lora is None


def test_the_table_of_acting_is_of_scales_whose_questions_are_known_or_not() -> None:
    assert "acting" in load_scale("nano").tables
    assert "acting" not in load_scale("smollm2").tables


@pytest.mark.parametrize("name", SCALES)
def test_a_share_of_a_scale_has_both_environments_and_some_questions(name: str) -> None:
    smallest = load_scale(name, 0.01)
    assert 0 < smallest.rl_steps * 5 // 6 < smallest.rl_steps
    assert 0 < smallest.limit < load_scale(name).limit


def test_a_scale_may_name_the_rows_to_reproduce() -> None:
    rows = ("SFT-stage1", "SFT-stage1&2")
    scale = replace(SCALE, rows=rows)
    assert tuple(variant.row for variant in commands.variants(scale)) == rows


def test_every_row_is_one_of_the_papers() -> None:
    rows = {row.name for row in paper_tables()[0].rows}
    names = list(commands.table_rows(SCALE).values())
    assert len(names) == len(set(names)) == 10
    assert set(names) <= rows


def test_every_command_comes_after_those_that_it_needs() -> None:
    seen: set[str] = set()
    for command in commands_by_name().values():
        assert seen >= set(command.needs)
        seen.add(command.name)


def test_every_row_is_trained_and_evaluated() -> None:
    runs = set(commands.table_rows(replace(SCALE, closed_book=False)))
    runs |= {commands.closed_book_run(name) for name in runs}
    assert {
        name.removeprefix("run ") for name in commands_by_name() if name.startswith("run ")
    } == runs
    for variant in commands.variants(SCALE):
        training = commands_by_name()[f"train {variant.name}"]
        assert f"--out {OUT / 'train' / variant.name}" in training.line


def test_every_trained_model_is_asked_for_known_facts_without_a_search_engine() -> None:
    planned = commands_by_name()
    for variant in commands.variants(SCALE):
        closed, acting = planned[f"run {variant.name}-closed"], planned[f"run {variant.name}"]
        tasks = ("--solver", "model-only", "--tasks", SCALE.known_tasks, "--limit", "100")
        assert closed.arguments[1:7] == tasks
        assert f"--model {OUT / 'models' / variant.name} " in closed.line
        assert closed.needs == acting.needs == (f"train {variant.name}",)
    assert not any("-closed" in c.name for c in experiment_without_closed_book().commands)


def experiment_without_closed_book() -> commands.Experiment:
    return table1_experiment(replace(SCALE, closed_book=False), OUT, 3)


def test_the_base_is_asked_for_known_facts_by_the_row_model_only() -> None:
    assert {commands.closed_book_run(name) for name in commands.UNTRAINED_ROWS} == {"model-only"}
    tasks = {name for task in resolve(SCALE.tasks) for name in [task.info.name]}
    assert {task.info.name for task in resolve(SCALE.known_tasks)} < tasks
    kinds = {
        task.info.name: {question.kind for question in task.load("test")}
        for task in resolve(SCALE.tasks)
    }
    of_known_tasks = {task.info.name for task in resolve(SCALE.known_tasks)}
    asked = {name for name, present in kinds.items() if present & {"known", "unknown"}}
    assert asked == of_known_tasks


def test_five_of_six_steps_in_two_environments_are_simulated() -> None:
    rows = {variant.row: variant.changes for variant in commands.variants(SCALE)}
    assert rows["SFT-stage1&2&3+RL-stage1&2"] == ("max_steps=36", "simulated_steps=30")
    assert rows["SFT-stage1&2&3+RL-stage1"] == ("max_steps=36", "simulated_steps=36")
    assert rows["SFT-stage1&2+RL-stage2"] == ("max_steps=36",)


def test_a_row_in_two_environments_begins_as_the_simulated_one_does() -> None:
    training = commands_by_name()["train SFT-stage1-2-3+RL-stage1-2"]
    assert training.line.endswith(f"--set begins={OUT / 'train' / 'SFT-stage1-2-3+RL-stage1'}")
    before = ("train SFT-stage1-2-3", "train SFT-stage1-2-3+RL-stage1")
    assert training.needs == (*before, "data replay")


def test_rl_without_sft_starts_from_the_base_by_examples_and_takes_half_as_many_steps_more() -> (
    None
):
    rows = {variant.row: variant for variant in commands.variants(SCALE)}
    assert rows["RL-stage2"].start == ""
    assert rows["RL-stage2"].changes == ("max_steps=54", "solver=agent:shots=2")
    assert "--solver agent:shots=2" in commands_by_name()["run RL-stage2"].line


def test_every_training_of_a_scale_with_replay_replays_what_one_command_writes() -> None:
    trainings = [c for c in commands_by_name().values() if c.name.startswith("train ")]
    replayed = f"--set 'replay.data=['\"'\"'{OUT / 'data' / 'replay.jsonl'}'\"'\"'"
    assert all(replayed in command.line for command in trainings)
    assert all("data replay" in command.needs for command in trainings)
    assert not commands.replay_commands(load_scale("smollm2"), OUT, 0)


def test_stage_3_alone_observes_what_the_simulated_environment_asks() -> None:
    planned = commands_by_name()
    asked = load_grpo_config(SCALE.recipes / "grpo.toml").tasks
    assert planned["data observed"].arguments[:4] == ("synth", "coa", "--tasks", asked)
    observing = [name for name, command in planned.items() if "data observed" in command.needs]
    assert observing == ["train SFT-stage1-2-3"]
    records = OUT / "data" / "observed" / "records.jsonl"
    assert f"observations=['{records}']" in planned["train SFT-stage1-2-3"].arguments


def test_rl_asks_no_question_of_the_trajectories() -> None:
    config = load_grpo_config(SCALE.recipes / "grpo.toml")
    trained = {q.text for task in resolve(SCALE.tasks) for q in task.load("train")}
    assert trained.isdisjoint(q.text for q in load_training(config, None).questions)


def test_stages_on_trajectories_also_learn_to_search_for_what_no_model_can_know() -> None:
    data = commands_by_name()["data unknown"]
    assert data.arguments[:4] == ("synth", "coa", "--tasks", "nano-single")
    for row in ("SFT-stage2", "SFT-stage1-2", "SFT-stage1-2-3"):
        assert "data unknown" in commands_by_name()[f"train {row}"].needs
    assert "data unknown" not in commands_by_name()["train SFT-stage1"].needs


def test_no_command_trains_on_test_questions() -> None:
    assert all("--split" not in command.arguments for command in commands_by_name().values())
    assert signature(synth.make).parameters["split"].default == "train"
    config = load_grpo_config(SCALE.recipes / "grpo.toml")
    evaluation = load_evaluation(config.live)
    training = load_training(config, evaluation)
    assert evaluation is not None
    assert training.questions
    assert evaluation.questions
    tested = {question.text for task in resolve(SCALE.tasks) for question in task.load("test")}
    questions = (*training.questions, *evaluation.questions)
    assert tested.isdisjoint(question.text for question in questions)


def test_a_model_goes_by_its_rows_name_and_the_base_by_its_own(tmp_path: Path) -> None:
    commands.link_models(commands.variants(SCALE), tmp_path, SCALE.base_folder())
    assert (tmp_path / "models" / "base").resolve() == SCALE.base_folder().resolve()
    model = tmp_path / "train" / "SFT-stage1-2" / "model"
    assert (tmp_path / "models" / "SFT-stage1-2").resolve() == model


def test_another_base_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    commands.link_models(commands.variants(SCALE), tmp_path, SCALE.base_folder())
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"was started from the base .*; give another --out"):
        commands.link_models(commands.variants(SCALE), tmp_path, other)


def test_a_folder_copied_with_its_links_followed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models" / "SFT-stage1").mkdir(parents=True)
    with pytest.raises(UserError, match=r"cannot link .*SFT-stage1' to .*: File exists"):
        commands.link_models(commands.variants(SCALE), tmp_path, SCALE.base_folder())


def test_a_base_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a model folder in transformers' format"):
        commands.link_models(commands.variants(SCALE), tmp_path, tmp_path)
