"""Rows of tables: CSV and TSV, with a header or without, and Parquet."""

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from autocoa_bench.errors import UserError, import_extra
from autocoa_bench.util import field_names, size_limits
from autocoa_bench.util.data_stream import HEAD_BYTES, expands_too_much, expansion_limit
from autocoa_bench.util.field_names import Row
from autocoa_bench.util.json_rows import BadRow, lines, too_large
from autocoa_bench.util.progress import DelayedProgressBar

_MARKS = ("\t", ",", ";", "|")
_LONGEST_NAME = 60
_LONGEST_HEADER = 1 << 16
_BATCH_ROWS = 1024
_FEWEST_ROWS = 16


def column(number: int) -> str:
    """The name of a column, counted from 1, of a table without a header."""
    return f"column {number}"


def is_table(head: bytes) -> bool:
    """Tell whether text without a name of its own is a table: a known header, or tabs."""
    first = _first_line(head)
    delimiter, has_header = _layout(first)
    return delimiter in first and (has_header or delimiter == "\t")


def csv_rows(head: bytes, chunks: Iterator[bytes]) -> Iterator[tuple[int, Row]]:
    """The rows of a CSV or TSV file with the numbers of the lines on which they begin.

    The first line is a header if it has the name of a known field; otherwise the columns are
    named by `column`. Raises BadRow.
    """
    delimiter, has_header = _layout(_first_line(head))
    csv.field_size_limit(size_limits.ROW_BYTES)
    source = _Lines(chunks)
    records = csv.reader(
        source,
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if _is_quoted(head, delimiter) else csv.QUOTE_NONE,
        strict=delimiter == "\t",
    )
    names: list[str] = []
    while True:
        number = source.number + 1
        try:
            cells = next(records, None)
        except csv.Error as error:
            raise _table_error(number, error) from None
        if cells is None:
            return
        if has_header and not names:
            names = [cell.strip() for cell in cells]
        elif cells:
            known = chain(names, map(column, range(len(names) + 1, len(cells) + 1)))
            # More cells than columns are a broken row, unless the rest is empty.
            if names and any(cell.strip() for cell in cells[len(names) :]):
                problem = f"{len(cells)} cells, but {len(names)} columns; check its quotes"
                raise BadRow(number, problem)
            yield number, dict(zip(known, cells, strict=False))


class _Lines:
    """The lines of a text file for `csv`, which asks for as many as a record has."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.number = 0
        self._lines = lines(chunks)

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        try:
            return line.decode().replace("\0", "") + "\n"
        except UnicodeDecodeError as error:
            problem = f"not UTF-8: {error.reason}; save the file as UTF-8"
            raise BadRow(self.number, problem) from None


def _table_error(number: int, error: csv.Error) -> BadRow:
    if "field limit" in str(error):
        return too_large(number)
    return BadRow(number, f"not a row of a table ({error}); check its quotes")


def _first_line(head: bytes) -> str:
    return head.lstrip(b"\r\n").partition(b"\n")[0].decode(errors="replace").rstrip("\r")


def _layout(first: str) -> tuple[str, bool]:
    """The delimiter of a table's cells, and whether the first line is a header."""
    first = first[:_LONGEST_HEADER].replace("\r", " ")
    known = {mark: _known_names(next(csv.reader([first], delimiter=mark), [])) for mark in _MARKS}
    delimiter = max(_MARKS, key=lambda mark: known[mark])
    if known[delimiter]:
        return delimiter if delimiter in first else ",", True
    return "\t" if "\t" in first else ",", False


def _known_names(cells: list[str]) -> int:
    """How many cells of a first line name known fields; 0 where the line is no header."""
    forms = [field_names.normal(cell) for cell in cells]
    count = sum(form in field_names.KNOWN for form in forms)
    # A question in the first line is long, or ends with a mark.
    if any(len(cell) > _LONGEST_NAME or "?" in cell for cell in cells):
        return 0
    return 2 if forms == ["q", "a"] else count


def _is_quoted(head: bytes, delimiter: str) -> bool:
    """Tell whether quotes enclose cells, as they do in CSV; in TSV they may be text.

    MS MARCO's passages are plain text between tabs, and some begin with a quotation mark.
    """
    if delimiter != "\t":
        return True
    if b'\t"' not in head and not head.startswith(b'"'):
        return False
    text = head.decode(errors="replace")
    is_cut = len(head) >= HEAD_BYTES
    text = text[: text.rfind("\n") + 1] if is_cut else text
    try:
        records = _strict(text.splitlines(True), cut=is_cut)
        widths = [len(cells) for cells in records if cells]
    except csv.Error:
        return False
    return len(set(widths)) == 1


def _strict(text_lines: list[str], *, cut: bool) -> Iterator[list[str]]:
    """The records of a table in which quotes enclose cells; the last one may be `cut`."""
    records = csv.reader(text_lines, delimiter="\t", strict=True)
    while True:
        try:
            cells = next(records, None)
        except csv.Error as error:
            if cut and "unexpected end of data" in str(error):
                return
            raise
        if cells is None:
            return
        yield cells


def parquet_rows(path: Path) -> Iterator[tuple[int, Row]]:
    """The rows of a Parquet file, counted from 1. Raises BadRow, and UserError for damage."""
    parquet = import_extra("pyarrow.parquet", f"reading {path.name}", "parquet")
    from pyarrow import ArrowException

    number, expanded, limit = 0, 0, expansion_limit(path)
    try:
        with parquet.ParquetFile(path) as file, DelayedProgressBar(f"reading {path.name}") as bar:
            for stored in file.iter_batches(_batch_rows(path, file.metadata)):
                batch = _without_dictionaries(stored)
                expanded += batch.nbytes
                if expanded > limit:
                    raise expands_too_much(path)
                for position in range(
                    batch.num_rows if batch.nbytes > size_limits.ROW_BYTES else 0
                ):
                    if batch.slice(position, 1).nbytes > size_limits.ROW_BYTES:
                        raise too_large(number + position + 1)
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
                bar.update(number / max(1, file.metadata.num_rows))
    except (ArrowException, UnicodeDecodeError) as error:
        raise UserError(f"'{path}' cannot be read as Parquet: {error}") from error


def _without_dictionaries(batch: Any) -> Any:
    """A batch whose columns hold their values, which count for the limits, instead of indexes."""
    from pyarrow import DictionaryArray, RecordBatch

    columns = [
        values.dictionary_decode() if isinstance(values, DictionaryArray) else values
        for values in batch.columns
    ]
    return RecordBatch.from_arrays(columns, batch.schema.names)


def _batch_rows(path: Path, metadata: Any) -> int:
    """How many rows are read at once: fewer where a value may be long.

    A column may repeat one long value in a few bytes. Raises UserError where one expands without
    measure.
    """
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    for chunk in columns:
        most = max(size_limits.ROW_BYTES, chunk.total_compressed_size * size_limits.EXPANSION)
        if chunk.total_uncompressed_size > most:
            raise expands_too_much(path)
    longest = max((chunk.total_uncompressed_size for chunk in columns), default=0)
    rows = size_limits.OBJECT_BYTES // max(1, longest)
    return max(_FEWEST_ROWS, min(_BATCH_ROWS, int(rows)))
