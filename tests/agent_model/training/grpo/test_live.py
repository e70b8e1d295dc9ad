"""Evaluations of a run in training: before the first step, the best model kept, a fall noticed."""

import io
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from agent_model.training import live
from agent_model.training.config import EvalConfig, GRPOConfig, LoraConfig, load_grpo_config
from agent_model.training.grpo import train as rl
from autocoa_bench.errors import StoppedEarly, UserError
from autocoa_bench.types import Record
from support.towers import recipe, train
from support.training_processes import kill_at, train_together

N = 12


def watched(place: Path, **changes: Any) -> GRPOConfig:
    """A run of four steps that is evaluated after each of them, on twelve questions."""
    config = recipe(place, max_steps=4, lr=1e-3)
    evaluation = EvalConfig(
        tasks=config.tasks,
        corpus=config.corpus,
        solver=config.solver,
        count=N,
        every=1,
        step_tokens=24,
        best=True,
    )
    return msgspec.structs.replace(config, live=evaluation, **changes)


def without_best(config: GRPOConfig) -> GRPOConfig:
    return msgspec.structs.replace(config, live=msgspec.structs.replace(config.live, best=False))


def script(monkeypatch: pytest.MonkeyPatch, n_right: Iterable[int]) -> None:
    """Let the evaluations of a session, in the order of their steps, have so many right answers."""
    numbers = iter(n_right)

    def exact_matches(records: Sequence[Record]) -> tuple[float, ...]:
        n = next(numbers)
        return tuple(float(i < n) for i in range(len(records)))

    monkeypatch.setattr(live, "exact_matches", exact_matches)


def weights(folder: Path) -> bytes:
    [file] = folder.glob("*.safetensors")
    return file.read_bytes()


def run_info(out: Path) -> dict[str, Any]:
    info: dict[str, Any] = msgspec.json.decode((out / "run.json").read_bytes())
    return info


def test_the_model_is_evaluated_before_its_first_step(place: Path, tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    rl.train(watched(place, max_steps=1), tmp_path / "out", console)
    assert len((tmp_path / "out" / "live" / "step-000000.jsonl").read_bytes().splitlines()) == N
    initial = run_info(tmp_path / "out")["initial"]
    assert initial["step"] == 0
    assert set(initial) > {"live_em", "live_searches", "live_reward"}
    assert f"before the first step: live_em {initial['live_em']:.3f}" in console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)])
def test_the_result_is_the_first_model_with_the_best_evaluation(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: LoraConfig | None
) -> None:
    script(monkeypatch, [3, 2, 5, 5, 4])
    train(watched(place, lora=lora), tmp_path / "out")
    monkeypatch.undo()
    train(without_best(watched(place, lora=lora, max_steps=2)), tmp_path / "two")
    assert weights(tmp_path / "out" / "model") == weights(tmp_path / "two" / "model")
    assert run_info(tmp_path / "out")["best"]["step"] == 2
    assert [folder.name for folder in (tmp_path / "out" / "best").iterdir()] == ["step-000002"]


def test_a_model_that_only_becomes_worse_is_returned_as_it_was(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, [3, 2, 2, 2, 2])
    train(watched(place), tmp_path / "out")
    assert weights(tmp_path / "out" / "model") == weights(place / "taught" / "model")
    assert run_info(tmp_path / "out")["best"]["step"] == 0


def test_without_best_the_result_is_the_last_model(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, [3, 2, 2, 2, 2])
    train(without_best(watched(place)), tmp_path / "out")
    last = tmp_path / "out" / "checkpoints" / "step-000004" / "model"
    assert weights(tmp_path / "out" / "model") == weights(last)
    assert not (tmp_path / "out" / "best").exists()
    assert run_info(tmp_path / "out")["best"] is None


def test_kills_do_not_change_which_model_is_the_best(place: Path, tmp_path: Path) -> None:
    """The first kill comes while the untrained model is saved, the second in the middle. The model
    prefers Anna, and learns that it is Bert."""
    tasks = tmp_path / "towers.jsonl"
    tasks.write_text((place / "towers.jsonl").read_text().replace('["Anna"]', '["Bert"]'))
    config = watched(place, tasks=str(tasks), max_steps=6, group=8)
    config = msgspec.structs.replace(
        config, live=msgspec.structs.replace(config.live, tasks=str(tasks))
    )
    train(config, tmp_path / "whole")
    for place_of_kill in ("0-checkpoint", "3-row"):
        kill_at(place_of_kill, rl.train, config, tmp_path / "killed")
    train(config, tmp_path / "killed")
    whole, killed = run_info(tmp_path / "whole"), run_info(tmp_path / "killed")
    assert whole["best"]["live_em"] > whole["initial"]["live_em"], "there is something to choose"
    assert (killed["best"], killed["initial"]) == (whole["best"], whole["initial"])
    models = [weights(tmp_path / name / "model") for name in ("whole", "killed")]
    assert models[0] == models[1]


def test_a_run_resumed_from_an_earlier_checkpoint_knows_its_best_model(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best at the newest checkpoint, which is lost, is not the best at the one before."""
    out = tmp_path / "out"
    script(monkeypatch, [3, 4, 1, 1, 5])
    train(watched(place), out)
    assert run_info(out)["best"]["step"] == 4
    shutil.rmtree(out / "checkpoints" / "step-000004")
    script(monkeypatch, [3, 4, 1, 1, 2])
    train(watched(place), out)
    assert run_info(out)["best"]["step"] == 1
    assert weights(out / "model") == weights(out / "best" / "step-000001")


def test_two_processes_evaluate_and_choose_as_one(place: Path, tmp_path: Path) -> None:
    config = watched(place, max_steps=2)
    config = msgspec.structs.replace(config, live=msgspec.structs.replace(config.live, count=5))
    assert train_together(rl.train, config, [tmp_path / "two"] * 2) == ["", ""]
    train(config, tmp_path / "one")
    one, two = run_info(tmp_path / "one"), run_info(tmp_path / "two")
    assert (one["initial"], one["best"]) == (two["initial"], two["best"])
    decoder = msgspec.json.Decoder(Record)
    order = [
        [record.question.id for record in decoder.decode_lines(file.read_bytes())]
        for file in (tmp_path / name / "live" / "step-000001.jsonl" for name in ("one", "two"))
    ]
    assert order[0] == order[1]


def test_a_policy_that_falls_in_the_real_environment_is_stopped_at_its_best_model(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, falling = tmp_path / "out", [N, 0, 0, 0, 0]
    script(monkeypatch, falling)
    reason = (
        r"stopped after step 2: live exact match fell from 1.000 \(step 0\) to 0.000 \(step 2\)"
    )
    with pytest.raises(StoppedEarly, match=reason) as caught:
        train(watched(place), out)
    assert caught.value.exit_code == 3
    assert len(str(caught.value).splitlines()) == 3
    assert "model' is the model of step 0, live exact match 1.000" in str(caught.value)
    assert weights(out / "model") == weights(place / "taught" / "model")
    assert run_info(out)["steps"] == 2
    script(monkeypatch, falling)
    with pytest.raises(UserError, match="stopped after step 2"):
        train(watched(place), out)
    script(monkeypatch, falling)
    assert len(train(watched(place, stop_on_fall=False), out)) == 4


def test_a_fall_in_the_other_environment_does_not_stop_the_real_one(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, [N, 0, 0, 0, 0])
    assert len(train(watched(place, simulated_steps=1), tmp_path / "out")) == 4


def test_a_run_begun_as_another_takes_over_its_evaluations_and_best_model(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, [3, 5, 1, 1, 1])
    train(watched(place, simulated_steps=4), tmp_path / "source")
    script(monkeypatch, [3, 5, 1, 1, 4])
    begun = watched(place, simulated_steps=2, begins=str(tmp_path / "source"))
    train(begun, tmp_path / "begun")
    assert run_info(tmp_path / "begun")["best"]["step"] == 1
    models = [tmp_path / "source" / "best" / "step-000001", tmp_path / "begun" / "model"]
    assert weights(models[0]) == weights(models[1])


def test_a_run_that_kept_no_best_model_is_refused_as_a_start(place: Path, tmp_path: Path) -> None:
    config = watched(place, simulated_steps=4)
    train(without_best(config), tmp_path / "source")
    begun = msgspec.structs.replace(config, simulated_steps=2, begins=str(tmp_path / "source"))
    with pytest.raises(UserError, match=r"differs in live.best: its best models were not kept"):
        train(begun, tmp_path / "begun")


def test_a_best_model_without_an_evaluation_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('model = "m"\nlive.best = true\n')
    with pytest.raises(UserError, match=r"live.best, but no evaluation .*; give live.tasks"):
        load_grpo_config(file)
