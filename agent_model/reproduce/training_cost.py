"""What training each row took, from the curves of its run: steps, tokens, time, real searches."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

import msgspec
from msgspec import Struct

from agent_model.reproduce.table1 import ScaleConfig, Variant, variants
from agent_model.training.curves import read_rows
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
_ANEW = "remove it and its step's record in steps/ to train it anew"
_COLUMNS = tuple(Column((heading,)) for heading in _HEADINGS)


def training_cost(scale: ScaleConfig, out: Path) -> Table:
    """A row for each variant that was trained under `out`."""
    found = {each: curve(out / "train" / each.name) for each in variants(scale)}
    return Table(
        name="training",
        title="Training, each stage by itself",
        stub="Row",
        columns=_COLUMNS,
        sections=(Section("", tuple(_row(*one) for one in found.items())),),
        notes=(
            "simulated: of the steps, those in which the policy wrote what its searches find",
            "tokens: read, the prompts' included; seconds: of the process, beside what else ran",
            "searches: in all rollouts that are learned from, live episodes left out; real calls: "
            "of them, those that a search engine was asked, once a step for the same query",
            *(
                f"{each.row} begins as {each.begins} does: what they share is in both rows"
                for each in found
                if each.begins
            ),
        ),
        data_points=tuple(fact for one in found.items() for fact in _facts(*one)),
    )


class TrainingCost(Struct, frozen=True):
    """What is told here of one step of a training; the last three where it searches."""

    step: int
    tokens: int
    seconds: float
    environment: str = ""
    calls: int = 0
    saved: int = 0


class _Ended(Struct, frozen=True):
    steps: int


def curve(run: Path) -> list[TrainingCost]:
    """All steps of a training that has ended. Raises UserError where they are not there."""
    file, said = run / "metrics.csv", run / "run.json"
    try:
        steps = msgspec.json.decode(said.read_bytes(), type=_Ended).steps
        found = read_rows(file, TrainingCost)
    except (OSError, *UNREADABLE, csv.Error) as error:
        raise UserError(
            f"cannot read what '{run}' says of its training: {error}; {_ANEW}"
        ) from None
    if not found or [each.step for each in found] != list(range(1, steps + 1)):
        raise UserError(f"'{file}' does not hold the {steps} steps of '{said}'; {_ANEW}")
    return found


def _row(variant: Variant, made: Sequence[TrainingCost]) -> Row:
    last = made[-1]
    figures = [len(made), _simulated(made), last.tokens, last.seconds]
    calls = [*searches(made)] if variant.stage == "grpo" else []
    cells = [Cell(count(figure)) for figure in (*figures, *calls)]
    cells += [Cell(NOTHING)] * (len(_COLUMNS) - len(cells))
    return Row(Cell(variant.row), tuple(cells))


def _simulated(made: Sequence[TrainingCost]) -> int:
    return sum(each.environment == "simulated" for each in made)


def searches(made: Sequence[TrainingCost]) -> tuple[int, int]:
    """A training's searches: all of them, and those that a search engine was asked."""
    calls = sum(each.calls for each in made)
    return calls + sum(each.saved for each in made), calls


def real_calls(scale: ScaleConfig, outs: Sequence[Path]) -> dict[str, float]:
    """The real calls of each row that RL trained, on average over the folders."""
    return {
        each.row: fmean(searches(curve(out / "train" / each.name))[1] for out in outs)
        for each in variants(scale)
        if each.stage == "grpo"
    }


def _facts(variant: Variant, made: Sequence[TrainingCost]) -> list[DataPoint]:
    if variant.stage != "grpo":
        return []
    total, calls = searches(made)
    return [
        data_point("training", f"searches:{variant.row}", total=total),
        data_point("training", f"real-calls:{variant.row}", total=calls),
    ]
