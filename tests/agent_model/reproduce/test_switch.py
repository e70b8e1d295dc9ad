"""The curve over the switch of environments: what is trained for it, and what it says."""

from __future__ import annotations

from pathlib import Path

from agent_model.reproduce import nano, switch, table1
from autocoa_bench.runs.run_folder import Run
from support.handmade import make

SCALE = nano.scale(share=1.0)
OUT = Path("out")
TASKS = ("nq", "hotpotqa")


def run(right: int, folder: str = "run") -> Run:
    """A run with so many right of 40 a dataset."""
    answers = [(1, float(number < right)) for number in range(40)]
    return make(dict.fromkeys(TASKS, answers), folder=folder)


def cells(*found: switch.SwitchPoint) -> dict[str, list[str]]:
    [section] = switch.table(found, 48).sections
    return {row.label.text: [cell.text for cell in row.cells] for row in section.rows}


def test_the_papers_switch_and_no_switch_at_all_are_rows_of_table_1() -> None:
    rows = {simulated: each.row for simulated, each in switch.variants_by_switch(SCALE).items()}
    assert list(rows) == [0, 12, 24, 36, 40, 48]
    assert rows[40] == "SFT-stage1&2&3+RL-stage1&2"
    assert rows[48] == "SFT-stage1&2&3+RL-stage1"


def test_every_point_starts_from_the_same_model() -> None:
    assert {each.start for each in switch.variants_by_switch(SCALE).values()} == {table1.FULL}


def test_every_step_of_the_curve_stands_after_those_that_it_needs() -> None:
    seen: set[str] = set()
    for step in switch.steps(SCALE, OUT, 3):
        assert seen >= set(step.needs)
        seen.add(step.name)


def test_a_folder_of_table_1_serves_the_curve() -> None:
    ours = {step.name: step for step in switch.steps(SCALE, OUT, 3)}
    theirs = {step.name: step for step in table1.steps(SCALE, OUT, 3)}
    shared = ours.keys() & theirs.keys()
    assert "train SFT-stage1-2-3+RL-stage1" in shared
    assert all(ours[name] == theirs[name] for name in shared)


def test_every_step_stands_after_those_that_it_needs() -> None:
    seen: set[str] = set()
    for step in switch.steps(SCALE, OUT, 3):
        assert seen >= set(step.needs)
        seen.add(step.name)


def test_a_point_has_means_over_trainings_and_a_paired_difference() -> None:
    without = [run(40, "a"), run(36, "b")]
    first = switch.point(0, [(300, 200), (500, 400)], without, without)
    last = switch.point(48, [(100, 0), (140, 0)], [run(20, "a"), run(20, "b")], without)
    assert cells(first, last) == {
        "0 of 48": ["2", "400", "300", "0.0", "95.0", "–", "–"],
        "48 of 48": ["2", "120", "0", "100.0", "50.0", "-45.0", "< 0.001"],
    }


def test_the_curve_is_drawn(tmp_path: Path) -> None:
    found = [switch.point(0, [(3, 2)], [run(30)], [run(30)])]
    switch.write_plot(found, 48, tmp_path / "switch.png")
    assert (tmp_path / "switch.png").read_bytes().startswith(b"\x89PNG")
