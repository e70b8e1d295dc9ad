"""Where downloads, indexes and generated corpora are kept between runs."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from autocoa_bench.errors import UserError


def user_path(text: str) -> Path:
    """A path that a person gave, `~` expanded. Raises UserError where it can be none."""
    try:
        path = Path(text).expanduser()
        path.resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"'{text}' is no usable path: {error}") from None
    return path


def cache_dir(*parts: str) -> Path:
    """A folder of the cache, made if need be (AUTOCOA_BENCH_CACHE, else the XDG cache).

    Raises UserError where it cannot be made.
    """
    given = os.environ.get("AUTOCOA_BENCH_CACHE")
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autocoa-bench"
    folder = (Path(given) if given else base).joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make the cache folder '{folder}' ({error.strerror}); "
            "set AUTOCOA_BENCH_CACHE to a folder that can be written"
        ) from None
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's lock; whoever comes second waits."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
