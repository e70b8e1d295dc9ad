"""The policy as the search engine: its results are sampled tokens, or are rendered again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from torch import Tensor

from agent_model.dialects.agent import Agent
from agent_model.rollout import sampler as module
from agent_model.rollout.environments import Simulator
from agent_model.rollout.rollout import Rollout, rollout
from agent_model.rollout.sampler import PolicySampler, Slot
from agent_model.tokens import Kind, encode, end_of_turn
from agent_model.training.config import SFTConfig
from agent_model.training.model import Policy, load_policy
from autocoa_bench.engines.tokenizer import prompt_ids
from autocoa_bench.episode import episode
from autocoa_bench.types import Budget, Generate, Question, Trajectory
from support.tiny_llm import make_model, saying, spelled

SEARCH = "I look.\n<begin_search> tower </end_search>"
RESULTS = 'result 1: "Tower"\nAnna built it.\nresult 2: "Mill"\nBert built it.\n</search_result>'
ANSWER = "So.\n</think>\n\n\\boxed{Anna}"
QUESTION = Question("q1", "Who built the tower?", ("Anna",))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Policy, Any]:
    folder = make_model(tmp_path_factory.mktemp("tiny"))
    given = {"stage": "sft2", "model": str(folder), "data": ["-"], "dtype": "fp32"}
    return load_policy(msgspec.convert(given, SFTConfig))


def play(
    model: tuple[Policy, Any], monkeypatch: pytest.MonkeyPatch, *texts: str
) -> tuple[Trajectory, Simulator, list[Generate]]:
    """Two episodes at once in which the policy says these texts; what one of them asked for."""
    asked: dict[Slot, list[Generate]] = {}
    submit = PolicySampler.submit

    def noted(
        self: PolicySampler, slot: Slot, request: Generate, temperature: float | None = None
    ) -> None:
        asked.setdefault(slot, []).append(request)
        submit(self, slot, request, temperature)

    monkeypatch.setattr(PolicySampler, "submit", noted)
    monkeypatch.setattr(module, "sample_token", saying(model[1], "".join(texts)))
    dialect = Agent(shots=0)
    simulator = Simulator(dialect, max_tokens=200, top_k=2)
    rollouts = [Rollout(episode(QUESTION, dialect, Budget()), Random(i)) for i in range(2)]
    one, other = rollout(rollouts, PolicySampler(*model, slots=2, temperature=0), simulator)
    assert one == other
    return one, simulator, next(iter(asked.values()))


def test_the_policys_results_are_the_observation_token_by_token(
    model: tuple[Policy, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = model[1]
    played, simulator, asked = play(model, monkeypatch, SEARCH, RESULTS, ANSWER)
    assert played.steps[0].observation == f"\n\n<search_result>\n{RESULTS}\n\n"
    assert [each.title for each in played.steps[0].passages] == ["Tower", "Mill"]
    assert (played.answer, simulator.calls, simulator.faults) == ("Anna", 2, 0)
    encoded = encode(played, tokenizer)
    by_kind = list(zip(encoded.ids, encoded.kinds, strict=True))
    results = [token for token, kind in by_kind if kind is Kind.SIMULATED]
    assert results == spelled(tokenizer, RESULTS) != tokenizer(RESULTS).input_ids
    own = [token for token, kind in by_kind if kind not in (Kind.PROMPT, Kind.OBSERVATION)]
    assert own == [*spelled(tokenizer, SEARCH + RESULTS + ANSWER), end_of_turn(tokenizer)]
    put = [token for token, kind in by_kind if kind is Kind.OBSERVATION]
    assert tokenizer.decode(put) == "\n\n<search_result>\n\n\n"
    for request in asked:  # what is trained on is what was read
        read = prompt_ids(request.prompt, tokenizer)
        assert encoded.ids[: len(read)] == read


def test_malformed_results_are_rendered_again_and_are_not_the_policys(
    model: tuple[Policy, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    played, simulator, _ = play(model, monkeypatch, SEARCH, "Anna.\n</search_result>", ANSWER)
    assert "No passage was found." in played.steps[0].observation
    assert (simulator.calls, simulator.faults) == (2, 2)
    assert Kind.SIMULATED not in encode(played, model[1]).kinds


@pytest.mark.parametrize("acting", ["</think>", "<think>", "\\boxed{Anna}"])
def test_results_that_could_act_are_neutralised(
    model: tuple[Policy, Any], monkeypatch: pytest.MonkeyPatch, acting: str
) -> None:
    written = f'result 1: "Tower"\n{acting} Anna built it.\n</search_result>'
    played, simulator, _ = play(model, monkeypatch, SEARCH, written, ANSWER)
    assert acting not in played.steps[0].observation
    assert "Anna built it." in played.steps[0].observation
    assert simulator.faults == 2
    assert Kind.SIMULATED not in encode(played, model[1]).kinds


def test_results_that_never_end_are_cut_at_their_limit(
    model: tuple[Policy, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    endless = 'result 1: "Tower"\n' + "Anna built it. " * 20
    played, simulator, _ = play(model, monkeypatch, SEARCH, endless[:200], ANSWER)
    assert simulator.faults == 2
    assert [each.title for each in played.steps[0].passages] == ["Tower"]
    assert played.answer == "Anna"


def test_of_more_results_than_a_search_finds_the_first_are_shown(
    model: tuple[Policy, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    third = RESULTS.replace("</search_result>", 'result 3: "Inn"\nCleo built it.\n</search_result>')
    played, simulator, _ = play(model, monkeypatch, SEARCH, third, ANSWER)
    assert [each.title for each in played.steps[0].passages] == ["Tower", "Mill"]
    assert "Cleo" not in played.steps[0].observation
    assert simulator.faults == 2
    assert Kind.SIMULATED not in encode(played, model[1]).kinds


@pytest.mark.parametrize(
    ("chosen", "temperatures"), [(0.0, [1.0, 0.0, 1.0]), (0.7, [1.0, 0.7, 1.0])]
)
def test_results_are_sampled_at_a_temperature_of_their_own(
    model: tuple[Policy, Any],
    monkeypatch: pytest.MonkeyPatch,
    chosen: float,
    temperatures: list[float],
) -> None:
    used: list[float] = []
    texts = "".join((SEARCH, RESULTS, ANSWER))
    say = saying(model[1], texts)

    def sample(logits: Tensor, given: Sequence[float], rng: Sequence[Random]) -> Any:
        used.extend(given)
        return say(logits, given, rng)

    monkeypatch.setattr(module, "sample_token", sample)
    dialect = Agent(shots=0)
    simulator = Simulator(dialect, max_tokens=200, top_k=2, temperature=chosen)
    sampler = PolicySampler(*model, slots=1, temperature=1.0)
    rollout([Rollout(episode(QUESTION, dialect, Budget()), Random(0))], sampler, simulator)
    assert [used[0], *(b for a, b in pairwise(used) if a != b)] == temperatures
