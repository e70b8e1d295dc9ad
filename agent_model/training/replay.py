"""Replay: every step also learns examples of what the model must not forget.

Training on new facts overwrites old ones (the paper's Challenge 1), so a few of the texts that a
model was trained on before, or trajectories that answer from memory, enter the loss of each step.
"""

from pathlib import Path

import torch
from accelerate import Accelerator

from agent_model.training import data
from agent_model.training.config import TrainingConfig
from agent_model.training.model import Policy
from agent_model.training.optimiser import FP32Optimizer
from autocoa_bench.engines.tokenizer import Tokenizer
from autocoa_bench.engines.weights.models import sha256_of


class Replay:
    """The examples of a recipe's `[replay]`, and their gradients; `sha256` is by file."""

    def __init__(self, config: TrainingConfig, tokenizer: Tokenizer) -> None:
        """Read the examples, if there are any. Raises UserError."""
        self._config = config
        self._examples = data.load_replay(config, tokenizer)
        self.sha256 = {name: sha256_of(Path(name)) for name in config.replay.data}

    def accumulate(
        self, policy: Policy, optimizer: FP32Optimizer, accelerator: Accelerator, step: int
    ) -> float | None:
        """Accumulate the gradients of the examples that belong to `step` (from 0).

        Returns their mean negative log-likelihood per trained token; None without replay.
        """
        config, settings = self._config, self._config.replay
        if not self._examples:
            return None
        indices = data.examples_of_step(len(self._examples), settings.batch, config.seed, step)
        examples = [self._examples[i] for i in indices]
        tokens = data.trained_tokens(examples)
        budget, packed = config.micro_tokens, policy.packs_rows
        parts = data.micro_batches(examples, budget, accelerator.num_processes, packed=packed)
        total = torch.zeros((), device=accelerator.device)
        for group in parts[accelerator.process_index]:
            batch = data.collate([examples[i] for i in group], accelerator.device)
            loss = -policy(batch.ids, batch.mask).sum() / tokens
            torch.autograd.backward(loss * settings.weight)
            optimizer.accumulate()
            total += loss.detach()
        return float(accelerator.reduce(total, "sum"))
