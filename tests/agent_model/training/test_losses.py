"""The losses against values worked by hand, and against transformers' own."""

import math

import pytest
import torch
from torch import nn

from agent_model.tokens import Kind
from agent_model.training.config import Aggregate
from agent_model.training.losses import (
    StepSize,
    aggregate,
    contrastive,
    mean_logp,
    token_logps,
)
from agent_model.training.masks import TRAINED_KINDS


def test_the_contrastive_loss_is_the_hand_worked_value() -> None:
    chosen, rejected = torch.tensor([-0.2]), torch.tensor([-1.2])
    expected = math.log(1 + math.exp(-1)) + 0.2 * 0.2
    assert contrastive(chosen, rejected).item() == pytest.approx(expected, abs=1e-6)
    assert expected == pytest.approx(0.353262, abs=1e-6)


def test_uniform_logits_give_minus_the_logarithm_of_the_vocabulary() -> None:
    head = nn.Linear(8, 50, bias=False)
    nn.init.zeros_(head.weight)
    ids = torch.arange(12).view(2, 6)
    keep = torch.tensor([[0, 0, 1, 1, 1, 0], [0, 0, 0, 0, 1, 1]], dtype=torch.bool)
    logps = token_logps(torch.randn(2, 6, 8), head, ids, keep)
    rows = keep.nonzero()[:, 0]
    assert mean_logp(logps, rows, 2).tolist() == pytest.approx([-math.log(50)] * 2, abs=1e-5)


def test_log_probabilities_are_those_of_the_temperature() -> None:
    head = nn.Linear(1, 2, bias=False)
    head.weight.data = torch.tensor([[1.0], [0.0]])  # logits (1, 0) of a hidden state of 1
    ids, keep = torch.tensor([[0, 0]]), torch.tensor([[False, True]])
    hidden = torch.ones(1, 2, 1)
    for temperature in (0.5, 1.0, 2.0):
        expected = -math.log(1 + math.exp(-1 / temperature))
        logp = token_logps(hidden, head, ids, keep, temperature).item()
        assert logp == pytest.approx(expected, abs=1e-6)


def test_a_mean_is_over_the_tokens_of_its_own_row() -> None:
    logps = torch.tensor([-1.0, -3.0, -5.0])
    assert mean_logp(logps, torch.tensor([0, 0, 1]), 2).tolist() == [-2.0, -5.0]


def test_the_gradient_of_a_pair_raises_the_chosen_and_lowers_the_rejected() -> None:
    chosen = torch.tensor([-1.0], requires_grad=True)
    rejected = torch.tensor([-1.0], requires_grad=True)
    contrastive(chosen, rejected).sum().backward()
    assert chosen.grad is not None
    assert rejected.grad is not None
    assert (chosen.grad.item(), rejected.grad.item()) == pytest.approx((-0.7, 0.5))


# A trajectory of 2 tokens with losses 1 and 3, and one of 4 tokens with losses 2, 2, 4 and 8; and,
# of the last test, a third trajectory of 3 tokens without a loss. At most 10 tokens are allowed.
LOSSES, LENGTHS = torch.tensor([1.0, 3, 2, 2, 4, 8]), torch.tensor([2, 2, 4, 4, 4, 4])
WORKED: list[tuple[Aggregate, float, float]] = [
    ("sum", (4 + 16) / 2, (4 + 16) / 3),
    ("token-mean", 20 / 6, 20 / 9),
    ("trajectory-mean", (2 + 4) / 2, (2 + 4) / 3),
    ("constant", (0.4 + 1.6) / 2, (0.4 + 1.6) / 3),
]


@pytest.mark.parametrize(("how", "whole", "with_a_third"), WORKED)
def test_an_aggregate_is_the_hand_worked_value_however_the_step_is_cut(
    how: Aggregate, whole: float, with_a_third: float
) -> None:
    for size, expected in ((StepSize(2, 6, 10), whole), (StepSize(3, 9, 10), with_a_third)):
        for cut in (0, 1, 3):
            parts = (slice(cut), slice(cut, None))
            losses = [aggregate(LOSSES[part], LENGTHS[part], how, size) for part in parts]
            assert float(sum(losses)) == pytest.approx(expected)


class Toy(nn.Module):
    """A causal model without attention: enough to see which labels reach a loss."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(20, 8)
        self.head = nn.Linear(8, 20)

    def loss(self, ids: torch.Tensor, labels: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
        return -token_logps(self.embedding(ids), self.head, labels, keep).sum()


@pytest.mark.parametrize(("stage", "same"), [("sft2", True), ("sft3", False)])
def test_observation_labels_reach_stage_3_alone(stage: str, same: bool) -> None:
    kinds = [Kind.PROMPT, Kind.THOUGHT, Kind.ACTION, *[Kind.OBSERVATION] * 3, Kind.ANSWER]
    keep = torch.tensor([[kind in TRAINED_KINDS[stage] for kind in kinds]])
    ids = torch.tensor([[1, 2, 3, 4, 5, 6, 7]])
    other = torch.tensor([[1, 2, 3, 14, 15, 16, 7]])
    found = []
    for labels in (ids, other):
        model = Toy()
        loss = model.loss(ids, labels, keep)
        loss.backward()  # type: ignore[no-untyped-call]
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        found.append((loss.detach(), grads))
    (loss, grads), (loss_of_other, grads_of_other) = found
    assert torch.equal(loss, loss_of_other) is same
    pairs = zip(grads, grads_of_other, strict=True)
    assert all(torch.equal(a, b) for a, b in pairs) is same


def test_the_head_on_trained_tokens_alone_gives_the_loss_of_transformers() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=60,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
        )
    )
    ids = torch.randint(0, 60, (3, 17))
    keep = torch.rand(3, 17) < 0.4
    keep[:, 0] = False
    labels = torch.where(keep, ids, -100)
    expected = model(input_ids=ids, labels=labels).loss
    hidden = model.model(input_ids=ids).last_hidden_state
    ours = -token_logps(hidden, model.lm_head, ids, keep).sum() / keep.sum()
    assert ours.item() == pytest.approx(expected.item(), rel=1e-6)
