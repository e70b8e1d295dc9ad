"""What training took: read off the curves."""

from pathlib import Path

from agent_model.reproduction import nano, table1
from agent_model.reproduction.spent import spent

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
    [section] = spent(SCALE, out).sections
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
    assert any(note.endswith(said) for note in spent(SCALE, tmp_path).notes)


def test_every_variant_has_its_row(tmp_path: Path) -> None:
    assert list(figures(tmp_path)) == [each.row for each in table1.variants(SCALE)]
