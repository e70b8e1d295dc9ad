"""The cost of training, read from the metrics."""

from pathlib import Path

import pytest

from agent_model.reproduce.commands import variants
from agent_model.reproduce.scale import load_scale
from agent_model.reproduce.training_cost import training_cost
from autocoa_bench.errors import UserError

SCALE = load_scale("nano")
SFT = "step,tokens,seconds\n1,500,2.5\n2,1200,4.0\n"
RL = (
    "step,environment,calls,saved,tokens,seconds\n"
    "1,simulated,0,30,4000,5.0\n2,real,8,12,9000,11.0\n"
)


def figures(out: Path) -> dict[str, list[str]]:
    for variant in variants(SCALE):
        folder = out / "train" / variant.name
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text(RL if variant.stage == "grpo" else SFT)
        (folder / "run.json").write_text('{"steps": 2}')
    [section] = training_cost(SCALE, out).sections
    return {row.label.text: [cell.text for cell in row.cells] for row in section.rows}


def test_a_supervised_stage_has_steps_tokens_and_seconds_and_no_searches(tmp_path: Path) -> None:
    assert figures(tmp_path)["SFT-stage2"] == ["2", "0", "1,200", "4", "–", "–"]


def test_reinforcement_learning_counts_searches_and_real_searches(
    tmp_path: Path,
) -> None:
    row = figures(tmp_path)["SFT-stage1&2&3+RL-stage1&2"]
    assert row == ["2", "1", "9,000", "11", "50", "8"]


def test_a_note_says_which_rows_count_the_same_steps(tmp_path: Path) -> None:
    figures(tmp_path)
    note_end = (
        "+RL-stage1&2 continues SFT-stage1&2&3+RL-stage1: both rows count the steps they share"
    )
    assert any(note.endswith(note_end) for note in training_cost(SCALE, tmp_path).notes)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (SFT.replace("2,1200,4.0\n", ""), "does not hold the 2 steps"),
        (SFT[:-2], "does not hold the 2 steps"),  # a line that was torn
        (SFT + "3,1300,5.0\n", "does not hold the 2 steps"),
        (SFT + "a,b\n", "cannot read the metrics of"),
        ("step\n1\n2\n", "cannot read the metrics of"),
        ("", "does not hold the 2 steps"),
    ],
)
def test_incomplete_metrics_are_refused(tmp_path: Path, metrics: str, message: str) -> None:
    figures(tmp_path)
    (tmp_path / "train" / "SFT-stage2" / "metrics.csv").write_text(metrics)
    with pytest.raises(UserError, match=message):
        training_cost(SCALE, tmp_path)


def test_every_variant_has_its_row(tmp_path: Path) -> None:
    assert list(figures(tmp_path)) == [variant.row for variant in variants(SCALE)]
