"""The bar of long work: it shows itself only when the work is long, and only on a terminal."""

from __future__ import annotations

import pytest

from autocoa_bench.util import progress


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    with progress.DelayedProgressBar("reading") as bar:
        bar.update(0.5)
        bar.update(None)
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")


@pytest.mark.usefixtures("terminal")
def test_short_work_shows_no_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 3600.0)
    assert shown(capsys) == ""


@pytest.mark.usefixtures("terminal")
def test_long_work_shows_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0.0)
    assert "reading" in shown(capsys)


def test_where_there_is_no_terminal_nothing_is_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "PATIENCE_SECONDS", 0.0)
    assert shown(capsys) == ""
