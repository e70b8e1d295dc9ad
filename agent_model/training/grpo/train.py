"""GRPO in a simulated and the real environment (paper 3.3), on one process or many.

A step takes its questions, runs a group of rollouts of each with the benchmark's own episodes and
the policy, rewards them, and learns from the sampled tokens once. Questions and random numbers
follow from seed and step, so that a killed run resumes as an uninterrupted one. Weights are copied
to every process, which runs and learns its own part of the questions; gradients are exchanged once
per step. Left out: several steps on one batch and so the clipping of ratios between them, sharded
weights, rewards by a learned model.
"""

import math
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

import msgspec
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from rich.console import Console

from agent_model.dialects import Agent
from agent_model.rollout.environments import SearchClient, Simulator
from agent_model.rollout.server import PolicyServer
from agent_model.training import checkpoints, curves, loop, run_folder
from agent_model.training.checkpoints import Progress, QuestionHistory
from agent_model.training.config import GRPOConfig
from agent_model.training.distributed import (
    broadcast_weights,
    create_accelerator,
    max_over_processes,
)
from agent_model.training.evaluation import EpisodeSetup, load_episodes
from agent_model.training.files import write_records
from agent_model.training.grpo import guard
from agent_model.training.grpo.learner import Learner
from agent_model.training.grpo.metrics import GRPOStep, collapse, step_metrics
from agent_model.training.grpo.questions import QuestionDraw, draw_questions, with_step
from agent_model.training.grpo.reward import known_questions, reward
from agent_model.training.grpo.rollouts import (
    Group,
    RolloutContext,
    rollouts_of_step,
    score_variance,
    sum_metrics,
)
from agent_model.training.grpo.warm_start import warm_start
from agent_model.training.grpo.world_model import check_world_model, held_questions, simulator
from agent_model.training.optimiser import diverged, learning_rate
from autocoa_bench import scoring, tasks
from autocoa_bench.engines.weights.models import sha256_of
from autocoa_bench.errors import UserError
from autocoa_bench.types import Record
from autocoa_bench.util.terminal import styled

_ADAPTER_NAME = "autocoa-policy"


def train(config: GRPOConfig, out: Path, console: Console) -> Path:
    """Run or resume GRPO in the folder `out`; returns the model's folder, `out/model`.

    Raises UserError for unusable input, if `out` holds another run, and if the policy collapses.
    """
    return loop.train(GRPOLoop, config, out, create_accelerator(config.torch_threads), console)


def load_training(config: GRPOConfig, evaluation: EpisodeSetup | None) -> EpisodeSetup:
    """The episodes to train on, without questions of the evaluation. Raises UserError."""
    setup = load_episodes(config, "train", config.search)
    if not isinstance(setup.dialect, Agent):
        raise UserError(
            f"GRPO rewards the form of solver '{Agent.name}', but the recipe has solver = "
            f"'{config.solver}'; set it to '{Agent.name}', with or without options"
        )
    held_out = {(q.task, q.id) for q in evaluation.questions} if evaluation else set()
    questions = [q for q in setup.questions if (q.task, q.id) not in held_out]
    if not questions:
        raise UserError(
            f"all {len(setup.questions)} questions of '{config.tasks}' are used by the "
            "evaluation and so not trained on; give a higher count, or other live.tasks"
        )
    return setup._replace(questions=questions)


class GRPOLoop(loop.TrainingLoop[GRPOConfig, GRPOStep]):
    """A run of GRPO."""

    row_type = GRPOStep
    search: SearchClient

    def __init__(self, config: GRPOConfig, out: Path, accelerator: Accelerator) -> None:
        super().__init__(config, out, accelerator)
        setup = load_training(config, self.evaluation)
        scorer = scoring.load_scorers((config.scorer,))[config.scorer]
        self.load_model()
        self.policy.to(accelerator.device)
        broadcast_weights(self.policy)
        address, tokenizer = config.server, self.tokenizer
        ends = self.policy.inner.generation_config
        server = PolicyServer(address, tokenizer, config.seats, ends) if address else None
        evaluated = self.evaluation.questions if self.evaluation else []
        known = known_questions(config, [*setup.questions, *evaluated])
        self.context = RolloutContext(config, self.policy, tokenizer, setup, scorer, server, known)
        self.held: Sequence[int] = range(len(setup.questions))  # those of simulated steps
        self.learner = Learner(config, self.policy, tokenizer)
        self.optimizer = self.learner.optimizer
        self.steps = config.max_steps

    def facts(self) -> run_folder.TrainingRun[GRPOConfig]:
        questions, spec = self.context.setup.questions, self.context.setup.search.spec
        hashes = {
            f"questions of {self.config.tasks}": tasks.questions_sha256(questions),
            f"corpus {spec.corpus}": spec.corpus_sha256,
            **self.replay.sha256,
        }
        if known := self.config.reward.known:
            hashes[known] = sha256_of(Path(known))
        start = run_folder.starting_point(self.config, self.policy)
        return run_folder.TrainingRun(self.config, hashes, len(questions), start=start)

    def prepare(self, console: Console) -> None:
        """Print warnings, and copy the steps of the run that the recipe begins as, if it does."""
        for warning in self.context.setup.warnings:
            console.print(styled(warning, "yellow"))
        if self.config.begins and not checkpoints.newest_step(self.out / "checkpoints"):
            step = warm_start(self.out, self.facts())
            console.print(f"copied {step} steps from '{self.config.begins}'")

    def on_start(self, progress: Progress, console: Console) -> None:
        """Check the policy as a world model, if the recipe asks for it. Raises UserError."""
        check = check_world_model(self.context, progress.step, self.out, self.accelerator)
        if check is None:
            return
        questions = self.context.setup.questions
        self.held = held_questions(check, questions)
        if self.accelerator.is_main_process:
            console.print(
                f"world model: {check.fidelity:.1%} of {check.facts} facts true; "
                f"{len(self.held)} of {len(questions)} questions in simulated steps",
                highlight=False,
            )

    def run(self, console: Console) -> None:
        """Train to the last step, with the search engine and the server open."""
        server = self.context.server or nullcontext()
        with SearchClient(self.context.setup.search) as self.search, server:
            super().run(console)

    def check(self, rows: Sequence[GRPOStep]) -> None:
        """Raises UserError, in all processes, if the main one's rows show a collapse."""
        switch = self.config.simulated_steps
        comparable = rows[switch:] if len(rows) > switch else rows  # of one environment
        [reason] = broadcast_object_list([collapse(comparable, self.config.patience)])
        if reason:
            raise UserError(
                f"stopped because the policy has collapsed: {reason}. See metrics.csv and "
                f"rollouts/ in '{self.out}'; its checkpoints are intact. Give a smaller lr or a "
                "larger kl, and another --out; patience = 0 continues regardless"
            )

    def fall(self, rows: Sequence[GRPOStep]) -> str:
        """A fall of live exact match in the environment of the last step, which rewards hide."""
        if not self.config.stop_on_fall or not self.live or not self.live.evaluations:
            return ""
        switch = self.config.simulated_steps
        start = switch if self.live.evaluations[-1].step > switch else 0
        evaluations = [e for e in self.live.evaluations if e.step >= start]
        rewards = {row.step: row.reward for row in rows[start:]}
        main = self.accelerator.is_main_process
        [reason] = broadcast_object_list([guard.fall(evaluations, rewards) if main else ""])
        return reason and (
            f"{reason}\nSee live/ and rollouts/ in '{self.out}'. Give a smaller lr or truer "
            "simulated results, and another --out; stop_on_fall = false continues regardless"
        )

    def step(self, progress: Progress) -> tuple[GRPOStep, Progress]:
        """Sample, reward, and take one optimiser step. Raises UserError if all searches fail, or if
        the gradient is not finite."""
        config = self.config
        self._serve_adapter(progress.step)
        start = time.perf_counter()
        search = self._search(progress.step)
        process = self.accelerator.process_index, self.accelerator.num_processes
        simulated = progress.step < config.simulated_steps
        available = self.held if simulated else range(len(self.context.setup.questions))
        draw = draw_questions(config, available, progress.history, progress.step)
        groups = rollouts_of_step(self.context, search, draw.indices, progress.step, *process)
        searches = _search_counts(search)
        rollout_seconds = time.perf_counter() - start
        learned = self.learner.learn(groups)
        sums = self._sum(sum_metrics(groups, self.context.known) | searches | learned.sums)
        ratio_max = max_over_processes(learned.ratio_max, self.accelerator.device)
        if sums["calls"] and sums["faults"] == sums["calls"]:
            last = f": {self.search.faults[-1]}" if self.search.faults else ""
            raise UserError(f"all {sums['calls']:.0f} searches of a step failed{last}")
        lr = learning_rate(config, progress.step, config.max_steps)
        replayed = self.accumulate_replay(progress.step) if sums["learned"] else None
        norm = self.optimizer.step(lr) if sums["learned"] else 0.0
        if not math.isfinite(norm):
            raise diverged("gradient", progress.step + 1, lr)
        if self.accelerator.is_main_process:
            file = self.out / "rollouts" / f"{checkpoints.step_name(progress.step + 1)}.jsonl"
            write_records(file, [rollout.record for rollout in groups[0]])
        done = Progress(
            progress.step + 1,
            progress.tokens + int(sums["tokens"]),
            progress.seconds + time.perf_counter() - start,
            self._history(progress.history, draw, groups),
        )
        row = step_metrics(
            sums, done, lr, norm, rollout_seconds, simulated=simulated, ratio_max=ratio_max
        )
        return msgspec.structs.replace(row, replay=replayed), done

    def _history(
        self, history: QuestionHistory, draw: QuestionDraw, groups: Sequence[Group]
    ) -> QuestionHistory:
        """The history after a step, with the groups of all processes; empty if none is kept."""
        if not self.config.groups.informative:
            return history
        return with_step(history, draw, gather_object(list(map(score_variance, groups))))

    def _serve_adapter(self, step: int) -> None:
        """Load the current adapter into the server, if there is one."""
        server, folder = self.context.server, self.out / "serving"
        if server is None:
            return
        # The name must be new to a server that already served a killed run's adapters.
        [suffix] = broadcast_object_list([secrets.token_hex(4)])
        name = f"{_ADAPTER_NAME}-{step}-{suffix}"
        self.writer.save(folder / name)
        if self.accelerator.is_main_process:
            server.load_adapter(folder / name, name)
            shutil.rmtree(folder)
        server.model = name
        self.accelerator.wait_for_everyone()

    def _search(self, step: int) -> SearchClient | Simulator:
        """The environment of a step, with nothing counted yet."""
        dialect = self.context.setup.dialect
        if step < self.config.simulated_steps:
            assert isinstance(dialect, Agent)
            return simulator(self.config, dialect)
        # With the cache emptied, the calls of a step follow from the step alone.
        self.search.clear()
        return self.search

    def _sum(self, sums: dict[str, float]) -> dict[str, float]:
        """The sums over all processes."""
        local = torch.tensor(list(sums.values()), dtype=torch.float64)
        total = self.accelerator.reduce(local.to(self.accelerator.device), "sum")
        return dict(zip(sums, total.tolist(), strict=True))

    def evaluation_columns(self, records: Sequence[Record]) -> Mapping[str, float | None]:
        """The columns of an evaluation, with the mean reward."""
        config, scorer, known = self.config, self.context.scorer, self.context.known
        rewards = [reward(record, config, scorer, known).value for record in records]
        mean = sum(rewards) / len(rewards)
        return {**super().evaluation_columns(records), "live_reward": mean}

    def plot(self, rows: Sequence[GRPOStep]) -> None:
        title = f"GRPO of {Path(self.config.model).name}"
        curves.plot_grpo(rows, self.live, self.out / "curves.png", title)

    def summary(self) -> str:
        config = self.config
        return (
            f"grpo: {len(self.context.setup.questions)} questions, {config.max_steps} steps "
            f"({config.simulated_steps} of them simulated) of {config.batch} questions, "
            f"{config.group} rollouts each; {self.accelerator.num_processes} process(es) on "
            f"{self.accelerator.device.type}"
        )


def _search_counts(search: SearchClient | Simulator) -> dict[str, float]:
    """The searches of a step; those that the policy answered itself were saved."""
    if isinstance(search, Simulator):
        return {"calls": 0, "saved": search.calls, "faults": search.faults}
    return {"calls": search.calls, "saved": search.saved, "faults": len(search.faults)}
