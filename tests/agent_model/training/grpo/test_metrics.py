"""When a run of reinforcement learning has collapse, by its rows."""

from __future__ import annotations

import msgspec

from agent_model.dialects.agent import Agent
from agent_model.training.grpo.metrics import GRPOStep, collapse, search_shares
from agent_model.training.grpo.rollouts import search_counts
from autocoa_bench.types import Question, Record
from support.play import play

GOOD = GRPOStep(
    step=1,
    environment="real",
    reward=0.5,
    em=0.5,
    formed=0.9,
    cut=0.0,
    searches=1.0,
    facts=None,
    skipped=0.2,
    loss=0.0,
    kl=0.0,
    entropy=0.1,
    lr=1e-6,
    grad_norm=1.0,
    calls=4,
    saved=0,
    faults=0,
    rewritten=0,
    sampled=100,
    tokens=1000,
    rollout_seconds=1.0,
    seconds=1.0,
    tokens_per_second=100.0,
)


def rows(*changes: dict[str, float]) -> list[GRPOStep]:
    return [msgspec.structs.replace(GOOD, **each) for each in changes]


def test_a_fall_below_half_of_the_best_is_reported_as_a_collapse() -> None:
    fine, bad = {"reward": 0.5}, {"reward": 0.2}
    assert collapse(rows(*[fine] * 3, *[bad] * 3), 3) == (
        "over 3 steps the mean reward was 0.20, after a best of 0.50"
    )
    assert collapse(rows(*[{"formed": 0.9}] * 3, *[{"formed": 0.3}] * 3), 3) == (
        "over 3 steps the share of well-formed rollouts was 0.30, after a best of 0.90"
    )


def test_a_fall_of_few_steps_or_by_little_is_none() -> None:
    fine, bad = {"reward": 0.5}, {"reward": 0.2}
    assert not collapse(rows(*[fine] * 4, *[bad] * 2), 3)
    assert not collapse(rows(*[{"reward": 0.12}] * 3, *[{"reward": 0.03}] * 3), 3)
    assert not collapse(rows(*[bad] * 3, *[fine] * 3), 3)


def test_steps_without_a_signal_are_a_collapse_unless_all_is_right() -> None:
    idle = {"skipped": 1.0, "reward": -0.2}
    assert "all rollouts of each question have had equal rewards (-0.20 on average)" in collapse(
        rows(*[idle] * 3), 3
    )
    assert not collapse(rows(*[idle] * 2), 3)
    assert not collapse(rows(*[{"skipped": 1.0, "reward": 1.0}] * 3), 3)
    assert not collapse(rows(*[idle] * 9), 0)
    solved = {"skipped": 1.0, "em": 1.0, "formed": 1.0, "reward": 0.8}
    assert not collapse(rows(*[solved] * 3), 3), "all is right, at the price of its searches"
    assert "equal rewards but for their form" in collapse(
        rows(*[{**idle, "form_only": 0.5}] * 3), 3
    )


def test_searches_are_counted_apart_for_known_questions_and_others() -> None:
    answer, search = "</think>\n\\boxed{Anna}", "I look.\n<begin_search> x </end_search>"
    records = [
        Record(Question(name, "Who?", ("Anna",), "t"), 0, play(Agent(shots=0), texts)[0])
        for name, texts in (("a", [answer]), ("a", [search, answer]), ("b", [search, answer]))
    ]
    shares = search_shares(search_counts(records, {("t", "a")}))
    assert shares == {"searched_known": 0.5, "searched_unknown": 1.0}
    assert search_shares(search_counts(records[:2], {("t", "a")}))["searched_unknown"] is None
