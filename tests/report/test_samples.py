"""Several samples a question."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.report import Table
from autocoa_bench.report.entries import make_inputs
from autocoa_bench.report.tables.samples import samples
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import estimate

Make = Callable[..., Run]


def values(table: Table, task: str) -> dict[str, str]:
    names = [column.headings[-1] for column in table.columns]
    (row,) = (row for row in table.sections[0].rows if row.label.text == task)
    return dict(zip(names, (cell.text for cell in row.cells), strict=True))


def test_the_mean_and_pass_at_k_are_over_questions(make_run: Make) -> None:
    """One of four right is found by two draws in half, by four always."""
    run = make_run({"t": [[(0, 1.0), (0, 0.0), (0, 0.0), (0, 0.0)], [(0, 0.0)] * 4]})
    assert values(samples(make_inputs([run])), "t") == {
        "n": "2",
        "mean@n": "12.5",
        "pass@2": "25.0",
        "pass@4": "50.0",
    }


def test_k_doubles_up_to_the_samples_that_there_are(make_run: Make) -> None:
    table = samples(make_inputs([make_run({"t": [[(0, 1.0)] * 6]})]))
    assert list(values(table, "t")) == ["n", "mean@n", "pass@2", "pass@4", "pass@6"]


def test_intervals_keep_a_questions_samples_together(make_run: Make) -> None:
    run = make_run({"t": [[(0, 1.0)] * 3] * 5 + [[(0, 0.0)] * 3] * 5})
    fact = samples(make_inputs([run])).data_points[0]
    alone = estimate([[1.0]] * 5 + [[0.0]] * 5)
    assert (fact.low, fact.high) == (alone.low, alone.high)


def test_a_question_with_too_few_scored_samples_is_left_out_of_pass_at_k(make_run: Make) -> None:
    table = samples(make_inputs([make_run({"t": [[(0, 1.0), (0, 1.0)], [(0, 0.0), "timeout"]]})]))
    assert values(table, "t") == {"n": "2", "mean@n": "50.0", "pass@2": "100.0"}
    assert [fact.n for fact in table.data_points] == [2, 1]


def test_tasks_have_an_average(make_run: Make) -> None:
    table = samples(
        make_inputs([make_run({"s": [[(0, 1.0), (0, 1.0)]], "t": [[(0, 0.0), (0, 0.0)]]})])
    )
    assert values(table, "Average")["pass@2"] == "50.0"


def test_runs_of_one_sample_are_refused(make_run: Make) -> None:
    with pytest.raises(UserError, match="no run has several samples per question"):
        samples(make_inputs([make_run({"t": [(0, 1.0)]})]))
