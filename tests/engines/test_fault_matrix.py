"""A part of the fault matrix of docs/faults.md, whose whole `make faults` runs."""

from pathlib import Path

import pytest

from support import fault_matrix
from support.fault_matrix import BEGIN, END, KINDS, RATES, STAGES, cell, outcome

FAULTS = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("model list", "dropped connection"),
        ("probe", "429 without Retry-After"),
        ("first request", "429 with Retry-After"),
        ("mid-episode", "404 in passing"),
        ("mid-episode", "finish reason `error`"),
        ("forced answer", "null content"),
        ("judge", "529"),
        ("search", "error in a 200"),
        ("search", "hang"),
        ("tokenise", "truncated JSON"),
    ],
)
def test_faults_change_no_score(stage: str, name: str) -> None:
    clean = outcome(stage, name, 0.0, 10)
    faulty = outcome(stage, name, RATES[-1], 10)
    assert faulty.scores == clean.scores
    assert len(clean.scores) == 10
    assert faulty.requests > clean.requests


def test_a_score_that_faults_change_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "lasting", ("400", None))
    monkeypatch.setattr(fault_matrix, "RATES", (0.5, 0.9))
    text, is_equal = cell("mid-episode", "lasting", 10)
    assert not is_equal
    assert "** / **" in text


def test_the_matrix_of_the_documents_is_of_all_kinds_and_stages() -> None:
    table = FAULTS.partition(BEGIN)[2].partition(END)[0]
    heading, _, *rows = [line.strip("| ").split(" | ") for line in table.strip().splitlines()]
    assert heading == ["kind", *STAGES]
    assert [row[0] for row in rows] == list(KINDS)
    assert not any("**" in cell_text for row in rows for cell_text in row)
