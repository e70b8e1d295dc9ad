"""The loop of all three supervised stages, on one process or many.

A step: draw its examples, put them in micro-batches of like length, deal those to the processes,
add up gradients in fp32, clip, step. Losses are divided by what the whole step trains on all
processes, so the curve does not depend on how the step is cut. Weights are copied to every
process, which meet once a step to add up their gradients, or sliced over them (FSDP). Left out:
tensor and pipeline parallelism, accelerate's own plug-ins, live episodes of sliced models, dropout,
weight decay, early stopping.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from rich.console import Console
from torch import Tensor

from agent_model.tokens import Tokenizer
from agent_model.training import checkpoints, evaluation, metrics, run_folder
from agent_model.training.checkpoints import Progress, Trainable
from agent_model.training.config import SFTConfig
from agent_model.training.data import (
    Batch,
    Data,
    Example,
    all_tokens,
    collate,
    examples_of_step,
    load_data,
    micro_batches,
    shared_tokens,
    trained_tokens,
)
from agent_model.training.distributed import share_of_process, start_processes
from agent_model.training.losses import contrastive, mean_logp, nll
from agent_model.training.model import Policy, load_policy, trainable
from agent_model.training.optimiser import FP32Optimizer, learning_rate, total_steps
from agent_model.training.sharding import shard, share
from autocoa_bench.errors import UserError


class _Run(NamedTuple):
    """What stays the same over a run."""

    recipe: SFTConfig
    out: Path
    accelerator: Accelerator
    policy: Policy
    tokenizer: Tokenizer
    data: Data
    masters: FP32Optimizer
    steps: int
    scene: evaluation.EvalSetup | None


def train(recipe: SFTConfig, out: Path, console: Console) -> Path:
    """Train, or go on training, in the folder `out`; returns what was made, `out/model`.

    Raises UserError for input that cannot be used, and where `out` holds another run.
    """
    accelerator = start_processes(recipe.torch_threads)
    _check_processes(recipe, accelerator)
    with run_folder.lock_folder(out, alone=accelerator.is_main_process):
        run = _prepare(recipe, out, accelerator)
        if accelerator.is_main_process:
            run_folder.open_run(
                out, _facts(run), accelerator.num_processes, accelerator.device.type
            )
            console.print(_summary(run), highlight=False)
        accelerator.wait_for_everyone()
        try:
            _train(run, console)
        finally:
            accelerator.end_training()
    return out / "model"


def _check_processes(recipe: SFTConfig, accelerator: Accelerator) -> None:
    share_of_process(recipe.batch, accelerator.num_processes)
    if recipe.sharding == "fsdp" and accelerator.num_processes == 1:
        raise UserError(
            "sharding = 'fsdp' slices weights over processes, and there is one; run it under "
            "`accelerate launch`, or leave out sharding"
        )


def _facts(run: _Run) -> run_folder.TrainingRun[SFTConfig]:
    data = run.data
    return run_folder.TrainingRun(
        run.recipe,
        data.sha256,
        len(data.train),
        len(data.held_out),
        data.dropped,
        start=run_folder.start(run.recipe, run.policy),
        retokenised=data.drift,
    )


def _prepare(recipe: SFTConfig, out: Path, accelerator: Accelerator) -> _Run:
    policy, tokenizer = load_policy(recipe)
    data = load_data(recipe, tokenizer)
    if recipe.sharding == "fsdp":
        shard(policy, accelerator.device)
    else:
        policy.to(accelerator.device)
        share(policy)
    steps = total_steps(recipe, len(data.train))
    masters = FP32Optimizer(policy)
    scene = evaluation.prepare(recipe.live)
    return _Run(recipe, out, accelerator, policy, tokenizer, data, masters, steps, scene)


def _train(run: _Run, console: Console) -> None:
    recipe, main = run.recipe, run.accelerator.is_main_process
    progress = checkpoints.restore(run.out / "checkpoints", run.masters)
    _check_agreement(run, progress)
    model = Trainable(run.policy, run.tokenizer, recipe.model, main)
    log = (
        metrics.Metrics(run.out / "metrics.csv", progress.step, metrics.MetricsRow)
        if main
        else None
    )
    with metrics.Bar(console, progress.step, run.steps, quiet=not main) as bar:
        while progress.step < run.steps:
            row, progress = _step(run, progress)
            row = _evaluated(run, row)
            if log is not None:
                log.add(row)
                bar.add(row.step, metrics.progress_text(row), shown=row.held_out is not None)
            if progress.step % recipe.checkpoint_every == 0 or progress.step == run.steps:
                _checkpoint(run, progress, model, log)
    model.save(run.out / "model")
    if main:
        last = log.rows[-1] if log and log.rows else None
        run_folder.close_run(run.out, SFTConfig, progress, last)
        console.print(f"trained: {run.out / 'model'}", highlight=False)


def _step(run: _Run, progress: Progress) -> tuple[metrics.MetricsRow, Progress]:
    """One optimiser step. Randomness, if the model has any, follows from seed and step."""
    recipe, accelerator = run.recipe, run.accelerator
    start = time.perf_counter()
    torch.manual_seed(hash((recipe.seed, progress.step, accelerator.process_index)))
    chosen = examples_of_step(len(run.data.train), recipe.batch, recipe.seed, progress.step)
    examples = [run.data.train[i] for i in chosen]
    weight = _weight(recipe, examples)
    shared = shared_tokens(examples) if run.policy.shares else 0
    dealt = micro_batches(examples, recipe.micro_tokens, accelerator.num_processes, shared)
    # FSDP averages gradients over the processes, and here they are to be added up.
    scale = accelerator.num_processes if recipe.sharding == "fsdp" else 1
    total = torch.zeros((), device=accelerator.device)
    for group in dealt[accelerator.process_index]:
        batch = collate([examples[i] for i in group], accelerator.device)
        loss = _loss(recipe, run.policy(batch.ids, batch.keep), batch) / weight
        torch.autograd.backward(loss * scale)
        run.masters.collect()
        total += loss.detach()
    lr = learning_rate(recipe, progress.step, run.steps)
    loss_of_all = float(accelerator.reduce(total, "sum"))
    if not math.isfinite(loss_of_all):
        raise _diverged("loss", progress.step + 1, lr)
    norm = run.masters.step(lr)
    if not math.isfinite(norm):
        raise _diverged("gradient", progress.step + 1, lr)
    tokens, seconds = all_tokens(examples), time.perf_counter() - start
    done = Progress(progress.step + 1, progress.tokens + tokens, progress.seconds + seconds)
    row = metrics.MetricsRow(
        step=done.step,
        epoch=done.step * recipe.batch / len(run.data.train),
        loss=loss_of_all,
        lr=lr,
        grad_norm=norm,
        tokens=done.tokens,
        trained=trained_tokens(examples),
        seconds=done.seconds,
        tokens_per_second=tokens / seconds,
    )
    return row, done


def _diverged(what: str, step: int, lr: float) -> UserError:
    return UserError(
        f"the {what} of step {step} is not finite (lr {lr:g}); nothing was learned from it, and "
        "the last checkpoint stands. Give a smaller lr or a longer warmup, and another --out"
    )


def _check_agreement(run: _Run, progress: Progress) -> None:
    """Refuse to go on where processes, on machines without one folder, hold different things."""
    held = msgspec.json.encode((run.recipe, list(run.data.sha256.values())))
    mine = (progress.step, hashlib.sha256(held).hexdigest()[:8])
    found = gather_object([mine])
    if len(set(found)) > 1:
        raise UserError(
            "the processes do not agree on where the run is and what it is of (step, hash of "
            f"recipe and data: {', '.join(f'{step} {digest}' for step, digest in found)}); give "
            "all machines the same files and one shared --out"
        )


def _weight(recipe: SFTConfig, examples: Sequence[Example]) -> int:
    """What a step's summed loss is divided by: its pairs, or all its trained tokens."""
    return len(examples) if recipe.stage == "sft1" else trained_tokens(examples)


def _loss(recipe: SFTConfig, logps: Tensor, batch: Batch) -> Tensor:
    """A batch's summed loss."""
    if recipe.stage == "sft1":
        return contrastive(*_sides(logps, batch), recipe.alpha).sum()
    return nll(logps)


def _sides(logps: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """P of each pair's chosen and rejected text, (pairs,) each."""
    means = mean_logp(logps, batch.rows, len(batch.ids))
    return means[0::2], means[1::2]


def _evaluated(run: _Run, row: metrics.MetricsRow) -> metrics.MetricsRow:
    """The row with what held-out examples and live episodes give, where it is time for them."""
    if run.data.held_out and _due(row.step, run.recipe.eval_every, run.steps):
        loss, ranked = _held_out(run)
        row = msgspec.structs.replace(row, held_out=loss, ranked=ranked)
    if run.scene is not None and _due(row.step, run.recipe.live.every, run.steps):
        if run.accelerator.is_main_process:
            file = run.out / "live" / f"{checkpoints.name_of(row.step)}.jsonl"
            played = evaluation.scores(
                evaluation.evaluate(run.scene, run.policy, run.tokenizer, file)
            )
            row = msgspec.structs.replace(
                row,
                live_em=played.em,
                live_formed=played.formed,
                live_searches=played.searches,
            )
        run.accelerator.wait_for_everyone()
    return row


@torch.no_grad()
def _held_out(run: _Run) -> tuple[float, float | None]:
    """The held-out loss, and for pairs the share that is ranked right."""
    recipe, accelerator, examples = run.recipe, run.accelerator, run.data.held_out
    sums = torch.zeros(2, device=accelerator.device)
    [groups] = micro_batches(examples, 2 * recipe.micro_tokens)
    run.policy.eval()
    for start in range(0, len(groups), accelerator.num_processes):
        place = start + accelerator.process_index
        # Weights that are sliced are gathered by all: who has nothing left computes along.
        group = groups[min(place, len(groups) - 1)]
        batch = collate([examples[i] for i in group], accelerator.device)
        logps = run.policy(batch.ids, batch.keep)
        if place >= len(groups):
            continue
        sums[0] += _loss(recipe, logps, batch)
        if recipe.stage == "sft1":
            chosen, rejected = _sides(logps, batch)
            sums[1] += (chosen > rejected).sum()
    run.policy.train()
    loss, ranked = accelerator.reduce(sums, "sum").tolist()
    pairs = recipe.stage == "sft1"
    return loss / _weight(recipe, examples), ranked / len(examples) if pairs else None


def _due(step: int, every: int, steps: int) -> bool:
    return step % every == 0 or step == steps


def _checkpoint(
    run: _Run, progress: Progress, model: Trainable, log: metrics.Metrics[metrics.MetricsRow] | None
) -> None:
    if log is not None:
        log.sync()
    checkpoints.save(run.out / "checkpoints", progress, run.masters, model)
    if log is not None:
        title = f"{run.recipe.stage} of {Path(run.recipe.model).name}"
        metrics.plot(log.rows, run.out / "curves.png", title)
    run.accelerator.wait_for_everyone()


def _summary(run: _Run) -> str:
    left_out = ", ".join(f"{n} {reason}" for reason, n in run.data.dropped.items())
    weights = sum(each.numel() for _, each in trainable(run.policy))
    dtype = str(next(run.policy.parameters()).dtype).removeprefix("torch.")
    return (
        f"{run.recipe.stage}: {len(run.data.train)} examples, {len(run.data.held_out)} held out"
        f"{f', left out {left_out}' if left_out else ''}; {run.steps} steps of "
        f"{run.recipe.batch}; {weights / 1e6:.1f} M weights learn, {dtype}, "
        f"{run.accelerator.num_processes} process(es) on {run.accelerator.device.type}"
        f"{', sliced' if run.recipe.sharding == 'fsdp' else ''}"
    )
