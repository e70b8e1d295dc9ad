"""Table 1 at nano size with three of its trained rows, less data and fewer questions."""

import io
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from agent_model.reproduce.commands import UNTRAINED_ROWS, closed_book_run, table_rows
from agent_model.reproduce.measures import right
from agent_model.reproduce.scale import load_scale
from agent_model.reproduce.table1 import reproduce_table1
from autocoa_bench.report.comparison.claim_tests import Contrast, Rows, contrast
from autocoa_bench.report.comparison.paper_rows import runs_by_row
from autocoa_bench.report.entries import EMPTY_CATALOGUE, make_entries
from autocoa_bench.report.published import paper_claims
from autocoa_bench.runs.scores import load_scored

SCALE = replace(
    load_scale("nano"),
    rows=("SFT-stage1", "SFT-stage1&2", "SFT-stage1&2+RL-stage2"),
    counts={"coa": 1000, "cot": 400, "cot+a": 240, "unknown": 200, "observed": 40},
    limit=16,
    rl_steps=3,
)
MODEL_ONLY, REACT = UNTRAINED_ROWS.values()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the table."""
    out = tmp_path_factory.mktemp("nano")
    console = Console(file=io.StringIO())
    reproduce_table1(SCALE, out, SCALE.base_folder(), seed=0, jobs=1, console=console)
    text = (out / "table1.md").read_text()
    assert "Claims of the paper's section 4.3" in text
    assert "Known facts, asked closed book" in text
    return out


@pytest.fixture(scope="module")
def rows(table: Path) -> Rows:
    paper_rows = table_rows(SCALE)
    runs = [load_scored(table / "runs" / name) for name in paper_rows]
    return runs_by_row(make_entries(runs, EMPTY_CATALOGUE), paper_rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (REACT, MODEL_ONLY),
        ("SFT-stage1&2+RL-stage2", REACT),
        ("SFT-stage1&2+RL-stage2", "SFT-stage1"),
    ],
)
def test_one_row_is_better_than_another_by_more_than_chance(
    rows: Rows, better: str, worse: str
) -> None:
    [claim] = [claim for claim in paper_claims() if claim.id == "real-rl-over-sft"]
    difference = contrast(replace(claim, first=(better,), second=worse), rows, "em")
    assert isinstance(difference, Contrast)
    assert difference.low > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SFT-stage1", "SFT-stage1-2", "SFT-stage1-2+RL-stage2"])
def test_training_keeps_what_the_base_knows(table: Path, name: str) -> None:
    run = load_scored(table / "runs" / closed_book_run(name))
    known = right(make_entries([run], EMPTY_CATALOGUE), "known")
    assert known.n >= 16
    assert known.mean is not None
    assert known.mean >= 0.9
