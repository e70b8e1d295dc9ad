"""One file of a dataset repository: from the Hugging Face Hub, its cache, or a local mirror.

Single JSONL files need no more than `huggingface_hub.hf_hub_download`: it brings the cache, offline
mode (HF_HUB_OFFLINE), endpoints, tokens, resuming and a progress bar. The `datasets` library would
add Arrow copies of every file and a guess at a schema; our own reader streams the rows.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UNREADABLE, MissingExtra, UserError
from autocoa_bench.util.paths import cache_dir, user_path

MIRROR = "AUTOCOA_BENCH_HUB_MIRROR"
"""The environment variable that names a local mirror: a folder, or its file:// URL."""


class HubFile(Struct, frozen=True):
    """A file of a dataset repository. `revision` is a commit; empty: only a mirror can have it.

    `sha256` is the published hash of the content; empty: none is known.
    """

    repository: str
    revision: str
    path: str
    sha256: str = ""


class FetchedFile(Struct, frozen=True):
    """Where a file lies, and whether a mirror gave it."""

    path: Path
    mirrored: bool


class _Seen(Struct):
    """What a file was when it was first loaded; while it looks so, it is not hashed again."""

    source: str
    sha256: str
    size: int
    mtime_ns: int


def fetch(file: HubFile) -> FetchedFile:
    """A file, downloaded if need be, with the content that it is known to have.

    The published hash decides, else the hash of the first load, which is kept in the cache.
    Raises UserError saying what to do, and MissingExtra.
    """
    folder = _mirror()
    if folder is not None:
        path = _mirrored(folder, file)
        _check(path, str(path.resolve()), "")
        return FetchedFile(path, mirrored=True)
    if not file.revision:
        raise UserError(
            f"'{file.path}' is not among the files of {file.repository} on the Hugging Face Hub; "
            f"put it into a folder of your own and name that folder in {MIRROR}"
        )
    path = _download(file)
    _check(path, f"{file.repository}@{file.revision}/{file.path}", file.sha256)
    return FetchedFile(path, mirrored=False)


def _mirror() -> Path | None:
    given = os.environ.get(MIRROR, "")
    if not given:
        return None
    parts = urlsplit(given)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        folder = Path(url2pathname(parts.path))
    elif "://" in given:  # what follows may hold a password
        raise UserError(
            f"{MIRROR} takes a folder or a file:// URL of this machine, not {parts.scheme}://...; "
            "for another server of the Hub's own protocol set HF_ENDPOINT"
        )
    else:
        folder = user_path(given)
    if not folder.is_dir():
        raise UserError(f"{MIRROR} names '{folder}', which is no folder; mend or unset it")
    return folder


def _mirrored(folder: Path, file: HubFile) -> Path:
    places = (folder / file.repository / file.path, folder / file.path)
    for path in places:
        if path.is_file():
            return path
    raise UserError(
        f"the mirror has no {file.path}: neither '{places[0]}' nor '{places[1]}' is there; "
        f"put it there, or unset {MIRROR} to fetch it from the Hugging Face Hub"
    )


def _download(file: HubFile) -> Path:
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise MissingExtra(f"fetching {file.path} from the Hugging Face Hub", "hub") from error
    # The HTTP library differs by version; its base error is what HfHubHTTPError derives from.
    # A RuntimeError is the transfer library's (hf_xet).
    transport = cast("type[Exception]", errors.HfHubHTTPError.__mro__[1])
    try:
        return Path(
            huggingface_hub.hf_hub_download(
                file.repository, file.path, repo_type="dataset", revision=file.revision
            )
        )
    except (errors.EntryNotFoundError, OSError, ValueError, RuntimeError, transport) as error:
        # The library's own words are left out: they may quote a request with its token.
        raise UserError(
            f"cannot fetch {file.path} of {file.repository}: {_reason(error)}; or name a folder "
            f"that holds it in {MIRROR}"
        ) from None


def _reason(error: BaseException) -> str:
    from huggingface_hub import constants, errors

    responses = [getattr(each, "response", None) for each in (error, error.__cause__)]
    status = next((each.status_code for each in responses if each is not None), None)
    if status in (401, 403):
        return f"the Hub refused (HTTP {status}); check the token (HF_TOKEN, `hf auth login`)"
    if status == 404:
        return "the Hub has no such file (HTTP 404); check HF_ENDPOINT"
    if status is not None:
        return f"the Hub answered HTTP {status}; try again later"
    if isinstance(error, errors.LocalEntryNotFoundError):
        if constants.HF_HUB_OFFLINE:
            return (
                "it is not in the Hub's cache, and HF_HUB_OFFLINE forbids fetching it; unset that "
                "once and run `autocoa-bench tasks pull` with the task's name"
            )
        return "the Hub cannot be reached, and it is not in the cache; check the network"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{os.strerror(error.errno)}; check the Hub's cache folder (HF_HUB_CACHE)"
    return f"the transfer failed ({type(error).__name__}); the same command takes it up again"


def _check(path: Path, source: str, published: str) -> None:
    """Refuse a file whose content is neither the published nor, failing that, the first seen."""
    name = hashlib.sha256(source.encode()).hexdigest()[:24]
    note = cache_dir("hub") / f"{name}.json"
    try:
        _compare(path, source, published, note)
    except OSError as error:
        raise UserError(
            f"'{path}' cannot be checked ({error.strerror}: '{error.filename}'); make it readable, "
            f"and '{note.parent}' writable, or set AUTOCOA_BENCH_CACHE to another folder"
        ) from None


def _compare(path: Path, source: str, published: str, note: Path) -> None:
    status = path.stat()
    seen = _read(note)
    unchanged = seen and (seen.size, seen.mtime_ns) == (status.st_size, status.st_mtime_ns)
    if seen and unchanged and published in ("", seen.sha256):
        return
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if published and found != published:
        raise UserError(
            f"'{path}' has SHA-256 {found[:16]}..., not the published {published[:16]}...: it is "
            "damaged; delete it and fetch it again"
        )
    if seen and seen.sha256 != found:
        raise UserError(
            f"'{path}' has SHA-256 {found[:16]}..., not {seen.sha256[:16]}... as when it was first "
            f"loaded: one revision must give the same questions. Restore it, or delete '{note}' to "
            "accept the new content"
        )
    # Written aside and moved, so that nobody reads half a note.
    part = note.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(msgspec.json.encode(_Seen(source, found, status.st_size, status.st_mtime_ns)))
    part.replace(note)


def _read(note: Path) -> _Seen | None:
    try:
        return msgspec.json.decode(note.read_bytes(), type=_Seen)
    except (OSError, *UNREADABLE):
        return None
