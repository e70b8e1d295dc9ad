"""Table 1 over several seeds: what each row scores with each, and by how much that differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import stdev

from agent_model.reproduce.steps import line, record_of
from agent_model.reproduce.table1 import UNTRAINED, ScaleConfig, lines, steps
from autocoa_bench.errors import UserError
from autocoa_bench.report.entries import EMPTY_CATALOGUE, Entry, make_entries
from autocoa_bench.report.model import (
    NOTHING,
    Cell,
    Column,
    DataPoint,
    Row,
    Section,
    Table,
    data_point,
    percent,
    score_cell,
)
from autocoa_bench.runs import scores as grading
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import Estimate, estimate, macro_average

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


def runs_by_row(scale: ScaleConfig, outs: Sequence[Path]) -> dict[str, list[Run]]:
    """Each row's runs, one a folder.

    Raises UserError for a folder that is no complete reproduction at this scale, or given twice.
    """
    if len({out.resolve() for out in outs}) < len(outs):
        raise UserError("a folder is given twice; give each seed's once")
    found: dict[str, list[Run]] = {}
    for out in outs:
        _check_complete(scale, out)
        for each in lines(scale, out):
            found.setdefault(each.row, []).append(grading.load_scored(each.folder))
    return found


def _check_complete(scale: ScaleConfig, out: Path) -> None:
    for step in steps(scale, out, seed=0):
        done = record_of(step.name, out)
        if done is None:
            raise UserError(
                f"'{out}' is no complete Table 1 of the scale {scale.name}: '{step.name}' is not "
                f"done; `reproduce table1 --out {out}` goes on with it"
            )
        if _but_seed(done.words) != _but_seed(step.words):
            raise UserError(
                f"'{out}' is a Table 1 of another kind: its step '{step.name}' was "
                f"`{line(done.words)}`; give folders of one scale, with its --scale and --share"
            )


def _but_seed(words: Sequence[str]) -> list[str]:
    """A command without what seeds and folders change in it."""
    before = ["", *words]
    return [
        word
        for word, last in zip(words, before, strict=False)
        if "/" not in word and last != "--seed" and not word.startswith("seed=")
    ]


def table(runs: Mapping[str, Sequence[Run]], outs: Sequence[Path]) -> Table:
    """A row a row of Table 1: its average with each seed, and over all of them."""
    played = {row: make_entries(found, EMPTY_CATALOGUE) for row, found in runs.items()}
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
        data_points=tuple(_fact(*one) for one in played.items()),
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


def _fact(row: str, found: Sequence[Entry]) -> DataPoint:
    all_of_it = average(found)
    return data_point(
        "seeds",
        f"em:{row}",
        mean=all_of_it.mean,
        low=all_of_it.low,
        high=all_of_it.high,
        n=all_of_it.n,
    )
