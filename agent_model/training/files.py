"""Doors to the disk, where what goes wrong is said in a sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from safetensors import SafetensorError

from autocoa_bench.errors import UserError
from autocoa_bench.types import Record


@contextmanager
def writing(place: Path) -> Iterator[None]:
    """Raise UserError where the disk refuses; PyTorch and safetensors have errors of their own."""
    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        full = getattr(error, "errno", 0) == errno.ENOSPC or "No space left" in str(error)
        problem = "the disk is full" if full else first_line(error)
        raise UserError(
            f"cannot write '{place}': {problem}. The last checkpoint is whole; make room and run "
            "the same command again to go on from it"
        ) from None


def write_records(file: Path, records: Sequence[Record]) -> None:
    """Write records as JSON lines, to be read; the folder is made where it is not there."""
    with writing(file):
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))


def first_line(error: Exception) -> str:
    """What an error says first, or what it is called."""
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
