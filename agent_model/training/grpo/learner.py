"""Gradients of the GRPO objective from the rollouts of a step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

from agent_model.tokens import Kind, Tokenizer, audit, encode
from agent_model.training.config import GRPOConfig
from agent_model.training.data import Batch, TokenRow, collate, micro_batches, shared_prefix
from agent_model.training.grpo.objective import k3, objective
from agent_model.training.grpo.rollouts import Group, has_signal
from agent_model.training.losses import TRAINED_KINDS
from agent_model.training.model import Policy, trainable
from agent_model.training.optimiser import FP32Optimizer
from autocoa_bench.types import Trajectory

_OWN = TRAINED_KINDS["sft2"]


def trained_token_kinds(config: GRPOConfig) -> frozenset[Kind]:
    """The kinds of tokens that are trained: the policy's own, and with `learn_simulated` the search
    results that it wrote."""
    return _OWN | {Kind.SIMULATED} if config.learn_simulated else _OWN


class Reference:
    """A copy of the trainable weights, from which the policy's divergence is measured.

    Weights that are not trained are the policy's own.
    """

    def __init__(self, policy: Policy) -> None:
        self._weights = dict(trainable(policy))
        self._stored = {name: weight.detach().clone() for name, weight in self._weights.items()}

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """Let the policy compute with the copied weights, without gradients."""
        self._swap()
        try:
            with torch.no_grad():
                yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, weight in self._weights.items():
            weight.data, self._stored[name] = self._stored[name], weight.data


class Learner:
    """The policy with its optimiser, and the reference that it is regularised towards."""

    def __init__(self, config: GRPOConfig, policy: Policy, tokenizer: Tokenizer) -> None:
        """Copy the current policy as the reference."""
        self.optimizer = FP32Optimizer(policy)
        self._reference = Reference(policy)
        self._config = config
        self._policy = policy
        self._tokenizer = tokenizer

    def learn(self, groups: Sequence[Group]) -> dict[str, float]:
        """Accumulate the gradients of groups; returns sums over the trained tokens.

        A group of equal rewards has no gradient and is not computed, so it does not count in the
        divergence from the reference; it does count in the loss's denominator.
        """
        config = self._config
        rollouts = [rollout for group in groups if has_signal(group) for rollout in group]
        kinds = trained_token_kinds(config)
        examples = [(token_row(r.trajectory, kinds, self._tokenizer),) for r in rollouts]
        lengths = [int(row.mask.sum()) for (row,) in examples]
        sums = dict.fromkeys(("loss", "kl", "entropy", "learned"), 0.0)
        if not examples:
            return sums
        shared = shared_prefix(examples) if self._policy.shares_prefix else 0
        [parts] = micro_batches(examples, config.micro_tokens, shared=shared)
        device = next(self._policy.parameters()).device
        for part in parts:
            self._learn_batch(
                collate([examples[i] for i in part], device),
                [rollouts[i].advantage for i in part],
                [lengths[i] for i in part],
                sums,
            )
        return sums

    def _learn_batch(
        self, batch: Batch, advantages: list[float], lengths: list[int], sums: dict[str, float]
    ) -> None:
        config, device = self._config, batch.ids.device
        with self._reference.swapped_in():
            reference = self._policy(batch.ids, batch.mask, config.temperature)
        logps = self._policy(batch.ids, batch.mask, config.temperature)
        loss = objective(
            logps,
            torch.tensor(advantages, device=device),
            batch.rows,
            torch.tensor(lengths, device=device),
            reference,
            config.kl,
        ) / (config.batch * config.group)
        torch.autograd.backward(loss)
        self.optimizer.accumulate()
        sums["loss"] += float(loss.detach())
        sums["kl"] += float(k3(logps.detach(), reference).sum())
        sums["entropy"] -= float(logps.detach().sum())
        sums["learned"] += len(logps)


def token_row(trajectory: Trajectory, kinds: frozenset[Kind], tokenizer: Tokenizer) -> TokenRow:
    """The tokens of a rollout, with those of the given kinds in the mask."""
    encoded = encode(trajectory, tokenizer, ends=False)
    mask = np.array([kind in kinds for kind in encoded.kinds], np.bool_)
    audit(encoded, mask.tolist(), kinds, trajectory, tokenizer)
    return TokenRow(np.array(encoded.ids, np.int32), mask)
