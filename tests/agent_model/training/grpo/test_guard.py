"""When a policy counts as fallen in the real environment, by the scores of its evaluations."""

import random
from collections.abc import Sequence

import pytest

from agent_model.training.grpo.guard import fall, paired_z, welch_z
from agent_model.training.live import Evaluation

N = 200


def evaluation(step: int, scores: Sequence[float]) -> Evaluation:
    return Evaluation(step, tuple(scores), {})


def right(n: int, first: int = 0) -> list[float]:
    """Scores of 200 questions, of which `n` in a row are right."""
    return [float(first <= i < first + n) for i in range(N)]


def series(*n_right: int) -> list[Evaluation]:
    """Evaluations every four steps, with so many questions right."""
    return [evaluation(4 * i, right(n)) for i, n in enumerate(n_right)]


RISING = {step: 0.31 + 0.06 * step / 24 for step in range(1, 25)}


def test_the_change_of_scores_is_counted_in_standard_errors_of_no_change() -> None:
    # One question is won and nine are lost: (1 - 9) / sqrt(10).
    before = [1.0] * 9 + [0.0] * 3
    after = [0.0] * 9 + [1.0, 0.0, 0.0]
    assert paired_z(before, after) == pytest.approx(-2.5298, abs=1e-4)
    assert paired_z(before, before) == 0.0


def test_the_change_of_rewards_is_counted_in_their_own_standard_errors() -> None:
    # Variances of 0.02 over two steps each: 0.1 / sqrt(0.01 + 0.01).
    assert welch_z([0.1, 0.3], [0.2, 0.4]) == pytest.approx(0.7071, abs=1e-4)
    assert welch_z([0.3], [0.1, 0.2]) == 0.0
    assert welch_z([0.2, 0.2], [0.2, 0.2]) == 0.0
    assert welch_z([0.2, 0.2], [0.1, 0.1]) == float("-inf")


def test_sampled_results_that_cost_18_points_while_the_reward_rises_are_a_fall() -> None:
    """Training in results sampled at temperature 1: exact match fell from 72.8 to 54.8 in 24 steps,
    while the reward of rollouts rose from 0.31 to 0.37. It is seen at half of that."""
    arm = series(146, 140, 134, 128, 122, 116, 110)
    assert [bool(fall(arm[: i + 1], RISING)) for i in range(7)] == [False] * 3 + [True] * 4
    assert fall(arm, RISING) == (
        "live exact match fell from 0.730 (step 0) to 0.550 (step 24) while the reward of rollouts "
        "did not (first half of these steps 0.326, second half 0.356)"
    )


def test_questions_that_are_won_and_lost_alike_are_no_fall() -> None:
    moved = [evaluation(0, right(100)), *(evaluation(4 * i, right(90, 100)) for i in (1, 2))]
    assert fall(moved, RISING) == ""


def test_one_bad_evaluation_is_no_fall() -> None:
    assert fall(series(146, 146, 110), RISING) == ""
    assert fall(series(146, 110, 146), RISING) == ""
    assert fall(series(146, 110, 110), RISING)


def test_the_fall_is_from_the_best_evaluation_so_far() -> None:
    assert "from 0.850 (step 4)" in fall(series(146, 170, 150, 146), RISING)


def test_a_reward_that_falls_too_is_left_to_training() -> None:
    falling = {step: 0.37 - 0.06 * step / 24 for step in range(1, 25)}
    assert fall(series(146, 140, 134, 128, 122, 116, 110), falling) == ""


def test_chance_alone_rarely_stops_a_run() -> None:
    """Of 300 runs over 25 evaluations, in which every evaluation answers three in ten questions
    anew, fewer than 5 % are stopped; with 2 standard errors at one evaluation most would be."""
    rng, stopped = random.Random(0), 0
    for _ in range(300):
        easy = [rng.betavariate(0.36, 0.14) for _ in range(N)]
        scores = [float(rng.random() < p) for p in easy]
        history: list[Evaluation] = []
        for step in range(25):
            history.append(evaluation(step, scores))
            if fall(history, dict.fromkeys(range(1, 26), 0.3)):
                stopped += 1
                break
            scores = [
                float(rng.random() < p) if rng.random() < 0.3 else old
                for p, old in zip(easy, scores, strict=True)
            ]
    assert 0 < stopped < 15
