"""The curve over the end of the simulated environment: its trainings and its table."""

from __future__ import annotations

from pathlib import Path

from agent_model.reproduce import switch
from agent_model.reproduce.commands import FULL
from agent_model.reproduce.scale import load_scale
from agent_model.reproduce.table1 import table1_experiment
from agent_model.reproduce.training_cost import SearchCounts
from autocoa_bench.runs.run_folder import Run
from support.handmade import make

SCALE = load_scale("nano")
OUT = Path("out")
TASKS = ("nq", "hotpotqa")


def run(right: int, folder: str = "run") -> Run:
    """A run with so many right answers of 40 a dataset."""
    answers = [(1, float(number < right)) for number in range(40)]
    return make(dict.fromkeys(TASKS, answers), folder=folder)


def cells(*points: switch.SwitchPoint) -> dict[str, list[str]]:
    [section] = switch.switch_table(points, 48).sections
    return {row.label.text: [cell.text for cell in row.cells] for row in section.rows}


def test_the_papers_switch_and_no_switch_at_all_are_rows_of_table_1() -> None:
    rows = {simulated: variant.row for simulated, variant in switch.switch_variants(SCALE).items()}
    assert list(rows) == [0, 9, 18, 27, 30, 36]
    assert rows[30] == "SFT-stage1&2&3+RL-stage1&2"
    assert rows[36] == "SFT-stage1&2&3+RL-stage1"


def test_every_point_starts_from_the_same_model() -> None:
    assert {variant.start for variant in switch.switch_variants(SCALE).values()} == {FULL}


def test_every_command_of_the_curve_comes_after_those_that_it_needs() -> None:
    seen: set[str] = set()
    for command in switch.switch_experiment(SCALE, OUT, 3).commands:
        assert seen >= set(command.needs)
        seen.add(command.name)


def test_a_folder_of_table_1_serves_the_curve() -> None:
    curve, table = (
        {command.name: command for command in make_experiment(SCALE, OUT, 3).commands}
        for make_experiment in (switch.switch_experiment, table1_experiment)
    )
    shared = curve.keys() & table.keys()
    assert "train SFT-stage1-2-3+RL-stage1" in shared
    assert all(curve[name] == table[name] for name in shared)


def test_a_point_has_means_over_trainings_and_a_paired_difference() -> None:
    real = [run(40, "a"), run(36, "b")]
    simulated = [run(20, "a"), run(20, "b")]
    first = switch.switch_point(0, [SearchCounts(300, 200), SearchCounts(500, 400)], real, real)
    last = switch.switch_point(48, [SearchCounts(100, 0), SearchCounts(140, 0)], simulated, real)
    assert cells(first, last) == {
        "0 of 48": ["2", "400", "300", "0.0", "95.0", "–", "–"],
        "48 of 48": ["2", "120", "0", "100.0", "50.0", "-45.0", "< 0.001"],
    }


def test_the_curve_is_plotted(tmp_path: Path) -> None:
    points = [switch.switch_point(0, [SearchCounts(3, 2)], [run(30)], [run(30)])]
    switch.write_plot(points, 48, tmp_path / "switch.png")
    assert (tmp_path / "switch.png").read_bytes().startswith(b"\x89PNG")
