"""The cost of training each row, from its metrics: steps, tokens, seconds, real searches."""

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import msgspec
from msgspec import Struct

from agent_model.reproduce.commands import variants
from agent_model.reproduce.scale import ScaleConfig
from agent_model.training.metrics import read_rows
from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.model import Table, columns, count

_RETRAIN = "delete it and its record in steps/ to train it again"


class TrainingStep(Struct, frozen=True):
    """The columns of `metrics.csv` that tables need; those from `environment` are of GRPO alone.

    `tokens` and `seconds` are running totals.
    """

    step: int
    tokens: int
    seconds: float
    environment: str = ""
    calls: int = 0
    saved: int = 0
    facts: float | None = None


class SearchCounts(NamedTuple):
    """The searches of a training: all of them, and those sent to a search engine."""

    total: int
    real: int


class TrainingEnd(NamedTuple):
    """The steps that a training took, those that it was to take, and the one whose model is its
    result (None: the last)."""

    steps: int
    planned: int
    best: int | None


class _Recipe(Struct, frozen=True):
    max_steps: int = 0


class _Best(Struct, frozen=True):
    step: int


class _TrainingInfo(Struct, frozen=True):
    steps: int
    recipe: _Recipe = _Recipe()
    best: _Best | None = None


def training_steps(folder: Path) -> list[TrainingStep]:
    """All steps of a finished training. Raises UserError if some are missing."""
    n_steps, metrics = _training_info(folder).steps, folder / "metrics.csv"
    try:
        steps = read_rows(metrics, TrainingStep)
    except (OSError, *UNREADABLE, csv.Error) as error:
        raise _unreadable(folder, error) from None
    if not steps or [step.step for step in steps] != list(range(1, n_steps + 1)):
        raise UserError(
            f"'{metrics}' does not hold the {n_steps} steps of '{folder / 'run.json'}'; {_RETRAIN}"
        )
    return steps


def training_end(folder: Path) -> TrainingEnd:
    """How a training of GRPO ended. Raises UserError if its run.json cannot be read."""
    info = _training_info(folder)
    return TrainingEnd(info.steps, info.recipe.max_steps, info.best.step if info.best else None)


def _training_info(folder: Path) -> _TrainingInfo:
    try:
        return msgspec.json.decode((folder / "run.json").read_bytes(), type=_TrainingInfo)
    except (OSError, *UNREADABLE) as error:
        raise _unreadable(folder, error) from None


def _unreadable(folder: Path, error: Exception) -> UserError:
    return UserError(f"cannot read the metrics of '{folder}': {error}; {_RETRAIN}")


def search_counts(steps: Sequence[TrainingStep]) -> SearchCounts:
    """The searches of all steps together."""
    real = sum(step.calls for step in steps)
    return SearchCounts(real + sum(step.saved for step in steps), real)


def real_searches(scale: ScaleConfig, folders: Sequence[Path]) -> dict[str, float]:
    """The real searches of each row that RL trained: the mean over reproductions."""
    return {
        variant.row: fmean(
            search_counts(training_steps(folder / "train" / variant.name)).real
            for folder in folders
        )
        for variant in variants(scale)
        if variant.stage == "grpo"
    }


def training_cost(scale: ScaleConfig, out: Path) -> Table:
    """The table of what training each variant under `out` took."""
    builder = TableBuilder("training")
    for variant in variants(scale):
        steps = training_steps(out / "train" / variant.name)
        n_simulated = sum(step.environment == "simulated" for step in steps)
        cells = map(count, (len(steps), n_simulated, steps[-1].tokens, steps[-1].seconds))
        if variant.stage == "grpo":
            searches = search_counts(steps)
            builder.add_row(variant.row, (*cells, *map(count, searches)))
            builder.add_point(None, f"searches:{variant.row}", total=searches.total)
            builder.add_point(None, f"real-calls:{variant.row}", total=searches.real)
        else:
            builder.add_row(variant.row, (*cells, None, None))
        if variant.begins:
            builder.add_note(
                f"{variant.row} continues {variant.begins}: both rows count the steps they share"
            )
    notes = (
        "simulated: steps in which the policy wrote the search results itself",
        "tokens: all that were processed, including prompts; seconds: of the process, which "
        "may have shared the machine",
        "searches: in all rollouts of the training, without evaluations; real calls: searches "
        "sent to a search engine, where equal queries of a step count once",
    )
    headings = columns("steps", "simulated", "tokens", "seconds", "searches", "real calls")
    return builder.build("Training, each stage by itself", "Row", headings, notes, lead=0)
