"""GRPO in a simulated and the real environment (paper 3.3), on one process or many.

A step: draw its questions, play each as often as a group has members, with the benchmark's own
episodes and the policy in process; reward them; learn from what was sampled, once. Which questions
a step draws and what its dice throw follow from seed and step, so that a killed run goes on as an
unbroken one. Weights are copied to every process; each plays and learns its own part of the
questions, and gradients meet once a step. Left out: several steps on one batch and so the clipping
of ratios, sliced weights, rewards by a learned model.
"""

from __future__ import annotations

import math
import secrets
import shutil
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import msgspec
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from rich.console import Console

from agent_model.dialects.agent import Agent
from agent_model.rollout.search_client import SearchClient
from agent_model.rollout.server import PolicyServer
from agent_model.rollout.simulator import Simulator
from agent_model.training import checkpoints, evaluation, metrics, run_folder
from agent_model.training.checkpoints import Progress, Trainable
from agent_model.training.config import GRPOConfig
from agent_model.training.distributed import share_of_process, start_processes
from agent_model.training.files import write_records
from agent_model.training.grpo.learner import Learner
from agent_model.training.grpo.metrics import GRPOStep, collapsed, plot, progress_text, row_of
from agent_model.training.grpo.reward import rewarded
from agent_model.training.grpo.rollouts import Group, RolloutContext, rollouts_of_step, sums_of
from agent_model.training.model import load_policy
from agent_model.training.optimiser import learning_rate
from agent_model.training.sharding import share
from agent_model.training.warm_start import warm_start
from autocoa_bench import scoring, tasks
from autocoa_bench.errors import UserError
from autocoa_bench.types import Question, Record

_SERVED = "autocoa-policy"


class _Run(NamedTuple):
    """What stays the same over a run."""

    recipe: GRPOConfig
    out: Path
    accelerator: Accelerator
    stage: RolloutContext
    learner: Learner
    watched: evaluation.EvalSetup | None


def train(recipe: GRPOConfig, out: Path, console: Console) -> Path:
    """Train, or go on training, in the folder `out`; returns what was made, `out/model`.

    Raises UserError for input that cannot be used, where `out` holds another run, and where the
    policy has collapsed.
    """
    accelerator = start_processes(recipe.torch_threads)
    share_of_process(recipe.batch, accelerator.num_processes)
    with run_folder.lock_folder(out, alone=accelerator.is_main_process):
        run = _prepare(recipe, out, accelerator)
        if accelerator.is_main_process:
            facts = _facts(run)
            run_folder.open_run(out, facts, accelerator.num_processes, accelerator.device.type)
            console.print(_summary(run), highlight=False)
            if recipe.begins and not checkpoints.any_in(out / "checkpoints"):
                step = warm_start(out, facts)
                console.print(f"{step} steps are taken over from '{recipe.begins}'")
        accelerator.wait_for_everyone()
        try:
            _train(run, console)
        finally:
            accelerator.end_training()
    return out / "model"


def _prepare(recipe: GRPOConfig, out: Path, accelerator: Accelerator) -> _Run:
    scene, watched = scenes(recipe)
    scorer = scoring.load_scorers((recipe.scorer,))[recipe.scorer]
    policy, tokenizer = load_policy(recipe)
    policy.to(accelerator.device)
    share(policy)
    server = PolicyServer(recipe.server, tokenizer, recipe.seats) if recipe.server else None
    stage = RolloutContext(recipe, policy, tokenizer, scene, scorer, server)
    return _Run(recipe, out, accelerator, stage, Learner(recipe, policy, tokenizer), watched)


def scenes(recipe: GRPOConfig) -> tuple[evaluation.EvalSetup, evaluation.EvalSetup | None]:
    """What is learned in, without the questions that are watched; and what is watched.

    Raises UserError.
    """
    cast = evaluation.EpisodeConfig(
        recipe.tasks,
        "train",
        recipe.count,
        recipe.corpus,
        recipe.search,
        recipe.top_k,
        recipe.solver,
    )
    scene, watched = (
        evaluation.prepare_episodes(cast, recipe.budget),
        evaluation.prepare(recipe.live),
    )
    if not isinstance(scene.dialect, Agent):
        raise UserError(
            f"GRPO rewards the form of solver '{Agent.name}', and the recipe's is "
            f"'{recipe.solver}'; give solver = '{Agent.name}', with options or without"
        )
    apart = set(map(_mark, watched.questions)) if watched else set()
    left = [question for question in scene.questions if _mark(question) not in apart]
    if not left:
        raise UserError(
            f"all {len(scene.questions)} questions of '{recipe.tasks}' are live episodes' too, and "
            "those are not learned from; give a higher count, or other live.tasks"
        )
    return scene._replace(questions=left), watched


def _mark(question: Question) -> tuple[str, str]:
    return (question.task, question.id)


def _facts(run: _Run) -> run_folder.TrainingRun[GRPOConfig]:
    scene = run.stage.scene
    spec = scene.search.spec
    found = {
        f"questions of {run.recipe.tasks}": tasks.questions_sha256(scene.questions),
        f"corpus {spec.corpus}": spec.corpus_sha256,
    }
    start = run_folder.start(run.recipe, run.stage.policy)
    return run_folder.TrainingRun(run.recipe, found, len(scene.questions), start=start)


def _train(run: _Run, console: Console) -> None:
    recipe, main = run.recipe, run.accelerator.is_main_process
    progress = checkpoints.restore(run.out / "checkpoints", run.learner.masters)
    model = Trainable(run.stage.policy, run.stage.tokenizer, recipe.model, main)
    log = metrics.Metrics(run.out / "metrics.csv", progress.step, GRPOStep) if main else None
    _stop_if_collapsed(run, log.rows if log else ())  # as it did before it was started again
    with (
        SearchClient(run.stage.scene.search) as finder,
        run.stage.server or nullcontext(),
        metrics.Bar(console, progress.step, recipe.max_steps, quiet=not main) as bar,
    ):
        while progress.step < recipe.max_steps:
            _serve(run, progress.step, model)
            row, progress = _step(run, finder, progress)
            row = _watched(run, row)
            if log is not None:
                log.add(row)
                bar.add(row.step, progress_text(row), shown=row.live_em is not None)
            if progress.step % recipe.checkpoint_every == 0 or progress.step == recipe.max_steps:
                _checkpoint(run, progress, model, log)
            _stop_if_collapsed(run, log.rows if log else ())
    model.save(run.out / "model")
    if main:
        last = log.rows[-1] if log and log.rows else None
        run_folder.close_run(run.out, GRPOConfig, progress, last)
        console.print(f"trained: {run.out / 'model'}", highlight=False)


def _serve(run: _Run, step: int, model: Trainable) -> None:
    """Give the server, where there is one, the adapter of a step."""
    server, folder = run.stage.server, run.out / "serving"
    if server is None:
        return
    [mark] = broadcast_object_list([secrets.token_hex(4)])
    name = f"{_SERVED}-{step}-{mark}"  # new to a server that served a killed run
    model.save(folder / name)
    if run.accelerator.is_main_process:
        server.load_adapter(folder / name, name)
        shutil.rmtree(folder)
    server.use(name)
    run.accelerator.wait_for_everyone()


def _step(run: _Run, finder: SearchClient, progress: Progress) -> tuple[GRPOStep, Progress]:
    """Play, reward, and take one optimiser step."""
    recipe, accelerator, start = run.recipe, run.accelerator, time.perf_counter()
    simulated = progress.step < recipe.simulated_steps
    groups, asked = _played(run, finder, progress.step)
    rollout_seconds = time.perf_counter() - start
    sums = _of_all(accelerator, sums_of(groups) | asked | run.learner.learn(groups))
    if sums["calls"] and sums["faults"] == sums["calls"]:
        said_last = f": {finder.faults[-1]}" if finder.faults else ""
        raise UserError(f"all {sums['calls']:.0f} searches of a step failed{said_last}")
    lr = learning_rate(recipe, progress.step, recipe.max_steps)
    norm = run.learner.masters.step(lr) if sums["learned"] else 0.0
    if not math.isfinite(norm):
        raise UserError(
            f"the gradient of step {progress.step + 1} is not finite (lr {lr:g}); nothing was "
            "learned from it, and the last checkpoint stands. Give a smaller lr, and another --out"
        )
    if accelerator.is_main_process:
        file = run.out / "rollouts" / f"{checkpoints.name_of(progress.step + 1)}.jsonl"
        write_records(file, [each.record for each in groups[0]])
    done = Progress(
        progress.step + 1,
        progress.tokens + int(sums["tokens"]),
        progress.seconds + time.perf_counter() - start,
    )
    return row_of(sums, done, lr, norm, rollout_seconds, simulated=simulated), done


def _played(run: _Run, finder: SearchClient, step: int) -> tuple[list[Group], dict[str, float]]:
    """This process's groups of a step, and what searching came to."""
    stage, recipe = run.stage, run.recipe
    part = run.accelerator.process_index, run.accelerator.num_processes
    if step < recipe.simulated_steps:
        assert isinstance(stage.scene.dialect, Agent)
        simulator = Simulator(stage.scene.dialect, recipe.result_tokens, recipe.top_k)
        groups = rollouts_of_step(stage, simulator, step, *part)
        return groups, {"calls": 0, "saved": simulator.calls, "faults": simulator.faults}
    before = finder.calls, finder.saved, len(finder.faults)
    finder.clear()  # what is asked in a step follows from the step alone
    groups = rollouts_of_step(stage, finder, step, *part)
    after = finder.calls, finder.saved, len(finder.faults)
    asked = (float(now - then) for now, then in zip(after, before, strict=True))
    return groups, dict(zip(("calls", "saved", "faults"), asked, strict=True))


def _of_all(accelerator: Accelerator, sums: dict[str, float]) -> dict[str, float]:
    """The sums over all processes."""
    mine = torch.tensor(list(sums.values()), dtype=torch.float64, device=accelerator.device)
    return dict(zip(sums, accelerator.reduce(mine, "sum").tolist(), strict=True))


def _watched(run: _Run, row: GRPOStep) -> GRPOStep:
    """The row with what live episodes give, where it is time for them."""
    last = row.step == run.recipe.max_steps
    if run.watched is None or not (last or row.step % run.recipe.live.every == 0):
        return row
    if run.accelerator.is_main_process:
        file = run.out / "live" / f"{checkpoints.name_of(row.step)}.jsonl"
        played = evaluation.evaluate(run.watched, run.stage.policy, run.stage.tokenizer, file)
        found = evaluation.scores(played)
        row = msgspec.structs.replace(
            row,
            live_reward=sum(_earned(run.stage, each) for each in played) / len(played),
            live_em=found.em,
            live_formed=found.formed,
            live_searches=found.searches,
        )
    run.accelerator.wait_for_everyone()
    return row


def _earned(stage: RolloutContext, record: Record) -> float:
    return rewarded(record, stage.recipe, stage.scorer).value


def _stop_if_collapsed(run: _Run, rows: Sequence[GRPOStep]) -> None:
    """Raises UserError, in all processes, where the main one's rows say so."""
    switch = run.recipe.simulated_steps
    alike = rows[switch:] if len(rows) > switch else rows  # of one environment
    [why] = broadcast_object_list([collapsed(alike, run.recipe.patience)])
    if why:
        raise UserError(
            f"stopped, as the policy has collapsed: {why}. metrics.csv and rollouts/ in "
            f"'{run.out}' show how, and its checkpoints stand. Give a smaller lr or a greater kl, "
            "and another --out; patience = 0 goes on in spite of it"
        )


def _checkpoint(
    run: _Run, progress: Progress, model: Trainable, log: metrics.Metrics[GRPOStep] | None
) -> None:
    if log is not None:
        log.sync()
    checkpoints.save(run.out / "checkpoints", progress, run.learner.masters, model)
    if log is not None:
        plot(log.rows, run.out / "curves.png", f"GRPO of {Path(run.recipe.model).name}")
    run.accelerator.wait_for_everyone()


def _summary(run: _Run) -> str:
    recipe = run.recipe
    return (
        f"grpo: {len(run.stage.scene.questions)} questions, {recipe.max_steps} steps "
        f"({recipe.simulated_steps} of them simulated) of {recipe.batch} questions, {recipe.group} "
        f"rollouts each; {run.accelerator.num_processes} process(es) on "
        f"{run.accelerator.device.type}"
    )
