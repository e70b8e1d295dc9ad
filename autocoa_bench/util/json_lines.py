"""JSON files that survive a kill: lines appended whole, and files replaced whole."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UNREADABLE, UserError

T = TypeVar("T")


class _Format(Struct):
    format: int


def read_versioned(file: Path, kind: type[T], version: int, missing: str) -> T:
    """Read a JSON file of `kind` whose `format` is `version`.

    Raises UserError: `missing` where there is no such file, else what is wrong with it.
    """
    try:
        content = file.read_bytes()
        found = msgspec.json.decode(content, type=_Format).format
        if found != version:
            raise UserError(f"'{file}' has format {found}; this version reads format {version}")
        return msgspec.json.decode(content, type=kind)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(missing) from None
    except (OSError, *UNREADABLE) as error:
        raise UserError(f"cannot read '{file}': {error}") from None


def replace_file(file: Path, content: bytes) -> None:
    """Write a file whole: aside, then in its place. Raises OSError."""
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


class LineFile:
    """A file of JSON lines open for appending; one process at a time has it.

    What is there already stays, but for a last line that a kill has torn.
    """

    def __init__(self, path: Path) -> None:
        """Raises BlockingIOError where another process has it, OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            cut_torn_line(path)
        except OSError:
            os.close(self._file)
            raise

    def add(self, line: Struct) -> None:
        """Write one line whole; nothing torn stays. Raises OSError."""
        append_line(self._file, msgspec.json.encode(line) + b"\n")

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)


def append_line(file: int, line: bytes) -> None:
    """Write a line whole to a file open for appending, or not at all. Raises OSError."""
    end = os.fstat(file).st_size
    try:
        written = os.write(file, line)
        while written < len(line):
            written += os.write(file, line[written:])
    except OSError:
        os.ftruncate(file, end)
        raise


def cut_torn_line(file: Path) -> None:
    """Drop what follows the last line break: a line that a kill has torn."""
    if not file.exists():
        return
    with file.open("rb+") as stream:
        size = stream.seek(0, os.SEEK_END)
        position = size
        while position:
            start = max(0, position - 65536)
            stream.seek(start)
            newline = stream.read(position - start).rfind(b"\n")
            if newline >= 0:
                position = start + newline + 1
                break
            position = start
        if position < size:
            stream.truncate(position)
