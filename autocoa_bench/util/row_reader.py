"""Rows of data files (JSON Lines, gzipped or not, JSON arrays, Parquet), streamed by number."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from autocoa_bench.errors import UNREADABLE, MissingExtra, UserError
from autocoa_bench.util.progress import DelayedProgressBar

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet")

Row = dict[str, Any]

_ROWS_A_REPORT = 1024


def read_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Each row of a file with its number: the line of .jsonl and .jsonl.gz, else counted from 1.

    Shows a bar when reading is long. Raises UserError, naming file and row, for a file that is
    missing, unreadable, empty, of another format, or holds anything but objects.
    """
    number = 0
    try:
        for number, row in _reader(path)(path):
            yield number, row
    except (OSError, EOFError, zlib.error) as error:
        after = f" after row {number}" if number else ""
        raise UserError(f"'{path}' cannot be read{after}: {_reason(error)}") from error
    if not number:
        raise UserError(f"'{path}' has no rows")


def _reader(path: Path) -> Callable[[Path], Iterator[tuple[int, Row]]]:
    lower = path.name.lower()
    if not lower.endswith(SUFFIXES):
        raise UserError(f"'{path}' is of no kind that can be read: {', '.join(SUFFIXES)}")
    if not path.exists():
        raise UserError(f"there is no file '{path}'")
    if not path.is_file():
        raise UserError(f"'{path}' is no file; give the path of one ({', '.join(SUFFIXES)})")
    if lower.endswith(".parquet"):
        return _parquet
    return _array if lower.endswith(".json") else _lines


def row_error(path: Path, number: int, problem: str) -> UserError:
    """The error for one bad row of a file."""
    return UserError(f"{path}:{number}: {problem}")


def id_as_text(value: object) -> str | None:
    """An id as text: files hold strings or whole numbers. None for anything else or blank."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.strip() else None


def file_stem(name: str) -> str:
    """A file's name without the ending that says what kind of file it is."""
    suffix = max((end for end in SUFFIXES if name.lower().endswith(end)), key=len, default="")
    return name.removesuffix(name[len(name) - len(suffix) :]) if suffix else name


_BOM = b"\xef\xbb\xbf"


def _lines(path: Path) -> Iterator[tuple[int, Row]]:
    decoder = msgspec.json.Decoder()
    size = path.stat().st_size or 1
    with path.open("rb") as raw, DelayedProgressBar(f"reading {path.name}") as bar:
        zipped = path.name.lower().endswith(".gz")
        stream = gzip.GzipFile(fileobj=raw) if zipped else raw
        for number, line in enumerate(stream, 1):
            if number % _ROWS_A_REPORT == 0:
                bar.update(raw.tell() / size)
            if number == 1:
                line = line.removeprefix(_BOM)
            if line.strip():
                yield number, _object(path, number, _decoded(path, number, decoder, line))


def _array(path: Path) -> Iterator[tuple[int, Row]]:
    read = path.read_bytes().removeprefix(_BOM)
    try:
        content = msgspec.json.decode(read)
    except UNREADABLE as error:
        if _is_lines(read):
            yield from _lines(path)
            return
        raise UserError(f"'{path}' is not JSON: {error}") from error
    if not isinstance(content, list):
        raise UserError(f"'{path}' must hold a JSON array of objects (one object a line is .jsonl)")
    for number, value in enumerate(content, 1):
        yield number, _object(path, number, value)


def _is_lines(content: bytes) -> bool:
    """Whether the first line is an object: some files of JSON Lines are called .json."""
    try:
        return isinstance(msgspec.json.decode(content.lstrip().partition(b"\n")[0]), dict)
    except UNREADABLE:
        return False


def _parquet(path: Path) -> Iterator[tuple[int, Row]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra(f"reading {path.name}", "parquet") from error
    try:
        with (
            pyarrow.parquet.ParquetFile(path) as file,
            DelayedProgressBar(f"reading {path.name}") as bar,
        ):
            number = 0
            for batch in file.iter_batches(_ROWS_A_REPORT):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
                bar.update(number / max(1, file.metadata.num_rows))
    except pyarrow.ArrowException as error:
        raise UserError(f"'{path}' cannot be read as Parquet: {error}") from error


def _decoded(path: Path, number: int, decoder: msgspec.json.Decoder[Any], line: bytes) -> object:
    try:
        return decoder.decode(line)
    except UNREADABLE as error:
        try:
            line.decode()
        except UnicodeDecodeError as not_text:
            raise row_error(path, number, f"not UTF-8: {not_text.reason}") from error
        raise row_error(path, number, f"not JSON: {error}") from error


def _object(path: Path, number: int, value: object) -> Row:
    if not isinstance(value, dict):
        raise row_error(path, number, f"expected an object, found {type(value).__name__}")
    return value


def _reason(error: BaseException) -> str:
    strerror = getattr(error, "strerror", None)
    return strerror or str(error) or type(error).__name__
