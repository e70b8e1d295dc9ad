"""Rows of data files, streamed and numbered: JSON, JSON Lines, CSV, TSV and Parquet.

The name tells the format and the compression (.gz, .bz2, .xz, .zst, .zip), and content decides
where a name has no suffix or is wrong. `size_limits` has the limits for files from strangers.
"""

import lzma
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from autocoa_bench.errors import UserError
from autocoa_bench.util import data_stream, json_rows, table_rows
from autocoa_bench.util.field_names import Row
from autocoa_bench.util.json_rows import BadRow
from autocoa_bench.util.text import one_line

__all__ = ["FORMATS", "BadRow", "Row", "data_files", "file_stem", "id_as_text", "is_data_name"]
__all__ += ["read_rows", "row_error"]

FORMATS = ".jsonl, .json, .csv, .tsv or .parquet file, or one compressed"
"""The accepted files, in words."""

_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)


def read_rows(path: Path, accepted: str = "") -> Iterator[tuple[int, Row]]:
    """Every row of a file with its number: the line of JSON Lines and tables, else counted from 1.

    Shows a progress bar when reading takes long. Raises UserError, naming file and row, for a file
    that is missing, unreadable, empty, of another format, or holds anything but objects, and for
    rows beyond the limits of `size_limits`; the text `accepted` ends the errors about rows. A
    caller that finds fault with a row raises `row_error`.
    """
    number = 0
    _check_file(path)
    try:
        with ExitStack() as stack:
            for number, row in _rows(path, stack):
                yield number, row
    except BadRow as error:
        raise row_error(path, error.number, error.problem, accepted) from None
    except _DAMAGE as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        after = f" after row {number}" if number else ""
        raise UserError(f"'{path}' cannot be read{after}: {reason}") from error
    if not number:
        empty = "it is empty; " if not path.stat().st_size else ""
        raise UserError(f"'{path}' has no rows; {empty}give a file with at least one")


def row_error(source: Path | str, number: int, problem: str, accepted: str = "") -> UserError:
    """The error for one malformed row of a file or a stream; a line of its own has the accepted."""
    return UserError(
        f"{source}:{number}: {one_line(problem)}" + (f"\n{accepted}" if accepted else "")
    )


def id_as_text(value: object) -> str | None:
    """An id (a string or a whole number) as text; None for anything else and for blank text.

    Tables with a missing id make numbers of all others: 7.0 is 7.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    if isinstance(value, dict) and set(value) == {"$oid"}:  # MongoDB's
        value = value["$oid"]
    return value if isinstance(value, str) and value.strip() else None


def is_data_name(name: str) -> bool:
    """Tell whether a name has the suffix of a data file."""
    return bool(data_stream.format_suffix(name))


def file_stem(name: str) -> str:
    """A file's name without the suffix that tells its format."""
    return name.removesuffix(data_stream.format_suffix(name)) or name


def data_files(folder: Path) -> list[Path]:
    """The data files of a folder by name, without those in its subfolders. Raises OSError."""
    return sorted(
        file
        for file in folder.iterdir()
        if is_data_name(file.name) and not file.name.startswith(".") and file.is_file()
    )


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise folder_error(path)
    if not path.exists():
        raise UserError(f"the file '{path}' does not exist; check the path")
    if not path.is_file():
        raise UserError(f"'{path}' is not a file; give the path of one (a {FORMATS})")


def folder_error(path: Path) -> UserError:
    """The error for a folder in place of a file, with the files that it holds."""
    try:
        files = data_files(path)
    except OSError:
        files = []
    named = ", ".join(f"'{file}'" for file in files[:5]) + (", ..." if len(files) > 5 else "")
    hint = f"of those in the folder: {named}" if files else f"(a {FORMATS})"
    return UserError(f"'{path}' is not a file; give the path of one {hint}")


def _rows(path: Path, stack: ExitStack) -> Iterator[tuple[int, Row]]:
    """The rows of a file that stays open as long as the stack."""
    if data_stream.is_parquet(path):
        return table_rows.parquet_rows(path)
    data = stack.enter_context(data_stream.open_data(path))
    start = data.head.lstrip()
    first_line, _, rest = start.partition(b"\n")
    if data.name.endswith((".csv", ".tsv")):
        return table_rows.csv_rows(data.head, data.chunks)
    if data.name.endswith(".jsonl"):
        are_lines = start[:1] != b"[" and first_line.strip() != b"{"
    elif data.name.endswith(".json") or start[:1] in (b"[", b"{"):
        # Some datasets name a file of JSON Lines .json.
        are_lines = bool(rest.strip()) and json_rows.is_object(first_line)
    elif table_rows.is_table(data.head):
        return table_rows.csv_rows(data.head, data.chunks)
    elif not start:
        return iter(())
    else:
        raise UserError(
            f"'{path}' is neither JSON nor a table with a header that is known, and its name does "
            "not tell; give a file that ends in .jsonl, .json, .csv, .tsv or .parquet"
        )
    return (json_rows.line_rows if are_lines else json_rows.document_rows)(data.chunks)
