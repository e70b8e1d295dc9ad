"""Paths of users, the cache of downloads, indexes and corpora, and file locks."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autocoa_bench.errors import UserError


def user_path(text: str) -> Path:
    """The path that a user gave, with `~` expanded. Raises UserError where it is not a path."""
    try:
        path = Path(text).expanduser()
        path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"'{text}' is not a usable path: {error}") from None
    return path


def cache_dir(*parts: str) -> Path:
    """A folder of the cache, which is created if needed (AUTOCOA_BENCH_CACHE, else the XDG cache).

    Raises UserError where it cannot be created.
    """
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autocoa-bench"
    folder = Path(os.environ.get("AUTOCOA_BENCH_CACHE") or default).joinpath(*parts)
    with cache_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def cache_errors(folder: Path) -> Iterator[None]:
    """Raise UserError where a folder of the cache cannot be created or written."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"the cache folder '{folder}' cannot be written ({problem_of(error)}); "
            "free some space or set AUTOCOA_BENCH_CACHE to another folder"
        ) from error


def is_full(error: OSError) -> bool:
    """Tell whether a disk, or a user's share of it, is full."""
    # numpy reports how much it could write, and no number of an error.
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return full or (error.errno is None and "requested and" in str(error))


def problem_of(error: OSError) -> str:
    """What an error of the system says, in words."""
    return error.strerror or ("the disk is full" if is_full(error) else str(error))


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, waiting for it while another process has it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
