"""Bold in the leaderboard: the best run of a column, where it is best by more than chance."""

from __future__ import annotations

from collections.abc import Callable

from autocoa_bench.report import Catalogue, Report, Table, render
from autocoa_bench.report.entries import make_inputs
from autocoa_bench.report.tables.leaderboard import leaderboard
from autocoa_bench.runs.run_folder import Run

Make = Callable[..., Run]


def run(make: Make, solver: str, **right: tuple[int, int]) -> Run:
    """A run with so many right of so many, by task."""
    outcomes = {
        task: [(1, float(number < many)) for number in range(n)]
        for task, (many, n) in right.items()
    }
    return make(outcomes, solver, folder=solver)


def bold(table: Table) -> set[tuple[str, ...]]:
    return {
        (row.label.text, *filter(None, column.headings[1:]))
        for section in table.sections
        for row in section.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
        if cell.strong
    }


def test_a_run_is_bold_where_it_is_better_than_each_other(make_run: Make) -> None:
    runs = [
        run(make_run, "agent", s=(40, 100), t=(23, 100)),
        run(make_run, "react", s=(20, 100), t=(20, 100)),
        run(make_run, "model-only", s=(10, 100), t=(0, 100)),
    ]
    table = leaderboard(make_inputs(runs))
    assert bold(table) == {("agent", "s", "EM"), ("agent", "Average", "EM")}
    assert any("for 3 columns; 2 of them have such a run" in note for note in table.notes)


def test_being_better_than_all_but_one_is_not_bold(make_run: Make) -> None:
    runs = [run(make_run, name, t=(n, 100)) for name, n in (("a", 40), ("b", 38), ("c", 0))]
    table = leaderboard(make_inputs(runs))
    assert bold(table) == set()
    assert any("none of them has such a run" in note for note in table.notes)


def test_more_columns_ask_for_more(make_run: Make) -> None:
    """Six wins of six are p = 0.031: enough in a table of one column, not in one of two."""
    runs = [run(make_run, name, t=(n, 50)) for name, n in (("a", 6), ("b", 0))]
    assert bold(leaderboard(make_inputs(runs))) == {("a", "t", "EM")}
    assert bold(leaderboard(make_inputs(runs, ["em", "f1"]))) == set()


def test_sub_questions_are_not_tested_as_if_independent(make_run: Make) -> None:
    outcomes = [{"t-sub": [(1, score)] * 50} for score in (1.0, 0.0)]
    runs = [make_run(tasks, name) for tasks, name in zip(outcomes, ("agent", "react"), strict=True)]
    table = leaderboard(make_inputs(runs))
    assert bold(table) == set()
    assert not any(note.startswith("bold") for note in table.notes)


def test_a_run_alone_is_neither_bold_nor_explained(make_run: Make) -> None:
    table = leaderboard(make_inputs([run(make_run, "agent", t=(90, 100))]))
    assert bold(table) == set()
    assert not any(note.startswith("bold") for note in table.notes)


def test_every_format_shows_bold(make_run: Make, known: Catalogue) -> None:
    runs = [run(make_run, name, nq=(n, 100)) for name, n in (("agent", 40), ("react", 0))]
    report = Report((leaderboard(make_inputs(runs, catalogue=known)),), ())
    assert "**40.0**" in render(report, "markdown")
    assert r"\textbf{40.0}" in render(report, "latex")
