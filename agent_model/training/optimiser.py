"""AdamW over full-precision copies of the weights, and the learning rate of every step."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from agent_model.training.config import Recipe
from agent_model.training.policy import trainable


class Masters:
    """fp32 copies of the trainable weights, which AdamW steps; the model gets them rounded.

    A bf16 weight has 8 bits: at a learning rate of 7e-7 one step changes 0.3 % of such weights
    and 99.9 % of fp32 ones. Gradients add up in fp32 as well.
    """

    def __init__(self, policy: nn.Module) -> None:
        self._live = dict(trainable(policy))
        self._copies = {
            name: each.detach().to(torch.float32, copy=True) for name, each in self._live.items()
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
            if copy.grad is None:
                copy.grad = weight.grad.to(torch.float32, copy=True)
            else:
                copy.grad += weight.grad
            weight.grad = None

    def step(self, lr: float, clip: float = 1.0) -> float:
        """One step on what was collected; returns the gradient's norm before it was clipped."""
        norm = nn.utils.clip_grad_norm_(self._copies.values(), clip)
        for group in self._adam.param_groups:
            group["lr"] = lr
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)
        self._publish()
        return float(norm)

    def state(self) -> dict[str, Any]:
        """All that a resumed run needs."""
        return {"weights": self._copies, "adam": self._adam.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        with torch.no_grad():
            for name, copy in self._copies.items():
                copy.copy_(state["weights"][name])
        self._adam.load_state_dict(state["adam"])
        self._publish()

    @torch.no_grad()
    def _publish(self) -> None:
        for name, weight in self._live.items():
            copy: Tensor = self._copies[name]
            weight.copy_(copy)


def total_steps(recipe: Recipe, examples: int) -> int:
    """Steps of a run: `max_steps`, or the epochs to the nearest whole batch."""
    return recipe.max_steps or max(1, round(recipe.epochs * examples / recipe.batch))


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The rate of step `step` (from 0): a linear rise over the warm-up, then the schedule."""
    warm = round(recipe.warmup * steps)
    if step < warm:
        return recipe.lr * (step + 1) / warm
    if recipe.schedule == "constant":
        return recipe.lr
    done = (step - warm) / max(1, steps - warm)
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * done))
