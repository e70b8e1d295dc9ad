"""Files and folders that appear whole: made in a hidden folder beside their place, then renamed.

The hidden folder `.NAME-xxxxxxxx` goes with its process. One that a killed process left is removed
by the next process that makes something there: its lock file `.NAME-xxxxxxxx.lock` tells it from
the folder of a process that lives, on whichever machine.
"""

import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_LOCK_NAME = re.compile(r"\..+-[0-9a-f]{8}\.lock")
_EARLIER_NAME = re.compile(r"\..+-[a-z0-9_]{8}")
_EARLIER_SECONDS = 24 * 3600.0
"""The age of a folder without a lock file, as earlier versions made them, that is abandoned."""


@contextmanager
def scratch_folder(parent: Path, name: str) -> Iterator[Path]:
    """A hidden folder in `parent` for what is not whole yet; removed at the end.

    Removes those of processes that are gone first. Raises OSError.
    """
    remove_abandoned(parent)
    folder = parent / f".{name}-{secrets.token_hex(4)}"
    lock = folder.with_name(f"{folder.name}.lock")
    file = held_file(lock)
    try:
        folder.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.unlink(missing_ok=True)
        os.close(file)


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """The path at which to make the file or folder `target`, which it replaces once it is whole.

    A target that is a folder must be empty. Raises OSError.
    """
    target = target.resolve()
    with scratch_folder(target.parent, target.name) as scratch:
        new = scratch / target.name
        yield new
        new.replace(target)


def remove_abandoned(parent: Path) -> None:
    """Remove the hidden folders in `parent` whose processes are gone. Raises OSError."""
    for entry in list(os.scandir(parent)):
        if not entry.name.startswith("."):
            continue
        path = parent / entry.name
        with suppress(OSError):
            if _LOCK_NAME.fullmatch(entry.name):
                _remove_unlocked(path)
            elif _is_from_earlier(path):
                shutil.rmtree(path, ignore_errors=True)


def held_file(path: Path) -> int:
    """The descriptor of a file that this process alone has open for writing, waiting if need be.

    Its content is that of an earlier process, if any. Raises OSError.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        # Some network file systems have no locks; nothing is removed there.
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        # The one that had it before may have renamed or removed it meanwhile.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), path.stat()):
                return file
        os.close(file)


def _remove_unlocked(lock: Path) -> None:
    """Remove a lock file that nobody holds, and its folder. Raises OSError where one does."""
    file = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
        lock.unlink()
    finally:
        os.close(file)


def _is_from_earlier(path: Path) -> bool:
    if not _EARLIER_NAME.fullmatch(path.name) or not path.is_dir():
        return False
    if path.with_name(f"{path.name}.lock").exists():
        return False
    changed = max(file.stat().st_mtime for file in (path, *path.rglob("*")))
    return time.time() - changed > _EARLIER_SECONDS
