"""One file of a dataset repository: from the Hugging Face Hub, its cache, or a local mirror.

Single JSONL files need no more than `huggingface_hub.hf_hub_download`, which has the cache, offline
mode (HF_HUB_OFFLINE), endpoints, tokens, resuming and a progress bar. Our own reader streams their
rows; only datasets whose files are not known ahead (`tasks.hub`) need the library `datasets`.
"""

import hashlib
import os
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit
from urllib.request import url2pathname

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UNREADABLE, UserError, import_extra
from autocoa_bench.util.fingerprint import fingerprint
from autocoa_bench.util.json_lines import replace_file
from autocoa_bench.util.paths import cache_dir, cache_errors, user_path
from autocoa_bench.util.secrets import redacted_logs

MIRROR = "AUTOCOA_BENCH_HUB_MIRROR"
"""The environment variable that names a local mirror: a folder, or its file:// URL."""


class HubFile(Struct, frozen=True):
    """A file of a dataset repository.

    `revision` is a commit, or empty for a file that only a mirror can have. `sha256` is the
    published hash of the content, or empty where none is published.
    """

    repository: str
    revision: str
    path: str
    sha256: str = ""


class FetchedFile(Struct, frozen=True):
    """The local path of a file; `mirrored` tells whether it lies in a mirror."""

    path: Path
    mirrored: bool


class _FirstContent(Struct):
    """A note in the cache: the SHA-256 that a file had when it was first loaded."""

    source: str
    sha256: str


def fetch(file: HubFile) -> FetchedFile:
    """Fetch a file, downloaded if need be, and check its content.

    The content must have the published hash or, where none is published, the hash that it had when
    it was first loaded. Raises UserError and MissingExtra.
    """
    folder = _mirror_folder()
    if folder is not None:
        candidates = (folder / file.repository / file.path, folder / file.path)
        path = next(filter(Path.is_file, candidates), None)
        if path is None:
            raise UserError(
                f"the mirror has no {file.path}: neither '{candidates[0]}' nor '{candidates[1]}' "
                f"exists; put it there, or unset {MIRROR} to fetch it from the Hugging Face Hub"
            )
        _check_content(path, str(path.resolve()), "")
        return FetchedFile(path, mirrored=True)
    if not file.revision:
        raise UserError(
            f"'{file.path}' is not among the files of {file.repository} on the Hugging Face Hub; "
            f"put it into a folder of your own and name that folder in {MIRROR}"
        )
    path = _download(file)
    _check_content(path, f"{file.repository}@{file.revision}/{file.path}", file.sha256)
    return FetchedFile(path, mirrored=False)


def _mirror_folder() -> Path | None:
    location = os.environ.get(MIRROR, "")
    if not location:
        return None
    parts = urlsplit(location)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        folder = Path(url2pathname(parts.path))
    elif "://" in location:  # the rest of the URL may hold a password
        raise UserError(
            f"{MIRROR} takes a folder or a file:// URL of this machine, not {parts.scheme}://...; "
            "for another server of the Hub's own protocol set HF_ENDPOINT"
        )
    else:
        folder = user_path(location)
    if not folder.is_dir():
        raise UserError(
            f"{MIRROR} names '{folder}', which is not a folder; set it to the mirror's folder or "
            "unset it"
        )
    return folder


def transfer_errors() -> tuple[type[Exception], ...]:
    """All that a download by `huggingface_hub` raises."""
    from huggingface_hub import errors

    # The HTTP library differs by version; its base error is what HfHubHTTPError derives from.
    transport = cast("type[Exception]", errors.HfHubHTTPError.__mro__[1])
    # A RuntimeError comes from the transfer library (hf_xet).
    return (errors.EntryNotFoundError, OSError, ValueError, RuntimeError, transport)


def _download(file: HubFile) -> Path:
    feature = f"fetching {file.path} from the Hugging Face Hub"
    hub = import_extra("huggingface_hub", feature, "hub")
    source = {"repo_type": "dataset", "revision": file.revision}
    try:
        with redacted_logs("huggingface_hub"):
            return Path(hub.hf_hub_download(file.repository, file.path, **source))
    except transfer_errors() as error:
        # The library's own message is left out: it may quote a request with its token.
        raise UserError(
            f"cannot fetch {file.path} of {file.repository}: {_reason(error)}; or name a folder "
            f"that holds it in {MIRROR}"
        ) from None


def response_status(error: BaseException) -> int | None:
    """The HTTP status of the reply that an error is about, if there was a reply."""
    responses = [getattr(cause, "response", None) for cause in (error, error.__cause__)]
    return next((reply.status_code for reply in responses if reply is not None), None)


def _reason(error: BaseException) -> str:
    from huggingface_hub import constants, errors

    status = response_status(error)
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
        return "the Hub cannot be reached, and the file is not in the cache; check the network"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{os.strerror(error.errno)}; check the Hub's cache folder (HF_HUB_CACHE)"
    return f"the transfer failed ({type(error).__name__}); the same command resumes it"


def _check_content(path: Path, source: str, published: str) -> None:
    """Refuse a file that has neither the published content nor that of the first load."""
    sha256 = fingerprint(path)
    if published and sha256 != published:
        raise UserError(
            f"'{path}' has SHA-256 {sha256[:16]}..., not the published {published[:16]}...: it is "
            "damaged; delete it and fetch it again"
        )
    note = cache_dir("hub") / f"{hashlib.sha256(source.encode()).hexdigest()[:24]}.json"
    try:
        first_sha256 = msgspec.json.decode(note.read_bytes(), type=_FirstContent).sha256
    except (OSError, *UNREADABLE):
        first_sha256 = ""
    if first_sha256 and first_sha256 != sha256:
        raise UserError(
            f"'{path}' has SHA-256 {sha256[:16]}..., not {first_sha256[:16]}... as at the first "
            "load: one revision must give the same questions. Restore the file, or delete "
            f"'{note}' to accept the new content"
        )
    if not first_sha256:
        with cache_errors(note.parent):
            replace_file(note, msgspec.json.encode(_FirstContent(source, sha256)))
