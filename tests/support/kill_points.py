"""Commands killed at any of their file operations, and the files that they leave.

A command runs in a process of its own, which SIGKILL ends before its n-th operation: an opening for
writing, a renaming, a removal, a new folder. A write by file descriptor is cut in its middle.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

_CONTEXT = multiprocessing.get_context("forkserver")
_TRAINING = ("agent_model.training.sft", "agent_model.training.grpo.train")
_CONTEXT.set_forkserver_preload(
    [
        "autocoa_bench.cli.main",
        "autocoa_bench.engines.openai.client",
        "autocoa_bench.engines.weights.convert",
        "autocoa_bench.report.build",
        "autocoa_bench.runs.scores",
        "autocoa_bench.search.bm25",
        "agent_model.cli.synth",
        "agent_model.data.build",
        *(_TRAINING if "AUTOCOA_BENCH_KILLS" in os.environ else ()),
    ]
)
_OPERATIONS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
_SECONDS = 120
_VOLATILE = re.compile(
    r"seconds|.*_seconds|sessions|hours|crc32|sha256|tokens_per_second|last|mtime_ns"
)
"""Fields that differ between two runs of one command: times, and what is made of them."""


class Ended(NamedTuple):
    """How a command ended: its exit code (-9: killed), its file operations, its error output."""

    code: int
    operations: int
    errors: str


def run_command(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], kill_at: int = 0
) -> Ended:
    """Run `autocoa-bench ARGUMENTS` in a folder; with `kill_at`, up to that file operation."""
    reader, writer = _CONTEXT.Pipe(duplex=False)
    errors = folder.parent / f"{folder.name}.errors"
    given = (list(arguments), str(folder), dict(environment), kill_at, str(errors), writer)
    process = _CONTEXT.Process(target=_child, args=given)
    process.start()
    writer.close()
    process.join(_SECONDS)
    assert process.exitcode is not None, f"still running: {errors.read_text()}"
    operations = reader.recv() if process.exitcode >= 0 else kill_at
    return Ended(process.exitcode, operations, errors.read_text())


def files_of(folder: Path) -> dict[str, Any]:
    """The files below a folder by path, hidden ones too, without what differs between two runs."""
    files = [path for path in folder.rglob("*") if path.is_file() or not any(path.iterdir())]
    # The names of fingerprints are made of paths and times.
    return {
        "fingerprints" if file.parent.name == "fingerprints" else str(file.relative_to(folder)): (
            _stable(file)
        )
        for file in sorted(files)
    }


def _stable(file: Path) -> object:
    if (
        file.is_dir()
        or file.parent.name == "fingerprints"
        or file.suffix in (".lock", ".png", ".pt")
        or "-shm" in file.name
    ):
        return ""
    content = file.read_bytes()
    if file.suffix == ".jsonl":
        # Records come in the order in which episodes end; the last of a key counts.
        rows = [json.dumps(_without_volatile(json.loads(row))) for row in content.splitlines()]
        return sorted(set(rows))
    if file.suffix == ".json":
        return _without_volatile(json.loads(content))
    if file.name == "metrics.csv":
        header, *rows = [line.split(",") for line in content.decode().splitlines()]
        kept = [number for number, name in enumerate(header) if not _VOLATILE.fullmatch(name)]
        return [[row[number] for number in kept] for row in rows]
    return content


def _without_volatile(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_volatile(item)
            for key, item in value.items()
            if not _VOLATILE.fullmatch(key)
        }
    if isinstance(value, list):
        return [_without_volatile(item) for item in value]
    return value


def _child(
    arguments: list[str],
    folder: str,
    environment: dict[str, str],
    kill_at: int,
    errors: str,
    writer: Connection,
) -> None:
    os.environ.update(environment)
    os.chdir(folder)
    output = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.argv = ["autocoa-bench", *arguments]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    from autocoa_bench.cli.main import main

    counter = _Counter(Path(folder).parent, kill_at)
    sys.addaudithook(counter.audit)
    write = os.write

    def cut_write(file: int, content: bytes) -> int:
        if counter.reached():
            write(file, content[: len(content) // 2])
            os.kill(os.getpid(), signal.SIGKILL)
        return write(file, content)

    os.write = cut_write  # type: ignore[assignment]
    code = 0
    try:
        main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    sys.stdout.flush() if sys.stdout else None
    writer.send(counter.count)
    os._exit(code)


class _Counter:
    """Counts file operations below a folder, and kills this process at one of them."""

    def __init__(self, root: Path, kill_at: int) -> None:
        self.count = 0
        self._root = root
        self._kill_at = kill_at

    def reached(self) -> bool:
        self.count += 1
        return self.count == self._kill_at

    def audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            flags = arguments[2] or 0
            if not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
        elif event not in _OPERATIONS:
            return
        path = arguments[0]
        if isinstance(path, str | bytes | os.PathLike):
            absolute = Path.cwd() / os.fsdecode(path)
            if absolute.is_relative_to(self._root) and self.reached():
                os.kill(os.getpid(), signal.SIGKILL)
