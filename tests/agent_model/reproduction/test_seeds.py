"""Table 1 over several seeds."""

from __future__ import annotations

from pathlib import Path

from agent_model.reproduction import seeds, table1
from autocoa_bench.store import Run
from support.handmade import make

REACT = table1.UNTRAINED["react"]


def run(right: int, folder: str) -> Run:
    answers = [(1, float(number < right)) for number in range(10)]
    return make({"nq": answers, "hotpotqa": answers}, folder=folder)


def test_a_row_has_each_seeds_average_that_of_all_and_their_deviation() -> None:
    runs = {"SFT-stage1": [run(2, "a"), run(4, "b"), run(6, "c")]}
    made = seeds.table(runs, [Path("seed-0"), Path("seed-1"), Path("seed-2")])
    assert [column.headings for column in made.columns] == [
        ("seed-0",),
        ("seed-1",),
        ("seed-2",),
        ("all",),
        ("deviation",),
    ]
    [row] = made.sections[0].rows
    assert [cell.text for cell in row.cells] == ["20.0", "40.0", "60.0", "40.0", "20.0"]
    assert made.facts[0].n == 20


def test_one_seed_has_no_deviation() -> None:
    [row] = seeds.table({"SFT-stage1": [run(2, "a")]}, [Path("seed-0")]).sections[0].rows
    assert row.cells[-1].text == "–"


def test_rows_of_an_untrained_base_go_by_their_solver() -> None:
    [row] = seeds.table({REACT: [run(2, "a")]}, [Path("seed-0")]).sections[0].rows
    assert row.label.text == "react"
