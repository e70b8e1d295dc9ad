"""The supervised stages, on one process or many.

A step takes its examples, groups them in micro-batches of similar length, assigns those to the
processes, accumulates gradients in fp32, clips them and steps. Losses are divided by what the whole
step trains on all processes, so the curve does not depend on how the step is cut. Weights are
copied to every process, with one exchange of gradients per step, or sharded over them (FSDP). Left
out: tensor and pipeline parallelism, accelerate's plug-ins, evaluation of sharded models, dropout,
weight decay, early stopping.
"""

import hashlib
import math
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from rich.console import Console
from torch import Tensor

from agent_model.training import curves, data, loop, run_folder
from agent_model.training.checkpoints import Progress
from agent_model.training.config import SFTConfig
from agent_model.training.distributed import broadcast_weights, create_accelerator, shard
from agent_model.training.losses import StepSize, aggregate, contrastive, mean_logp
from agent_model.training.metrics import SFTStep
from agent_model.training.model import trainable
from agent_model.training.optimiser import FP32Optimizer, diverged, learning_rate, total_steps
from autocoa_bench.errors import UserError


def train(config: SFTConfig, out: Path, console: Console) -> Path:
    """Run or resume a supervised stage in the folder `out`; returns the model's, `out/model`.

    Raises UserError for unusable input, and if `out` holds another run.
    """
    accelerator = create_accelerator(config.torch_threads)
    if config.sharding == "fsdp" and accelerator.num_processes == 1:
        raise UserError(
            "sharding = 'fsdp' shards weights over processes, but there is only one; run this "
            "under `accelerate launch`, or leave out sharding"
        )
    return loop.train(SFTLoop, config, out, accelerator, console)


class SFTLoop(loop.TrainingLoop[SFTConfig, SFTStep]):
    """A run of one supervised stage."""

    row_type = SFTStep

    def __init__(self, config: SFTConfig, out: Path, accelerator: Accelerator) -> None:
        super().__init__(config, out, accelerator)
        self.load_model()
        self.data = data.load_data(config, self.tokenizer)
        if config.sharding == "fsdp":
            shard(self.policy, accelerator.device)
        else:
            self.policy.to(accelerator.device)
            broadcast_weights(self.policy)
        self.steps = total_steps(config, len(self.data.train))
        self.optimizer = FP32Optimizer(self.policy)

    def facts(self) -> run_folder.TrainingRun[SFTConfig]:
        return run_folder.TrainingRun(
            self.config,
            self.data.sha256 | self.replay.sha256,
            len(self.data.train),
            len(self.data.held_out),
            self.data.dropped,
            start=run_folder.starting_point(self.config, self.policy),
            retokenised=self.data.drift,
        )

    def on_start(self, progress: Progress, _: Console) -> None:
        """Refuse to train if processes on machines without a shared folder hold different state."""
        content = msgspec.json.encode((self.config, list(self.data.sha256.values())))
        state = (progress.step, hashlib.sha256(content).hexdigest()[:8])
        states = gather_object([state])
        if len(set(states)) > 1:
            listed = ", ".join(f"{step} {digest}" for step, digest in states)
            raise UserError(
                f"the processes do not agree on the step, or on recipe and data (hash): {listed}; "
                "give all machines the same files and one shared --out"
            )

    def step(self, progress: Progress) -> tuple[SFTStep, Progress]:
        """Take one optimiser step. Raises UserError if loss or gradient is not finite."""
        config, accelerator = self.config, self.accelerator
        start = time.perf_counter()
        # Any randomness in the model follows from seed and step, so that a resumed run repeats it.
        torch.manual_seed(hash((config.seed, progress.step, accelerator.process_index)))
        count = len(self.data.train)
        indices = data.examples_of_step(count, config.batch, config.seed, progress.step)
        examples = [self.data.train[i] for i in indices]
        loss = self._backward(examples)
        replayed = self.accumulate_replay(progress.step)
        lr = learning_rate(config, progress.step, self.steps)
        if not math.isfinite(loss):
            raise diverged("loss", progress.step + 1, lr)
        norm = self.optimizer.step(lr)
        if not math.isfinite(norm):
            raise diverged("gradient", progress.step + 1, lr)
        seconds = time.perf_counter() - start
        tokens = sum(len(row.ids) for example in examples for row in example)
        done = Progress(progress.step + 1, progress.tokens + tokens, progress.seconds + seconds)
        row = SFTStep(
            step=done.step,
            epoch=done.step * config.batch / count,
            loss=loss,
            lr=lr,
            grad_norm=norm,
            tokens=done.tokens,
            trained=data.trained_tokens(examples),
            seconds=done.seconds,
            tokens_per_second=tokens / seconds,
            replay=replayed,
        )
        return row, done

    def _backward(self, examples: Sequence[data.Example]) -> float:
        """Accumulate the gradients of this process's part; returns the loss over all processes."""
        config, accelerator = self.config, self.accelerator
        processes = accelerator.num_processes
        packed = self.policy.packs_rows
        parts = data.micro_batches(examples, config.micro_tokens, processes, packed=packed)
        size = self._size(examples)
        # FSDP averages gradients over the processes, but here they are to be summed.
        scale = processes if config.sharding == "fsdp" else 1
        total = torch.zeros((), device=accelerator.device)
        for group in parts[accelerator.process_index]:
            batch = data.collate([examples[i] for i in group], accelerator.device)
            loss = self._loss(self.policy(batch.ids, batch.mask), batch, size)
            torch.autograd.backward(loss * scale)
            self.optimizer.accumulate()
            total += loss.detach()
        return float(accelerator.reduce(total, "sum"))

    def _size(self, examples: Sequence[data.Example]) -> StepSize:
        return StepSize(len(examples), data.trained_tokens(examples), self.config.max_tokens)

    def _loss(self, logps: Tensor, batch: data.Batch, size: StepSize) -> Tensor:
        """The part of a batch in the loss of examples of this size.

        Stage 1 averages over pairs, each of which has a loss of its own (paper 3.2.2).
        """
        if self.config.stage == "sft1":
            pairs = contrastive(*_pair_logps(logps, batch), self.config.alpha)
            return pairs.sum() / size.trajectories
        lengths = batch.mask.sum(1)[batch.rows]
        return aggregate(-logps, lengths, self.config.aggregate, size)

    def evaluate(self, row: SFTStep) -> SFTStep:
        """The row, with held-out loss and evaluation scores if they are due."""
        if self.data.held_out and self.is_due(row.step, self.config.eval_every):
            loss, ranked = self._held_out()
            row = msgspec.structs.replace(row, held_out=loss, ranked=ranked)
        return super().evaluate(row)

    @torch.no_grad()
    def _held_out(self) -> tuple[float, float | None]:
        """The held-out loss, and for pairs the share whose chosen text is more likely."""
        accelerator, examples = self.accelerator, self.data.held_out
        pairs = self.config.stage == "sft1"
        sums, size = torch.zeros(2, device=accelerator.device), self._size(examples)
        budget, packed = 2 * self.config.micro_tokens, self.policy.packs_rows
        [groups] = data.micro_batches(examples, budget, packed=packed)
        self.policy.eval()
        for start in range(0, len(groups), accelerator.num_processes):
            i = start + accelerator.process_index
            # Sharded weights are gathered by all processes, so one without a group left must
            # compute along on another's.
            group = groups[min(i, len(groups) - 1)]
            batch = data.collate([examples[j] for j in group], accelerator.device)
            logps = self.policy(batch.ids, batch.mask)
            if i >= len(groups):
                continue
            sums[0] += self._loss(logps, batch, size)
            if pairs:
                chosen, rejected = _pair_logps(logps, batch)
                sums[1] += (chosen > rejected).sum()
        self.policy.train()
        loss, ranked = accelerator.reduce(sums, "sum").tolist()
        return loss, ranked / len(examples) if pairs else None

    def plot(self, rows: Sequence[SFTStep]) -> None:
        title = f"{self.config.stage} of {Path(self.config.model).name}"
        curves.plot_sft(rows, self.live, self.out / "curves.png", title)

    def summary(self) -> str:
        dropped = ", ".join(f"{n} {reason}" for reason, n in self.data.dropped.items())
        weights = sum(weight.numel() for _, weight in trainable(self.policy))
        dtype = str(next(self.policy.parameters()).dtype).removeprefix("torch.")
        return (
            f"{self.config.stage}: {len(self.data.train)} examples, {len(self.data.held_out)} held "
            f"out{f', dropped {dropped}' if dropped else ''}; {self.steps} steps of "
            f"{self.config.batch}; {weights / 1e6:.1f} M trainable weights, {dtype}, "
            f"{self.accelerator.num_processes} process(es) on {self.accelerator.device.type}"
            f"{', sharded' if self.config.sharding == 'fsdp' else ''}"
        )


def _pair_logps(logps: Tensor, batch: data.Batch) -> tuple[Tensor, Tensor]:
    """P of the chosen and of the rejected text of each pair, (pairs,) each."""
    means = mean_logp(logps, batch.rows, len(batch.ids))
    return means[0::2], means[1::2]
