"""The table of scores by kind of question and by wording."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from autocoa_bench.report import Catalogue
from autocoa_bench.report.entries import make_inputs
from autocoa_bench.report.model import Table
from autocoa_bench.report.tables.kinds import kinds
from autocoa_bench.runs.run_folder import Run

Make = Callable[..., Run]


def run_of(make: Make, questions: list[tuple[str, str, float]]) -> Run:
    """A run over questions of given kinds, wordings and scores."""
    run = make({"hotpotqa": [(1, score) for _, _, score in questions]}, "agent")
    records = [
        replace(record, question=replace(record.question, kind=kind, wording=wording))
        for record, (kind, wording, _) in zip(run.records, questions, strict=True)
    ]
    return replace(run, records=tuple(records))


def scores(table: Table) -> dict[str, tuple[str, str]]:
    """n and mean by row."""
    [section] = table.sections
    return {row.label.text: (row.cells[0].text, row.cells[1].text) for row in section.rows}


def test_each_kind_of_a_dataset_has_a_row_under_the_datasets_title(
    make_run: Make, known: Catalogue
) -> None:
    run = run_of(make_run, [("bridge", "", 1.0), ("bridge", "", 0.0), ("comparison", "", 1.0)])
    assert scores(kinds(make_inputs([run], catalogue=known))) == {
        "HotpotQA: bridge": ("2", "50.0"),
        "HotpotQA: comparison": ("1", "100.0"),
    }


def test_wordings_that_training_has_and_has_not_stand_apart(make_run: Make) -> None:
    run = run_of(make_run, [("", "shared", 1.0), ("", "shared", 1.0), ("", "held-out", 0.0)])
    assert scores(kinds(make_inputs([run]))) == {
        "hotpotqa": ("3", "66.7"),
        "worded as in training": ("2", "100.0"),
        "worded as never in training": ("1", "0.0"),
    }


def test_a_fault_is_left_out(make_run: Make) -> None:
    run = make_run({"t": [(0, 1.0), "timeout"]}, "agent")
    assert scores(kinds(make_inputs([run]))) == {"t": ("1", "100.0")}
