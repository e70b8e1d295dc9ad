"""The run folder: run.json, append-only records.jsonl, and scores.jsonl derived from them.

Records are written whole, one line each, as episodes end; a torn last line (a kill in the middle
of a write) is cut on the next open. A key recorded twice counts once, the later line standing:
that is how a resumed run replaces a fault.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.types import Record, RunInfo, Score, Scored
from autocoa_bench.util.json_lines import append_line, cut_torn_line, read_versioned, replace_file

Key = tuple[str, str, int]
"""(task, question id, sample)"""

FORMAT = 1
"""The version of the run folder's layout."""

SHARDS = "shards"
"""A folder in the run folder: what several processes record, before one has put it together."""

FILES = ("run.json", "run.lock", "records.jsonl", "scores.jsonl", "verdicts.jsonl")


class Run(Struct, frozen=True):
    """A run as reports read it: one record a key (the latest), scores by scorer and key."""

    path: Path
    info: RunInfo
    records: tuple[Record, ...]
    scores: dict[str, dict[Key, Score]]


class Shard:
    """Records that another process appends to a file of its own, as they come."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._read = 0

    def new(self) -> Iterator[Record]:
        """The records since the last call; a line that is not whole yet is none."""
        try:
            with self.file.open("rb") as stream:
                stream.seek(self._read)
                for line in stream:
                    if not line.endswith(b"\n"):
                        return
                    self._read += len(line)
                    yield msgspec.json.decode(line, type=Record)
        except FileNotFoundError:
            return
        except (OSError, *UNREADABLE) as error:
            raise UserError(f"cannot read '{self.file}': {error}") from None


class RunFolder:
    """A run folder open for writing; one process at a time holds it."""

    def __init__(self, path: Path, info: RunInfo) -> None:
        """Create or resume. Raises UserError if it is in use, damaged, or another run's."""
        self.path = path
        self._lock = self._file = -1
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(path)
            self.info = self._adopt(info)
            cut_torn_line(path / "records.jsonl")
            self._file = os.open(
                path / "records.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644
            )
        except OSError as error:
            self.close()
            raise _cannot_write(path, error) from None
        except UserError:
            self.close()
            raise

    def _adopt(self, info: RunInfo) -> RunInfo:
        """Write run.json, or add this session to the one that is there."""
        if not (self.path / "run.json").exists():
            records = self.path / "records.jsonl"
            if records.exists() and records.stat().st_size:
                raise UserError(
                    f"'{self.path}' holds records but no run.json that says of what run; "
                    "choose another --out"
                )
        else:
            found = read_info(self.path)
            if differences := list(differing(found.spec, info.spec)):
                raise UserError(
                    f"'{self.path}' holds another run, which differs in {'; '.join(differences)}. "
                    "Choose another --out, or give the same settings to resume it."
                )
            info = msgspec.structs.replace(
                info,
                sessions=(*found.sessions, *info.sessions),
                scorers=found.scorers,
                judge=found.judge,
            )
        write_info(self.path, info)
        return info

    def recorded(self) -> Iterator[Record]:
        """The records already there, one a key."""
        return iter(_latest(_read_records(self.path)).values())

    def left_over(self) -> Iterator[Record]:
        """What is in shards that nobody has read to the end: their run was killed. They go."""
        for file in sorted((self.path / SHARDS).glob("*.jsonl")):
            yield from Shard(file).new()
            file.unlink()

    def append(self, record: Record) -> None:
        """Write one record whole. Raises UserError when the disk refuses; nothing torn stays."""
        try:
            append_line(self._file, msgspec.json.encode(record) + b"\n")
        except OSError as error:
            raise _cannot_write(self.path, error) from None

    def close(self) -> None:
        """Flush to the disk and release the folder; safe to call twice."""
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)
        if self._lock >= 0:
            os.close(self._lock)
        self._file = self._lock = -1


def load_run(path: Path) -> Run:
    """Read a run folder. Raises UserError if it is not one or is damaged."""
    info = read_info(path)
    records = tuple(_latest(_read_records(path)).values())
    return Run(path, info, records, _read_scores(path))


def read_info(path: Path) -> RunInfo:
    """Read run.json. Raises UserError if there is none or it cannot be read."""
    missing = f"'{path}' is not a run folder: it has no run.json"
    return read_versioned(path / "run.json", RunInfo, FORMAT, missing)


def write_info(path: Path, info: RunInfo) -> None:
    """Replace run.json whole. Raises UserError when the disk refuses."""
    text = msgspec.json.format(msgspec.json.encode(info), indent=2)
    _replace(path / "run.json", text + b"\n")


def write_scores(path: Path, scored: Iterable[Scored]) -> None:
    """Replace scores.jsonl whole. Raises UserError when the disk refuses."""
    lines = b"".join(msgspec.json.encode(row) + b"\n" for row in scored)
    _replace(path / "scores.jsonl", lines)


def differing(old: Struct, new: Struct, prefix: str = "") -> Iterator[str]:
    """`field: old -> new` for every field in which two records of one type differ."""
    for name in old.__struct_fields__:
        before, after = getattr(old, name), getattr(new, name)
        if before == after:
            continue
        if isinstance(before, Struct) and type(before) is type(after):
            yield from differing(before, after, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}: {_short(before)} -> {_short(after)}"


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else text[:57] + "..."


def _lock(path: Path) -> int:
    file = os.open(path / "run.lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(file, 32).decode(errors="replace").strip()
        os.close(file)
        raise UserError(
            f"'{path}' is being written by another run (process {holder or 'unknown'}); wait for "
            "it to end, or choose another --out"
        ) from None
    os.ftruncate(file, 0)
    os.write(file, str(os.getpid()).encode())
    return file


def _read_records(path: Path) -> Iterator[Record]:
    decoder = msgspec.json.Decoder(Record)
    file = path / "records.jsonl"
    try:
        stream = file.open("rb")
    except FileNotFoundError:
        return
    except OSError as error:
        raise UserError(f"cannot read '{file}': {error.strerror}") from None
    with stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                return  # torn by a kill; the next run on this folder cuts it
            try:
                yield decoder.decode(line)
            except UNREADABLE as error:
                raise UserError(
                    f"'{file}' line {number} is damaged ({error}); delete that line to have its "
                    "question asked again"
                ) from None


def _latest(records: Iterable[Record]) -> dict[Key, Record]:
    return {record.key: record for record in records}


def _read_scores(path: Path) -> dict[str, dict[Key, Score]]:
    """The scores; none where the file is missing or damaged: they are derived, and made anew."""
    scores: dict[str, dict[Key, Score]] = {}
    try:
        content = (path / "scores.jsonl").read_bytes()
        rows = msgspec.json.Decoder(Scored).decode_lines(content)
    except (OSError, *UNREADABLE):
        return scores
    for row in rows:
        for scorer, score in row.scores.items():
            scores.setdefault(scorer, {})[(row.task, row.question_id, row.sample)] = score
    return scores


def _replace(file: Path, content: bytes) -> None:
    try:
        replace_file(file, content)
    except OSError as error:
        raise _cannot_write(file.parent, error) from None


def _cannot_write(path: Path, error: OSError) -> UserError:
    if error.errno == errno.ENOSPC:
        return UserError(
            f"the disk is full: cannot write to '{path}'. What was recorded is safe; make room "
            "and run the same command again to resume."
        )
    return UserError(f"cannot write to '{path}': {error.strerror}")
