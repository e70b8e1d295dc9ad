"""`reproduce` from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.commands import caller, refused


@pytest.mark.parametrize("experiment", ["table1", "switch", "ablation"])
def test_a_dry_run_prints_a_shell_script_and_writes_nothing(
    experiment: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cli = caller(monkeypatch, capsys)
    out = tmp_path / "out"
    result = cli("reproduce", experiment, "--out", str(out), "--dry-run")
    assert result.code == 0, result.err
    folders, first, *rest = result.out.splitlines()
    assert folders == f"mkdir -p {out / 'models'}"
    assert first.startswith("ln -s /")
    assert first.endswith(str(out / "models" / "base"))
    assert any(line.startswith("autocoa-bench train grpo ") for line in rest)
    assert not out.exists()


def test_a_base_that_is_none_is_refused_by_a_dry_run_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = caller(monkeypatch, capsys)
    arguments = ("reproduce", "table1", "--out", str(tmp_path / "out"), "--dry-run")
    refused(cli(*arguments, "--base", "/nonexistent"), "is not a model folder", "--base")


def test_a_folder_without_a_table_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = caller(monkeypatch, capsys)
    arguments = ("reproduce", "seeds", str(tmp_path), "--out", str(tmp_path / "out"))
    refused(cli(*arguments), "is not a complete Table 1 of the scale nano", "resumes it")
