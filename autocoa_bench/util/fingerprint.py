"""SHA-256 of large files, computed once while their size and modification time stay the same."""

import hashlib
from pathlib import Path

from autocoa_bench.errors import UserError
from autocoa_bench.util.json_lines import replace_file
from autocoa_bench.util.paths import cache_dir, cache_errors
from autocoa_bench.util.progress import DelayedProgressBar

_CHUNK_BYTES = 1 << 20


def fingerprint(path: Path) -> str:
    """SHA-256 of a file's bytes in hexadecimal digits.

    Raises UserError where the path is not a readable file or the cache cannot be written.
    """
    try:
        path = path.resolve(strict=True)
        if not path.is_file():
            raise UserError(f"'{path}' is not a regular file; give the path of a data file")
        status = path.stat()
        identity = f"{path}\n{status.st_size}\n{status.st_mtime_ns}"
        note = cache_dir("fingerprints") / hashlib.sha256(identity.encode()).hexdigest()[:32]
        if note.exists() and len(digest := note.read_text()) == 64:
            return digest
        digest = _sha256(path, status.st_size)
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror or error}") from error
    with cache_errors(note.parent):
        replace_file(note, digest.encode())
    return digest


def _sha256(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    done = 0
    with path.open("rb") as file, DelayedProgressBar(f"fingerprinting {path.name}") as bar:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            done += len(chunk)
            bar.update(done / max(1, size))
    return digest.hexdigest()
