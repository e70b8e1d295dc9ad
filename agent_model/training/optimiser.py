"""AdamW over full-precision copies of the weights, and the learning rate of every step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from agent_model.training.config import SFTConfig, TrainingConfig
from agent_model.training.model import trainable
from agent_model.training.sharding import add_up, local, norm_of_all, slice_of, whole

_MOMENTS = ("exp_avg", "exp_avg_sq")  # what AdamW keeps of the shape of a weight


class FP32Optimizer:
    """fp32 copies of the trainable weights, which AdamW steps; the model gets them rounded.

    A bf16 weight has 8 bits: at a learning rate of 7e-7 one step changes 0.3 % of such weights
    and 99.9 % of fp32 ones. Gradients add up in fp32 as well. Of a sharded model, a process has the
    copies of its slices.
    """

    def __init__(self, policy: nn.Module) -> None:
        self._live = dict(trainable(policy))
        self._copies = {
            name: local(each.detach()).to(torch.float32, copy=True)
            for name, each in self._live.items()
        }
        self._adam = torch.optim.AdamW(
            self._copies.values(), lr=0.0, betas=(0.9, 0.999), weight_decay=0.0, fused=True
        )

    def collect(self) -> None:
        """Take over the gradients that a backward pass left."""
        for name, weight in self._live.items():
            if weight.grad is None:
                continue
            copy = self._copies[name]
            grad = local(weight.grad)
            if copy.grad is None:
                copy.grad = grad.to(torch.float32, copy=True)
            else:
                copy.grad += grad
            weight.grad = None

    def step(self, lr: float, clip: float = 1.0) -> float:
        """One step on what all processes collected; returns the gradient's norm before clipping.

        Where that is not finite, no weight changes.
        """
        for each in self._copies.values():
            if each.grad is None:  # this process had nothing to learn, and others may
                each.grad = torch.zeros_like(each)
        grads = [each.grad for each in self._copies.values() if each.grad is not None]
        weights = list(self._live.values())
        add_up(grads, weights)
        norm = norm_of_all(nn.utils.get_total_norm(grads), weights)
        if not norm.isfinite():
            return float(norm)
        nn.utils.clip_grads_with_norm_(self._copies.values(), clip, norm)
        for group in self._adam.param_groups:
            group["lr"] = lr
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        self._publish()
        return float(norm)

    def state(self, *, keep: bool = True) -> dict[str, Any]:
        """All that a resumed run needs, whole. Of a sharded model all processes must ask for it,
        and those that do not `keep` it are given empty tensors."""

        def given(part: Tensor, weight: Tensor) -> Tensor:
            found = whole(part, weight)
            return found if keep else found.new_empty(0)

        weights = {name: given(copy, self._live[name]) for name, copy in self._copies.items()}
        return {"weights": weights, "adam": self._moments(self._adam.state_dict(), given)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        with torch.no_grad():
            for name, copy in self._copies.items():
                copy.copy_(slice_of(state["weights"][name], self._live[name]))
        self._adam.load_state_dict(self._moments(state["adam"], slice_of))
        self._publish()

    def _moments(
        self, adam: dict[str, Any], change: Callable[[Tensor, Tensor], Tensor]
    ) -> dict[str, Any]:
        """AdamW's state with each moment changed, given the weight that it is of."""
        weights = list(self._live.values())
        state = {
            i: {
                key: change(value, weights[i]) if key in _MOMENTS else value
                for key, value in found.items()
            }
            for i, found in adam["state"].items()
        }
        return {**adam, "state": state}

    @torch.no_grad()
    def _publish(self) -> None:
        for name, weight in self._live.items():
            copy: Tensor = self._copies[name]
            local(weight).copy_(copy)


def total_steps(recipe: SFTConfig, examples: int) -> int:
    """Steps of a run: `max_steps`, or the epochs to the nearest whole batch."""
    return recipe.max_steps or max(1, round(recipe.epochs * examples / recipe.batch))


def learning_rate(recipe: TrainingConfig, step: int, steps: int) -> float:
    """The rate of step `step` (from 0): a linear rise over the warm-up, then the schedule."""
    warm = round(recipe.warmup * steps)
    if step < warm:
        return recipe.lr * (step + 1) / warm
    if recipe.schedule == "constant":
        return recipe.lr
    done = (step - warm) / max(1, steps - warm)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * done))
