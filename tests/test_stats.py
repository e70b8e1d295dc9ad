"""Intervals against published values and against each other."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from numpy.typing import NDArray

from autocoa_bench.stats import (
    LEVEL,
    Estimate,
    bootstrap,
    detectable,
    difference,
    estimate,
    holm,
    macro_average,
    mcnemar,
    paired,
    paired_average,
    paired_test,
    pass_at,
    wilson,
)


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (8, 10, 0.4902, 0.9433),
        (10, 10, 0.7225, 1.0),
        # Newcombe 1998, table I, method 3 (score interval without continuity correction)
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_gives_the_published_intervals(
    successes: int, n: int, low: float, high: float
) -> None:
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_knows_nothing_without_questions() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


def test_wilson_always_holds_its_proportion() -> None:
    for n in (1, 3, 7, 49, 1000):
        for successes in range(0, n + 1, max(1, n // 7)):
            low, high = wilson(successes, n)
            assert 0 <= low <= successes / n <= high <= 1


def test_the_bootstrap_is_the_same_every_time() -> None:
    values = [0.0, 0.5, 1.0, 0.25, 0.8]
    assert bootstrap(values) == bootstrap(values)


def test_the_bootstrap_agrees_with_the_normal_interval_for_many_values() -> None:
    rng = random.Random(1)
    values = [rng.random() for _ in range(2_000)]
    half = 1.96 * math.sqrt(1 / 12 / len(values))
    mean = sum(values) / len(values)
    assert bootstrap(values) == pytest.approx((mean - half, mean + half), abs=0.002)


def test_the_bootstrap_agrees_with_the_normal_interval_for_few_distinct_values() -> None:
    values = [0.0, 1.0, 0.5] * 4_000
    low, high = bootstrap(values)
    half = 1.96 * math.sqrt(1 / 6 / len(values))
    assert (low, high) == pytest.approx((0.5 - half, 0.5 + half), abs=0.001)


def test_one_value_says_nothing_of_the_spread() -> None:
    assert bootstrap([0.4]) == (0.0, 1.0)


def test_scores_of_0_and_1_get_wilsons_interval() -> None:
    assert estimate([[1.0]] * 8 + [[0.0]] * 2) == Estimate(0.8, *wilson(8, 10), 10, 10)


def test_other_scores_get_the_bootstrap() -> None:
    result = estimate([[0.4], [0.0], [1.0], [0.7]])
    assert (result.low, result.high) == bootstrap([0.4, 0.0, 1.0, 0.7])


def test_f1_of_nothing_but_zeros_still_has_an_interval() -> None:
    result = estimate([[0.0]] * 10)
    assert (result.low, result.high) == pytest.approx((0.0, 0.2775), abs=5e-5)


def test_samples_of_a_question_count_as_one_question() -> None:
    result = estimate([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0], [1.0]])
    assert (result.mean, result.n) == (0.625, 4)
    assert (result.low, result.high) == bootstrap([0.5, 1.0, 0.0, 1.0])


def test_repeating_each_answer_does_not_narrow_the_interval() -> None:
    outcomes = [1.0, 0.0, 1.0, 0.0, 0.0]
    assert estimate([[score] * 8 for score in outcomes]) == estimate([[s] for s in outcomes])


def test_questions_without_a_score_lower_the_coverage_and_not_the_mean() -> None:
    result = estimate([[1.0], [], [1.0], []])
    assert (result.mean, result.n, result.planned, result.coverage) == (1.0, 2, 4, 0.5)


def test_nothing_scored_has_no_mean() -> None:
    assert estimate([[], []]) == Estimate(None, None, None, 0, 2)


def test_the_average_weighs_each_dataset_alike() -> None:
    large = estimate([[1.0]] * 90 + [[0.0]] * 10)
    small = estimate([[0.0]] * 10)
    result = macro_average([large, small])
    assert result.mean == pytest.approx(0.45)
    assert (result.n, result.planned) == (110, 110)


def test_the_average_of_equal_datasets_is_narrower_than_each() -> None:
    single = estimate([[1.0]] * 30 + [[0.0]] * 70)
    result = macro_average([single] * 4)
    assert result.low is not None
    assert single.low is not None
    assert 0.3 - result.low == pytest.approx((0.3 - single.low) / 2)


def test_the_average_stays_a_share() -> None:
    result = macro_average([estimate([[0.0]] * 3), estimate([[0.0]] * 5)])
    assert result.low == 0.0
    assert result.high is not None
    assert result.high < 1


def test_there_is_no_average_with_a_dataset_missing() -> None:
    assert macro_average([estimate([[1.0]]), estimate([[]])]).mean is None


def test_equal_scores_still_leave_doubt() -> None:
    result = estimate([[0.5], [0.5], [0.5]])
    assert result.low is not None
    assert result.high is not None
    assert (round(result.low, 2), round(result.high, 2)) == (0.13, 0.87)


@pytest.mark.parametrize(
    ("won", "lost", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 5, 1.0),
        (6, 0, 2 / 64),
        (10, 2, 2 * 79 / 4096),
        (2, 10, 2 * 79 / 4096),
    ],
)
def test_mcnemars_p_is_the_coins(won: int, lost: int, p: float) -> None:
    assert mcnemar(won, lost) == pytest.approx(p)


def test_mcnemars_p_survives_thousands_of_pairs() -> None:
    assert mcnemar(1500, 1400) == pytest.approx(0.066, abs=0.002)


def test_a_paired_difference_is_over_common_questions() -> None:
    result = paired({"a": 1.0, "b": 0.0, "c": 1.0, "x": 1.0}, {"a": 0.0, "b": 0.0, "c": 1.0})
    assert result is not None
    assert (result.mean, result.n, result.won, result.lost) == (pytest.approx(1 / 3), 3, 1, 0)
    assert -1 <= result.low <= result.mean <= result.high <= 1


def test_scores_of_0_and_1_are_tested_by_mcnemar() -> None:
    result = paired(dict.fromkeys(range(10), 1.0), dict.fromkeys(range(10), 0.0))
    assert result is not None
    assert result.p == mcnemar(10, 0)


def test_other_scores_are_tested_by_a_bootstrap_near_the_normal_tests_p() -> None:
    rng = random.Random(2)
    pairs = [(rng.random(), rng.random() - 0.04) for _ in range(400)]
    differences = [mine - other for mine, other in pairs]
    mean = sum(differences) / 400
    spread = math.sqrt(sum((single - mean) ** 2 for single in differences)) / 400
    assert 0.001 < paired_test([pairs]) < 0.1
    assert paired_test([pairs]) == pytest.approx(
        math.erfc(abs(mean) / spread / math.sqrt(2)), abs=0.005
    )


def test_an_average_of_paired_differences_weighs_datasets_alike() -> None:
    """All of 10 questions won and none of 40 differing: half, whatever the numbers."""
    small = dict.fromkeys(range(10), 1.0), dict.fromkeys(range(10), 0.0)
    large = dict.fromkeys(range(40), 1.0), dict.fromkeys(range(40), 1.0)
    result = paired_average([small[0], large[0]], [small[1], large[1]])
    one, other = paired(*small), paired(*large)
    assert result is not None
    assert one is not None
    assert other is not None
    assert (result.mean, result.n, result.won, result.lost) == (0.5, 50, 10, 0)
    assert result.low == pytest.approx(0.5 - math.hypot(1 - one.low, -other.low) / 2)
    assert result.p < 0.05
    assert paired_average([small[0]], [small[1]]) == one
    assert paired_average([small[0], {"a": 1.0}], [small[1], {"b": 1.0}]) is None


def test_the_paired_test_is_the_same_in_both_directions() -> None:
    pairs = [(0.2, 0.1), (0.9, 0.3), (0.4, 0.5), (0.0, 0.7), (1.0, 0.2)] * 5
    back = [(other, mine) for mine, other in pairs]
    assert paired_test([pairs]) == pytest.approx(paired_test([back]), abs=0.02)


def test_a_bootstrap_of_few_questions_is_trusted_no_further_than_their_signs() -> None:
    assert paired_test([[(0.5, 0.0)] * 2]) == 0.5
    assert paired_test([[(0.5, 0.0)] * 6]) == 2 / 64


def test_equal_scores_show_no_difference() -> None:
    assert paired_test([[(0.5, 0.5)] * 10]) == 1.0


def test_where_no_question_differs_the_interval_is_that_of_differing_at_all() -> None:
    scores = dict.fromkeys(range(100), 1.0)
    result = paired(scores, scores)
    assert result is not None
    assert (result.mean, result.low, result.high) == (0, -wilson(0, 100).high, wilson(0, 100).high)


def test_a_test_over_datasets_weighs_each_alike() -> None:
    """Ahead on a large dataset and as far behind on a small one is no difference."""
    large = [(1.0, 0.0)] * 100 + [(0.0, 0.0)] * 100
    small = [(0.0, 1.0)] * 10 + [(0.0, 0.0)] * 10
    assert paired_test([large + small]) < 0.001
    assert paired_test([large, small]) > 0.9


def test_holms_correction_is_the_published_procedure() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("k", "right", "n", "chance"), [(1, 1, 4, 0.25), (2, 1, 4, 0.5), (2, 2, 4, 5 / 6), (3, 2, 4, 1)]
)
def test_pass_at_k_is_the_chance_to_draw_a_right_sample(
    k: int, right: int, n: int, chance: float
) -> None:
    assert pass_at(k, right, n) == pytest.approx(chance)


def test_a_detectable_difference_is_detected_four_times_in_five() -> None:
    """Of 500 questions 20 % differ; the true difference is what the pairs say is detectable."""
    rng = np.random.default_rng(6)
    size = detectable([(1.0, 0.0)] * 50 + [(0.0, 1.0)] * 50 + [(1.0, 1.0)] * 400)
    assert size == pytest.approx(2.80 * math.sqrt(0.2 / 500), abs=0.0005)
    assert 0.75 < _share_significant(rng, 500, 0.2, size) < 0.87


def test_five_questions_can_show_nothing() -> None:
    assert detectable([(1.0, 0.0)] * 5) is None
    assert detectable([(1.0, 1.0)] * 60) == 0.1


def test_mcnemars_test_finds_what_is_not_there_at_most_one_time_in_twenty() -> None:
    rng = np.random.default_rng(4)
    assert 0.03 < _share_significant(rng, 500, 0.3, 0.0) <= 0.053


def _share_significant(
    rng: np.random.Generator, n: int, differing: float, true: float, runs: int = 20_000
) -> float:
    """How often McNemar's p is below LEVEL, of pairs of runs with a true difference."""
    chances = [(differing + true) / 2, (differing - true) / 2, 1 - differing]
    drawn: NDArray[np.int64] = rng.multinomial(n, chances, size=runs)
    outcomes, counts = np.unique(drawn[:, :2], axis=0, return_counts=True)
    result = [mcnemar(int(won), int(lost)) < LEVEL for won, lost in outcomes]
    return float(counts[result].sum() / runs)


def test_the_paired_bootstrap_finds_what_is_not_there_about_one_time_in_twenty() -> None:
    """Scores of 0, a half or 1 on 120 questions by two runs of the same strength."""
    rng = np.random.default_rng(5)
    ours, theirs = rng.choice([0.0, 0.5, 1.0], size=(2, 400, 120), p=[0.5, 0.2, 0.3])
    theirs = np.where(rng.random((400, 120)) < 0.6, ours, theirs)
    result = [
        paired_test([list(zip(mine, others, strict=True))]) < LEVEL
        for mine, others in zip(ours.tolist(), theirs.tolist(), strict=True)
    ]
    assert 0.02 <= np.mean(result) <= 0.085


def test_wilsons_interval_covers_the_truth_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(7)
    for n, true in ((50, 0.1), (125, 0.5), (500, 0.03)):
        limits = np.array([wilson(k, n) for k in range(n + 1)])
        low, high = limits[rng.binomial(n, true, size=20_000)].T
        assert 0.93 <= np.mean((low <= true) & (true <= high)) <= 0.975


def test_the_interval_over_questions_covers_the_truth_though_samples_are_alike() -> None:
    """Four samples a question, right with the question's own chance: Beta(0.5, 1), mean 1/3."""
    rng = np.random.default_rng(8)
    chances = rng.beta(0.5, 1.0, size=(400, 100))
    scores = rng.random((4, 400, 100)) < chances
    covered = 0
    for run in scores.transpose(1, 2, 0).astype(float).tolist():
        result = estimate(run)
        assert result.low is not None
        assert result.high is not None
        covered += result.low <= 1 / 3 <= result.high
    assert 0.91 <= covered / 400 <= 0.98


def test_nothing_in_common_has_no_difference() -> None:
    assert paired({"a": 1.0}, {"b": 1.0}) is None


def test_the_paired_interval_covers_the_truth_nineteen_times_in_twenty() -> None:
    """True difference 0.2: the first right with 0.5, the second with 0.3, independently."""
    rng = random.Random(3)
    covered = 0
    for _ in range(300):
        ours = {n: float(rng.random() < 0.5) for n in range(100)}
        theirs = {n: float(rng.random() < 0.3) for n in range(100)}
        result = paired(ours, theirs)
        assert result is not None
        covered += result.low <= 0.2 <= result.high
    assert covered >= 0.92 * 300


def test_a_difference_of_independent_proportions_is_newcombes() -> None:
    """His example (a), 1998, table II, method 10: 56 of 70 less 48 of 80."""
    ours, theirs = (Estimate(k / n, *wilson(k, n), n, n) for k, n in ((56, 70), (48, 80)))
    result = difference(ours, theirs)
    assert result is not None
    assert [round(number, 4) for number in result] == [0.2, 0.0524, 0.3339]


def test_a_difference_to_nothing_is_none() -> None:
    known, unknown = Estimate(0.5, *wilson(5, 10), 10, 10), Estimate(None, None, None, 0, 10)
    assert difference(known, unknown) is None
    assert difference(unknown, known) is None
