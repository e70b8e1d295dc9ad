"""Run folders of strangers: sizes, depths, numbers, pipes, links and names that mean no good."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.judge.verdict_cache import VerdictCache
from autocoa_bench.runs.run_folder import RunFolder
from autocoa_bench.util import files, json_lines
from support.commands import Cli, caller, refused
from support.runs import answered, info
from support.tainted import tainted_run

DEEP = b"[" * 200_000


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return caller(monkeypatch, capsys)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tainted_run(tmp_path / "run", str)


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def device(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def deep(file: Path) -> None:
    file.write_bytes(DEEP + b"\n")


def deep_field(file: Path) -> None:
    field = b'{"format": 1, "question": {"id": ' + DEEP
    file.write_bytes(field + b"\n")


def huge_number(file: Path) -> None:
    file.write_bytes(b'{"format": ' + b"9" * 100_000 + b"}\n")


@pytest.mark.parametrize("damage", [pipe, device, deep, deep_field, huge_number])
@pytest.mark.parametrize("name", ["run.json", "records.jsonl", "verdicts.jsonl"])
def test_a_file_that_is_no_record_ends_with_one_sentence(
    cli: Cli, folder: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(folder / name)
    refused(cli("report", str(folder)), name)


@pytest.mark.parametrize("damage", [pipe, device, deep, huge_number])
def test_scores_that_cannot_be_read_are_derived_anew(
    cli: Cli, folder: Path, damage: Callable[[Path], None]
) -> None:
    (folder / "scores.jsonl").touch()
    damage(folder / "scores.jsonl")
    assert cli("report", str(folder), "--by", "faults").code == 0


def test_a_line_without_end_is_refused(
    cli: Cli, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_lines, "LONGEST_LINE", 10_000)
    with (folder / "records.jsonl").open("ab") as file:
        file.write(b'{"question": "' + b"a" * 20_000)
    refused(cli("show", str(folder)), "a line of", "MiB, which no record has")


def test_a_file_beyond_any_real_size_is_refused_before_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    file.touch()
    os.truncate(file, 5 << 20)
    with pytest.raises(ValueError, match="more than 1 MiB"):
        files.read_limited(file, 1 << 20)


NUMBERS = ["1e999", "-1", "9" * 400, "1e308"]
FIELDS = [
    ("run.json", '"samples": 1'),
    ("run.json", '"passages": 9'),
    ("run.json", '"top_k": 3'),
    ("records.jsonl", '"sample":0'),
    ("records.jsonl", '"seconds":1.0'),
    ("scores.jsonl", '"value":0.0'),
]


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_no_number_makes_a_command_fail_with_a_traceback(
    cli: Cli, folder: Path, name: str, field: str, number: str
) -> None:
    cli("report", str(folder), "--by", "faults")  # writes the scores
    text = (folder / name).read_text()
    assert field in text
    other = re.sub(r"[^:]+$", number, field)
    text = re.sub(r',"crc32":"[0-9a-f]+"', "", text.replace(field, other))
    (folder / name).write_text(text)
    for command in (("show",), ("report", "--by", "leaderboard,cost", "--format", "json")):
        done = cli(command[0], str(folder), *command[1:])
        assert done.code in (0, 2)
        assert "Traceback" not in done.err


@pytest.mark.parametrize("name", ["records.jsonl", "run.lock"])
def test_a_link_out_of_the_folder_is_not_written_through(tmp_path: Path, name: str) -> None:
    victim = tmp_path / "victim"
    victim.write_text("no line break at its end")
    folder = RunFolder(tmp_path / "run", info())
    folder.append(answered())
    folder.close()
    (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / name).symlink_to(victim)
    with pytest.raises(UserError, match="symbolic link"):
        RunFolder(tmp_path / "run", info())
    assert victim.read_text() == "no line break at its end"


def test_verdicts_and_parts_are_not_written_through_a_link(cli: Cli, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("no line break at its end")
    folder = tainted_run(tmp_path / "run", str)
    (folder / "verdicts.jsonl").unlink()
    for name in ("verdicts.jsonl", "scores.jsonl.part", "run.json.part"):
        (folder / name).symlink_to(victim)
    with pytest.raises(UserError, match="symbolic link"):
        VerdictCache(folder / "verdicts.jsonl")
    refused(cli("score", str(folder), "--scorers", "em"), "symbolic link")
    assert victim.read_text() == "no line break at its end"


def test_no_name_of_a_task_leads_out_of_the_folder_that_is_written(
    cli: Cli, tmp_path: Path
) -> None:
    def climb(text: str) -> str:
        return f"../../{text}/../../../x\0y"

    folder = tainted_run(tmp_path / "a" / "b" / "run", climb)
    before = {path for path in tmp_path.rglob("*") if folder not in path.parents}
    out = tmp_path / "a" / "b" / "out"
    assert cli("export", str(folder), "--out", str(out)).code == 0
    new = {path for path in tmp_path.rglob("*") if folder not in path.parents} - before
    assert new
    assert all(out in (path, *path.parents) for path in new)
