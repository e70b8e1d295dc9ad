"""The run folder: run.json, append-only records.jsonl, and scores.jsonl derived from them.

Records are written whole, one line each, as episodes end. Of two records with the same key the
later one counts: that is how a resumed run replaces a fault.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UserError
from autocoa_bench.types import Record, RunInfo, Score, Scored
from autocoa_bench.util.files import open_regular
from autocoa_bench.util.json_lines import (
    LineFile,
    decode_line,
    encoded_line,
    indented_json,
    read_lines,
    read_versioned,
    whole_lines,
    write_errors,
    write_files,
)

Key = tuple[str, str, int]
"""(task, question id, sample)"""

FORMAT = 1
"""The version of the run folder's layout."""

SHARDS = "shards"
"""The subfolder of the files that several processes record to, until one has merged them."""

_ADVICE = "delete that line to run its question again"
_RECORDS = msgspec.json.Decoder(Record)
_SCORED = msgspec.json.Decoder(Scored)

FILES = ("run.json", "run.lock", "records.jsonl", "scores.jsonl", "verdicts.jsonl")


class Run(Struct, frozen=True):
    """A run as reports read it: the latest record of each key, and scores by scorer and key."""

    path: Path
    info: RunInfo
    records: tuple[Record, ...]
    scores: dict[str, dict[Key, Score]]


class Shard:
    """Records that another process appends to a file of its own."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._position = 0

    def new(self) -> Iterator[Record]:
        """The records appended since the last call. Raises UserError."""
        try:
            with open_regular(self.file) as stream:
                stream.seek(self._position)
                for position, line in whole_lines(stream):
                    self._position = position + len(line)
                    yield decode_line(line, _RECORDS, f"a line of '{self.file}'", _ADVICE)
        except FileNotFoundError:
            return
        except OSError as error:
            raise UserError(f"cannot read '{self.file}': {error.strerror}") from None


class RunFolder:
    """A run folder open for writing, by one process at a time."""

    def __init__(self, path: Path, info: RunInfo) -> None:
        """Create or resume. Raises UserError if it is in use, damaged, or another run's."""
        self.path = path
        self._lock = -1
        self._file: LineFile | None = None
        try:
            with write_errors(path):
                path.mkdir(parents=True, exist_ok=True)
                self._lock = _lock(path)
                self.info = self._adopt(info)
                self._file = LineFile(path / "records.jsonl")
        except UserError:
            self.close()
            raise

    def _adopt(self, info: RunInfo) -> RunInfo:
        """Write run.json, or add this session to the existing one."""
        if (self.path / "run.json").exists():
            earlier = read_info(self.path)
            if differences := list(differing(earlier.spec, info.spec)):
                raise UserError(
                    f"'{self.path}' holds another run, which differs in {'; '.join(differences)}. "
                    "Choose another --out, or give the same settings to resume it."
                )
            info = msgspec.structs.replace(
                info,
                sessions=(*earlier.sessions, *info.sessions),
                scorers=earlier.scorers,
                judge=earlier.judge,
            )
        else:
            records = self.path / "records.jsonl"
            if records.exists() and records.stat().st_size:
                raise UserError(
                    f"'{self.path}' holds records but no run.json to identify their run; "
                    "choose another --out"
                )
        write_info(self.path, info)
        return info

    def recorded(self) -> Iterator[Record]:
        """The records of earlier sessions, one for each key."""
        return iter(_read_records(self.path))

    def left_over(self) -> Iterator[Record]:
        """The records in shards of a run that was killed; each shard is deleted once it is read."""
        for file in sorted((self.path / SHARDS).glob("*.jsonl")):
            yield from Shard(file).new()
            file.unlink()

    def add_late_settings(self, settings: dict[str, str | int | float]) -> None:
        """Add to this session what refusals have changed. Raises UserError."""
        *earlier, session = self.info.sessions
        if settings != session.late_settings:
            session = msgspec.structs.replace(session, late_settings=settings)
            self.info = msgspec.structs.replace(self.info, sessions=(*earlier, session))
            write_info(self.path, self.info)

    def append(self, record: Record) -> None:
        """Write one record whole. Raises UserError where the disk refuses."""
        assert self._file is not None, "the folder is open"
        self._file.add(record)

    def close(self) -> None:
        """Flush to the disk and release the folder; safe to call twice."""
        if self._file is not None:
            self._file.close()
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1


def load_run(path: Path) -> Run:
    """Read a run folder. Raises UserError if it is not one or is damaged."""
    info = read_info(path)
    return Run(path, info, tuple(_read_records(path)), _read_scores(path))


def read_info(path: Path) -> RunInfo:
    """Read run.json. Raises UserError if there is none or it cannot be read."""
    missing = f"'{path}' is not a run folder: it has no run.json"
    return read_versioned(path / "run.json", RunInfo, FORMAT, missing)


def write_info(path: Path, info: RunInfo) -> None:
    """Replace run.json whole. Raises UserError where the disk refuses."""
    write_files(path, {"run.json": indented_json(info)})


def write_scores(path: Path, scored: Iterable[Scored]) -> None:
    """Replace scores.jsonl whole. Raises UserError where the disk refuses."""
    write_files(path, {"scores.jsonl": b"".join(map(encoded_line, scored))})


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
    file = os.open(path / "run.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
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


def _read_records(path: Path) -> Iterable[Record]:
    """The latest record of each key, in the order in which the keys were first recorded."""
    lines = read_lines(path / "records.jsonl", _RECORDS, _ADVICE)
    return {record.key: record for record in lines}.values()


def _read_scores(path: Path) -> dict[str, dict[Key, Score]]:
    """The scores; none where the file is missing or damaged, as they can be derived anew."""
    scores: dict[str, dict[Key, Score]] = {}
    try:
        lines = list(read_lines(path / "scores.jsonl", _SCORED, ""))
    except UserError:
        return scores
    for line in lines:
        for scorer, score in line.scores.items():
            scores.setdefault(scorer, {})[line.task, line.question_id, line.sample] = score
    return scores
