"""Table 1 over several seeds: what each row scores with each, and by how much that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import stdev

from agent_model.reproduction.table1 import UNTRAINED, Scale, lines
from autocoa_bench import grading
from autocoa_bench.report.model import (
    NOTHING,
    Cell,
    Column,
    Fact,
    Row,
    Section,
    Table,
    fact_of_no_run,
    percent,
    score_cell,
)
from autocoa_bench.report.reading import NOTHING_KNOWN, Entry, entries
from autocoa_bench.stats import Estimate, estimate, macro_average
from autocoa_bench.store import Run

SCORER = "em"

_LABELS = {row: solver for solver, row in UNTRAINED.items()}
"""The paper's rows of its base are here another base's."""


def average(found: Sequence[Entry]) -> Estimate:
    """The average of the datasets' means, each question's score averaged over the runs."""
    scores: dict[str, dict[str, list[float]]] = {}
    for entry in found:
        for (task, question), score in entry.by_question(SCORER).items():
            scores.setdefault(task, {}).setdefault(question, []).append(score)
    return macro_average([estimate(list(each.values())) for each in scores.values()])


def runs_by_row(scale: Scale, outs: Sequence[Path]) -> dict[str, list[Run]]:
    """Each row's runs, one a folder; the folders are complete reproductions. Raises UserError."""
    found: dict[str, list[Run]] = {}
    for out in outs:
        for line in lines(scale, out):
            found.setdefault(line.row, []).append(grading.load_scored(line.folder))
    return found


def table(runs: Mapping[str, Sequence[Run]], outs: Sequence[Path]) -> Table:
    """A row a row of Table 1: its average with each seed, and over all of them."""
    played = {row: entries(found, NOTHING_KNOWN) for row, found in runs.items()}
    return Table(
        name="seeds",
        title="Average EM by seed",
        stub="Row",
        columns=(
            *(Column((out.name,)) for out in outs),
            *(Column((heading,)) for heading in ("all", "deviation")),
        ),
        sections=(Section("", tuple(_row(*one) for one in played.items())),),
        notes=(
            "a column a reproduction; average of the datasets, in percent; all: each question's "
            "score averaged over the reproductions, with its 95 % interval over questions",
            "deviation: the standard deviation of the averages by seed, in points: how much "
            "another training run differs",
        ),
        facts=tuple(_fact(*one) for one in played.items()),
    )


def _row(row: str, found: Sequence[Entry]) -> Row:
    by_seed = [average([entry]) for entry in found]
    cells = [Cell(NOTHING if each.mean is None else percent(each.mean)) for each in by_seed]
    deviation = _deviation(by_seed)
    spread = Cell(NOTHING if deviation is None else percent(deviation))
    return Row(Cell(_LABELS.get(row, row)), (*cells, score_cell(average(found)), spread))


def _deviation(by_seed: Sequence[Estimate]) -> float | None:
    means = [each.mean for each in by_seed if each.mean is not None]
    return stdev(means) if len(means) > 1 else None


def _fact(row: str, found: Sequence[Entry]) -> Fact:
    all_of_it = average(found)
    return fact_of_no_run(
        "seeds",
        f"em:{row}",
        mean=all_of_it.mean,
        low=all_of_it.low,
        high=all_of_it.high,
        n=all_of_it.n,
    )
