"""GRPO's parts, against numbers worked by hand."""

from __future__ import annotations

import math

import pytest
import torch

from agent_model.training.grpo.objective import (
    advantages,
    importance_ratios,
    k3,
    objective,
    truncated,
)


def test_an_advantage_is_the_reward_less_the_groups_mean() -> None:
    found = advantages(torch.tensor([[1.0, 0, 0, 0, 0], [0.5, 0.5, 0.5, 0.5, 0.5]]), by_std=False)
    assert found[0].tolist() == pytest.approx([0.8, -0.2, -0.2, -0.2, -0.2])
    assert found[1].tolist() == [0.0] * 5


def test_divided_by_the_deviation_it_is_the_released_codes() -> None:
    # The sample's deviation of one 1 among five is the root of 0.2.
    found = advantages(torch.tensor([[1.0, 0, 0, 0, 0], [1.0, 1, 1, 1, 1]]), by_std=True)
    assert found[0].tolist() == pytest.approx([1.7889, *[-0.4472] * 4], abs=1e-4)
    assert found[1].tolist() == [0.0] * 5


@pytest.mark.parametrize("by_std", [False, True])
def test_a_group_of_equal_rewards_gets_zeros_however_its_mean_is_rounded(by_std: bool) -> None:
    rewards = torch.tensor([[value] * 7 for value in (-0.2, 0.1, 0.3, 1.0)])
    assert (rewards != rewards.mean(1, keepdim=True)).any()
    assert not advantages(rewards, by_std=by_std).any()


def test_k3_is_zero_at_the_reference_and_positive_elsewhere() -> None:
    found = k3(torch.tensor([-1.0, -1.0, -1.0]), torch.tensor([-1.0, -1.5, -0.5]))
    assert found.tolist() == pytest.approx([0.0, 0.106531, math.exp(0.5) - 1.5], abs=1e-6)


def test_k3_of_a_token_that_the_reference_rules_out_stays_finite() -> None:
    assert k3(torch.tensor([-500.0]), torch.tensor([0.0])).isfinite().all()


def test_a_tokens_loss_is_minus_its_advantage_with_the_gradient_of_its_log_probability() -> None:
    logps = torch.tensor([-0.1, -0.2, -0.3], requires_grad=True)
    losses = objective(logps, torch.tensor([1.0, -0.5, -0.5]))
    assert losses.tolist() == pytest.approx([-1.0, 0.5, 0.5])
    losses.sum().backward()
    assert logps.grad is not None
    assert logps.grad.tolist() == pytest.approx([-1.0, 0.5, 0.5])


def test_the_reference_pulls_back_what_moved_away_from_it() -> None:
    logps = torch.tensor([-1.0, -1.0], requires_grad=True)
    reference = torch.tensor([-1.5, -1.0])
    losses = objective(logps, torch.zeros(2), reference=reference, kl=0.1)
    assert losses.tolist() == pytest.approx([0.1 * 0.106531, 0.0], abs=1e-7)
    losses.sum().backward()
    assert logps.grad is not None
    # d/dlogp of exp(d) - d - 1 with d = -0.5 is 1 - exp(-0.5).
    assert logps.grad.tolist() == pytest.approx([0.1 * (1 - math.exp(-0.5)), 0.0], abs=1e-7)


def test_a_token_counts_by_its_truncated_importance_ratio() -> None:
    # The learner gives the tokens 0.6, 0.2, 0.5 and 0.3; the sampler gave 0.2, 0.4, 0.5 and is
    # not known to have given the last any. So the ratios are 3, 1/2, 1 and unknown.
    logps = torch.tensor([0.6, 0.2, 0.5, 0.3]).log().requires_grad_()
    sampled = torch.tensor([0.2, 0.4, 0.5, math.nan]).log()
    ratios = importance_ratios(logps, sampled)
    assert ratios[:3].tolist() == pytest.approx([3.0, 0.5, 1.0])
    assert ratios[3].isnan()
    assert truncated(ratios, 0.0) is None
    weights = truncated(ratios, 2.0)
    assert weights is not None
    assert weights.tolist() == pytest.approx([2.0, 0.5, 1.0, 1.0])
    objective(logps, torch.tensor([1.0, 1.0, -1.0, -1.0]), weights).sum().backward()
    assert logps.grad is not None
    assert logps.grad.tolist() == pytest.approx([-2.0, -0.5, 1.0, 1.0])
