"""Doors to the disk, where what goes wrong is said in a sentence."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from autocoa_bench.errors import UserError


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


def first_line(error: Exception) -> str:
    """What an error says first, or what it is called."""
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
