"""The policy is asked for facts before it trains in what it imagines."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from agent_model.dialects.agent import Agent
from agent_model.rollout import sampler as sampling
from agent_model.rollout.sampler import PolicySampler
from agent_model.training.config import GRPOConfig, SimulationConfig, load_grpo_config
from agent_model.training.distributed import create_accelerator
from agent_model.training.evaluation import EpisodeSetup
from agent_model.training.grpo import train as rl
from agent_model.training.grpo import world_model
from agent_model.training.grpo.rollouts import RolloutContext
from agent_model.training.grpo.world_model import WorldModelCheck, check_world_model
from agent_model.training.model import load_policy
from autocoa_bench.errors import UserError
from autocoa_bench.scoring import load_scorers
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.tasks.formats import as_row
from autocoa_bench.types import Budget, Generate, Hop, Question
from support.tiny_llm import make_model, saying
from support.towers import recipe

IMAGINED = 'result 1: "Tower"\nAnna built it.\n</search_result>'
TOWER = Hop("Who built the Tower?", "Anna", "p1")
MILL = Hop("Who built the Mill?", "Anna Bell", "p2", aliases=("Anna",))
INN = Hop("Who built the Inn?", "Cleo", "p3")


def question(number: int, *hops: Hop) -> Question:
    return Question(f"q{number}", f"Question {number}?", ("Anna",), "towns", hops=hops)


QUESTIONS = [question(0, TOWER, MILL), question(1, TOWER, INN), question(2, MILL), question(3)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def context(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RolloutContext:
    """A policy that imagines the same results for every search: two of three facts are true."""
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "corpus.jsonl").write_text('{"id": "p1", "contents": "Tower\\nBert built it."}\n')
    config = GRPOConfig(
        stage="grpo", model=str(model), dtype="fp32", lora=None, batch=2, simulated_steps=1, seats=2
    )
    policy, tokenizer = load_policy(config)
    monkeypatch.setattr(sampling, "sample_token", saying(tokenizer, IMAGINED))
    search = BM25(str(tmp_path / "corpus.jsonl"), top_k=1)
    setup = EpisodeSetup(QUESTIONS, Agent(), search, Budget())
    return RolloutContext(config, policy, tokenizer, setup, load_scorers(("em",))["em"])


def check(context: RolloutContext, out: Path, step: int = 0, **changes: Any) -> WorldModelCheck:
    out.mkdir(exist_ok=True)
    settings = SimulationConfig(**changes)
    config = msgspec.structs.replace(context.config, simulation=settings)
    done = check_world_model(context._replace(config=config), step, out, create_accelerator(0))
    assert done is not None
    return done


def test_a_fact_is_true_if_the_imagined_results_state_its_answer_or_an_alias(
    context: RolloutContext, tmp_path: Path
) -> None:
    assert check(context, tmp_path / "out", min_fidelity=0.6) == WorldModelCheck(3, 2)


def test_a_policy_that_imagines_too_few_facts_is_refused_in_three_lines(
    context: RolloutContext, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        check(context, tmp_path / "out", min_fidelity=0.7)
    assert len(str(caught.value).splitlines()) <= 3
    assert "imagines 2 of 3 facts truly (66.7%, simulation.temperature 0)" in str(caught.value)
    assert "simulation.min_fidelity is 0.7" in str(caught.value)


def test_each_fact_is_asked_for_alone_by_one_search_at_the_simulations_temperature(
    context: RolloutContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[tuple[Generate, float | None]] = []
    submit = PolicySampler.submit

    def noted(self: PolicySampler, slot: Any, request: Generate, temperature: Any = None) -> None:
        requests.append((request, temperature))
        submit(self, slot, request, temperature)

    monkeypatch.setattr(PolicySampler, "submit", noted)
    check(context, tmp_path / "out", min_fidelity=0.6, temperature=0.7)
    assert [temperature for _, temperature in requests] == [0.7] * 3
    asked = sorted(request.prompt.opening[0].content.splitlines()[-1] for request, _ in requests)
    assert asked == [f"Question: {hop.question}" for hop in (INN, MILL, TOWER)]
    turns = [request.prompt.continuation for request, _ in requests]
    assert all(turn.count("<begin_search>") == 1 for turn in turns)
    assert sum("<begin_search> Tower </end_search>" in turn for turn in turns) == 1


def test_no_more_facts_are_asked_for_than_the_recipe_says(
    context: RolloutContext, tmp_path: Path
) -> None:
    assert check(context, tmp_path / "out", min_fidelity=0.1, gate_count=2).facts == 2


def test_held_questions_are_those_all_of_whose_facts_are_true(
    context: RolloutContext, tmp_path: Path
) -> None:
    done = check(context, tmp_path / "out", held_facts=True, gate_count=1)
    assert done == WorldModelCheck(3, 2, (("towns", "q0"), ("towns", "q2")))
    assert world_model.held_questions(done, QUESTIONS) == [0, 2]


def test_too_few_held_questions_are_refused(context: RolloutContext, tmp_path: Path) -> None:
    config = msgspec.structs.replace(context.config, batch=3)
    with pytest.raises(UserError, match=r"all facts of 2 questions, but a step takes batch = 3"):
        check(context._replace(config=config), tmp_path / "out", held_facts=True)


def test_a_resumed_run_uses_the_check_of_its_first_session(
    context: RolloutContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = check(context, tmp_path / "out", held_facts=True)
    monkeypatch.setattr(world_model, "rollout", None)  # nothing more is imagined
    assert check(context, tmp_path / "out", step=4, held_facts=True) == done
    with pytest.raises(UserError, match=r"world_model.json' is missing; restore it"):
        check(context, tmp_path / "other", step=4, held_facts=True)


def test_questions_without_gold_chains_cannot_be_checked(
    context: RolloutContext, tmp_path: Path
) -> None:
    setup = context.setup._replace(questions=QUESTIONS[3:])
    with pytest.raises(UserError, match=r"have no gold chains, so imagined results cannot be"):
        check(context._replace(setup=setup), tmp_path / "out", min_fidelity=0.5)


def towers(place: Path, folder: Path, hops: Sequence[Hop]) -> GRPOConfig:
    """A run over eight questions, of which the second half need a fact that is imagined falsely."""
    folder.mkdir(parents=True)
    questions = [
        Question(f"q{i}", f"Who built tower {i}?", ("Anna",), hops=(hops[i // 4],))
        for i in range(8)
    ]
    rows = (msgspec.json.encode(as_row(each)) + b"\n" for each in questions)
    (folder / "towers.jsonl").write_bytes(b"".join(rows))
    return recipe(
        place,
        tasks=str(folder / "towers.jsonl"),
        max_steps=3,
        simulated_steps=2,
        simulation=SimulationConfig(held_facts=True),
    )


def test_simulated_steps_ask_only_what_the_policy_holds(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = towers(place, tmp_path / "tasks", (TOWER, INN))
    seen: list[set[int]] = []
    play = rl.rollouts_of_step

    def noted(context: RolloutContext, search: Any, questions: Sequence[int], *rest: Any) -> Any:
        seen.append({int(context.setup.questions[i].id[1:]) for i in questions})
        return play(context, search, questions, *rest)

    monkeypatch.setattr(rl, "rollouts_of_step", noted)
    monkeypatch.setattr(sampling, "sample_token", saying(load_policy(config)[1], IMAGINED))
    console = Console(file=io.StringIO(), width=200)
    rl.train(config, tmp_path / "out", console)
    assert seen[:2] == [{0, 1, 2, 3}] * 2
    assert seen[2] - {0, 1, 2, 3}
    assert "world model: 50.0% of 2 facts true; 4 of 8 questions" in console.file.getvalue()  # type: ignore[attr-defined]


def test_greedy_results_are_not_learned(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('model = "m"\nsimulated_steps = 8\nlearn_simulated = true\n')
    with pytest.raises(UserError, match=r"temperature = 0 are not sampled"):
        load_grpo_config(file)
    assert load_grpo_config(file, ["simulation.temperature=1"]).learn_simulated
