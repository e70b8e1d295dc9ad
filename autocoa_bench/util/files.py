"""Reading files that others wrote: regular ones alone, and no more of them than can be real."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_LARGEST = 256 << 20
"""Bytes of a file that is read whole; real ones have a few megabytes at most."""


def open_regular(file: Path) -> BinaryIO:
    """Open a file for reading, but no pipe or device, which may never end. Raises OSError."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(file))


def read_limited(file: Path, largest: int = _LARGEST) -> bytes:
    """The content of a file. Raises OSError, and ValueError for a larger one."""
    with open_regular(file) as stream:
        content = stream.read(largest + 1)
    if len(content) > largest:
        raise ValueError(f"it has more than {largest >> 20} MiB")
    return content
