"""Folders of the cache that are built once, appear whole, and are rebuilt when damaged."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from autocoa_bench.errors import UserError

T = TypeVar("T")

_SIZES = "sizes.json"
_ATTEMPTS = 3


class _Damaged(Exception):
    """A cached folder is missing, incomplete or unreadable."""


def open_or_build(folder: Path, build: Callable[[Path], None], open_: Callable[[Path], T]) -> T:
    """Open a cached folder, building it first where it is missing or damaged.

    `build` fills an empty folder, which then takes its place in one rename: no process ever
    sees half of it, and of two processes that build at once the first to finish wins. Raises
    UserError when the cache cannot be written.
    """
    for _ in range(_ATTEMPTS):
        existed = folder.exists()
        try:
            return _opened(folder, open_)
        except _Damaged as error:
            cause = error
        _publish(folder, build, replace=existed)
    raise UserError(f"the cached folder {folder} stays unreadable; delete it") from cause


def _opened(folder: Path, open_: Callable[[Path], T]) -> T:
    try:
        sizes = msgspec.json.decode((folder / _SIZES).read_bytes(), type=dict[str, int])
        if any((folder / name).stat().st_size != size for name, size in sizes.items()):
            raise _Damaged(f"{folder} is incomplete")
        return open_(folder)
    # What a torn or foreign file makes msgspec, numpy, mmap and bm25s raise.
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise _Damaged(str(error)) from error


def _publish(folder: Path, build: Callable[[Path], None], *, replace: bool) -> None:
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            if replace and folder.exists():
                folder.rename(Path(scratch) / "damaged")
            made = Path(scratch) / "made"
            made.mkdir()
            build(made)
            sizes = {file.name: file.stat().st_size for file in made.iterdir()}
            (made / _SIZES).write_bytes(msgspec.json.encode(sizes))
            _move(made, folder)
    except OSError as error:
        raise UserError(
            f"the cache folder {folder.parent} cannot be written ({error.strerror or error}); "
            "free some space or set AUTOCOA_BENCH_CACHE to another folder"
        ) from error


def _move(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError:
        if not folder.exists():
            raise
        # Another process was first; its folder serves as well.
