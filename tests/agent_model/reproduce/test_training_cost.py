"""What training took: read off the curves."""

from pathlib import Path

import pytest

from agent_model.reproduce import nano, table1
from agent_model.reproduce.training_cost import training_cost
from autocoa_bench.errors import UserError

SCALE = nano.scale(share=1.0)
SFT = "step,tokens,seconds\n1,500,2.5\n2,1200,4.0\n"
RL = (
    "step,environment,calls,saved,tokens,seconds\n"
    "1,simulated,0,30,4000,5.0\n2,real,8,12,9000,11.0\n"
)


def figures(out: Path) -> dict[str, list[str]]:
    for each in table1.variants(SCALE):
        folder = out / "train" / each.name
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text(RL if each.stage == "grpo" else SFT)
        (folder / "run.json").write_text('{"steps": 2}')
    [section] = training_cost(SCALE, out).sections
    return {row.label.text: [cell.text for cell in row.cells] for row in section.rows}


def test_a_supervised_stage_has_steps_tokens_and_seconds_and_no_searches(tmp_path: Path) -> None:
    assert figures(tmp_path)["SFT-stage2"] == ["2", "0", "1,200", "4", "–", "–"]


def test_reinforcement_learning_counts_searches_and_those_of_them_that_were_real(
    tmp_path: Path,
) -> None:
    found = figures(tmp_path)["SFT-stage1&2&3+RL-stage1&2"]
    assert found == ["2", "1", "9,000", "11", "50", "8"]


def test_it_is_said_of_which_rows_steps_count_twice(tmp_path: Path) -> None:
    figures(tmp_path)
    said = "+RL-stage1&2 begins as SFT-stage1&2&3+RL-stage1 does: what they share is in both rows"
    assert any(note.endswith(said) for note in training_cost(SCALE, tmp_path).notes)


@pytest.mark.parametrize(
    ("curve", "said"),
    [
        (SFT.replace("2,1200,4.0\n", ""), "does not hold the 2 steps"),
        (SFT[:-2], "does not hold the 2 steps"),  # a line that was torn
        (SFT + "3,1300,5.0\n", "does not hold the 2 steps"),
        (SFT + "a,b\n", "says of its training"),
        ("step\n1\n2\n", "says of its training"),
        ("", "does not hold the 2 steps"),
    ],
)
def test_a_curve_that_is_not_whole_is_refused(tmp_path: Path, curve: str, said: str) -> None:
    figures(tmp_path)
    (tmp_path / "train" / "SFT-stage2" / "metrics.csv").write_text(curve)
    with pytest.raises(UserError, match=said):
        training_cost(SCALE, tmp_path)


def test_every_variant_has_its_row(tmp_path: Path) -> None:
    assert list(figures(tmp_path)) == [each.row for each in table1.variants(SCALE)]
