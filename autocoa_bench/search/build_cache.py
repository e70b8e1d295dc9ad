"""Cached folders that are built once, appear complete, and are rebuilt when damaged."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from autocoa_bench.errors import UserError
from autocoa_bench.util.paths import cache_errors
from autocoa_bench.util.scratch import remove_abandoned, scratch_folder

T = TypeVar("T")

_SIZES = "sizes.json"
_ATTEMPTS = 3


# A missing, torn or foreign file makes msgspec, numpy, mmap and bm25s raise any of these.
_DAMAGE = (OSError, ValueError, KeyError, TypeError, EOFError)


def open_or_build(folder: Path, build: Callable[[Path], None], open_: Callable[[Path], T]) -> T:
    """Open a cached folder, building it first where it is missing or damaged.

    `build` fills an empty folder, which then takes its place in one rename: no process ever
    sees half of it, and of two processes that build at once the first to finish wins. Raises
    UserError when the cache cannot be written.
    """
    with suppress(OSError):
        # Of a process killed after its rename too, when there is nothing left to build.
        remove_abandoned(folder.parent)
    for _ in range(_ATTEMPTS):
        existed = folder.exists()
        try:
            sizes = msgspec.json.decode((folder / _SIZES).read_bytes(), type=dict[str, int])
            if sizes != {name: (folder / name).stat().st_size for name in sizes}:
                raise ValueError("a file has another size than when it was built")
            return open_(folder)
        except _DAMAGE as error:
            cause = error
        _build(folder, build, replace=existed)
    raise UserError(
        f"the cached folder '{folder}' cannot be read even after it was rebuilt ({cause}); "
        "delete it and run the command again"
    ) from cause


def _build(folder: Path, build: Callable[[Path], None], *, replace: bool) -> None:
    with (
        cache_errors(folder.parent),
        scratch_folder(folder.parent, folder.name) as scratch,
    ):
        if replace and folder.exists():
            folder.rename(scratch / "damaged")
        new = scratch / "new"
        new.mkdir()
        build(new)
        sizes = {file.name: file.stat().st_size for file in new.iterdir()}
        (new / _SIZES).write_bytes(msgspec.json.encode(sizes))
        try:
            new.rename(folder)
        except OSError:
            # Where another process finished first, its folder serves as well.
            if not folder.exists():
                raise
