"""Rows of JSON: one object a line, or a document of arrays and objects, which is streamed too."""

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from autocoa_bench.errors import UNREADABLE
from autocoa_bench.util import field_names, size_limits
from autocoa_bench.util.field_names import Row
from autocoa_bench.util.text import whole_characters

_decode = msgspec.json.Decoder().decode
_raw_decode = json.JSONDecoder().raw_decode
_SPACE = re.compile(r"[ \t\r\n\ufeff]*")
_UNFINISHED = 16
"""The longest unit of JSON, in characters, that makes a text without its end malformed earlier."""


class BadRow(Exception):
    """A row that cannot be read: its number and the problem."""

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(problem)
        self.number = number
        self.problem = problem


def lines(chunks: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines of a file without their line feeds, counted from 1. Raises BadRow."""
    for first, batch in _line_batches(chunks):
        yield from enumerate(batch, first)


def _line_batches(chunks: Iterator[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """The lines that end in each chunk, with the number of the first of them."""
    number, rest = 1, b""
    for chunk in chunks:
        batch = (rest + chunk).split(b"\n")
        rest = batch.pop()
        yield number, batch
        number += len(batch)
        if len(rest) > size_limits.ROW_BYTES:
            raise too_large(number)
    if rest:
        yield number, [rest]


def too_large(number: int) -> BadRow:
    """The error for a row that exceeds the limit."""
    return BadRow(number, f"the row exceeds {size_limits.ROW_BYTES >> 20} MiB; split or remove it")


def line_rows(chunks: Iterator[bytes]) -> Iterator[tuple[int, Row]]:
    """The objects of a file with one a line, each with its line's number. Raises BadRow."""
    for first, batch in _line_batches(chunks):
        try:
            rows = [_decode(line) for line in batch]
        except UNREADABLE:
            rows = []
        if set(map(type, rows)) == {dict}:
            yield from enumerate(rows, first)
        else:
            yield from _uneven_rows(first, batch)


def _uneven_rows(first: int, batch: list[bytes]) -> Iterator[tuple[int, Row]]:
    """The rows of lines that are not all JSON: blank, as Python writes them, or malformed."""
    for number, line in enumerate(batch, first):
        if not line.strip():
            continue
        yield number, _row(number, _decode_leniently(number, line))


def _row(number: int, value: object) -> Row:
    """A decoded row; a text is the only field of one. Raises BadRow for any other value."""
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, dict):
        return value
    kind = type(value).__name__
    raise BadRow(number, f"expected an object, found {kind}; write one object per row")


def _decode_leniently(number: int, line: bytes) -> object:
    """Decode JSON and what Python writes though JSON forbids it: NaN, half a surrogate pair."""
    try:
        return _decode(line)
    except UNREADABLE as error:
        problem = f"not JSON: {error}"
    try:
        return _readable(json.loads(line.decode()))
    except UnicodeDecodeError as error:
        raise BadRow(number, f"not UTF-8: {error.reason}; save the file as UTF-8") from None
    except UNREADABLE:
        raise BadRow(number, problem) from None


def _readable(value: Any) -> Any:
    """A decoded value with U+FFFD in place of halves of surrogate pairs."""
    if isinstance(value, str):
        return whole_characters(value)
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {_readable(key): _readable(item) for key, item in value.items()}
    return value


def is_object(line: bytes) -> bool:
    """Tell whether a line is a JSON object."""
    try:
        return isinstance(_decode(line), dict)
    except UNREADABLE:
        return False


def document_rows(chunks: Iterator[bytes]) -> Iterator[tuple[int, Row]]:
    """The rows of a JSON document, counted from 1. Raises BadRow.

    A document is an array of rows; an object that holds such an array (`{"data": [...]}`), rows by
    id (`{"7": {...}}`), or a column by name (`{"question": [...]}`); one row; or several of these
    one after the other.
    """
    document = _Document(chunks)
    while first := document.next_character():
        if first == "[":
            document.open_array()
            rows = document.elements()
        elif first == "{":
            rows = _member_rows(document)
        else:
            raise BadRow(document.number + 1, "expected JSON: an array of objects, or objects")
        for row in rows:
            document.number += 1
            yield document.number, _row(document.number, row)


def _member_rows(document: "_Document") -> Iterator[object]:
    """The rows in a document's outer object."""
    start = document.consumed
    values: Row = {}
    are_members = False
    for key in document.members():
        form = field_names.normal(key)
        first = document.next_character()
        if first == "[":
            if document.open_array() == "{" and form in field_names.ROW_LISTS:
                are_members = True
                yield from document.elements()
            else:
                values[key] = list(_kept(document, document.elements(), start))
        elif first == "{" and not values and form not in field_names.NO_ROWS:
            row = document.value()
            are_members = True
            yield {"id": key} | row if isinstance(row, dict) else row
        else:
            [values[key]] = _kept(document, [document.value()], start)
    if values and not are_members:
        yield from _columns(values) or _only_list(values) or _texts_by_id(values) or [values]


def _only_list(values: Row) -> list[object]:
    """The rows in an object's one field, whatever its name."""
    [value] = values.values() if len(values) == 1 else [None]
    is_list = isinstance(value, list) and all(isinstance(item, dict) for item in value)
    return value if is_list and isinstance(value, list) else []


def _texts_by_id(values: Row) -> list[Row]:
    """The rows of an object that holds texts by id, as small corpora are."""
    are_texts = all(isinstance(value, str) for value in values.values())
    if not are_texts or any(field_names.normal(key) in field_names.KNOWN for key in values):
        return []
    return [{"id": key, "text": value} for key, value in values.items()]


def _kept(document: "_Document", values: Iterable[object], start: int) -> Iterator[object]:
    """Values that stay in memory, up to the limit for an object. Raises BadRow."""
    for value in values:
        if document.consumed - start > size_limits.OBJECT_BYTES:
            size = f"{size_limits.OBJECT_BYTES >> 20} MiB"
            problem = f"an object exceeds {size}; write one object per row (.jsonl)"
            raise BadRow(document.number + 1, problem)
        yield value


def _columns(values: Row) -> list[Row]:
    """The rows of columns of equal length: lists, or objects with the same keys."""
    columns = list(values.values())
    if all(isinstance(column, dict) for column in columns):
        keys = [list(column) for column in columns if isinstance(column, dict)]
        columns = [list(column.values()) for column in columns if isinstance(column, dict)]
        if any(other != keys[0] for other in keys):
            return []
    lists = [column for column in columns if isinstance(column, list)]
    if len(lists) < max(2, len(columns)) or len({len(column) for column in lists}) != 1:
        return []
    return [dict(zip(values, cells, strict=True)) for cells in zip(*lists, strict=True)]


class _Document:
    """A JSON text of any size, of which one value at a time is in memory."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.number = 0
        """The rows read so far."""
        self._chunks = chunks
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0
        self._decoded = 0

    @property
    def consumed(self) -> int:
        """The number of characters read so far."""
        return self._decoded - len(self._text) + self._at

    def next_character(self) -> str:
        """The next character that is not white space, which stays unread; empty at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._fill():
                return ""

    def open_array(self) -> str:
        """Read the bracket that opens an array; returns the character after it."""
        self._at += 1
        return self.next_character()

    def elements(self) -> Iterator[object]:
        """The elements of an array that is open. Raises BadRow."""
        if self.next_character() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self._separator("]"):
                return

    def members(self) -> Iterator[str]:
        """The keys of an object; the caller reads the value of each."""
        self._at += 1
        if self.next_character() == "}":
            self._at += 1
            return
        while True:
            key = self.value()
            if not isinstance(key, str) or self.next_character() != ":":
                raise self._malformed("a key and a colon")
            self._at += 1
            yield key
            if self._separator("}"):
                return

    def value(self) -> object:
        """The value that begins at the next character. Raises BadRow."""
        self.next_character()
        while True:
            size = len(self._text) - self._at
            try:
                value, end = _raw_decode(self._text, self._at)
                # A number may go on after the text that has been read.
                is_whole = isinstance(value, str | list | dict)
                if is_whole or end + _UNFINISHED < len(self._text) or not self._fill():
                    break
            except json.JSONDecodeError as error:
                unfinished = error.msg.startswith("Unterminated string") or (
                    error.pos > len(self._text) - _UNFINISHED
                )
                if size > size_limits.ROW_BYTES:
                    raise too_large(self.number + 1) from None
                if not unfinished or not self._fill(size):
                    raise BadRow(self.number + 1, f"not JSON: {error.msg}") from None
            except RecursionError:
                raise BadRow(self.number + 1, "the JSON is nested too deeply") from None
            except ValueError as error:  # a number of thousands of digits
                raise BadRow(self.number + 1, f"not JSON: {error}") from None
        if end - self._at > size_limits.ROW_BYTES:
            raise too_large(self.number + 1)
        self._at, start = end, self._at
        if "\\u" in self._text[start:end]:
            return _readable(value)
        return value

    def _separator(self, closing: str) -> bool:
        """Read a comma or the closing bracket, and tell whether it was the bracket."""
        character = self.next_character()
        if character not in (",", closing) or not character:
            raise self._malformed(f"a comma or '{closing}'")
        self._at += 1
        return character == closing

    def _malformed(self, expected: str) -> BadRow:
        self.next_character()
        text = self._text[self._at : self._at + 20]
        problem = f"expected {expected}, found {repr(text) if text else 'the end of the file'}"
        return BadRow(self.number + 1, f"not JSON: {problem}")

    def _fill(self, least: int = 1) -> bool:
        """Read at least so many more characters; False at the end of the file."""
        parts = [self._text[self._at :]]
        more = 0
        while more < least and (chunk := next(self._chunks, b"")):
            try:
                parts.append(self._decoder.decode(chunk))
            except UnicodeDecodeError as error:
                problem = f"not UTF-8: {error.reason}; save the file as UTF-8"
                raise BadRow(self.number + 1, problem) from None
            more += len(parts[-1])
        if more:
            self._text, self._at = "".join(parts), 0
            self._decoded += more
        return more > 0
