"""Rows of data files (JSON Lines, gzipped or not, JSON arrays, Parquet), streamed and numbered."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from autocoa_bench.errors import UNREADABLE, UserError, import_extra
from autocoa_bench.util.progress import DelayedProgressBar

SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet")

Row = dict[str, Any]

_ROWS_PER_UPDATE = 1024
_decode = msgspec.json.Decoder().decode
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Every row of a file with its number: the line of .jsonl and .jsonl.gz, else counted from 1.

    Shows a progress bar when reading takes long. Raises UserError, naming file and row, for a file
    that is missing, unreadable, empty, of another format, or holds anything but objects.
    """
    number = 0
    try:
        for number, row in _reader(path)(path):
            yield number, row
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        after = f" after row {number}" if number else ""
        raise UserError(f"'{path}' cannot be read{after}: {reason}") from error
    if not number:
        raise UserError(f"'{path}' has no rows; give a file with at least one")


def _reader(path: Path) -> Callable[[Path], Iterator[tuple[int, Row]]]:
    kinds = ", ".join(SUFFIXES)
    lower = path.name.lower()
    if not lower.endswith(SUFFIXES):
        raise UserError(f"'{path}' cannot be read by its name; give a file that ends in {kinds}")
    if not path.exists():
        raise UserError(f"the file '{path}' does not exist; check the path")
    if not path.is_file():
        raise UserError(f"'{path}' is not a file; give the path of one ({kinds})")
    if lower.endswith(".parquet"):
        return _read_parquet
    return _read_array if lower.endswith(".json") else _read_lines


def row_error(path: Path, number: int, problem: str) -> UserError:
    """The error for one malformed row of a file."""
    return UserError(f"{path}:{number}: {problem}")


def id_as_text(value: object) -> str | None:
    """An id (a string or a whole number) as text; None for anything else and for blank text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.strip() else None


def file_stem(name: str) -> str:
    """A file's name without the suffix that tells its format."""
    suffix = max((end for end in SUFFIXES if name.lower().endswith(end)), key=len, default="")
    return name[: len(name) - len(suffix)]


def _read_lines(path: Path) -> Iterator[tuple[int, Row]]:
    size = path.stat().st_size or 1
    with path.open("rb") as raw, DelayedProgressBar(f"reading {path.name}") as bar:
        zipped = path.name.lower().endswith(".gz")
        stream = gzip.GzipFile(fileobj=raw) if zipped else raw
        for number, line in enumerate(stream, 1):
            if number % _ROWS_PER_UPDATE == 0:
                bar.update(raw.tell() / size)
            if number == 1:
                line = line.removeprefix(_BYTE_ORDER_MARK)
            if line.strip():
                yield number, _object(path, number, _decode_line(path, number, line))


def _read_array(path: Path) -> Iterator[tuple[int, Row]]:
    content = path.read_bytes().removeprefix(_BYTE_ORDER_MARK)
    try:
        rows = msgspec.json.decode(content)
    except UNREADABLE as error:
        # Some datasets name a file of JSON Lines .json.
        if _is_object(content.lstrip().partition(b"\n")[0]):
            yield from _read_lines(path)
            return
        raise UserError(f"'{path}' is not JSON: {error}") from error
    if not isinstance(rows, list):
        raise UserError(f"'{path}' must hold a JSON array of objects (one object a line is .jsonl)")
    for number, row in enumerate(rows, 1):
        yield number, _object(path, number, row)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(msgspec.json.decode(line), dict)
    except UNREADABLE:
        return False


def _read_parquet(path: Path) -> Iterator[tuple[int, Row]]:
    parquet = import_extra("pyarrow.parquet", f"reading {path.name}", "parquet")
    from pyarrow import ArrowException

    try:
        with parquet.ParquetFile(path) as file, DelayedProgressBar(f"reading {path.name}") as bar:
            number = 0
            for batch in file.iter_batches(_ROWS_PER_UPDATE):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
                bar.update(number / max(1, file.metadata.num_rows))
    except ArrowException as error:
        raise UserError(f"'{path}' cannot be read as Parquet: {error}") from error


def _decode_line(path: Path, number: int, line: bytes) -> object:
    try:
        return _decode(line)
    except UNREADABLE as error:
        try:
            line.decode()
        except UnicodeDecodeError as encoding_error:
            problem = f"not UTF-8: {encoding_error.reason}; save the file as UTF-8"
            raise row_error(path, number, problem) from error
        raise row_error(path, number, f"not JSON: {error}") from error


def _object(path: Path, number: int, value: object) -> Row:
    if not isinstance(value, dict):
        problem = f"expected an object, found {type(value).__name__}; write one object per row"
        raise row_error(path, number, problem)
    return value
