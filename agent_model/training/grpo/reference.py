"""The policy that a run of reinforcement learning started from, which it is held close to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from agent_model.training.model import Policy, trainable


class Reference:
    """A copy of the weights that learn, as they were; the others are the policy's own."""

    def __init__(self, policy: Policy) -> None:
        self._weights = dict(trainable(policy))
        self._kept = {name: each.detach().clone() for name, each in self._weights.items()}

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        """While it lasts, the policy computes as the reference, without gradients."""
        self._swap()
        try:
            with torch.no_grad():
                yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, weight in self._weights.items():
            weight.data, self._kept[name] = self._kept[name], weight.data
