"""JSON files that survive a kill, whoever writes them."""

import os
from pathlib import Path

import msgspec
import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.util.json_lines import LineFile, read_lines, read_versioned


class Line(msgspec.Struct):
    """A line of the tests' files."""

    format: int = 2


@pytest.mark.parametrize("version", [1, 3])
def test_a_file_of_an_older_or_newer_format_is_refused(tmp_path: Path, version: int) -> None:
    (tmp_path / "file.json").write_bytes(msgspec.json.encode(Line(version)))
    with pytest.raises(UserError, match=f"has format {version}; this version reads format 2"):
        read_versioned(tmp_path / "file.json", Line, 2, "missing")


def test_closing_a_file_twice_closes_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = LineFile(tmp_path / "lines.jsonl")
    lines.add(Line())
    closed: list[int] = []
    close = os.close
    monkeypatch.setattr(os, "close", lambda file: (closed.append(file), close(file)))
    lines.close()
    lines.close()
    assert len(closed) == 1
    assert list(read_lines(tmp_path / "lines.jsonl", msgspec.json.Decoder(Line), "")) == [Line()]
