"""Plots as files for a paper."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.report import Catalogue, build
from autocoa_bench.report.model import Report
from autocoa_bench.report.render.plot_figures import write_plots
from autocoa_bench.runs.run_folder import Run

Make = Callable[..., Run]


@pytest.fixture
def runs(make_run: Make) -> list[Run]:
    answers = [(1, 1.0), (1, 0.0), (2, 1.0), (3, 0.0)]
    return [
        make_run({"hotpotqa": answers, "musique": answers}, "agent", folder="agent"),
        make_run({"hotpotqa": answers[::-1], "musique": answers}, "react", folder="react"),
    ]


@pytest.fixture
def report(runs: list[Run], known: Catalogue) -> Report:
    return build(runs, tables=["leaderboard", "actions"], scorers=["em"], catalogue=known)


def test_each_plot_is_drawn_in_three_formats(
    runs: list[Run], report: Report, tmp_path: Path
) -> None:
    files = write_plots(report, runs, tmp_path / "new" / "plots")
    stems = ("leaderboard", "figure-3a", "figure-3b")
    assert [file.name for file in files] == [
        f"{stem}.{suffix}" for stem in stems for suffix in ("svg", "pdf", "png")
    ]
    starts = {".svg": b"<?xml", ".pdf": b"%PDF", ".png": b"\x89PNG"}
    assert all(file.read_bytes().startswith(starts[file.suffix]) for file in files)


def test_a_plot_names_its_runs_and_its_axes_as_text(
    runs: list[Run], report: Report, tmp_path: Path
) -> None:
    write_plots(report, runs, tmp_path)
    drawn = (tmp_path / "figure-3b.svg").read_text()
    assert all(f">{text}</text>" in drawn for text in ("agent", "react", "actions"))
    board = (tmp_path / "leaderboard.svg").read_text()
    assert all(f"{title}, EM %" in board for title in ("HotpotQA", "MuSiQue", "Average"))


def test_the_same_report_gives_the_same_files(
    runs: list[Run], report: Report, tmp_path: Path
) -> None:
    first, second = (write_plots(report, runs, tmp_path / name) for name in ("first", "second"))
    assert [file.read_bytes() for file in first] == [file.read_bytes() for file in second]


def test_a_table_without_plots_is_refused(
    runs: list[Run], known: Catalogue, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="nothing to draw for cost; the tables with plots"):
        write_plots(build(runs, tables=["cost"], catalogue=known), runs, tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(
    runs: list[Run], report: Report, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write plots to"):
        write_plots(report, runs, tmp_path / "file")


def test_names_are_drawn_as_they_are_and_never_as_formulas(
    make_run: Make, known: Catalogue, tmp_path: Path
) -> None:
    run = make_run({"hotpotqa": [(1, 1.0), (2, 0.0)]}, "_$x^2$ <b>")
    write_plots(build([run], tables=["leaderboard", "actions"], catalogue=known), [run], tmp_path)
    for name in ("leaderboard", "figure-3a", "figure-3b"):
        assert ">_$x^2$ &lt;b&gt;</text>" in (tmp_path / f"{name}.svg").read_text()


def test_only_plots_import_matplotlib() -> None:
    script = """
import subprocess
import sys
from typer.testing import CliRunner
from autocoa_bench.cli.main import app
assert CliRunner().invoke(app, ["report", "--help"]).exit_code == 0
import autocoa_bench.report.page, autocoa_bench.report.render.plot_figures
assert "matplotlib" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
