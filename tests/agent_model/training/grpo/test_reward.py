"""What rollouts earn."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_model.dialects.agent import Agent
from agent_model.training.config import GRPOConfig, RewardConfig, load_grpo_config
from agent_model.training.grpo.reward import Reward, known_questions, reward
from autocoa_bench.errors import UserError
from autocoa_bench.scoring import load_scorers
from autocoa_bench.types import Budget, FaultNote, Hop, Question, Record, Score, Scored
from support.play import QUESTION, play

CONFIG = GRPOConfig(stage="grpo", model="m", format_penalty=0.2)
EM = load_scorers(("em",))["em"]
SEARCH = "I look.\n<begin_search> tower </end_search>"
RIGHT, WRONG = "</think>\n\\boxed{Anna}", "</think>\n\\boxed{Bert}"
RIGHT_OUT_OF_FORM, WRONG_OUT_OF_FORM = "It is \\boxed{Anna}", "It is \\boxed{Bert}"
NO_ANSWER = ["Hm.", "Hm."]
"""Two steps without an action, after which an answer is forced."""
KNOWN = {("", "q1")}
"""The key of QUESTION."""
GRADED = RewardConfig(malformed_share=0.5, no_answer=0.1, exhausted=0.1)


def earned(
    texts: Iterable[str],
    terms: RewardConfig,
    known: Iterable[tuple[str, str]] = (),
    question: Question = QUESTION,
    **limits: Any,
) -> Reward:
    """The reward of an episode by the recipe's terms."""
    trajectory, _ = play(Agent(shots=0), texts, budget=Budget(**limits), question=question)
    config = msgspec.structs.replace(CONFIG, reward=terms)
    return reward(Record(question, 0, trajectory), config, EM, set(known))


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["</think>\n\\boxed{Anna}"], Reward(1.0, 1.0, True, 1.0)),
        (["</think>\n\\boxed{Bert}"], Reward(0.0, 0.0, True, 0.0)),
        (["I know it. \\boxed{Anna}"], Reward(-0.2, 1.0, False, 1.0)),
        (["</think>\n\\boxed{Anna}\n<search_result> Anna"], Reward(-0.2, 1.0, False, 1.0)),
        (["Hm.", "Hm.", "Anna}"], Reward(-0.2, 1.0, False, 1.0)),
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
        assert reward(Record(asked, 0, made), CONFIG, scorer) == Reward(value, value, True, value)


def test_a_fault_of_the_harness_earns_and_costs_nothing() -> None:
    record = Record(QUESTION, 0, fault=FaultNote("timeout", "no reply"))
    with pytest.raises(UserError, match="cannot be scored by 'em'; remove it from 'multihop'"):
        reward(record, CONFIG, EM)


def test_graded_rewards_rank_no_answer_below_out_of_form_below_in_form() -> None:
    """By hand: -0.2 - 0.1; -0.2; 0; 0.5 - 0.2 - 0.1; 0.5 - 0.2; 1."""
    ranking = (
        [*NO_ANSWER, "Bert}"],
        [WRONG_OUT_OF_FORM],
        [WRONG],
        [*NO_ANSWER, "Anna}"],
        [RIGHT_OUT_OF_FORM],
        [RIGHT],
    )
    values = [earned(texts, GRADED).value for texts in ranking]
    assert values == pytest.approx([-0.3, -0.2, 0.0, 0.2, 0.3, 1.0])


def test_a_spent_budget_costs_extra_whether_its_forced_answer_is_right_or_wrong() -> None:
    """By hand: 0.5 - 0.2 - 0.25 and -0.2 - 0.25; malformed steps spend no budget."""
    terms = RewardConfig(malformed_share=0.5, exhausted=0.25)
    for answer, value in (("Anna}", 0.05), ("Bert}", -0.45)):
        assert earned([SEARCH, answer], terms, max_actions=1).value == pytest.approx(value)
    assert earned([*NO_ANSWER, "Bert}"], terms).value == pytest.approx(-0.2)


def test_a_share_that_would_rank_right_below_wrong_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('model = "m"\nformat_penalty = 0.2\n')
    least = ("reward.exhausted=0.1", "reward.malformed_share=0.31")
    assert load_grpo_config(file, least).reward.malformed_share == 0.31
    with pytest.raises(UserError, match=r"malformed_share = 0\.2, so a right .* at least 0\.3"):
        load_grpo_config(file, ("reward.exhausted=0.1", "reward.malformed_share=0.2"))


def test_every_search_has_its_price_or_only_those_for_known_questions() -> None:
    """By hand: 1 - 2 x 0.15 where the price applies."""
    texts = [SEARCH, SEARCH, RIGHT]
    always = RewardConfig(per_search=0.15)
    only_known = RewardConfig(per_search=0.15, price_on="known")
    for terms, known, value in (
        (always, (), 0.7),
        (always, KNOWN, 0.7),
        (only_known, (), 1.0),
        (only_known, KNOWN, 0.7),
    ):
        assert earned(texts, terms, known).value == pytest.approx(value)


@pytest.mark.parametrize(
    ("must_search", "known", "formed"),
    [
        ("never", (), True),
        ("needed", (), False),
        ("needed", KNOWN, True),
        ("always", KNOWN, False),
    ],
)
def test_an_answer_without_a_search_that_is_needed_is_malformed_and_earns_nothing(
    must_search: Any, known: set[tuple[str, str]], formed: bool
) -> None:
    terms = RewardConfig(must_search=must_search, malformed_share=0.5)
    value = 1.0 if formed else -0.2
    assert earned([RIGHT], terms, known) == Reward(value, 1.0, formed, value)
    out_of_form = earned([RIGHT_OUT_OF_FORM], terms, known).value
    assert out_of_form == pytest.approx(0.3 if formed else -0.2)
    assert earned([SEARCH, RIGHT], terms, known) == Reward(1.0, 1.0, True, 1.0)


@pytest.mark.parametrize(("searches", "value"), [(1, -0.2), (2, 1.0), (3, 1.0)])
def test_with_hops_a_question_needs_as_many_searches_as_its_chain_has_hops(
    searches: int, value: float
) -> None:
    hops = (Hop("Who built it?", "Anna", "p1"), Hop("Who was that?", "Bert", "p2"))
    question = msgspec.structs.replace(QUESTION, hops=hops)
    terms = RewardConfig(must_search="hops")
    assert earned([SEARCH] * searches + [RIGHT], terms, question=question).value == value
    assert earned([RIGHT], terms, KNOWN, question=question).value == 1.0


def test_evidence_pays_for_the_share_of_hops_that_results_state_where_a_search_is_needed() -> None:
    """The results state Anna and not Carl, so 0.5 x 1/2; a known question needs no evidence."""
    hops = (Hop("Who built the tower?", "Anna", "p1"), Hop("Who is her son?", "Carl", "p9"))
    chain = msgspec.structs.replace(QUESTION, hops=hops)
    terms = RewardConfig(evidence=0.5)
    assert earned([SEARCH, SEARCH, WRONG], terms, question=chain).value == pytest.approx(0.25)
    assert earned([WRONG], terms, question=chain).value == 0.0
    assert earned([SEARCH, WRONG], terms, KNOWN, question=chain).value == 0.0
    assert earned([SEARCH, WRONG], terms).value == 0.0, "no gold chain"


def test_questions_are_known_by_their_measured_accuracy_and_else_by_their_kind(
    tmp_path: Path,
) -> None:
    questions = [
        Question(name, "Who?", ("Anna",), "t", kind)
        for name, kind in (("a", "known"), ("b", "unknown"), ("c", "given"), ("d", "2hop"))
    ]
    assert known_questions(CONFIG, questions) == {("t", "a"), ("t", "c")}
    file = tmp_path / "scores.jsonl"
    lines = [
        Scored("t", name, sample, {"em": Score(value)})
        for name, *values in (("a", 0.0, 0.0, 1.0), ("b", 1.0, 0.0))
        for sample, value in enumerate(values)
    ]
    file.write_bytes(b"\n".join(map(msgspec.json.encode, lines)) + b"\n")
    config = msgspec.structs.replace(CONFIG, reward=RewardConfig(known=str(file)))
    assert known_questions(config, questions) == {("t", "b"), ("t", "c")}
    with pytest.raises(UserError, match="has scores by 'em' of no question of 'multihop'"):
        known_questions(config, questions[2:])
