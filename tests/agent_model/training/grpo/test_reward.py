"""What rollouts earn."""

from __future__ import annotations

import pytest

from agent_model.dialects.agent import Agent
from agent_model.training.config import GRPOConfig
from agent_model.training.grpo.reward import Reward, reward
from autocoa_bench.errors import UserError
from autocoa_bench.scoring import load_scorers
from autocoa_bench.types import FaultNote, Question, Record
from support.play import QUESTION, play

CONFIG = GRPOConfig(stage="grpo", model="m", format_penalty=0.2)
EM = load_scorers(("em",))["em"]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["</think>\n\\boxed{Anna}"], Reward(1.0, 1.0, True)),
        (["</think>\n\\boxed{Bert}"], Reward(0.0, 0.0, True)),
        (["I know it. \\boxed{Anna}"], Reward(-0.2, 1.0, False)),
        (["</think>\n\\boxed{Anna}\n<search_result> Anna"], Reward(-0.2, 1.0, False)),
        (["Hm.", "Hm.", "Anna}"], Reward(-0.2, 1.0, False)),
    ],
)
def test_a_match_earns_only_in_form(texts: list[str], expected: Reward) -> None:
    record = Record(QUESTION, 0, play(Agent(shots=0), texts)[0])
    assert reward(record, CONFIG, EM) == expected


def test_the_released_codes_lenient_reward_is_available_by_name() -> None:
    made, _ = play(Agent(shots=0), ["</think>\n\\boxed{University of South Carolina}"])
    asked = Question("q1", "Where?", ("University of North Carolina",))
    lenient = load_scorers(("autocoa-reward",))["autocoa-reward"]
    for scorer, value in ((EM, 0.0), (lenient, 1.0)):
        assert reward(Record(asked, 0, made), CONFIG, scorer) == Reward(value, value, True)


def test_a_fault_of_the_harness_earns_and_costs_nothing() -> None:
    record = Record(QUESTION, 0, fault=FaultNote("timeout", "no reply"))
    with pytest.raises(UserError, match="cannot be scored by 'em'; remove it from 'multihop'"):
        reward(record, CONFIG, EM)
