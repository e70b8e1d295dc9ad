"""What training each row took, from the curves of its run: steps, tokens, time, real searches."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from agent_model.reproduction.table1 import Scale, Variant, variants
from autocoa_bench.errors import UserError
from autocoa_bench.report.model import (
    NOTHING,
    Cell,
    Column,
    Fact,
    Row,
    Section,
    Table,
    count,
    fact_of_no_run,
)

_HEADINGS = ("steps", "simulated", "tokens", "seconds", "searches", "real calls")
_COLUMNS = tuple(Column((heading,)) for heading in _HEADINGS)


def spent(scale: Scale, out: Path) -> Table:
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
        facts=tuple(fact for one in found.items() for fact in _facts(*one)),
    )


def curve(run: Path) -> list[dict[str, str]]:
    """The steps of a training. Raises UserError where they cannot be read."""
    file = run / "metrics.csv"
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            found = list(csv.DictReader(stream))
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"cannot read '{file}': {error}") from None
    if not found:
        raise UserError(f"'{file}' has no step; remove '{run}' and its step's record to train anew")
    return found


def _row(variant: Variant, made: Sequence[dict[str, str]]) -> Row:
    last = made[-1]
    figures = [len(made), _simulated(made), float(last["tokens"]), float(last["seconds"])]
    calls = [*searches(made)] if variant.stage == "grpo" else []
    cells = [Cell(count(figure)) for figure in (*figures, *calls)]
    cells += [Cell(NOTHING)] * (len(_COLUMNS) - len(cells))
    return Row(Cell(variant.row), tuple(cells))


def _simulated(made: Sequence[dict[str, str]]) -> int:
    return sum(row.get("environment") == "simulated" for row in made)


def searches(made: Sequence[dict[str, str]]) -> tuple[int, int]:
    """A training's searches: all of them, and those that a search engine was asked."""
    calls = sum(int(row["calls"]) for row in made)
    return calls + sum(int(row["saved"]) for row in made), calls


def real_calls(scale: Scale, outs: Sequence[Path]) -> dict[str, float]:
    """The real calls of each row that RL trained, on average over the folders."""
    return {
        each.row: fmean(searches(curve(out / "train" / each.name))[1] for out in outs)
        for each in variants(scale)
        if each.stage == "grpo"
    }


def _facts(variant: Variant, made: Sequence[dict[str, str]]) -> list[Fact]:
    if variant.stage != "grpo":
        return []
    total, calls = searches(made)
    return [
        fact_of_no_run("training", f"searches:{variant.row}", total=total),
        fact_of_no_run("training", f"real-calls:{variant.row}", total=calls),
    ]
