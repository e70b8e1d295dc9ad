"""Writing a run's files, with errors in one sentence."""

import errno
import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.types import Record
from autocoa_bench.util.files import read_limited
from autocoa_bench.util.json_lines import encoded_line, replace_file

T = TypeVar("T")


def read_json(file: Path, kind: type[T], advice: str) -> T:
    """Decode a JSON file. Raises UserError, ending in the advice."""
    try:
        return msgspec.json.decode(read_limited(file), type=kind)
    except (OSError, *UNREADABLE) as error:
        raise UserError(f"cannot read '{file}' ({error}); {advice}") from None


@contextmanager
def locked(file: Path, problem: str) -> Iterator[None]:
    """Lock a file in a run's folder, which is created if needed, against other processes.

    Raises UserError: `problem` if another process has the lock, or if it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        stream = file.open("a")
    except OSError as error:
        raise UserError(
            f"cannot write to '{file.parent}': {error.strerror}; give another --out"
        ) from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(problem) from None
        yield


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise UserError if the disk refuses a write, in whichever library."""
    from safetensors import SafetensorError  # metrics.csv is read where it is not installed

    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        full = getattr(error, "errno", 0) == errno.ENOSPC or "No space left" in str(error)
        problem = "the disk is full" if full else first_line(error)
        raise UserError(
            f"cannot write '{path}': {problem}. The last checkpoint is intact: make room, then run "
            "the same command again to resume"
        ) from None


def write_records(file: Path, records: Sequence[Record]) -> None:
    """Write records as JSON lines, creating the folder. Raises UserError."""
    with writing(file):
        file.parent.mkdir(exist_ok=True)
        replace_file(file, b"".join(map(encoded_line, records)))


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type if it has none."""
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
