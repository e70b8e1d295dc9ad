"""The losses of the supervised stages (paper 3.2.2), as functions of log-probabilities.

Shapes: B rows of a batch, T tokens, D hidden size, V vocabulary, N trained tokens. `aggregate`
makes one loss of those of tokens, here and in GRPO.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - PyTorch's own name for it

from agent_model.training.config import Aggregate


class StepSize(NamedTuple):
    """What a whole step learns from, over all its micro-batches and processes.

    `limit` is the greatest length of a trajectory in tokens that the recipe allows.
    """

    trajectories: int
    tokens: int
    limit: int


def token_logps(
    hidden: Tensor,
    head: Callable[[Tensor], Tensor],
    ids: Tensor,
    mask: Tensor,
    temperature: float = 1.0,
) -> Tensor:
    """Log-probabilities (N,) of the tokens at `mask`, in row order.

    `hidden` (B, T, D) are a decoder's last states, `ids` (B, T) its input, and `mask` (B, T)
    selects the tokens to score, each from the position before it; a row's first token cannot be
    scored. Logits are divided by `temperature`.
    """
    # The head is the largest matrix of a small model, so only the N states before scored tokens
    # go through it. Dividing by 1 would copy the logits, the largest tensor of all.
    selected = mask[:, 1:]
    logits = head(hidden[:, :-1][selected]).float()
    if temperature != 1:
        logits = logits / temperature
    return -F.cross_entropy(logits, ids[:, 1:][selected], reduction="none")


def mean_logp(logps: Tensor, rows: Tensor, count: int) -> Tensor:
    """P of each of `count` rows, (count,): the mean log-probability of its tokens.

    `rows` (N,) is the row of each log-probability.
    """
    total = logps.new_zeros(count).index_add(0, rows, logps)
    return total / torch.bincount(rows, minlength=count).clamp(min=1)


def contrastive(chosen: Tensor, rejected: Tensor, alpha: float = 0.2) -> Tensor:
    """Stage 1, per pair: -log sigmoid(P(chosen|c) - P(rejected|c)) - alpha P(chosen|c).

    Both are length-normalised log-probabilities (`mean_logp`) given the shared context c. `alpha`
    is the released code's; the paper gives no value.
    """
    return -F.logsigmoid(chosen - rejected) - alpha * chosen


def aggregate(losses: Tensor, lengths: Tensor, how: Aggregate, step: StepSize) -> Tensor:
    """The part of a step's loss that some of its tokens make up; the parts add up to the whole.

    `losses` (N,) are the tokens', and `lengths` (N,) the number of trained tokens in the
    trajectory of each. Over all tokens of the step, `how` is one of:

    - "sum": the sum over a trajectory's tokens, averaged over trajectories; GRPO in the paper
      (3.3.2, the objective J sums over t and is an expectation over trajectories).
    - "token-mean": the mean over tokens, whichever trajectory they are of; the released code, in
      SFT and GRPO.
    - "trajectory-mean": the mean over a trajectory's tokens, averaged over trajectories; SFT in the
      paper (3.2.3, 1/|x|), and GRPO where it was introduced (arXiv 2402.03300).
    - "constant": "sum" divided by `step.limit`; Dr. GRPO (arXiv 2503.20783), in which long
      trajectories count as much per token as short ones.
    """
    if how == "trajectory-mean":
        return torch.sum(losses / lengths) / step.trajectories
    divisors = {
        "sum": step.trajectories,
        "token-mean": step.tokens,
        "constant": step.trajectories * step.limit,
    }
    return losses.sum() / divisors[how]
