"""Writing a run's files, with errors in one sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from autocoa_bench.errors import UserError
from autocoa_bench.types import Record


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
        file.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type if it has none."""
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
