"""The paper's figures as data, and the arithmetic that their notes claim."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from statistics import fmean

import pytest

from autocoa_bench.report.published import METRICS, PaperRow, PaperTable, paper_tables

ROOT = Path(__file__).parents[2]
TABLE_1, TABLE_2 = paper_tables()
SFT = ("SFT-stage1", "SFT-stage2", "SFT-stage1&2", "SFT-stage1&2&3")


def row(name: str, table: PaperTable = TABLE_1) -> PaperRow:
    (result,) = (row for row in table.rows if row.name == name)
    return result


def off_by(paper_row: PaperRow, metric: str) -> float:
    """Printed average less the mean of the cells, in points."""
    return paper_row.average[metric] - fmean(paper_row.figures(metric).values())


def off_grid(
    paper_row: PaperRow, samples: int, table: PaperTable = TABLE_1
) -> list[tuple[str, str]]:
    """The figures, by metric and set, that are not a whole number of answers as rounded."""
    unit, rounding = (100, 0.05) if table.unit == "percent" else (1, 0.0005)
    result = []
    for metric in METRICS:
        for name, figure in paper_row.figures(metric).items():
            n = samples * table.sets[name].questions
            if abs(round(figure * n / unit) * unit / n - figure) > rounding + 1e-9:
                result.append((metric, name))
    return result


def test_table_1_has_every_cell_of_its_twelve_rows() -> None:
    assert len(TABLE_1.rows) == 12
    for paper_row in TABLE_1.rows:
        for metric in METRICS:
            assert list(paper_row.figures(metric)) == list(TABLE_1.sets)
        assert set(paper_row.average) == set(METRICS)


def test_table_2_has_every_cell_of_its_two_rows() -> None:
    assert len(TABLE_2.rows) == 2
    for paper_row in TABLE_2.rows:
        for metric in METRICS:
            assert list(paper_row.figures(metric)) == list(TABLE_2.sets)
    assert [questions.questions for questions in TABLE_2.sets.values()] == [192, 576] * 2


def test_figures_are_shares_whatever_the_tables_unit() -> None:
    assert TABLE_1.share(row("SFT-stage2"), "em", "nq") == 0.25
    assert TABLE_2.share(row("DeepSeek-R1", TABLE_2), "llm", "known-sub") == 0.944
    assert TABLE_2.share(row("DeepSeek-R1", TABLE_2), "em", "unprinted") is None


def test_five_rows_print_averages_that_are_not_the_means_of_their_cells() -> None:
    beyond_rounding = {
        paper_row.name
        for paper_row in TABLE_1.rows
        if any(abs(off_by(paper_row, metric)) > 0.1 for metric in METRICS)
    }
    assert beyond_rounding == {"Deepseek-R1", *SFT}
    em = [off_by(row(name), "em") for name in beyond_rounding]
    llm = [off_by(row(name), "llm") for name in beyond_rounding]
    assert (round(min(em), 1), round(max(em), 1)) == (0.1, 0.8)
    assert (round(min(llm), 1), round(max(llm), 1)) == (0.9, 3.8)
    assert "EM 0.1 to 0.8 higher, LLM 0.9 to 3.8" in TABLE_1.notes["averages"]


def test_the_other_averages_are_means_within_rounding() -> None:
    for paper_row in TABLE_1.rows:
        if paper_row.name not in ("Deepseek-R1", *SFT):
            assert max(abs(off_by(paper_row, metric)) for metric in METRICS) <= 0.05


def test_rows_lie_on_the_grids_that_they_are_noted_for() -> None:
    for paper_row in TABLE_1.rows:
        result = next((samples for samples in (1, 3) if not off_grid(paper_row, samples)), None)
        assert paper_row.grid == result, paper_row.name
    grids = [paper_row.grid for paper_row in TABLE_1.rows]
    assert (grids.count(1), grids.count(3), grids.count(None)) == (5, 6, 1)
    assert off_grid(row("SFT-stage1"), 3) == [("em", "bamboogle"), ("llm", "bamboogle")]


def test_some_cells_of_table_2_are_no_single_runs() -> None:
    small, r1 = TABLE_2.rows
    assert off_grid(small, 1, TABLE_2) == [("llm", "recent-sub")]
    assert off_grid(small, 3, TABLE_2) == []
    assert off_grid(r1, 1, TABLE_2) == [
        ("em", "recent-sub"),
        ("llm", "recent"),
        ("llm", "recent-sub"),
    ]
    assert off_grid(r1, 3, TABLE_2) == [("llm", "recent")]
    assert (small.llm["recent-sub"], r1.em["recent-sub"]) == (0.039, 0.079)
    assert (r1.llm["recent"], r1.llm["recent-sub"]) == (0.098, 0.119)


def test_the_last_two_rows_differ_by_half_their_standard_error() -> None:
    *_, first, last = TABLE_1.rows
    assert round(last.average["em"] - first.average["em"], 1) == 0.5
    for paper_row in (first, last):
        variances = [
            paper_row.em[name] * (100 - paper_row.em[name]) / questions.questions
            for name, questions in TABLE_1.sets.items()
        ]
        assert round(math.sqrt(sum(variances)) / len(variances), 1) == 1.0


def test_the_paper_prints_the_temporal_figures_in_its_text_too() -> None:
    """A.2 repeats some of Table 2's cells in percent."""
    r1, small = row("DeepSeek-R1", TABLE_2), row("DeepSeek-R1-Distill-Qwen-7B", TABLE_2)
    assert (r1.em["known"], r1.llm["known"]) == (0.615, 0.646)
    assert (small.em["recent"], small.llm["recent"]) == (0.026, 0.052)


def test_figure_3_has_a_shape_in_both_panels_and_no_numbers_of_success() -> None:
    figure = tomllib.loads((ROOT / "autocoa_bench/report/paper/figure3.toml").read_text())
    assert [panel["name"] for panel in figure["panels"]] == ["3a", "3b"]
    for panel in figure["panels"]:
        policy, agent = panel["shapes"]
        assert "initial policy" in policy["of"]
        assert "agent model" in agent["of"]
        assert set(policy) | set(agent) <= {"of", "shape", "most_at", "high_at"}


@pytest.mark.skipif(not (ROOT / "results/paper").exists(), reason="an sdist leaves the link out")
@pytest.mark.parametrize("name", ["table1", "table2", "figure3", "claims"])
def test_the_results_folder_shows_what_the_package_reads(name: str) -> None:
    linked = (ROOT / "results/paper" / f"{name}.toml").read_bytes()
    assert linked == (ROOT / "autocoa_bench/report/paper" / f"{name}.toml").read_bytes()
