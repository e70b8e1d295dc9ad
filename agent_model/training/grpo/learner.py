"""Gradients of the GRPO objective from the rollouts of a step."""

from collections.abc import Sequence

import torch
from torch.func import functional_call

from agent_model.training.config import GRPOConfig
from agent_model.training.data import collate, micro_batches, shared_prefix
from agent_model.training.grpo.objective import k3, objective
from agent_model.training.grpo.rollouts import Group, has_signal
from agent_model.training.masks import trained_kinds, trajectory_row
from agent_model.training.model import Policy, trainable
from agent_model.training.optimiser import FP32Optimizer
from autocoa_bench.engines.tokenizer import Tokenizer


class Learner:
    """The policy with its optimiser, and the reference that it is regularised towards.

    `reference` holds the trainable weights by name, as the policy had them at first.
    """

    def __init__(self, config: GRPOConfig, policy: Policy, tokenizer: Tokenizer) -> None:
        """Copy the current policy as the reference."""
        self.optimizer = FP32Optimizer(policy)
        self.reference = {name: weight.detach().clone() for name, weight in trainable(policy)}
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
        kinds = trained_kinds(config)
        examples = [
            (trajectory_row(rollout.trajectory, kinds, self._tokenizer, ends=False),)
            for rollout in rollouts
        ]
        sums = dict.fromkeys(("loss", "kl", "entropy", "learned"), 0.0)
        if not examples:
            return sums
        shared = shared_prefix(examples) if self._policy.shares_prefix else 0
        [parts] = micro_batches(examples, config.micro_tokens, shared=shared)
        device = next(self._policy.parameters()).device
        for part in parts:
            batch = collate([examples[i] for i in part], device)
            advantages = torch.tensor([rollouts[i].advantage for i in part], device=device)
            inputs = batch.ids, batch.mask, config.temperature
            with torch.no_grad():
                reference = functional_call(self._policy, self.reference, inputs)
            logps = self._policy(*inputs)
            lengths = batch.mask.sum(1)
            loss = objective(logps, advantages, batch.rows, lengths, reference, config.kl)
            loss = loss / (config.batch * config.group)
            torch.autograd.backward(loss)
            self.optimizer.accumulate()
            sums["loss"] += float(loss.detach())
            sums["kl"] += float(k3(logps.detach(), reference).sum())
            sums["entropy"] -= float(logps.detach().sum())
            sums["learned"] += len(logps)
        return sums
