"""The training loop that all stages share: resume, step, evaluate, log, checkpoint."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Generic

import msgspec
from accelerate import Accelerator
from rich.console import Console

from agent_model.training import checkpoints, evaluation, run_folder
from agent_model.training.checkpoints import ModelWriter, Progress
from agent_model.training.config import AnyConfig
from agent_model.training.distributed import batch_per_process
from agent_model.training.files import writing
from agent_model.training.live import LiveEvaluation
from agent_model.training.metrics import MetricsFile, Row
from agent_model.training.model import load_policy
from agent_model.training.optimiser import FP32Optimizer
from agent_model.training.replay import Replay
from agent_model.training.run_folder import TrainingRun
from autocoa_bench.errors import StoppedEarly, UserError
from autocoa_bench.types import Record
from autocoa_bench.util.progress import TrainingProgress


class TrainingLoop(ABC, Generic[AnyConfig, Row]):
    """One run of training in the folder `out`.

    Subclasses load model and data in `__init__`, where they also place the policy on its devices
    and set `optimizer` and `steps`.
    """

    row_type: type[Row]
    optimizer: FP32Optimizer
    steps: int
    live: LiveEvaluation | None = None

    def __init__(self, config: AnyConfig, out: Path, accelerator: Accelerator) -> None:
        """Load the evaluation. Raises UserError."""
        self.config = config
        self.out = out
        self.accelerator = accelerator
        self.evaluation = evaluation.load_evaluation(config.live)

    def load_model(self) -> None:
        """Load the model and the examples of its replay. Raises UserError."""
        self.policy, self.tokenizer = load_policy(self.config)
        main = self.accelerator.is_main_process
        self.replay = Replay(self.config, self.tokenizer)
        self.writer = ModelWriter(self.policy, self.tokenizer, self.config.model, main)
        if self.evaluation is not None:
            self.live = LiveEvaluation(
                self.config.live,
                self.evaluation,
                self.evaluation_columns,
                self.writer,
                self.out,
                self.accelerator,
            )

    @abstractmethod
    def facts(self) -> TrainingRun[AnyConfig]:
        """The facts for run.json."""

    @abstractmethod
    def summary(self) -> str:
        """The run in one line, printed before it starts."""

    @abstractmethod
    def step(self, progress: Progress) -> tuple[Row, Progress]:
        """Take one optimiser step. Raises UserError if it diverges."""

    @abstractmethod
    def plot(self, rows: Sequence[Row]) -> None:
        """Draw curves.png."""

    def prepare(self, console: Console) -> None:
        """Prepare a new run's folder, in the main process, after run.json was written."""

    def on_start(self, progress: Progress, console: Console) -> None:
        """Check the state of all processes before the first step. Raises UserError."""

    def check(self, rows: Sequence[Row]) -> None:
        """Check the main process's rows before the first and after every step.

        Raises UserError, in all processes, to stop the run.
        """

    def fall(self, rows: Sequence[Row]) -> str:  # noqa: ARG002 - for subclasses
        """A reason to end the run before its last step, by the main process's rows; empty if there
        is none. It is the same in all processes.
        """
        return ""

    def accumulate_replay(self, step: int) -> float | None:
        """Accumulate the gradients of a step's replay; returns its loss, None without replay."""
        return self.replay.accumulate(self.policy, self.optimizer, self.accelerator, step)

    def evaluate(self, row: Row) -> Row:
        """The row, with evaluation scores if they are due after this step."""
        if self.live is None or not self.is_due(row.step, self.config.live.every):
            return row
        return msgspec.structs.replace(row, **self.live.evaluate(row.step).columns)

    def evaluation_columns(self, records: Sequence[Record]) -> Mapping[str, float | None]:
        """The columns of metrics.csv for the records of an evaluation."""
        return evaluation.mean_scores(records)

    def is_due(self, step: int, every: int) -> bool:
        """True if something is due after this step: every so many steps, and after the last."""
        return step % every == 0 or step == self.steps

    def run(self, console: Console) -> None:
        """Train from the last checkpoint, if there is one, to the last step.

        Raises UserError if the run is stopped before it.
        """
        main = self.accelerator.is_main_process
        if main:
            with writing(self.out / "checkpoints"):
                checkpoints.remove_old(self.out / "checkpoints")
        progress = checkpoints.restore(self.out / "checkpoints", self.optimizer)
        self.on_start(progress, console)
        log = MetricsFile(self.out / "metrics.csv", progress.step, self.row_type) if main else None
        rows = log.rows if log else []
        self._resume_live(progress.step, console)
        self.check(rows)
        fall = self._fall(rows, progress)
        with TrainingProgress(console, progress.step, self.steps, quiet=not main) as bar:
            while progress.step < self.steps and not fall:
                row, progress = self.step(progress)
                row = self.evaluate(row)
                if log is not None:
                    log.append(row)
                    bar.update(row.step, row.summary(), always=row.evaluated)
                if self.is_due(progress.step, self.config.checkpoint_every):
                    if log is not None:
                        log.sync()
                    folder = self.out / "checkpoints"
                    checkpoints.save(folder, progress, self.optimizer, self.writer)
                    if self.live:
                        self.live.remove_old(folder)
                    if main and progress.step < self.steps:
                        self.plot(rows)
                    self.accelerator.wait_for_everyone()
                self.check(rows)
                fall = self._fall(rows, progress)
        self._finish(progress, rows, console, fall)

    def _resume_live(self, step: int, console: Console) -> None:
        """Take over earlier evaluations, and evaluate a model that has not learned anything yet."""
        first = self.live.resume(step) if self.live else None
        if first and self.accelerator.is_main_process:
            columns = (f"{name} {v:.3f}" for name, v in first.columns.items() if v is not None)
            console.print(f"before the first step: {', '.join(columns)}", highlight=False)

    def _fall(self, rows: Sequence[Row], progress: Progress) -> str:
        return self.fall(rows) if progress.step < self.steps else ""

    def _finish(self, progress: Progress, rows: Sequence[Row], console: Console, fall: str) -> None:
        """Write the run's result.

        Raises UserError if it is stopped by a fall: StoppedEarly if there is a result.
        """
        result = self.out / "model"
        best = self.live.best if self.live else None
        if self.live and best:
            self.live.write_best(result)
        elif not fall:
            self.writer.save(result)
        if self.accelerator.is_main_process:
            # A kill may have come between the last checkpoint and its plot.
            self.plot(rows)
            last = rows[-1] if rows else None
            run_folder.close_run(self.out, type(self.config), progress, last, self.live)
        chosen = f"the model of step {best.step}, live exact match {best.em:.3f}" if best else ""
        if fall:
            kept = f"'{result}' is {chosen}" if best else "the checkpoints are intact"
            stop = StoppedEarly if best else UserError
            raise stop(f"stopped after step {progress.step}: {fall}\n{kept}")
        if self.accelerator.is_main_process:
            console.print(f"trained: {result}{f' ({chosen})' if best else ''}", highlight=False)


def train(
    kind: type[TrainingLoop[AnyConfig, Row]],
    config: AnyConfig,
    out: Path,
    accelerator: Accelerator,
    console: Console,
) -> Path:
    """Run or resume a training in the folder `out`; returns the model's folder, `out/model`."""
    main = accelerator.is_main_process
    batch_per_process(config.batch, accelerator.num_processes)
    with run_folder.lock_folder(out) if main else nullcontext():
        loop = kind(config, out, accelerator)
        if main:
            run_folder.open_run(
                out, loop.facts(), accelerator.num_processes, accelerator.device.type
            )
            console.print(loop.summary(), highlight=False)
            loop.prepare(console)
        accelerator.wait_for_everyone()
        try:
            loop.run(console)
        finally:
            accelerator.end_training()
    return out / "model"
