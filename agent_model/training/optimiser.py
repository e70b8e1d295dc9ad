"""AdamW on full-precision copies of the weights, and the learning rate of every step."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from agent_model.training.config import SFTConfig, TrainingConfig
from agent_model.training.distributed import full_tensor, sharded_like, sum_gradients
from agent_model.training.model import trainable
from autocoa_bench.errors import UserError

_MOMENTS = ("exp_avg", "exp_avg_sq")  # AdamW's tensors of a weight's shape


class FP32Optimizer:
    """AdamW on fp32 copies of the trainable weights; the model gets them rounded to its dtype.

    A bf16 weight has 8 bits: at a learning rate of 7e-7 one step changes 0.3 % of such weights
    and 99.9 % of fp32 ones. Gradients accumulate in fp32 as well. If the model is sharded, a
    process has the copies of its shards.
    """

    def __init__(self, policy: nn.Module) -> None:
        self._weights = dict(trainable(policy))
        self._copies = {
            name: weight.detach().to(torch.float32, copy=True)
            for name, weight in self._weights.items()
        }
        self._adam = torch.optim.AdamW(
            self._copies.values(), lr=0.0, betas=(0.9, 0.999), weight_decay=0.0, fused=True
        )

    def accumulate(self) -> None:
        """Move the gradients of a backward pass from the model to the copies."""
        for name, weight in self._weights.items():
            if weight.grad is None:
                continue
            copy = self._copies[name]
            if copy.grad is None:
                copy.grad = weight.grad.to(torch.float32, copy=True)
            else:
                copy.grad += weight.grad
            weight.grad = None

    def step(self, lr: float, clip: float = 1.0) -> float:
        """Take one step on the gradients of all processes; returns their norm before clipping.

        If the norm is not finite, no weight changes.
        """
        # All processes must take part in the sum, with gradients or without.
        for copy in self._copies.values():
            if copy.grad is None:
                copy.grad = torch.zeros_like(copy)
        grads = [copy.grad for copy in self._copies.values() if copy.grad is not None]
        sum_gradients(grads)
        norm = full_tensor(nn.utils.get_total_norm(grads))
        if not norm.isfinite():
            return float(norm)
        nn.utils.clip_grads_with_norm_(self._copies.values(), clip, norm)
        for group in self._adam.param_groups:
            group["lr"] = lr
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        self._round_to_model()
        return float(norm)

    def state(self, *, keep: bool = True) -> dict[str, Any]:
        """The full state, for a checkpoint. If the model is sharded, all processes must call this,
        and those without `keep` get empty tensors."""

        def gathered(tensor: Tensor, *_: Tensor) -> Tensor:
            full = full_tensor(tensor)
            return full if keep else full.new_empty(0)

        weights = {name: gathered(copy) for name, copy in self._copies.items()}
        return {"weights": weights, "adam": self._map_moments(self._adam.state_dict(), gathered)}

    def restore(self, state: dict[str, Any]) -> None:
        """Load a state that `state` returned."""
        with torch.no_grad():
            for name, copy in self._copies.items():
                copy.copy_(sharded_like(state["weights"][name], copy))
        self._adam.load_state_dict(self._map_moments(state["adam"], sharded_like))
        self._round_to_model()

    def _map_moments(
        self, adam: dict[str, Any], change: Callable[[Tensor, Tensor], Tensor]
    ) -> dict[str, Any]:
        """AdamW's state with `change(moment, copy)` in the place of each moment."""
        copies = list(self._copies.values())
        state = {
            i: {
                key: change(value, copies[i]) if key in _MOMENTS else value
                for key, value in entry.items()
            }
            for i, entry in adam["state"].items()
        }
        return {**adam, "state": state}

    @torch.no_grad()
    def _round_to_model(self) -> None:
        for name, weight in self._weights.items():
            weight.copy_(self._copies[name])


def total_steps(config: SFTConfig, examples: int) -> int:
    """The number of steps: `max_steps`, or the epochs rounded to whole batches."""
    return config.max_steps or max(1, round(config.epochs * examples / config.batch))


def learning_rate(config: TrainingConfig, step: int, steps: int) -> float:
    """The rate of step `step` (from 0): linear warm-up, then the schedule."""
    warm_up = round(config.warmup * steps)
    if step < warm_up:
        return config.lr * (step + 1) / warm_up
    if config.schedule == "constant":
        return config.lr
    progress = (step - warm_up) / max(1, steps - warm_up)
    return config.lr * 0.5 * (1 + math.cos(math.pi * progress))


def diverged(quantity: str, step: int, lr: float) -> UserError:
    """The error for a loss or gradient that is not finite, at `step` (from 1)."""
    return UserError(
        f"the {quantity} of step {step} is not finite (lr {lr:g}); it was not applied, and the "
        "last checkpoint is intact. Give a smaller lr or a longer warmup, and another --out"
    )
