"""Exported folders, read back by our own code; TRL and verl read them in tests of their own."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_model.dialects.agent import Agent
from agent_model.trainer_export.folder import (
    open_export,
    question_of,
    read_recipe,
    reward_of,
    tokens_of,
)
from agent_model.trainer_export.write import export_recipe
from agent_model.training.config import EvalConfig, GroupsConfig, RewardConfig
from agent_model.training.evaluation import load_evaluation
from agent_model.training.grpo import train
from autocoa_bench import tasks
from autocoa_bench.errors import UserError
from autocoa_bench.types import Record
from support.commands import Cli, caller
from support.play import QUESTION, play
from support.tiny_llm import make_tokenizer
from support.towers import recipe, teach


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("place")
    teach(folder, "sft2", [(["I know it.\n</think>\n\n\\boxed{Anna}"], ())], "Anna", steps=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOCOA_BENCH_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture
def autocoa_bench(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return caller(monkeypatch, capsys)


def watching(place: Path, **changes: Any) -> Any:
    config = recipe(place, **changes)
    live = EvalConfig(tasks=config.tasks, corpus=config.corpus, solver=config.solver, count=4)
    return msgspec.structs.replace(config, live=live)


def test_verls_rows_are_the_questions_that_train_grpo_learns_from(
    place: Path, tmp_path: Path
) -> None:
    config = watching(place)
    watched = load_evaluation(config.live)
    scene = train.load_training(config, watched)
    export_recipe(config, "verl", tmp_path)
    for name, setup in (("train", scene), ("test", watched)):
        assert setup is not None
        [task] = tasks.resolve(str(tmp_path / f"{name}.parquet"))
        expected = [(item.id, item.text, item.golden_answers) for item in setup.questions]
        assert [(item.id, item.text, item.golden_answers) for item in task.load()] == expected


def test_trls_rows_have_the_prompts_that_the_episodes_open_with(
    place: Path, tmp_path: Path
) -> None:
    config = watching(place)
    scene = train.load_training(config, load_evaluation(config.live))
    export_recipe(config, "trl", tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert [question_of(row) for row in rows] == scene.questions
    for row, question in zip(rows, scene.questions, strict=True):
        [message] = scene.dialect.opening(question)
        assert row["prompt"] == [{"role": "user", "content": message.content}]


def test_the_recipe_comes_back_with_the_corpus_that_its_tasks_name(tmp_path: Path) -> None:
    config = recipe(tmp_path, tasks="nq", corpus="", solver="agent", count=3)
    export_recipe(config, "trl", tmp_path / "out")
    expected = msgspec.structs.replace(config, corpus="embedded-train")
    assert read_recipe(tmp_path / "out") == expected
    assert open_export(tmp_path / "out").search.spec.corpus == "embedded-train"


def test_the_reward_is_the_recipes(place: Path, tmp_path: Path) -> None:
    export_recipe(recipe(place, format_penalty=0.7), "trl", tmp_path)
    right, out_of_form = (
        Record(QUESTION, 0, play(open_export(tmp_path).dialect, texts)[0])
        for texts in (["So.\n</think>\n\n\\boxed{Anna}"], ["Hm.", "Hm.", "Anna}"])
    )
    assert reward_of(right, tmp_path).value == 1.0
    assert reward_of(out_of_form, tmp_path).value == -0.7


def test_the_mask_covers_what_the_model_sampled() -> None:
    texts = ["I look.\n<begin_search> tower </end_search>", "So.\n</think>\n\n\\boxed{Anna}"]
    trajectory, _ = play(Agent(shots=0), texts)
    tokenizer = make_tokenizer()
    tokens = tokens_of(trajectory, tokenizer)
    assert tokenizer.decode(tokens.prompt).endswith("<|im_start|>assistant\n<think>\n")
    own, observed = (
        tokenizer.decode(
            [token for token, mask in zip(tokens.response, tokens.mask, strict=True) if mask == bit]
        )
        for bit in (1, 0)
    )
    assert own == "".join(texts)  # no end of turn was sampled
    assert observed == trajectory.steps[0].observation


@pytest.mark.parametrize(
    ("to", "changes", "message"),
    [
        ("trl", {"simulated_steps": 2}, "simulated_steps=0"),
        ("verl", {"adapter": "some/adapter"}, "models merge some/adapter"),
        ("verl", {"solver": "react"}, "rewards the form of solver 'agent'"),
        ("trl", {"aggregate": "sum"}, "set it to one of token-mean, trajectory-mean, constant"),
        ("verl", {"aggregate": "constant"}, "set it to one of sum, token-mean, trajectory-mean"),
        ("verl", {"ratio_clip": 2.0}, "ratio_clip=0"),
        ("trl", {"reward": RewardConfig(evidence=0.5)}, "give reward.evidence = 0"),
        ("trl", {"groups": GroupsConfig(informative=0.5)}, "draws its questions itself"),
        ("verl", {"reward": RewardConfig(must_search="needed")}, "never or always"),
        ("trl", {"reward": RewardConfig(must_search="hops")}, "never or always"),
        ("trl", {"reward": RewardConfig(per_search=0.1, price_on="known")}, "price_on = all"),
    ],
)
def test_a_recipe_that_another_trainer_cannot_follow_is_refused(
    place: Path, tmp_path: Path, to: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        export_recipe(recipe(place, **changes), to, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("how", "loss"), [("sum", "seq-mean-token-sum"), ("trajectory-mean", "seq-mean-token-mean")]
)
def test_verl_aggregates_as_the_recipe_says(
    place: Path, tmp_path: Path, how: str, loss: str
) -> None:
    export_recipe(recipe(place, aggregate=how), "verl", tmp_path)
    assert f'loss_agg_mode: "{loss}"\n' in (tmp_path / "grpo.yaml").read_text()


def test_an_unwritable_folder_is_an_error(place: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(UserError, match=f"cannot write to '{tmp_path / 'out'}'"):
        export_recipe(recipe(place), "trl", tmp_path / "out")


def test_scripts_of_older_exports_find_the_package_by_its_former_name() -> None:
    former = importlib.import_module("agent_model.handover.folder")
    assert former.read_recipe.__module__ == "agent_model.handover.folder"
    assert importlib.util.find_spec("agent_model.handover.verl") is not None
    assert importlib.util.find_spec("agent_model.handover.trl") is not None


def test_a_folder_without_a_recipe_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="train grpo --hand-over"):
        open_export(tmp_path)


def config_of(place: Path) -> str:
    config = recipe(place)
    keys = ("stage", "model", "tasks", "corpus", "solver")
    lines = [f"{key} = {json.dumps(getattr(config, key))}\n" for key in keys]
    file = place / "grpo.toml"
    file.write_text("".join([*lines, "lora = false\n"]))
    return str(file)


def test_the_command_exports_the_recipe_it_would_have_trained_with(
    place: Path, tmp_path: Path, autocoa_bench: Cli
) -> None:
    line = ("train", "grpo", "--config", config_of(place), "--set", "kl=0.01")
    result = autocoa_bench(*line, "--hand-over", "verl", "--out", str(tmp_path / "out"))
    assert result.code == 0
    assert {Path(name).name for name in result.out.split()} == {
        *("train.parquet", "test.parquet", "grpo.yaml", "agent_loop.yaml", "reward.py"),
        *("recipe.json", "README.md"),
    }
    assert all(Path(name).is_file() for name in result.out.split())
    assert read_recipe(tmp_path / "out").kl == 0.01


def test_an_export_without_a_folder_is_refused(place: Path, autocoa_bench: Cli) -> None:
    result = autocoa_bench("train", "grpo", "--config", config_of(place), "--hand-over", "trl")
    assert result.code == 2
    assert "name it by --out" in result.err
