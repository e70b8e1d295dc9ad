"""JSON files that survive a kill: files replaced whole, and files of lines appended whole.

Each line ends with the CRC-32 of the object before it, as its last field: `"crc32":"89abcdef"}`.
Lines of earlier versions have none, and are read as they are.
"""

import errno
import fcntl
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.util.files import open_regular, read_limited
from autocoa_bench.util.paths import is_full, problem_of
from autocoa_bench.util.scratch import held_file

T = TypeVar("T")

LONGEST_LINE = 64 << 20
"""Bytes of a line."""

_BLOCK = 65536

_find_checksum = re.compile(rb',?"crc32":"([0-9a-f]{8})"\}\n?$').search
_CHECKSUM_BYTES = len(',"crc32":"89abcdef"}\n')


_NEWER = "Did a newer version of autocoa-bench write it? Then read it with that one"


class _Format(Struct):
    format: int


def read_versioned(file: Path, kind: type[T], version: int, missing: str) -> T:
    """Read a JSON file of `kind` whose `format` is `version`.

    Raises UserError: `missing` where there is no such file, else what is wrong with it.
    """
    try:
        content = read_limited(file)
        found_version = msgspec.json.decode(content, type=_Format).format
        if found_version != version:
            newer = f"; {_NEWER}" if found_version > version else ""
            raise UserError(
                f"'{file}' has format {found_version}; this version reads format {version}{newer}"
            )
        return msgspec.json.decode(content, type=kind)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(missing) from None
    except (OSError, *UNREADABLE) as error:
        newer = f". {_NEWER}" if _is_unknown(error) else ""
        raise UserError(f"cannot read '{file}': {error}{newer}") from None


def encoded_line(line: Struct) -> bytes:
    """A record as a line of JSON that ends with its checksum."""
    content = msgspec.json.encode(line)
    comma = b"," if len(content) > 2 else b""
    return b'%s%s"crc32":"%08x"}\n' % (content[:-1], comma, zlib.crc32(content))


def checked(line: bytes) -> bytes:
    """A line whose checksum, where it has one, fits its content. Raises ValueError."""
    checksum = _find_checksum(line, max(0, len(line) - _CHECKSUM_BYTES))
    if checksum:
        content = zlib.crc32(b"}", zlib.crc32(memoryview(line)[: checksum.start()]))
        if content != int(checksum[1], 16):
            raise ValueError("its checksum differs from its content")
    return line


def decode_line(line: bytes, decoder: msgspec.json.Decoder[T], where: str, advice: str) -> T:
    """The record of a line, checked.

    Raises UserError, which says `where` the line is and ends with the advice.
    """
    try:
        record = decoder.decode(checked(line))
    except UNREADABLE as error:
        if _is_unknown(error):
            raise UserError(
                f"{where} holds what this version does not know ({error}). {_NEWER}; "
                f"otherwise {advice}"
            ) from None
        raise UserError(f"{where} is damaged ({error}); {advice}") from None
    return record


def replace_file(file: Path, content: bytes) -> None:
    """Replace a file whole, by renaming a finished copy over it. Raises OSError."""
    # The name is always the same, so that what a kill leaves is overwritten the next time.
    part = file.with_name(f"{file.name}.part")
    descriptor = held_file(part)
    try:
        os.ftruncate(descriptor, 0)
        _write(descriptor, content)
        os.fsync(descriptor)
        part.replace(file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def indented_json(content: object) -> bytes:
    """A value as indented JSON, for a file that people read."""
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def write_files(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Make a folder and write files into it by name, each whole; returns them.

    Raises UserError when the system refuses.
    """
    with write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            replace_file(folder / name, content)
    return [folder / name for name in contents]


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Raise UserError where the disk, its rights or another process keep us from writing."""
    try:
        yield
    except BlockingIOError:  # it is locked
        raise UserError(
            f"'{path}' is being written by another process; wait for it to end, or name another "
            "file"
        ) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UserError(
                f"'{path}' is a symbolic link, which may lead to any file; name the file itself"
            ) from None
        if is_full(error):
            raise UserError(
                f"the disk is full: cannot write to '{path}'. What was recorded is safe; make room "
                "and run the same command again to resume."
            ) from None
        raise UserError(f"cannot write to '{path}': {problem_of(error)}") from None


class LineFile:
    """A file of JSON lines open for appending, by one process at a time.

    Existing lines stay, except a last line that a kill has torn.
    """

    def __init__(self, path: Path) -> None:
        """Raises UserError where the file is in use or cannot be written."""
        self._path = path
        self._file = -1
        with write_errors(path):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
                self._file = os.open(path, flags, 0o644)
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _cut_torn_line(self._file)
            except OSError:
                self.close()
                raise

    def add(self, line: Struct) -> None:
        """Write one line whole, or nothing. Raises UserError where the disk refuses."""
        content = encoded_line(line)
        end = os.fstat(self._file).st_size
        with write_errors(self._path):
            try:
                _write(self._file, content)
            except OSError:
                os.ftruncate(self._file, end)
                raise

    def close(self) -> None:
        """Flush to the disk and release the file; safe to call twice."""
        file, self._file = self._file, -1
        if file >= 0:
            os.fsync(file)
            os.close(file)


def whole_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines from here on, each with its position; stops at one that a kill has torn.

    Raises UserError for a line that is too long.
    """
    position = stream.tell()
    while line := stream.readline(LONGEST_LINE + 1):
        if not line.endswith(b"\n"):
            if len(line) > LONGEST_LINE:
                raise UserError(
                    f"a line of '{stream.name}' at byte {position:,} has more than "
                    f"{LONGEST_LINE >> 20} MiB, which no record has; delete it"
                )
            return
        yield position, line
        position += len(line)


def read_lines(file: Path, decoder: msgspec.json.Decoder[T], advice: str) -> Iterator[T]:
    """The decoded lines of a file, without a torn last one; none where there is no file.

    Raises UserError, which ends with the advice where a line is damaged.
    """
    try:
        stream = open_regular(file)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"cannot read '{file}': {error.strerror}") from None
    with stream:
        for number, (_, line) in enumerate(whole_lines(stream), 1):
            yield decode_line(line, decoder, f"'{file}' line {number}", advice)


def _is_unknown(error: Exception) -> bool:
    """Tell whether an object has a field whose value this version does not know."""
    text = str(error)
    is_field = isinstance(error, msgspec.ValidationError) and "at `$." in text
    return is_field and "missing required" not in text


def _write(file: int, content: bytes) -> None:
    written = os.write(file, content)
    while written < len(content):
        written += os.write(file, content[written:])


def _cut_torn_line(file: int) -> None:
    """Drop what follows the last line break: a line that a kill has torn."""
    size = position = os.fstat(file).st_size
    while position:
        start = max(0, position - _BLOCK)
        newline = os.pread(file, position - start, start).rfind(b"\n")
        if newline >= 0:
            position = start + newline + 1
            break
        position = start
    if position < size:
        os.ftruncate(file, position)
