"""GRPO, whole runs of a tiny model: what is learned and from what, resumed, killed, collapsed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from agent_model.dialects.agent import Agent
from agent_model.rollout import sampler as sampling
from agent_model.rollout.rollout import Rollout
from agent_model.training import losses, metrics
from agent_model.training import model as policy
from agent_model.training.config import (
    EvalConfig,
    GroupsConfig,
    GRPOConfig,
    LoraConfig,
    RewardConfig,
    load_grpo_config,
)
from agent_model.training.grpo import rollouts as rl_play
from agent_model.training.grpo import train as rl
from agent_model.training.grpo.learner import Learner
from agent_model.training.grpo.metrics import GRPOStep
from agent_model.training.grpo.reward import Reward
from agent_model.training.grpo.rollouts import ScoredRollout
from agent_model.training.masks import sampled_rows, trained_kinds
from agent_model.training.model import load_policy, trainable
from agent_model.training.optimiser import FP32Optimizer
from autocoa_bench.errors import SearchFault, UserError
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.types import Completion, Record, Score, Scored, Trajectory
from support.play import QUESTION, play
from support.tiny_llm import make_model, saying
from support.towers import recipe, train
from support.training_processes import kill_at, resumed_step, train_together

SEARCHED = ["I look.\n<begin_search> tower </end_search>", "So.\n</think>\n\n\\boxed{Anna}"]


TIMES = ("rollout_seconds", "seconds", "tokens_per_second")


def rows_of(out: Path) -> list[GRPOStep]:
    return metrics.read_metrics(out / "metrics.csv", GRPOStep)


def metrics_of(out: Path) -> list[dict[str, Any]]:
    """What steps came to, without the time that they took."""
    rows = map(msgspec.structs.asdict, rows_of(out))
    return [{name: row[name] for name in row if name not in TIMES} for row in rows]


@pytest.fixture(scope="module")
def unbroken(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not interrupted."""
    out = tmp_path_factory.mktemp("unbroken") / "out"
    train(recipe(place), out)
    return out


def test_rewarded_answers_are_learned(place: Path, tmp_path: Path) -> None:
    rows = train(recipe(place, max_steps=8, batch=8, group=6, lr=1e-3), tmp_path / "out")
    assert rows[0].reward < 0.7 < 0.8 < (rows[-1].reward + rows[-2].reward) / 2
    assert (rows[0].kl, rows[0].calls) == (0.0, 0)
    assert (rows[-1].kl or 0) > 0
    # In fp32 the policy that samples is the one that learns, to rounding.
    assert [row.ratio_deviation for row in rows] == [pytest.approx(0, abs=1e-5)] * 8
    assert [row.ratio_max for row in rows] == [pytest.approx(1, abs=1e-3)] * 8
    assert all(row.sampled > 0 and row.tokens_per_second > 0 for row in rows)
    assert (tmp_path / "out" / "curves.png").stat().st_size > 0
    kept = (tmp_path / "out" / "rollouts" / "step-000001.jsonl").read_bytes()
    found = msgspec.json.Decoder(Record).decode_lines(kept)
    assert len(found) == 6
    assert len({record.question.id for record in found}) == 1
    assert b"logps" not in kept


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)])
def test_a_run_resumes_from_its_last_checkpoint(
    place: Path, unbroken: Path, tmp_path: Path, lora: LoraConfig | None
) -> None:
    if lora is not None:
        unbroken = tmp_path / "unbroken"
        train(recipe(place, lora=lora), unbroken)
    out = tmp_path / "stopped"
    train(recipe(place, lora=lora, checkpoint_every=4), out)
    last = out / "checkpoints" / "step-000006"
    last.rename(last.with_suffix(".part"))  # as a kill while it was written leaves it
    before = rows_of(out)
    train(recipe(place, lora=lora, checkpoint_every=4), out)
    assert resumed_step(before, rows_of(out)) == 4
    assert metrics_of(out) == metrics_of(unbroken)


def test_kills_in_the_middle_leave_the_metrics_of_an_unbroken_run(
    place: Path, unbroken: Path, tmp_path: Path
) -> None:
    config, out = recipe(place, checkpoint_every=3), tmp_path / "killed"
    before: list[GRPOStep] = []
    for kill, step in (("2-row", 0), ("5-row", 0), ("6-checkpoint", 3)):
        kill_at(kill, rl.train, config, out)
        assert resumed_step(before, rows_of(out)) == step
        before = rows_of(out)
    train(config, out)
    assert resumed_step(before, rows_of(out)) == 3
    assert metrics_of(out) == metrics_of(unbroken)
    models = [folder / "model" / "model.safetensors" for folder in (out, unbroken)]
    assert models[0].read_bytes() == models[1].read_bytes()


def test_a_killed_run_draws_the_informative_questions_of_an_unbroken_one(
    place: Path, tmp_path: Path
) -> None:
    """Half of them again; the questions that were informative are in the checkpoint."""
    config = recipe(place, checkpoint_every=3, groups=GroupsConfig(informative=0.5))
    train(config, tmp_path / "unbroken")
    kill_at("5-row", rl.train, config, tmp_path / "killed")
    train(config, tmp_path / "killed")
    assert metrics_of(tmp_path / "killed") == metrics_of(tmp_path / "unbroken")
    asked = [questions_of(tmp_path / name) for name in ("unbroken", "killed")]
    assert asked[0] == asked[1]
    history = [checkpoint_of(tmp_path / name)["history"] for name in ("unbroken", "killed")]
    assert history[0] == history[1]
    assert 8 <= history[0]["n_new"] < 24, "some of the 24 questions were drawn again"


def questions_of(out: Path) -> list[str]:
    """The question of the group that is kept of each step."""
    files = sorted((out / "rollouts").glob("*.jsonl"))
    lines = (file.read_bytes().splitlines()[0] for file in files)
    return [msgspec.json.decode(line, type=Record).question.id for line in lines]


def checkpoint_of(out: Path) -> dict[str, Any]:
    """The progress in the last checkpoint."""
    state = torch.load(out / "checkpoints" / "step-000006" / "state.pt", weights_only=True)
    progress: dict[str, Any] = state["progress"]
    return progress


def test_two_processes_draw_the_curve_of_one(place: Path, tmp_path: Path) -> None:
    groups = GroupsConfig(informative=0.5)
    config = recipe(place, max_steps=3, simulated_steps=1, aggregate="token-mean", groups=groups)
    assert train_together(rl.train, config, [tmp_path / "two"] * 2) == ["", ""]
    train(config, tmp_path / "one")
    for one, two in zip(metrics_of(tmp_path / "one"), metrics_of(tmp_path / "two"), strict=True):
        for name, value in one.items():
            close = isinstance(value, float)
            assert (pytest.approx(value, rel=1e-4, abs=1e-5) if close else value) == two[name], name


def test_groups_of_equal_rewards_are_skipped_and_counted(place: Path, tmp_path: Path) -> None:
    [row] = train(recipe(place, max_steps=1, temperature=1e-3), tmp_path / "out")
    assert (row.skipped, row.grad_norm, row.loss) == (1.0, 0.0, 0.0)
    assert (row.kl, row.entropy) == (None, None)


def test_a_policy_that_no_longer_learns_is_stopped_with_the_reason(
    place: Path, tmp_path: Path
) -> None:
    config = recipe(place, temperature=1e-3, step_tokens=4, patience=2)  # nothing is ever finished
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"collapsed: for 2 steps all .* have had equal rewards"):
        train(config, out)
    before = rows_of(out)
    assert [row.step for row in before] == [1, 2]
    assert (out / "checkpoints" / "step-000002").is_dir()
    with pytest.raises(UserError, match="has collapsed"):
        train(config, out)
    assert rows_of(out) == before, "nothing more is learned"
    assert not (out / "model").exists()
    rows = train(msgspec.structs.replace(config, patience=0), out)
    assert resumed_step(before, rows) == 2
    assert len(rows) == 6
    assert {(row.cut, row.formed, round(row.reward, 6)) for row in rows} == {(1.0, 0.0, -0.2)}


def test_every_rollout_of_a_step_has_its_own_random_numbers(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a step asks a question twice, as an epoch ends within it."""
    numbers: list[float] = []

    def noted(rollouts: Sequence[Rollout], *_: object) -> None:
        numbers.extend(each.rng.random() for each in rollouts)
        raise UserError("enough was seen")

    monkeypatch.setattr(rl_play, "rollout", noted)
    with pytest.raises(UserError, match="enough was seen"):
        train(recipe(place, count=3, batch=8, group=2), tmp_path / "out")
    assert len(numbers) == len(set(numbers)) == 16


def test_a_query_is_searched_once_per_step(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = recipe(place, max_steps=2, max_actions=2, step_tokens=64)
    _, tokenizer = load_policy(config)
    monkeypatch.setattr(sampling, "sample_token", saying(tokenizer, SEARCHED[0]))
    rows = train(config, tmp_path / "out")
    assert [(row.searches, row.calls, row.saved, row.faults) for row in rows] == [
        (2.0, 1, 31, 0)
    ] * 2


def test_searches_for_questions_that_are_measured_as_known_are_priced(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both episodes earn 1 for Anna; half of the questions are known, where a search costs 0.4."""
    file = tmp_path / "scores.jsonl"
    config = recipe(place, max_steps=1, batch=16, group=2, step_tokens=64)
    lines = [Scored("towers", f"q{i}", 0, {"em": Score(float(i < 8))}) for i in range(16)]
    file.write_bytes(b"\n".join(map(msgspec.json.encode, lines)) + b"\n")
    _, tokenizer = load_policy(config)
    monkeypatch.setattr(sampling, "sample_token", saying(tokenizer, "".join(SEARCHED)))
    terms = RewardConfig(per_search=0.4, price_on="known", known=str(file))
    [row] = train(msgspec.structs.replace(config, reward=terms), tmp_path / "out")
    assert (row.searches, row.em, row.formed) == (1.0, 1.0, 1.0)
    assert row.reward == pytest.approx(0.8)
    assert (row.searched_known, row.searched_unknown, row.all_right) == (1.0, 1.0, 1.0)
    facts = msgspec.json.decode((tmp_path / "out" / "run.json").read_bytes())
    assert str(file) in facts["data_sha256"]


def test_a_run_over_the_embedded_world_reports_how_often_searches_state_a_fact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    config = GRPOConfig(
        stage="grpo",
        model=str(make_model(tmp_path / "model")),
        tasks="multihop",
        count=8,
        dtype="fp32",
        batch=4,
        group=2,
        max_steps=2,
        simulated_steps=1,
        max_actions=1,
        step_tokens=64,
        context_tokens=4096,
    )
    _, tokenizer = load_policy(config)
    monkeypatch.setattr(sampling, "sample_token", saying(tokenizer, SEARCHED[0]))
    invented, found = train(config, tmp_path / "out")
    assert (invented.calls, invented.saved, invented.faults, invented.facts) == (0, 8, 8, 0.0)
    assert (found.calls, found.saved, found.faults) == (1, 7, 0)
    assert found.facts is not None
    facts = msgspec.json.decode((tmp_path / "out" / "run.json").read_bytes())
    assert len(facts["data_sha256"]) == 2
    kept = (tmp_path / "out" / "rollouts" / "step-000002.jsonl").read_bytes()
    [first, _] = msgspec.json.Decoder(Record).decode_lines(kept)
    assert first.trajectory is not None
    assert len(first.trajectory.steps[0].passages) == 3


def test_a_run_learns_in_the_simulated_environment_and_then_in_the_real_one(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever searches finds Anna in the corpus; what the policy writes itself is Carl."""
    results = '\nresult 1: "Tower"\nCarl built it.\n</search_result>'
    config = recipe(
        place, max_steps=3, simulated_steps=2, batch=2, max_actions=1, seats=4, step_tokens=64
    )
    watched = EvalConfig(
        tasks=config.tasks, corpus=config.corpus, solver=config.solver, count=2, every=1
    )
    config = msgspec.structs.replace(config, live=msgspec.structs.replace(watched, max_actions=1))
    _, tokenizer = load_policy(config)
    monkeypatch.setattr(sampling, "sample_token", saying(tokenizer, SEARCHED[0] + results))
    rows = train(config, tmp_path / "out")
    assert [row.environment for row in rows] == ["simulated", "simulated", "real"]
    assert [(row.calls, row.saved) for row in rows] == [(0, 8), (0, 8), (1, 7)]
    assert [row.live_searches for row in rows] == [1.0] * 3
    for step, name in (("000001", "Carl"), ("000003", "Anna")):
        kept = (tmp_path / "out" / "rollouts" / f"step-{step}.jsonl").read_text()
        assert f"{name} built it." in kept
    assert "Carl built" not in (tmp_path / "out" / "live" / "step-000001.jsonl").read_text()


def test_a_search_engine_that_always_fails_ends_the_run(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise SearchFault("connection", "the server is gone")

    config = recipe(place, step_tokens=64)
    _, tokenizer = load_policy(config)
    monkeypatch.setattr(sampling, "sample_token", saying(tokenizer, SEARCHED[0]))
    monkeypatch.setattr(BM25, "search", fails)
    with pytest.raises(UserError, match=r"searches of a step failed: .*the server is gone"):
        train(config, tmp_path / "out")


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)])
def test_the_reference_is_where_the_run_started(place: Path, lora: LoraConfig | None) -> None:
    config = recipe(place, lora=lora)
    trained, tokenizer = load_policy(config)
    ids = torch.arange(8)[None]
    keep = torch.ones_like(ids, dtype=torch.bool)
    before = trained(ids, keep).detach()
    learner = Learner(config, trained, tokenizer)
    for _, weight in trainable(trained):
        weight.data = weight.data + 0.1
    moved = trained(ids, keep).detach()
    assert functional_call(trained, learner.reference, (ids, keep)).equal(before)
    if lora:  # a new adapter's reference is the model without it
        with trained.model.disable_adapter():
            assert trained(ids, keep).equal(before)
    assert trained(ids, keep).detach().equal(moved)
    assert not moved.equal(before)


def test_only_the_policys_own_tokens_are_learned_from(place: Path) -> None:
    _, tokenizer = load_policy(recipe(place))
    for texts in (SEARCHED, ["Well.", "Well, well.", "Anna}"]):  # nudged, and forced to answer
        made, _ = play(Agent(shots=0), texts)
        [row] = sampled_rows(made, trained_kinds(recipe(place)), tokenizer)
        learned = tokenizer.decode(row.ids[row.mask], clean_up_tokenization_spaces=False)
        assert learned.removesuffix("<|im_end|>") == "".join(texts)


def test_an_answer_that_runs_into_a_stop_string_is_learned_as_it_was_sampled(place: Path) -> None:
    _, tokenizer = load_policy(recipe(place))
    text = "</think>\n\n\\boxed{Anna}\n<search_result>"
    ids = tuple(tokenizer(text).input_ids)
    said = Completion(text, stop_string="<search_result>", token_ids=ids)
    made, _ = play(Agent(shots=0), [said])
    [row] = sampled_rows(made, trained_kinds(recipe(place)), tokenizer)
    assert tuple(row.ids[row.mask]) == ids


def simulated(trajectory: Trajectory, tokenizer: Any) -> Trajectory:
    """The trajectory as if its first search's results were the policy's own words."""
    first, *others = trajectory.steps
    start = first.observation.index("result 1")
    ids = tokenizer(first.observation[start:].rstrip()).input_ids
    first = msgspec.structs.replace(first, observation_ids=tuple(ids))
    return msgspec.structs.replace(trajectory, steps=(first, *others))


def test_results_that_the_policy_wrote_are_trained_with_learn_simulated(
    place: Path,
) -> None:
    _, tokenizer = load_policy(recipe(place))
    made = simulated(play(Agent(shots=0), SEARCHED)[0], tokenizer)
    for learn in (False, True):
        kinds = trained_kinds(recipe(place, learn_simulated=learn))
        [row] = sampled_rows(made, kinds, tokenizer)
        learned = tokenizer.decode(row.ids[row.mask], clean_up_tokenization_spaces=False)
        assert ("Anna built the tower." in learned) is learn
        assert "<search_result>" not in learned


def group(*trajectories: Trajectory) -> list[ScoredRollout]:
    """Rollouts of a question, the first of which was right."""
    return [
        ScoredRollout(
            Record(QUESTION, i, each), each, Reward(0.0, 0.0, True, 0.0), -0.5 if i else 0.5
        )
        for i, each in enumerate(trajectories)
    ]


def learned(
    place: Path, monkeypatch: pytest.MonkeyPatch, learn: bool, *, changed: bool | None
) -> tuple[dict[str, float], list[Tensor]]:
    """What two rollouts come to, and their gradients; with the labels changed of the tokens that
    are trained (True) or of those that are not (False)."""
    config, score = recipe(place, kl=0.1, learn_simulated=learn), losses.token_logps

    def scored(hidden: Tensor, head: Any, ids: Tensor, keep: Tensor, *rest: Any) -> Tensor:
        labels = torch.where(keep == changed, (ids + 1) % 300, ids) if changed is not None else ids
        return score(hidden, head, labels, keep, *rest)

    monkeypatch.setattr(policy, "token_logps", scored)
    monkeypatch.setattr(FP32Optimizer, "accumulate", lambda _: None)
    model, tokenizer = load_policy(config)
    learner = Learner(config, model, tokenizer)
    for _, weight in trainable(model):  # away from the reference, so that it pulls back
        weight.data = weight.data * 1.01
    wrong = ["Hm.\n<begin_search> mill </end_search>", "</think>\n\n\\boxed{Bert}"]
    made = [play(Agent(shots=0), texts)[0] for texts in (SEARCHED, wrong)]
    sums = learner.learn([group(*(simulated(each, tokenizer) for each in made))]).sums
    return sums, [weight.grad for _, weight in trainable(model) if weight.grad is not None]


@pytest.mark.parametrize("learn", [False, True])
def test_a_label_that_is_excluded_changes_no_gradient_bit_for_bit(
    place: Path, monkeypatch: pytest.MonkeyPatch, learn: bool
) -> None:
    """With the words that the policy wrote as search results excluded, or not."""
    sums, gradients = learned(place, monkeypatch, learn, changed=None)
    assert sums["kl"] > 0
    found, same = learned(place, monkeypatch, learn, changed=False)
    assert found == sums
    assert all(map(torch.equal, same, gradients))
    found, others = learned(place, monkeypatch, learn, changed=True)
    assert found != sums
    assert not all(map(torch.equal, others, gradients))


def test_questions_of_the_evaluation_are_not_trained_on(place: Path, tmp_path: Path) -> None:
    watched = EvalConfig(
        tasks=str(place / "towers.jsonl"), corpus=str(place / "corpus.jsonl"), every=1
    )
    watched = msgspec.structs.replace(watched, count=12, solver=recipe(place).solver)
    rows = train(recipe(place, max_steps=1, live=watched), tmp_path / "out")
    records = msgspec.json.Decoder(Record)
    seen = {
        name: {each.question.id for each in records.decode_lines(file.read_bytes())}
        for name in ("live", "rollouts")
        for file in (tmp_path / "out" / name).glob("*.jsonl")
    }
    assert len(seen["live"]) == 12
    assert not seen["live"] & seen["rollouts"]
    assert rows[0].live_reward is not None
    assert -0.2 <= rows[0].live_reward <= 1
    assert (rows[0].live_searches, rows[0].live_searched_known) == (0.0, None)
    everything = msgspec.structs.replace(watched, count=16)
    with pytest.raises(UserError, match=r"all 16 questions of .* are used by the evaluation"):
        train(recipe(place, live=everything), tmp_path / "none")


def test_another_solvers_form_is_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="rewards the form of solver 'agent'"):
        train(recipe(place, solver="search-r1"), tmp_path / "out")


def test_a_server_for_all_weights_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "grpo.toml"
    file.write_text('stage = "grpo"\nmodel = "m"\nlora = false\nserver = "http://there:8000"\n')
    with pytest.raises(UserError, match="a server takes only adapters; give lora, or leave"):
        load_grpo_config(file)


def test_more_simulated_steps_than_there_are_steps_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('model = "m"\nmax_steps = 8\nsimulated_steps = 9\n')
    with pytest.raises(
        UserError, match="simulated_steps = 9, which is more than its max_steps = 8"
    ):
        load_grpo_config(file)


def test_missing_values_are_the_papers(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('model = "m"\n')
    found = load_grpo_config(file)
    assert (found.count, found.batch, found.group, found.max_steps) == (4608, 48, 5, 96)
    assert (found.lr, found.kl, found.temperature, found.max_actions) == (7e-7, 1e-3, 0.6, 10)
