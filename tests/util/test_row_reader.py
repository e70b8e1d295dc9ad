"""Data files: formats and compressions by name and by content, limits, and what is refused."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import re
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.util import size_limits
from autocoa_bench.util.row_reader import file_stem, id_as_text, is_data_name, read_rows

LF = b"\n"
ROWS: list[dict[str, Any]] = [
    {"id": "1", "question": "Who wrote “Emma”?", "answer": "Jane"},
    {"id": "2", "question": 'A "b", c\td', "answer": "x"},
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()
CSV = 'id,question,answer\n1,Who wrote “Emma”?,Jane\n2,"A ""b"", c\td",x\n'.encode()
TSV = 'id\tquestion\tanswer\n1\tWho wrote “Emma”?\tJane\n2\t"A ""b"", c\td"\tx\n'.encode()
ARRAY = json.dumps(ROWS, indent=1).encode()


def zipped(**members: bytes) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", ".").replace("--", "/"), content)
    return data.getvalue()


def zstd(content: bytes) -> bytes:
    arrow = pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
    compressed: bytes = arrow.compress(content, codec="zstd", asbytes=True)
    return compressed


def parquet(rows: list[dict[str, Any]]) -> bytes:
    arrow = pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
    from pyarrow.parquet import write_table

    data = io.BytesIO()
    write_table(arrow.Table.from_pylist(rows), data, compression="zstd")
    return data.getvalue()


def rows(path: Path, content: bytes) -> list[dict[str, Any]]:
    path.write_bytes(content)
    return [row for _, row in read_rows(path)]


def refusal(path: Path, content: bytes) -> str:
    with pytest.raises(UserError) as caught:
        rows(path, content)
    assert len(str(caught.value).splitlines()) <= 3
    return str(caught.value)


COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstd,
}
CONTENTS = {".jsonl": LINES, ".json": ARRAY, ".csv": CSV, ".tsv": TSV}


@pytest.mark.parametrize("suffix", CONTENTS)
@pytest.mark.parametrize("compression", COMPRESSED)
def test_every_format_is_read_in_every_compression(
    tmp_path: Path, suffix: str, compression: str
) -> None:
    content = COMPRESSED[compression](CONTENTS[suffix])
    assert rows(tmp_path / f"Q{suffix.upper()}{compression}", content) == ROWS


@pytest.mark.parametrize("compression", COMPRESSED)
@pytest.mark.parametrize("content", [LINES, ARRAY, TSV, CSV, LINES.rstrip()])
def test_a_file_without_a_suffix_is_read_by_its_content(
    tmp_path: Path, compression: str, content: bytes
) -> None:
    assert rows(tmp_path / "questions", COMPRESSED[compression](content)) == ROWS


@pytest.mark.parametrize("name", ["q.parquet", "q", "q.jsonl"])
def test_parquet_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    assert rows(tmp_path / name, parquet(ROWS)) == ROWS


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("suffix", CONTENTS)
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, encoding: str, suffix: str) -> None:
    content = CONTENTS[suffix].decode().replace("\n", "\r\n").encode(encoding)
    assert rows(tmp_path / f"q{suffix}", content) == ROWS


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(ROWS).encode(),
        json.dumps({"version": 1, "data": ROWS}).encode(),
        json.dumps({row["id"]: row for row in ROWS}, indent=1).encode(),
        json.dumps({name: [row[name] for row in ROWS] for name in ROWS[0]}).encode(),
        b"\n".join(json.dumps(row, indent=2).encode() for row in ROWS),
        b"\r\n\r\n".join(json.dumps(row).encode() for row in ROWS),
        b" " + ARRAY + b"\n\n",
    ],
)
@pytest.mark.parametrize("name", ["q.json", "q"])
def test_json_of_every_layout_is_read(tmp_path: Path, content: bytes, name: str) -> None:
    assert rows(tmp_path / name, content) == ROWS


def test_a_document_is_read_across_the_borders_of_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = [{"id": n, "text": "“é”\\ " * n, "n": [n, -n / 7, None, True]} for n in range(60)]
    monkeypatch.setattr("autocoa_bench.util.data_stream.HEAD_BYTES", 300)
    for size in (1, 7, 64):
        monkeypatch.setattr("autocoa_bench.util.data_stream._CHUNK_BYTES", size)
        content = json.dumps(many, ensure_ascii=size == 7, indent=size % 2 or None).encode()
        assert rows(tmp_path / "q.json", content) == many
        lines = "".join(json.dumps(row) + "\n" for row in many).encode()
        assert rows(tmp_path / "q.jsonl", lines) == many


def test_rows_are_numbered_by_their_lines(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('\n{"a": 1}\n\n{"a": 2}')
    assert list(read_rows(tmp_path / "q.jsonl")) == [(2, {"a": 1}), (4, {"a": 2})]
    (tmp_path / "q.csv").write_text('id,text\n1,"a\nb"\n2,c\n')
    assert [number for number, _ in read_rows(tmp_path / "q.csv")] == [2, 4]


def test_what_python_writes_and_json_forbids_is_read(tmp_path: Path) -> None:
    content = b'{"a": NaN, "b": "\\ud83d"}\n{"a": 1, "b": "\\ud83d\\ude00"}\n'
    first, second = rows(tmp_path / "q.jsonl", content)
    assert first["a"] != first["a"]
    assert (first["b"], second) == ("\ufffd", {"a": 1, "b": "\U0001f600"})
    assert rows(tmp_path / "q.json", b'[{"b": "\\ud83d"}]') == [{"b": "\ufffd"}]


def test_an_archive_with_one_data_file_is_read(tmp_path: Path) -> None:
    content = zipped(data__q__jsonl=LINES, README__md=b"x", **{"__MACOSX--._q__jsonl": b"y"})
    assert rows(tmp_path / "q.jsonl.zip", content) == ROWS
    assert rows(tmp_path / "q.zip", zipped(**{"__--__--q__csv": CSV})) == ROWS


# Limits


@pytest.fixture(scope="module")
def four_gigabytes() -> bytes:
    """Four gigabytes of one letter in four megabytes: gzip streams one after the other."""
    return gzip.compress(b"x" * (16 << 20), 1) * 256


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("c.jsonl.gz", b'{"text": "'),
        ("c.json.gz", b'[{"text": "'),
        ("c.json.gz", b'{"a": {"text": "'),
        ("c.csv.gz", b'text\n"'),
        ("c.tsv.gz", b"1\t"),
    ],
)
def test_a_line_of_gigabytes_ends_with_its_row_and_little_memory(
    tmp_path: Path, four_gigabytes: bytes, name: str, start: bytes
) -> None:
    tracemalloc.start()
    try:
        message = refusal(tmp_path / name, gzip.compress(start) + four_gigabytes)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert f"{name}:{1 + start.count(LF)}: the row" in message
    assert peak < 200 << 20


@pytest.fixture
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_limits, "ROW_BYTES", 1000)
    monkeypatch.setattr(size_limits, "OBJECT_BYTES", 2000)
    monkeypatch.setattr(size_limits, "FREE_BYTES", 100_000)


LONG = {"id": "2", "text": "x" * 2000}


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("c.jsonl", json.dumps({"id": "1"}) + "\n" + json.dumps(LONG), 2),
        ("c.json", json.dumps([{"id": "1"}, LONG]), 2),
        ("c.json", json.dumps({"data": [{"id": "1"}, LONG]}), 2),
        ("c.json", json.dumps({"1": {"id": "1"}, "2": LONG}), 2),
        ("c.csv", f"id,text\n1,a\n2,{'x' * 2000}\n", 3),
        ("c.csv", 'id,text\n1,a\n2,"' + "x\n" * 2000, 3),
        ("c.tsv", f"1\ta\n2\t{'x' * 2000}\n", 2),
    ],
)
def test_a_long_row_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, place: int
) -> None:
    monkeypatch.setattr("autocoa_bench.util.data_stream._CHUNK_BYTES", 100)
    assert f"{name}:{place}: the row exceeds" in refusal(tmp_path / name, content.encode())


@pytest.mark.usefixtures("small_limits")
def test_an_object_of_columns_is_limited(tmp_path: Path) -> None:
    columns = {name: ["x" * 30] * 100 for name in ("question", "answer")}
    assert "an object exceeds" in refusal(tmp_path / "c.json", json.dumps(columns).encode())


@pytest.mark.usefixtures("small_limits")
@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zstd])
def test_a_file_that_expands_without_measure_is_refused(
    tmp_path: Path, compress: Callable[[bytes], bytes]
) -> None:
    message = refusal(tmp_path / "c.jsonl", compress(b'{"a": 1}\n' * 50_000))
    assert "expands to more than" in message


@pytest.mark.usefixtures("small_limits")
def test_an_archive_that_expands_without_measure_is_refused(tmp_path: Path) -> None:
    content = zipped(q__jsonl=b'{"a": 1}\n' * 50_000)
    assert "expands to more than" in refusal(tmp_path / "c.zip", content)


def test_a_long_value_of_parquet_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(size_limits, "ROW_BYTES", 1000)
    message = refusal(tmp_path / "c.parquet", parquet([{"id": "1", "text": "x"}, LONG]))
    assert "c.parquet:2: the row exceeds" in message


def test_a_column_of_parquet_that_expands_without_measure_is_refused(tmp_path: Path) -> None:
    content = parquet([{"id": "1", "text": "x" * (17 << 20)}])
    assert "expands to more than" in refusal(tmp_path / "c.parquet", content)


def test_an_archive_of_many_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(size_limits, "ARCHIVE_MEMBERS", 5)
    content = zipped(**{f"f{number}__txt": b"x" for number in range(6)})
    assert "holds 6 files, more than 5" in refusal(tmp_path / "c.zip", content)


# What is refused


def tar() -> bytes:
    return b"q.jsonl".ljust(257, b"\0") + b"ustar\x0000" + bytes(248) + LINES.ljust(512, b"\0")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("q.jsonl", b"", "has no rows; it is empty"),
        ("q", b"", "has no rows; it is empty"),
        ("q.jsonl", b"\n \r\n", "has no rows"),
        ("q.json", b"[]", "has no rows"),
        ("q.csv", b"question,answer\n", "has no rows"),
        ("q.jsonl.gz", gzip.compress(b"", mtime=0), "has no rows"),
        ("q", b"Just a text.\nOf two lines.\n", "is neither JSON nor a table"),
        ("q.pkl", b"\x80\x04\x95", "a pickle"),
        ("q.pdf", b"%PDF-1.7\n", "a PDF document"),
        ("q.bin", bytes(range(256)), "a binary file"),
        ("q.jsonl", b"PK\x03\x04 torn", "cannot be read"),
        ("q.jsonl", b"\x7fELF\0\0\0", "a binary file"),
        ("q.jsonl", b"<!DOCTYPE html><html>404</html>", "HTML or XML"),
        ("q.jsonl", b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
        ("q.tar", tar(), "a tar archive"),
        ("q.tar.gz", gzip.compress(tar(), mtime=0), "a tar archive"),
        ("q.jsonl.gz", LINES, r"is named .gz, but its content is not"),
        ("q.parquet", LINES, "is named .parquet, but its content is not"),
        ("q.jsonl.gz", gzip.compress(LINES * 99, mtime=0)[:-20], "cannot be read"),
        ("q.jsonl.bz2", bz2.compress(LINES * 99)[:-20], "cannot be read"),
        ("q.jsonl.xz", lzma.compress(LINES * 99)[:-20], "cannot be read"),
        ("q.jsonl", b'{"a": 1}\n{"a": \xff}\n', "q.jsonl:2: not UTF-8"),
        ("q.json", b'[{"a": "\xff"}]', "q.json:1: not UTF-8"),
        ("q.csv", b"question,answer\nWho?,\xe9\n", "q.csv:2: not UTF-8"),
        ("q.jsonl", b'{"a": 1}\n{"a": 1\n', "q.jsonl:2: not JSON"),
        ("q.json", b'[{"a": 1}, {"a" 1}]', "q.json:2: not JSON"),
        ("q.json", b'[{"a": 1} {"a": 1}]', "q.json:2: not JSON: expected a comma"),
        ("q.json", b'[{"a": 1}', "q.json:2: not JSON"),
        ("q.json", b'[{"a": 1}, 5]', "q.json:2: expected an object, found int"),
        ("q.json", b"5", "q.json:1: expected JSON"),
        ("q.jsonl", b'{"a": 1}\n5\n', "q.jsonl:2: expected an object, found int"),
        ("q.json", b"[" * 100_000, "q.json:1: .*nested too deeply"),
        ("q.jsonl", b'{"a":' * 100_000 + b"\n", "q.jsonl:1: not JSON"),
        ("q.zip", zipped(a__jsonl=LINES, b__csv=CSV), r"holds 2 \(a.jsonl, b.csv\)"),
        ("q.zip", zipped(), "is named .zip, but its content is not"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_the_reason(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    assert re.search(message, refusal(tmp_path / name, content))


def test_an_encrypted_archive_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped(q__jsonl=LINES))
    for start in (b"PK\x03\x04", b"PK\x01\x02"):  # the flag of encryption, in both headers
        content[content.index(start) + (6 if start[2] == 3 else 8)] |= 1
    assert "is encrypted" in refusal(tmp_path / "q.zip", bytes(content))


def test_a_folder_is_refused_with_the_files_that_it_holds(tmp_path: Path) -> None:
    (tmp_path / "b.csv").touch()
    (tmp_path / "a.jsonl.gz").touch()
    (tmp_path / "notes.md").touch()
    with pytest.raises(UserError, match=r"is not a file; .*a\.jsonl\.gz', '.*b\.csv'$"):
        list(read_rows(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"is not a file; .*\.jsonl, \.json, \.csv"):
        list(read_rows(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("q.jsonl", "q"),
        ("q.v2.jsonl.gz", "q.v2"),
        ("Q.JSON.ZST", "Q"),
        ("q.zip", "q"),
        ("q.txt", "q.txt"),
        ("questions", "questions"),
        (".jsonl", ".jsonl"),
    ],
)
def test_the_stem_of_a_file_is_its_name_without_its_format(name: str, stem: str) -> None:
    assert file_stem(name) == stem
    assert is_data_name(name) == (stem != name or name == ".jsonl")


@pytest.mark.parametrize(
    ("value", "text"),
    [(7, "7"), (7.0, "7"), (7.5, "7.5"), ("a", "a"), ({"$oid": "x"}, "x")]
    + [(value, None) for value in (None, "", " ", True, [1], {}, float("nan"), float("inf"))],
)
def test_an_id_is_a_text_or_a_number(value: object, text: str | None) -> None:
    assert id_as_text(value) == text


def test_a_lone_carriage_return_in_a_table_is_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(b'"question\r",answer\nWho?,x\n')
    assert [row["answer"] for _, row in read_rows(file, "")] == ["x"]
    file.write_bytes(b"question,answer\rWho?,x\r")
    with pytest.raises(UserError, match="not a row of a table"):
        list(read_rows(file, ""))
