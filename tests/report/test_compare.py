"""Two runs side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.report import compare_runs, records_by_outcome
from autocoa_bench.report.model import Cell, Table
from autocoa_bench.report.tables.compare import compare, search_effect
from autocoa_bench.runs.run_folder import Run
from support.handmade import Outcome

Make = Callable[..., Run]


def cells(table: Table, label: str = "t") -> dict[str, Cell]:
    names = [column.headings[-1] for column in table.columns]
    (row,) = (row for row in table.sections[0].rows if row.label.text == label)
    return dict(zip(names, row.cells, strict=True))


def scored(make: Make, values: list[float], solver: str, task: str = "t") -> Run:
    return make({task: [(1, value) for value in values]}, solver, folder=solver)


def test_questions_are_won_lost_or_tied(make_run: Make) -> None:
    ours = scored(make_run, [1.0, 1.0, 0.0, 0.0, 1.0], "agent")
    theirs = scored(make_run, [0.0, 0.0, 1.0, 0.0, 1.0], "react")
    row = cells(compare(ours, theirs))
    assert [row[name].text for name in ("n", "won", "lost", "tied")] == ["5", "2", "1", "2"]
    assert [row[name].text for name in ("first %", "second %")] == ["60.0", "40.0"]
    assert row["difference"].text == "+20.0"
    assert row["p"].text == "1.000"


@pytest.mark.parametrize(
    ("outcome", "won_by"), [("won", ["1", "0"]), ("lost", ["0", "1"]), ("tied", ["0", "0"])]
)
def test_the_trajectories_of_questions_won_lost_and_tied(
    make_run: Make, outcome: Literal["won", "lost", "tied"], won_by: list[str]
) -> None:
    ours = scored(make_run, [1.0, 0.0, 0.0], "agent")
    theirs = scored(make_run, [0.0, 1.0, 0.0], "react")
    [pair] = records_by_outcome(ours, theirs, "em", outcome)
    assert pair[0].question == pair[1].question
    runs = zip((ours, theirs), pair, strict=True)
    assert [f"{run.scores['em'][record.key].value:g}" for run, record in runs] == won_by


def test_the_order_of_the_runs_is_the_order_given(make_run: Make) -> None:
    """Tables over many runs follow Table 1's sections instead."""
    weak, strong = scored(make_run, [0.0], "model-only"), scored(make_run, [1.0], "agent")
    assert cells(compare(strong, weak))["difference"].text == "+100.0"
    assert cells(compare(weak, strong))["difference"].text == "-100.0"


def test_only_questions_with_both_scores_count_and_the_others_are_noted(make_run: Make) -> None:
    ours = make_run({"t": [(0, 1.0), "timeout", (0, 0.0)]}, "agent")
    theirs = make_run({"t": [(0, 0.0), (0, 0.0)]}, "react")
    table = compare(ours, theirs)
    assert cells(table)["n"].text == "1"
    assert any("1 of the first, 1 of the second" in note for note in table.notes)


def test_several_tasks_get_a_row_for_all(make_run: Make) -> None:
    ours = make_run({"s": [(0, 1.0)], "t": [(0, 1.0)]}, "agent")
    theirs = make_run({"s": [(0, 0.0)], "t": [(0, 1.0)]}, "react")
    table = compare(ours, theirs)
    assert [row.label.text for row in table.sections[0].rows] == ["s", "t", "all"]
    assert cells(table, "all")["difference"].text == "+50.0"


def test_samples_are_averaged_before_they_are_compared(make_run: Make) -> None:
    ours = make_run({"t": [[(0, 1.0), (0, 0.0)]]}, "agent")
    theirs = make_run({"t": [[(0, 0.0), (0, 0.0)]]}, "react")
    row = cells(compare(ours, theirs))
    assert (row["difference"].text, row["won"].text, row["p"].text) == ("+50.0", "1", "1.000")


def test_p_is_corrected_for_the_tables_rows_and_bold_where_it_holds(make_run: Make) -> None:
    """Ten wins of ten are p = 0.002, six of six 0.031 and, of three rows, not enough."""
    ours = make_run({"s": [(0, 1.0)] * 10, "t": [(0, 1.0)] * 6, "u": [(0, 1.0)]}, "agent")
    theirs = make_run({"s": [(0, 0.0)] * 10, "t": [(0, 0.0)] * 6, "u": [(0, 1.0)]}, "react")
    table = compare(ours, theirs)
    rows = {label: cells(table, label) for label in ("s", "t", "u", "all")}
    assert [row["p"].text for row in rows.values()] == ["0.002", "0.031", "1.000", "< 0.001"]
    assert [row["p (Holm)"].text for row in rows.values()] == [
        *("0.006", "0.062", "1.000", "< 0.001")
    ]
    assert [row["difference"].strong for row in rows.values()] == [True, False, False, True]


def test_a_detectable_difference_is_given_where_there_are_questions_enough(make_run: Make) -> None:
    few, many = (
        [
            scored(make_run, [value] * n, solver)
            for value, solver in ((1.0, "agent"), (0.0, "react"))
        ]
        for n in (5, 10)
    )
    assert cells(compare(*few))["detectable"].text == "–"
    assert cells(compare(*many))["detectable"].text == "88.6"


def test_beside_the_model_alone_answers_are_memorised_gained_or_lost(make_run: Make) -> None:
    alone = make_run({"t": [(0, v) for v in (1.0, 1.0, 0.0, 0.0, 0.0)]}, "model-only", search=None)
    agent = make_run({"t": [(1, v) for v in (1.0, 0.0, 1.0, 1.0, 0.0)]}, "agent")
    for table in (search_effect(alone, agent), search_effect(agent, alone)):
        assert table is not None
        row = cells(table)
        assert [row[name].text for name in ("n", "memorised", "gained", "lost", "neither")] == [
            *("5", "20.0", "40.0", "20.0", "20.0")
        ]
        assert (row["p (Holm)"].text, row["gained"].strong) == ("1.000", False)


def test_what_search_gains_is_bold_only_beyond_chance(make_run: Make) -> None:
    alone = make_run({"t": [(0, 0.0)] * 8}, "model-only", search=None)
    table = search_effect(alone, make_run({"t": [(1, 1.0)] * 8}, "agent"))
    assert table is not None
    assert [name for name, cell in cells(table).items() if cell.strong] == ["gained"]


def test_two_runs_that_search_have_no_model_alone(make_run: Make) -> None:
    run = scored(make_run, [1.0], "agent")
    assert search_effect(run, scored(make_run, [1.0], "react")) is None
    assert [table.name for table in compare_runs(run, run).tables] == ["compare"]


def test_runs_without_a_common_question_are_refused(make_run: Make) -> None:
    first, second = scored(make_run, [1.0], "agent"), scored(make_run, [1.0], "react", task="u")
    with pytest.raises(UserError, match="no question in common"):
        compare(first, second)


@pytest.mark.parametrize(
    ("ours", "theirs", "counts"),
    [
        ([None, None], [(0, 1.0), None], (0, 1)),
        (["timeout", None], [(0, 1.0), (0, 1.0)], (0, 2)),
        ([(0, 1.0), None], [None, (0, 1.0)], (1, 1)),
    ],
)
def test_an_unfinished_run_is_said_to_be_unfinished(
    make_run: Make, ours: list[Outcome], theirs: list[Outcome], counts: tuple[int, int]
) -> None:
    runs = [
        make_run({"t": outcomes}, solver, folder=solver)
        for outcomes, solver in ((ours, "agent"), (theirs, "react"))
    ]
    with pytest.raises(UserError, match="resumes a run") as caught:
        compare(*runs)
    ours_has, theirs_has = (f"{count} of 2" for count in counts)
    assert f"'runs/agent' has {ours_has} and 'runs/react' has {theirs_has}" in str(caught.value)


def test_a_scorer_that_a_run_lacks_is_refused(make_run: Make) -> None:
    run = scored(make_run, [1.0], "agent")
    with pytest.raises(UserError, match="scorer of these runs 'judge'"):
        compare_runs(run, run, "judge")
