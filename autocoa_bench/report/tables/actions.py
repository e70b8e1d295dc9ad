"""Correct answers and success by number of actions (paper, Figure 3a and 3b)."""

from __future__ import annotations

from collections.abc import Sequence

from autocoa_bench.episode import n_actions
from autocoa_bench.report.entries import EMPTY_CATALOGUE, Catalogue, Entry, make_entries
from autocoa_bench.report.model import (
    NOTHING,
    Cell,
    Column,
    DataPoint,
    Row,
    Section,
    Table,
    percent,
    score_cell,
)
from autocoa_bench.report.notes import shared_notes, title_with_model
from autocoa_bench.report.tables.leaderboard import metric_title
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import Estimate, estimate

_CORRECT = "Correct answers (3a)"
_SUCCESS = "Success (3b)"


class _Bin:
    """The trajectories of one number of actions: 1.0 or 0.0 each, by question."""

    def __init__(self) -> None:
        self.outcomes: dict[tuple[str, str], list[float]] = {}

    def add(self, question: tuple[str, str], correct: bool) -> None:
        self.outcomes.setdefault(question, []).append(float(correct))

    @property
    def n(self) -> int:
        return sum(len(outcomes) for outcomes in self.outcomes.values())

    @property
    def correct(self) -> int:
        return int(sum(sum(outcomes) for outcomes in self.outcomes.values()))

    @property
    def success(self) -> Estimate:
        return estimate(list(self.outcomes.values()))


def action_counts(
    runs: Sequence[Run], scorer: str = "em", catalogue: Catalogue = EMPTY_CATALOGUE
) -> Table:
    """Figure 3a and 3b as one table: a section a run, a row a number of actions.

    Correct means a score of 1. Trajectories without a score are left out and noted.
    """
    found = make_entries(runs, catalogue)
    sections, facts, unscored = [], [], []
    for entry in found:
        bins, left_out = _bins(entry, scorer)
        sections.append(Section(f"{entry.label}, {entry.model}", _rows(bins)))
        facts += _facts(entry, scorer, bins)
        if left_out:
            unscored.append(
                f"{entry.name}: trajectories left out for want of a score: {left_out:,}"
            )
    several = any(entry.spec.samples > 1 for entry in found)
    return Table(
        name="actions",
        title=title_with_model(f"Actions and {metric_title(scorer)}", found),
        stub="Actions",
        columns=(
            Column(("", "trajectories")),
            Column((_CORRECT, "number")),
            Column((_CORRECT, "share %")),
            Column((_SUCCESS, "rate %")),
            Column((_SUCCESS, "95 %")),
        ),
        sections=tuple(sections),
        notes=(
            "actions: the searches of a trajectory, the numbers that occur; share: of the run's "
            "correct answers; rate: of the trajectories in the row that are correct, with its "
            "95 % interval",
            *(["rate: the mean over questions of their samples in the row"] if several else []),
            *unscored,
            *shared_notes(found),
        ),
        data_points=tuple(facts),
    )


def _bins(entry: Entry, scorer: str) -> tuple[list[_Bin], int]:
    """One bin for each number of actions up to the run's greatest, and how many had no score."""
    bins: list[_Bin] = []
    left_out = 0
    for record in entry.trajectories():
        score = entry.score(record, scorer)
        if score is None or record.trajectory is None:
            left_out += 1
            continue
        actions = n_actions(record.trajectory)
        bins += [_Bin() for _ in range(actions + 1 - len(bins))]
        bins[actions].add((record.question.task, record.question.id), score >= 1)
    return bins, left_out


def _rows(bins: Sequence[_Bin]) -> tuple[Row, ...]:
    if not bins:
        return (Row(Cell("none yet"), (Cell("0"), *[Cell(NOTHING)] * 4)),)
    correct = sum(each.correct for each in bins)
    rows = [
        Row(
            Cell(str(actions)),
            (
                Cell(f"{each.n:,}"),
                Cell(f"{each.correct:,}"),
                _share_cell(each.correct, correct),
                *_success_cells(each.success),
            ),
        )
        for actions, each in enumerate(bins)
        if each.n
    ]
    everything = _Bin()
    for each in bins:
        for question, outcomes in each.outcomes.items():
            for outcome in outcomes:
                everything.add(question, outcome == 1)
    total = (Cell(f"{everything.n:,}"), Cell(f"{correct:,}"), Cell(""))
    return (*rows, Row(Cell("all"), (*total, *_success_cells(everything.success))))


def _share_cell(correct: int, total: int) -> Cell:
    if not total:
        return Cell(NOTHING)
    return Cell(percent(correct / total), bar=correct / total)


def _success_cells(success: Estimate) -> tuple[Cell, Cell]:
    cell = score_cell(success)
    return Cell(cell.text, bar=success.mean), Cell(cell.detail or NOTHING)


def _facts(entry: Entry, scorer: str, bins: Sequence[_Bin]) -> list[DataPoint]:
    correct = sum(each.correct for each in bins)
    facts = []
    for actions, each in enumerate(bins):
        share = each.correct / correct if correct else None
        facts.append(
            entry.fact(
                "actions",
                f"{scorer}:share_of_correct",
                actions=actions,
                mean=share,
                n=correct,
                total=each.correct,
            )
        )
        metric = f"{scorer}:success_rate"
        facts.append(
            entry.estimated("actions", metric, each.success, actions=actions, total=each.n)
        )
    return facts
