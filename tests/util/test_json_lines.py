"""JSON files that survive a kill, whoever writes them."""

import json
import os
import re
import zlib
from pathlib import Path
from typing import Literal

import msgspec
import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.util.json_lines import LineFile, read_lines, read_versioned, replace_file


class Line(msgspec.Struct):
    """A line of the tests' files."""

    format: int = 2


class Empty(msgspec.Struct):
    """A line without fields."""


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


class Ending(msgspec.Struct):
    """A line with nested values."""

    ending: Literal["answered", "forced"]
    steps: tuple[int, ...] = ()
    text: str = ""


ENDINGS = msgspec.json.Decoder(Ending)


def written(path: Path, *lines: msgspec.Struct) -> bytes:
    file = LineFile(path)
    for line in lines:
        file.add(line)
    file.close()
    return path.read_bytes()


def outcome(path: Path) -> "list[Ending] | str":
    """What reading a file gives: its lines, or the error."""
    try:
        return list(read_lines(path, ENDINGS, "delete it"))
    except UserError as error:
        return str(error)


def test_any_flipped_bit_is_reported_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    records = [Ending("answered", (1, 20), "Ü 7"), Ending("forced", (3,), "b")]
    content = written(path, *records)
    second = content.index(b"\n") + 1
    checksum = content.index(b',"crc32":', second)
    for position in range(second, len(content) - 1):
        for bit in range(8):
            flipped = bytearray(content)
            flipped[position] ^= 1 << bit
            path.write_bytes(flipped)
            read = outcome(path)
            # A flip in the checksum's own name takes it away, and leaves the content as it was.
            intact = position >= checksum and read == records
            assert intact or re.search(r"lines\.jsonl' line [23] .* delete it$", str(read))


def test_a_changed_value_is_reported_although_it_is_a_valid_one(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(written(path, Ending("answered", (1, 2))).replace(b"[1,2]", b"[1,3]"))
    with pytest.raises(UserError, match=r"line 1 is damaged \(its checksum differs"):
        list(read_lines(path, ENDINGS, ""))


def test_lines_without_checksums_stand_among_others(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(b'{"ending":"answered"}\n')
    written(path, Ending("forced"))
    with path.open("ab") as file:
        file.write(b'{"ending":"forced","steps":[1]}\n')
    expected = [Ending("answered"), Ending("forced"), Ending("forced", (1,))]
    assert list(read_lines(path, ENDINGS, "")) == expected


@pytest.mark.parametrize("line", [Line(), Ending("forced", text='}"crc32":"'), Empty()])
def test_a_line_is_json_with_its_checksum_as_the_last_field(
    tmp_path: Path, line: msgspec.Struct
) -> None:
    row = json.loads(written(tmp_path / "lines.jsonl", line))
    assert list(row)[-1] == "crc32"
    checksum = row.pop("crc32")
    content = json.dumps(row, separators=(",", ":"), ensure_ascii=False).encode()
    assert int(checksum, 16) == zlib.crc32(content)


@pytest.mark.parametrize(
    ("line", "newer"),
    [
        (b'{"ending":"forced-again"}\n', True),
        (b'{"ending":"forced","steps":[{}]}\n', True),
        (b'{"ending":"forced","text":null}\n', True),
        (b'{"ending":"forc\n', False),
        (b"{}\n", False),
        (b"[]\n", False),
    ],
)
def test_a_line_of_a_newer_version_is_told_from_a_damaged_one(
    tmp_path: Path, line: bytes, newer: bool
) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(line)
    with pytest.raises(UserError, match=r"lines\.jsonl' line 1") as caught:
        list(read_lines(path, ENDINGS, "delete it"))
    assert ("Did a newer version of autocoa-bench write it?" in str(caught.value)) is newer
    assert ("is damaged" in str(caught.value)) is not newer


def test_a_file_of_a_newer_format_asks_for_a_newer_version(tmp_path: Path) -> None:
    (tmp_path / "file.json").write_bytes(b'{"format":3}')
    with pytest.raises(UserError, match="Did a newer version"):
        read_versioned(tmp_path / "file.json", Line, 2, "missing")


def test_the_part_of_a_killed_write_is_used_up_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "run.json.part").write_bytes(b"half of something long")
    replace_file(tmp_path / "run.json", b"whole")
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"run.json": b"whole"}
