"""The evaluations of a run in training, and the best of its models.

In the run's folder, `live/` has the records of each evaluation and `best/` the models that may be
its result. Everything else follows from these, so a killed run continues with the same comparisons.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import msgspec
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from msgspec import Struct

from agent_model.training import checkpoints
from agent_model.training.checkpoints import ModelWriter, step_name
from agent_model.training.config import EvalConfig
from agent_model.training.evaluation import EpisodeSetup, closed_book, evaluate, exact_matches
from agent_model.training.files import write_records, writing
from autocoa_bench.types import Record
from autocoa_bench.util.json_lines import read_lines

_DECODER = msgspec.json.Decoder(Record)
_ADVICE = "restore it, or give another --out"

LIVE, CLOSED_BOOK, BEST = "live", "closed_book", "best"
"""The folders within a run's: episodes, answers without a search engine, and models."""

Columns = Mapping[str, float | None]
"""The columns of metrics.csv that an evaluation fills."""


class Evaluation(Struct, frozen=True):
    """The evaluation after a step (0: before the first): each question's exact match, in order,
    and its columns of metrics.csv."""

    step: int
    scores: tuple[float, ...]
    columns: Columns

    @property
    def em(self) -> float:
        """The mean exact match."""
        return fmean(self.scores)

    @property
    def row(self) -> dict[str, float | None]:
        """The step and the columns."""
        return {"step": self.step, **self.columns}


class LiveEvaluation:
    """Evaluates the policy of a run, each process on a part of the questions.

    `evaluations` are those so far, in order, the same in all processes.
    """

    def __init__(
        self,
        config: EvalConfig,
        setup: EpisodeSetup,
        columns: Callable[[Sequence[Record]], Columns],
        writer: ModelWriter,
        out: Path,
        accelerator: Accelerator,
    ) -> None:
        """`columns` computes the columns of metrics.csv from the records of an evaluation.

        Raises UserError if the recipe asks for closed-book questions and `setup` has none.
        """
        self.evaluations: list[Evaluation] = []
        self._kept: list[Evaluation] = []  # those whose model is in `best/`
        self._setup = setup
        self._columns = columns
        self._writer = writer
        self._out = out
        self._accelerator = accelerator
        self._keeps_best = config.best
        self._closed_book = closed_book(setup) if config.closed_book else None

    @property
    def best(self) -> Evaluation | None:
        """The best evaluation whose model is kept; None if none is."""
        return best_of(self._kept)

    def resume(self, step: int) -> Evaluation | None:
        """Take over the evaluations of earlier sessions up to a step, whose model is the policy.

        Evaluates a policy that has not learned anything yet, unless a session has; returns that
        evaluation. Raises UserError if a file is damaged, or a search fails.
        """
        content: list[list[Evaluation]] = [[], []]
        if self._writer.writes:
            evaluations = self._read(step)
            kept = [e for e in evaluations if (self._out / BEST / step_name(e.step)).is_dir()]
            content = [evaluations, kept if self._keeps_best else []]
        self.evaluations, self._kept = broadcast_object_list(content)
        if not step and not self.evaluations:
            return self.evaluate(0)
        if self.evaluations and self.evaluations[-1].step == step:
            self._keep_if_best()  # a kill may have come before it was saved
        return None

    def evaluate(self, step: int) -> Evaluation:
        """Evaluate the policy after a step, and keep its model if it is the best so far.

        All processes must call this. Raises UserError if a search fails.
        """
        records = self._play(self._setup, LIVE, step)
        closed = self._play(self._closed_book, CLOSED_BOOK, step) if self._closed_book else []
        evaluation = self._evaluation(step, records, closed)
        self.evaluations.append(evaluation)
        self._keep_if_best()
        return evaluation

    def remove_old(self, folder: Path) -> None:
        """Remove the models that would be no run's best that resumes from a checkpoint in `folder`,
        in the main process. Raises UserError."""
        if not self._keeps_best or not self._writer.writes:
            return
        useful = {
            step_name(best.step)
            for last in checkpoints.steps(folder)
            if (best := best_of([e for e in self._kept if e.step <= last]))
        }
        with writing(self._out / BEST):
            for model in (self._out / BEST).glob("step-*"):
                if model.name not in useful:
                    shutil.rmtree(model)
        self._kept = [e for e in self._kept if step_name(e.step) in useful]

    def write_best(self, target: Path) -> None:
        """Replace the folder `target` by the best model, in the main process. Raises UserError."""
        if self.best and self._writer.writes:
            part = target.with_name(f"{target.name}.part")
            with writing(target):
                shutil.rmtree(part, ignore_errors=True)
                shutil.copytree(self._out / BEST / step_name(self.best.step), part)
                if target.exists():
                    shutil.rmtree(target)
                part.rename(target)

    def _keep_if_best(self) -> None:
        latest = self.evaluations[-1]
        if self._keeps_best and (self.best is None or latest.em > self.best.em):
            self._writer.save(self._out / BEST / step_name(latest.step))
            self._kept.append(latest)

    def _read(self, step: int) -> list[Evaluation]:
        """The evaluations up to a step in the run's folder, of the questions that it has now."""
        ids = [(question.task, question.id) for question in self._setup.questions]
        evaluations = []
        for number in range(step + 1):
            records, closed = (
                list(read_lines(self._file(folder, number), _DECODER, _ADVICE))
                for folder in (LIVE, CLOSED_BOOK)
            )
            if [record.key[:2] for record in records] == ids:
                evaluations.append(self._evaluation(number, records, closed))
        return evaluations

    def _evaluation(
        self, step: int, records: Sequence[Record], closed: Sequence[Record]
    ) -> Evaluation:
        columns = {**self._columns(records)}
        if closed:
            columns["live_known"] = fmean(exact_matches(closed))
        return Evaluation(step, exact_matches(records), columns)

    def _play(self, setup: EpisodeSetup, folder: str, step: int) -> list[Record]:
        """The records of all questions, which the main process writes."""
        policy, tokenizer = self._writer.policy, self._writer.tokenizer
        records = evaluate(setup, policy, tokenizer, self._accelerator)
        if self._writer.writes:
            write_records(self._file(folder, step), records)
        return records

    def _file(self, folder: str, step: int) -> Path:
        return self._out / folder / f"{step_name(step)}.jsonl"


def best_of(evaluations: Sequence[Evaluation]) -> Evaluation | None:
    """The first of the evaluations with the highest exact match: of equals the least trained."""
    return max(evaluations, key=lambda evaluation: evaluation.em, default=None)
