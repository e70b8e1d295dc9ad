"""Table 1 over several seeds."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent_model.reproduce import ablation, seeds
from agent_model.reproduce.commands import UNTRAINED_ROWS
from agent_model.reproduce.runner import CommandRecord
from agent_model.reproduce.scale import load_scale
from agent_model.reproduce.table1 import table1_experiment
from autocoa_bench.errors import UserError
from autocoa_bench.runs.run_folder import Run
from support.handmade import make

REACT = UNTRAINED_ROWS["react"]


def run(right: int, folder: str) -> Run:
    answers = [(1, float(number < right)) for number in range(10)]
    return make({"nq": answers, "hotpotqa": answers}, folder=folder)


def test_a_row_has_the_average_of_each_seed_of_all_and_their_deviation() -> None:
    runs = {"SFT-stage1": [run(2, "a"), run(4, "b"), run(6, "c")]}
    table = seeds.seed_table(runs, [Path("seed-0"), Path("seed-1"), Path("seed-2")])
    assert [column.headings for column in table.columns] == [
        ("seed-0",),
        ("seed-1",),
        ("seed-2",),
        ("all",),
        ("deviation",),
    ]
    [row] = table.sections[0].rows
    assert [cell.text for cell in row.cells] == ["20.0", "40.0", "60.0", "40.0", "20.0"]
    assert table.data_points[0].n == 20


def test_one_seed_has_no_deviation() -> None:
    [row] = seeds.seed_table({"SFT-stage1": [run(2, "a")]}, [Path("seed-0")]).sections[0].rows
    assert row.cells[-1].text == "–"


def test_rows_of_an_untrained_base_go_by_their_solver() -> None:
    [row] = seeds.seed_table({REACT: [run(2, "a")]}, [Path("seed-0")]).sections[0].rows
    assert row.label.text == "react"


def complete(out: Path, share: float = 1.0, seed: int = 0) -> Path:
    """A folder with the records of all commands of a reproduction, without their results."""
    (out / "steps").mkdir(parents=True)
    for command in table1_experiment(load_scale("nano", share), out, seed).commands:
        record = msgspec.json.encode(CommandRecord(command.arguments, 1.0))
        (out / "steps" / f"{command.name}.json").write_bytes(record)
    return out


def test_a_folder_that_lacks_a_command_is_refused(tmp_path: Path) -> None:
    out = complete(tmp_path / "seed-0")
    (out / "steps" / "run react.json").unlink()
    with pytest.raises(
        UserError,
        match=r"is not a complete Table 1 of the scale nano: 'run react' has not finished",
    ):
        seeds.runs_by_row(load_scale("nano"), [out])


def test_a_folder_from_before_the_closed_book_runs_is_refused(tmp_path: Path) -> None:
    out = complete(tmp_path / "seed-0")
    for record in (out / "steps").glob("run *-closed.json"):
        record.unlink()
    with pytest.raises(UserError, match=r"'run SFT-stage1-closed' has not finished; .* resumes it"):
        seeds.runs_by_row(load_scale("nano"), [out])


def test_a_folder_of_another_share_is_refused(tmp_path: Path) -> None:
    out = complete(tmp_path / "seed-0", share=0.5)
    with pytest.raises(
        UserError, match="is a Table 1 of another scale or share: its command 'run model-only'"
    ):
        seeds.runs_by_row(load_scale("nano"), [out])


def test_a_folder_of_another_seed_is_accepted(tmp_path: Path) -> None:
    out = complete(tmp_path / "seed-1", seed=1)
    with pytest.raises(UserError, match="is not a run folder"):  # past the check
        seeds.runs_by_row(load_scale("nano"), [out])


def test_folders_have_the_ablation_only_if_each_has_all_of_its_commands(tmp_path: Path) -> None:
    scale = load_scale("nano")
    folders = [complete(tmp_path / "seed-0"), complete(tmp_path / "seed-1", seed=1)]
    experiment = ablation.ablation_experiment(scale, Path(), 0)
    for command in experiment.commands:
        assert not seeds.all_have(folders, experiment)
        for folder in folders:
            file = folder / "steps" / f"{command.name}.json"
            file.write_bytes(msgspec.json.encode(CommandRecord(command.arguments, 1.0)))
    assert seeds.all_have(folders, experiment)


def test_a_folder_given_twice_is_refused(tmp_path: Path) -> None:
    out = complete(tmp_path / "seed-0")
    with pytest.raises(UserError, match="a folder is given twice"):
        seeds.runs_by_row(load_scale("nano"), [out, tmp_path / "x" / ".." / "seed-0"])
