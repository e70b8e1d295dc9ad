"""What a step of GRPO learns from what it played."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from agent_model.tokens import Kind, Tokenizer, audit, encode
from agent_model.training.config import GRPOConfig
from agent_model.training.data import Batch, TokenRow, collate, micro_batches, shared_tokens
from agent_model.training.grpo.objective import k3, objective
from agent_model.training.grpo.reference import Reference
from agent_model.training.grpo.rollouts import Group, has_signal
from agent_model.training.losses import TRAINS
from agent_model.training.model import Policy
from agent_model.training.optimiser import FP32Optimizer
from autocoa_bench.types import Trajectory

_OWN = TRAINS["sft2"]


def trained_token_kinds(recipe: GRPOConfig) -> frozenset[Kind]:
    """The kinds of tokens that are learned from: the policy's own, and what it wrote as search
    results where the recipe says so."""
    return _OWN | {Kind.SIMULATED} if recipe.learn_simulated else _OWN


class Learner:
    """The policy that learns, what it is held close to, and where its gradients add up."""

    def __init__(self, recipe: GRPOConfig, policy: Policy, tokenizer: Tokenizer) -> None:
        """The policy as it is becomes the reference."""
        self.masters = FP32Optimizer(policy)
        self._reference = Reference(policy)
        self._recipe = recipe
        self._policy = policy
        self._tokenizer = tokenizer

    def learn(self, groups: Sequence[Group]) -> dict[str, float]:
        """Collect gradients of groups; sums over the tokens learned from.

        A group of equal rewards teaches nothing and is not computed, so that it has no part in the
        divergence from the reference either; in the loss's denominator it counts.
        """
        recipe = self._recipe
        chosen = [each for group in groups if has_signal(group) for each in group]
        kinds = trained_token_kinds(recipe)
        examples = [(row_of(each.trajectory, kinds, self._tokenizer),) for each in chosen]
        lengths = [int(row.keep.sum()) for (row,) in examples]
        sums = dict.fromkeys(("loss", "kl", "entropy", "learned"), 0.0)
        shared = shared_tokens(examples) if examples and self._policy.shares else 0
        [dealt] = micro_batches(examples, recipe.micro_tokens, shared=shared) if examples else [[]]
        for part in dealt:
            self._learn_batch(
                collate([examples[i] for i in part], next(self._policy.parameters()).device),
                [chosen[i].advantage for i in part],
                [lengths[i] for i in part],
                sums,
            )
        return sums

    def _learn_batch(
        self, batch: Batch, advantages: list[float], lengths: list[int], sums: dict[str, float]
    ) -> None:
        recipe, device = self._recipe, batch.ids.device
        with self._reference.standing_in():
            reference = self._policy(batch.ids, batch.keep, recipe.temperature)
        logps = self._policy(batch.ids, batch.keep, recipe.temperature)
        loss = objective(
            logps,
            torch.tensor(advantages, device=device),
            batch.rows,
            torch.tensor(lengths, device=device),
            reference,
            recipe.kl,
        ) / (recipe.batch * recipe.group)
        torch.autograd.backward(loss)
        self.masters.collect()
        sums["loss"] += float(loss.detach())
        sums["kl"] += float(k3(logps.detach(), reference).sum())
        sums["entropy"] -= float(logps.detach().sum())
        sums["learned"] += len(logps)


def row_of(trajectory: Trajectory, kinds: frozenset[Kind], tokenizer: Tokenizer) -> TokenRow:
    """A rollout's tokens, of which those of some kinds are learned from, and no other."""
    encoded = encode(trajectory, tokenizer, ends=False)
    keep = np.array([kind in kinds for kind in encoded.kinds], np.bool_)
    audit(encoded, keep.tolist(), kinds, trajectory, tokenizer)
    return TokenRow(np.array(encoded.ids, np.int32), keep)
