"""The cost of training each row, from its metrics: steps, tokens, seconds, real searches."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import msgspec
from msgspec import Struct

from agent_model.reproduce.commands import Variant, variants
from agent_model.reproduce.scale import ScaleConfig
from agent_model.training.metrics import read_rows
from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.report.model import (
    NOTHING,
    Cell,
    Column,
    DataPoint,
    Row,
    Section,
    Table,
    count,
    data_point,
)

_HEADINGS = ("steps", "simulated", "tokens", "seconds", "searches", "real calls")
_RETRAIN = "delete it and its record in steps/ to train it again"


class TrainingStep(Struct, frozen=True):
    """The columns of `metrics.csv` that the cost needs; the last three are of GRPO alone.

    `tokens` and `seconds` are running totals.
    """

    step: int
    tokens: int
    seconds: float
    environment: str = ""
    calls: int = 0
    saved: int = 0


class SearchCounts(NamedTuple):
    """The searches of a training: all of them, and those sent to a search engine."""

    total: int
    real: int


class _TrainingInfo(Struct, frozen=True):
    steps: int


def training_steps(folder: Path) -> list[TrainingStep]:
    """All steps of a finished training. Raises UserError if some are missing."""
    metrics, info = folder / "metrics.csv", folder / "run.json"
    try:
        n_steps = msgspec.json.decode(info.read_bytes(), type=_TrainingInfo).steps
        steps = read_rows(metrics, TrainingStep)
    except (OSError, *UNREADABLE, csv.Error) as error:
        raise UserError(f"cannot read the metrics of '{folder}': {error}; {_RETRAIN}") from None
    if not steps or [step.step for step in steps] != list(range(1, n_steps + 1)):
        raise UserError(f"'{metrics}' does not hold the {n_steps} steps of '{info}'; {_RETRAIN}")
    return steps


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
    trainings = {
        variant: training_steps(out / "train" / variant.name) for variant in variants(scale)
    }
    return Table(
        name="training",
        title="Training, each stage by itself",
        stub="Row",
        columns=tuple(Column((heading,)) for heading in _HEADINGS),
        sections=(Section("", tuple(_row(*item) for item in trainings.items())),),
        notes=(
            "simulated: steps in which the policy wrote the search results itself",
            "tokens: all that were processed, including prompts; seconds: of the process, which "
            "may have shared the machine",
            "searches: in all rollouts of the training, without evaluations; real calls: searches "
            "sent to a search engine, where equal queries of a step count once",
            *(
                f"{variant.row} continues {variant.begins}: both rows count the steps they share"
                for variant in trainings
                if variant.begins
            ),
        ),
        data_points=_data_points(trainings),
    )


def _row(variant: Variant, steps: Sequence[TrainingStep]) -> Row:
    n_simulated = sum(step.environment == "simulated" for step in steps)
    values = [len(steps), n_simulated, steps[-1].tokens, steps[-1].seconds]
    if variant.stage == "grpo":
        values += search_counts(steps)
    cells = [Cell(count(value)) for value in values]
    cells += [Cell(NOTHING)] * (len(_HEADINGS) - len(cells))
    return Row(Cell(variant.row), tuple(cells))


def _data_points(trainings: Mapping[Variant, Sequence[TrainingStep]]) -> tuple[DataPoint, ...]:
    points = []
    for variant, steps in trainings.items():
        if variant.stage == "grpo":
            searches = search_counts(steps)
            points += [
                data_point("training", f"searches:{variant.row}", total=searches.total),
                data_point("training", f"real-calls:{variant.row}", total=searches.real),
            ]
    return tuple(points)
