"""Table 1 at nano size, with a tenth of RL and fewer questions: rows stand in the paper's order."""

import subprocess
import sys

import pytest
from msgspec.structs import replace

from agent_model.reproduce import nano, table1
from autocoa_bench.report.comparison.claim_tests import Contrast, Rows, contrast
from autocoa_bench.report.comparison.paper_rows import runs_of_rows
from autocoa_bench.report.entries import EMPTY_CATALOGUE, make_entries
from autocoa_bench.report.published import paper_claims
from autocoa_bench.runs.scores import load_scored

SHARE = 0.1
MODEL, REACT = table1.UNTRAINED.values()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    out = tmp_path_factory.mktemp("nano")
    command = (sys.executable, "-m", "autocoa_bench", "reproduce", "table1", "--jobs", "2")
    subprocess.run([*command, "--share", str(SHARE), "--out", str(out)], check=True)
    assert "Claims of the paper's section 4.3" in (out / "table1.md").read_text()
    lines = table1.lines(nano.scale(SHARE), out)
    found = make_entries([load_scored(line.folder) for line in lines], EMPTY_CATALOGUE)
    return runs_of_rows(found, {line.folder.name: line.row for line in lines})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (REACT, MODEL),
        ("SFT-stage1&2", REACT),
        ("SFT-stage1&2+RL-stage2", "SFT-stage1&2"),
    ],
)
def test_one_row_is_better_than_another_by_more_than_chance(
    rows: Rows, better: str, worse: str
) -> None:
    [claim] = [each for each in paper_claims() if each.id == "real-rl-over-sft"]
    found = contrast(replace(claim, first=(better,), second=worse), rows, "em")
    assert isinstance(found, Contrast)
    assert found.low > 0
