"""Gradients of the GRPO objective from the rollouts of a step."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch.func import functional_call

from agent_model.training.config import GRPOConfig
from agent_model.training.data import collate, micro_batches
from agent_model.training.distributed import sum_over_processes
from agent_model.training.grpo.objective import importance_ratios, k3, objective, truncated
from agent_model.training.grpo.rollouts import Group, ScoredRollout, has_signal
from agent_model.training.losses import StepSize, aggregate
from agent_model.training.masks import TokenRow, sampled_rows, trained_kinds
from agent_model.training.model import Policy, trainable
from agent_model.training.optimiser import FP32Optimizer
from autocoa_bench.engines.tokenizer import Tokenizer


class Learned(NamedTuple):
    """What a process learned from: `sums` over tokens, for `grpo.metrics.step_metrics`, and the
    greatest importance ratio (0 if none is known)."""

    sums: dict[str, float]
    ratio_max: float = 0.0


class Learner:
    """The policy with its optimiser, and the reference that it is regularised towards.

    `reference` holds the trainable weights by name, as the policy had them at first; it is empty if
    the recipe's `kl` is 0, which needs none.
    """

    def __init__(self, config: GRPOConfig, policy: Policy, tokenizer: Tokenizer) -> None:
        """Copy the current policy as the reference."""
        self.optimizer = FP32Optimizer(policy)
        weights = trainable(policy) if config.kl else ()
        self.reference = {name: weight.detach().clone() for name, weight in weights}
        self._config = config
        self._policy = policy
        self._tokenizer = tokenizer

    def learn(self, groups: Sequence[Group]) -> Learned:
        """Accumulate the gradients of this process's groups; all processes must call it.

        A group of equal rewards has no gradient and is not computed, so it does not count in the
        divergence from the reference; it does count in the loss's denominator.
        """
        config = self._config
        rollouts = [rollout for group in groups if has_signal(group) for rollout in group]
        rows_of = list(map(self._rows, rollouts))
        size = self._step_size(groups, rows_of)
        sums = dict.fromkeys(("loss", "entropy", "learned", "ratios", "deviation"), 0.0)
        sums |= {"kl": 0.0} if config.kl else {}
        largest = 0.0
        if not rollouts:
            return Learned(sums)
        # The rows of a rollout may be computed in different micro-batches.
        examples = [(row,) for rows in rows_of for row in rows]
        owners = [i for i, rows in enumerate(rows_of) for _ in rows]
        packed = self._policy.packs_rows
        [parts] = micro_batches(examples, config.micro_tokens, packed=packed)
        device = next(self._policy.parameters()).device
        advantages = torch.tensor([rollout.advantage for rollout in rollouts], device=device)
        lengths = torch.tensor([_count(rows) for rows in rows_of], device=device)
        for part in parts:
            batch = collate([examples[i] for i in part], device)
            owner = torch.tensor([owners[i] for i in part], device=device)[batch.rows]
            inputs = batch.ids, batch.mask, config.temperature
            reference = None
            if config.kl:
                with torch.no_grad():
                    reference = functional_call(self._policy, self.reference, inputs)
            logps = self._policy(*inputs)
            ratios = importance_ratios(logps, batch.sampled)
            weight = truncated(ratios, config.ratio_clip)
            losses = objective(logps, advantages[owner], weight, reference, config.kl)
            loss = aggregate(losses, lengths[owner], config.aggregate, size)
            torch.autograd.backward(loss)
            self.optimizer.accumulate()
            sums["loss"] += float(loss.detach())
            if reference is not None:
                sums["kl"] += float(k3(logps.detach(), reference).sum())
            sums["entropy"] -= float(logps.detach().sum())
            sums["learned"] += len(logps)
            known = ratios[~ratios.isnan()]
            sums["ratios"] += len(known)
            sums["deviation"] += float((known - 1).abs().sum())
            largest = max([largest, *known.tolist()])
        return Learned(sums, largest)

    def _rows(self, rollout: ScoredRollout) -> tuple[TokenRow, ...]:
        return sampled_rows(rollout.trajectory, trained_kinds(self._config), self._tokenizer)

    def _step_size(
        self, groups: Sequence[Group], rows_of: Sequence[Sequence[TokenRow]]
    ) -> StepSize:
        """The size of the whole step, with the groups from which nothing is learned."""
        config, tokens = self._config, 0
        if config.aggregate == "token-mean":
            skipped = [rollout for group in groups if not has_signal(group) for rollout in group]
            tokens = sum(map(_count, rows_of)) + sum(map(_count, map(self._rows, skipped)))
            device = next(self._policy.parameters()).device
            tokens = round(sum_over_processes(tokens, device))
        return StepSize(config.batch * config.group, tokens, config.context_tokens)


def _count(rows: Sequence[TokenRow]) -> int:
    """The trained tokens of a rollout."""
    return sum(int(row.mask.sum()) for row in rows)
