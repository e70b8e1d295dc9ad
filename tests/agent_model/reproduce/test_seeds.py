"""Table 1 over several seeds."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agent_model.reproduce import nano, seeds, table1
from agent_model.reproduce.steps import CommandRecord
from autocoa_bench.errors import UserError
from autocoa_bench.runs.run_folder import Run
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
    assert made.data_points[0].n == 20


def test_one_seed_has_no_deviation() -> None:
    [row] = seeds.table({"SFT-stage1": [run(2, "a")]}, [Path("seed-0")]).sections[0].rows
    assert row.cells[-1].text == "–"


def test_rows_of_an_untrained_base_go_by_their_solver() -> None:
    [row] = seeds.table({REACT: [run(2, "a")]}, [Path("seed-0")]).sections[0].rows
    assert row.label.text == "react"


def complete(out: Path, share: float = 1.0, seed: int = 0) -> Path:
    """A folder with all records of a reproduction, and nothing that they are of."""
    (out / "steps").mkdir(parents=True)
    for step in table1.steps(nano.scale(share), out, seed):
        done = msgspec.json.encode(CommandRecord(step.words, 1.0))
        (out / "steps" / f"{step.name}.json").write_bytes(done)
    return out


def test_a_folder_that_lacks_a_step_is_refused(tmp_path: Path) -> None:
    out = complete(tmp_path / "seed-0")
    (out / "steps" / "run react.json").unlink()
    with pytest.raises(
        UserError, match=r"no complete Table 1 of the scale nano: 'run react' is not"
    ):
        seeds.runs_by_row(nano.scale(1.0), [out])


def test_a_folder_of_another_share_is_refused(tmp_path: Path) -> None:
    out = complete(tmp_path / "seed-0", share=0.5)
    with pytest.raises(UserError, match="is a Table 1 of another kind: its step 'run model-only'"):
        seeds.runs_by_row(nano.scale(1.0), [out])


def test_a_folder_of_another_seed_is_no_other_kind(tmp_path: Path) -> None:
    out = complete(tmp_path / "seed-1", seed=1)
    with pytest.raises(UserError, match="is not a run folder"):  # past the check
        seeds.runs_by_row(nano.scale(1.0), [out])


def test_a_folder_given_twice_is_refused(tmp_path: Path) -> None:
    out = complete(tmp_path / "seed-0")
    with pytest.raises(UserError, match="a folder is given twice"):
        seeds.runs_by_row(nano.scale(1.0), [out, tmp_path / "x" / ".." / "seed-0"])
