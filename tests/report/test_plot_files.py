"""Plots as files for a paper."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autocoa_bench.errors import MissingExtra, UserError
from autocoa_bench.report import Catalogue, build
from autocoa_bench.report.model import Report
from autocoa_bench.report.render.plot_files import write_plots
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
    one, other = (
        write_plots(report, runs, tmp_path / "one"),
        write_plots(report, runs, tmp_path / "other"),
    )
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in other]


def test_a_table_without_plots_is_refused(
    runs: list[Run], known: Catalogue, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="nothing to draw of cost; plots are of leaderboard"):
        write_plots(build(runs, tables=["cost"], catalogue=known), runs, tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(
    runs: list[Run], report: Report, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write plots to"):
        write_plots(report, runs, tmp_path / "file")


def test_without_matplotlib_the_extra_is_named(
    runs: list[Run], report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("matplotlib")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"autocoa-bench\[plots\]"):
        write_plots(report, runs, tmp_path)
