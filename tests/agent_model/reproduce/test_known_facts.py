"""What each row knows closed book, beside what it searches for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from agent_model.reproduce import known_facts
from agent_model.reproduce.known_facts import RowRuns
from agent_model.reproduce.scale import load_scale
from autocoa_bench.runs import scores
from autocoa_bench.runs.run_folder import Run
from support.handmade import make


def run(known: int, unknown: int, searches: Sequence[int] = (0, 0), folder: str = "run") -> Run:
    """A run with so many right answers of 10 about known and about unknown facts, and with so many
    answers of each that took a search; other questions are neither."""
    kinds = {"nq": "known", "triviaqa": "unknown", "hotpotqa": "2hop"}
    outcomes = {
        task: [(int(n < searched), float(n < right)) for n in range(10)]
        for task, right, searched in zip(kinds, (known, unknown, 5), (*searches, 9), strict=True)
    }
    return make(outcomes, folder=folder, kinds=kinds)


def cells(rows: dict[str, RowRuns]) -> dict[str, list[tuple[str, str]]]:
    [section] = known_facts.known_facts(rows).sections
    return {row.label.text: [(c.text, c.detail) for c in row.cells] for row in section.rows}


def test_a_row_has_what_its_model_knows_and_what_its_agent_searches_for() -> None:
    [row] = cells({"SFT-stage1": RowRuns([run(8, 1)], [run(10, 10, (3, 9))])}).values()
    assert [text for text, _ in row] == ["80.0", "10.0", "30.0", "90.0"]
    assert row[0][1] == "49–94"  # Wilson's interval over 10 questions


def test_several_seeds_have_their_mean_and_their_range() -> None:
    closed = [run(8, 1, folder="a"), run(6, 0, folder="b")]
    acting = [run(9, 9, (3, 9), "a"), run(9, 9, (1, 10), "b")]
    [row] = cells({"SFT-stage1": RowRuns(closed, acting)}).values()
    assert row == [("70.0", "60–80"), ("5.0", "0–10"), ("20.0", "10–30"), ("95.0", "90–100")]


def test_the_base_is_one_row_and_its_closed_book_answers_are_those_of_model_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(scores, "load_scored", lambda path: run(1, 1, folder=str(path)))
    rows = known_facts.runs_of_rows(load_scale("nano"), [Path("a"), Path("b")])
    assert list(rows)[:2] == ["the base (ReAct)", "SFT-stage1"]
    paths = {
        row: [[str(run.path.relative_to("runs")) for run in runs] for runs in pair]
        for row, pair in rows.items()
    }
    assert paths["the base (ReAct)"] == [
        ["a/runs/model-only", "b/runs/model-only"],
        ["a/runs/react", "b/runs/react"],
    ]
    assert paths["SFT-stage1&2"][0] == ["a/runs/SFT-stage1-2-closed", "b/runs/SFT-stage1-2-closed"]
