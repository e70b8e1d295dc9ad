"""The table of what searches brought and where wrong answers come from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from autocoa_bench.report import build, render
from autocoa_bench.report.entries import make_inputs
from autocoa_bench.report.model import Cell, Table
from autocoa_bench.report.tables.evidence import evidence
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import wilson
from autocoa_bench.types import Hop, Passage, Record

Make = Callable[..., Run]

HOPS = (Hop("?", "Ann", "p1"), Hop("?", "Oslo", "p2"))
ONE = Passage("p1", "Dawn", "Made by Ann.")
TWO = Passage("p2", "Ann", "Born in Oslo.")
OTHER = Passage("p9", "Noon", "")


def with_passages(record: Record, passages: Sequence[Passage]) -> Record:
    """The record with one passage a search."""
    assert record.trajectory is not None
    *searches, answer = record.trajectory.steps
    steps = [
        replace(step, passages=(passage,)) for step, passage in zip(searches, passages, strict=True)
    ]
    return replace(
        record,
        question=replace(record.question, golden_answers=("Oslo",), hops=HOPS),
        trajectory=replace(record.trajectory, steps=(*steps, answer)),
    )


@pytest.fixture
def agent(make_run: Make) -> Run:
    """Four questions of a chain of two: right, read wrongly, not found, searched once."""
    run = make_run({"t": [(2, 1.0), (2, 0.0), (2, 0.0), (1, 0.0)]}, "agent")
    passages = [(ONE, TWO), (ONE, TWO), (ONE, OTHER), (ONE,)]
    records = tuple(map(with_passages, run.records, passages))
    return replace(run, records=records)


def cells(table: Table, label: str = "t") -> dict[str, Cell]:
    names = [column.headings[-1] for column in table.columns]
    (row,) = (row for row in table.sections[0].rows if row.label.text == label)
    return dict(zip(names, row.cells, strict=True))


def test_recall_after_so_many_actions_is_the_mean_over_questions(agent: Run) -> None:
    row = cells(evidence(make_inputs([agent])))
    recall = [row[name].text for name in ("after 1", "after 2", "in all")]
    assert recall == ["50.0", "75.0", "75.0"]
    assert row["n"].text == "4"


def test_wrong_answers_are_shared_out_by_cause(agent: Run) -> None:
    row = cells(evidence(make_inputs([agent])))
    third = Cell("33.3", "1")
    assert row["number"].text == "3"
    names = ("reading miss %", "retrieval miss %", "under-search %")
    assert [row[name] for name in names] == [third] * 3
    assert row["over-search %"] == Cell("0.0", "0")


def test_the_share_of_questions_with_an_answer_shown_has_its_interval(agent: Run) -> None:
    low, high = wilson(2, 4)
    expected = Cell("50.0", f"{100 * low:.0f}–{100 * high:.0f}")
    assert cells(evidence(make_inputs([agent])))["answer shown %"] == expected


def test_several_tasks_get_a_line_for_all(make_run: Make) -> None:
    run = make_run({"s": [(1, 0.0)], "t": [(1, 0.0), (1, 1.0)]}, "agent")
    table = evidence(make_inputs([run]))
    assert [row.label.text for row in table.sections[0].rows] == ["s", "t", "all"]
    assert cells(table, "all")["number"].text == "2"


def test_a_fault_is_neither_wrong_nor_without_evidence(make_run: Make) -> None:
    row = cells(evidence(make_inputs([make_run({"t": [(1, 0.0), "timeout"]}, "agent")])))
    assert (row["n"].text, row["number"].text) == ("1", "1")


def test_a_run_that_never_searches_is_left_out_and_named(make_run: Make) -> None:
    table = evidence(make_inputs([make_run({"t": [(0, 0.0)]}, "model-only", search=None)]))
    assert table.sections == ()
    assert any("model-only: never searches" in note for note in table.notes)


@pytest.mark.parametrize("form", ["markdown", "latex", "csv"])
def test_the_table_is_drawn_in_every_format_with_and_without_rows(
    make_run: Make, agent: Run, form: str
) -> None:
    silent = make_run({"t": [(0, 0.0)]}, "model-only", search=None)
    assert "reading" in render(build([agent], tables=["evidence"]), form)
    render(build([silent], tables=["evidence"]), form)


def test_raw_numbers_stand_in_the_csv(agent: Run) -> None:
    facts = {
        (fact.metric, fact.actions): fact for fact in evidence(make_inputs([agent])).data_points
    }
    assert facts["gold_passages_shown", 1].mean == 0.5
    assert facts["em:wrong:reading_miss", None].total == 1
