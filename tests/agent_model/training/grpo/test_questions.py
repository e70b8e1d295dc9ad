"""Which questions a step of GRPO draws, and which of their groups it learns from."""

from __future__ import annotations

from collections import Counter

import pytest

from agent_model.training.checkpoints import QuestionHistory
from agent_model.training.config import GroupsConfig, GRPOConfig
from agent_model.training.data import examples_of_step
from agent_model.training.grpo.questions import QuestionDraw, draw_questions, with_step
from agent_model.training.grpo.reward import Reward
from agent_model.training.grpo.rollouts import advantages_of

HALF = GRPOConfig(stage="grpo", model="m", batch=8, groups=GroupsConfig(informative=0.5))
NONE = QuestionHistory()


def test_without_the_key_questions_come_in_the_order_of_the_epochs() -> None:
    config = GRPOConfig(stage="grpo", model="m", batch=8)
    expected = examples_of_step(20, 8, 0, 3)
    assert draw_questions(config, range(20), NONE, 3) == QuestionDraw(expected, 8)


def test_half_of_a_step_is_drawn_again_and_the_epoch_goes_on_without_a_gap() -> None:
    order = [examples_of_step(100, 1, 0, i)[0] for i in range(100)]
    first = draw_questions(HALF, range(100), NONE, 0)
    assert first == QuestionDraw(order[:8], 8), "nothing is known of any question yet"
    history = with_step(NONE, first, [0.25, 0.0, 0.1, 0.0, 0.2, 0.05, 0.0, 0.25])
    second = draw_questions(HALF, range(100), history, 1)
    assert second.indices[:4] == order[8:12]
    assert set(second.indices[4:]) < {order[i] for i in (0, 2, 4, 5, 7)}
    assert (second.n_new, len(set(second.indices))) == (4, 8)
    history = with_step(history, second, [0.0] * 4 + [0.25] * 4)
    assert history.n_new == 12
    assert draw_questions(HALF, range(100), history, 2).indices[:4] == order[12:16]


def test_new_questions_fill_the_step_while_few_are_informative() -> None:
    order = [examples_of_step(100, 1, 0, i)[0] for i in range(16)]
    history = with_step(NONE, QuestionDraw(order[:8], 8), [0.25] + [0.0] * 7)
    assert draw_questions(HALF, range(100), history, 1) == QuestionDraw([*order[8:15], order[0]], 7)


def test_an_informative_question_that_is_new_again_is_not_drawn_twice() -> None:
    """Of two questions, one is new and the other drawn again."""
    config = GRPOConfig(stage="grpo", model="m", batch=2, groups=GroupsConfig(informative=0.5))
    history = QuestionHistory(2, {0: 0.25, 1: 0.25})
    for step in range(1, 17):
        draw = draw_questions(config, range(2), history, step)
        assert sorted(draw.indices) == [0, 1]
        history = with_step(history, draw, [0.25] * 2)


def test_a_question_whose_last_group_was_all_right_or_all_wrong_is_not_drawn_again() -> None:
    history = with_step(QuestionHistory(8, {5: 0.25, 6: 0.25}), QuestionDraw([5], 0), [0.0])
    again = [draw_questions(HALF, range(100), history, step).indices[-1] for step in range(20)]
    assert set(again) == {6}


def test_questions_are_drawn_again_in_proportion_to_their_variance() -> None:
    """Of one place and weights 3 to 1, three quarters; the standard error of 2,000 draws is 1 %."""
    config = GRPOConfig(stage="grpo", model="m", batch=1, groups=GroupsConfig(informative=1.0))
    history = QuestionHistory(1, {5: 0.24, 6: 0.08})
    drawn = Counter(
        draw_questions(config, range(100), history, step).indices[0] for step in range(2000)
    )
    assert drawn[5] / 2000 == pytest.approx(0.75, abs=0.03)
    assert drawn[5] + drawn[6] == 2000


def rewards(*values: tuple[float, float]) -> list[Reward]:
    """Rewards of a value and an outcome."""
    return [Reward(value, outcome, value >= 0, outcome) for value, outcome in values]


def test_a_group_that_differs_in_form_alone_weighs_as_much_as_right_and_wrong_unless_left_out() -> (
    None
):
    """By hand, six rollouts: a lone -0.2 or 1 among zeros is 5/6 d from the mean, and the sample
    standard deviation d / sqrt(6), so it has 5 / sqrt(6) = 2.041."""
    form = rewards((-0.2, 0.0), *[(0.0, 0.0)] * 5)
    right = rewards((1.0, 1.0), *[(0.0, 0.0)] * 5)
    config = GRPOConfig(stage="grpo", model="m", group=6, by_std=True)
    relative = advantages_of([*form, *right], config)
    assert relative[::6] == pytest.approx([-2.0412, 2.0412], abs=1e-3)
    config = GRPOConfig(
        stage="grpo", model="m", group=6, by_std=True, groups=GroupsConfig(skip_form_only=True)
    )
    assert advantages_of([*form, *right], config) == [0.0] * 6 + relative[6:]


def test_a_price_or_a_right_answer_out_of_form_is_more_than_form() -> None:
    priced = rewards((0.85, 0.85), (1.0, 1.0))
    out_of_form = rewards((0.3, 1.0), (-0.2, 0.0))
    groups = GroupsConfig(skip_form_only=True)
    config = GRPOConfig(stage="grpo", model="m", group=2, groups=groups)
    expected = [-0.075, 0.075, 0.25, -0.25]
    assert advantages_of([*priced, *out_of_form], config) == pytest.approx(expected)
