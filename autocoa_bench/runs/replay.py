"""Cassettes: every exchange with a model engine and a search engine, to be played back offline.

A cassette is a file of JSON lines, one an exchange, written whole as it ends. A request is known
by a hash of all that decides its reply, so that a replayed run may ask in any order and need not
know the servers: what a recorded run was told, its replay is told again. Only times differ.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from autocoa_bench.engines import Engine
from autocoa_bench.errors import UNREADABLE, EngineFault, Fault, SearchFault, UserError
from autocoa_bench.search import SearchEngine
from autocoa_bench.types import (
    Completion,
    EngineSpec,
    FaultNote,
    Generate,
    Passage,
    Sampling,
    SearchSpec,
)
from autocoa_bench.util.json_lines import LineFile

Reply = TypeVar("Reply")

Who = tuple[str | int, ...]
"""Who is asked, in the words of a run's plan: part of each request's hash."""

FORMAT = 1
"""The version of the lines' layout."""


class Exchange(Struct, frozen=True):
    """One line: what was asked, by its hash, and one kind of reply."""

    key: str
    format: int = FORMAT
    engine: EngineSpec | None = None
    search: SearchSpec | None = None
    completions: tuple[Completion, ...] | None = None
    passages: tuple[Passage, ...] | None = None
    fault: FaultNote | None = None


class _Head(Struct):
    key: str
    format: int


class ExchangeRecorder:
    """A cassette open for writing; one process at a time has it. What is there already stays."""

    def __init__(self, path: Path) -> None:
        """Raises UserError where the file cannot be written, or another process has it."""
        try:
            self._file = LineFile(path)
        except BlockingIOError:
            raise UserError(
                f"'{path}' is being recorded by another run; give --record another file"
            ) from None
        except OSError as error:
            raise UserError(f"cannot record to '{path}': {error.strerror}") from None
        self._path = path

    def add(self, exchange: Exchange) -> None:
        """Write one exchange. Raises UserError when the disk refuses; nothing torn stays."""
        try:
            self._file.add(exchange)
        except OSError as error:
            raise UserError(f"cannot record to '{self._path}': {error.strerror}") from None

    def close(self) -> None:
        """Release the file."""
        self._file.close()


class ExchangePlayer:
    """A recorded cassette. Replies stay in the file until they are asked for."""

    def __init__(self, path: Path) -> None:
        """Raises UserError where the file is missing, damaged, or of another version."""
        self._path = path
        self._places: dict[str, list[int]] = {}
        self._turns: dict[str, int] = {}
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise UserError(f"cannot replay '{path}': {error.strerror}") from None
        decoder = msgspec.json.Decoder(_Head)
        for number, (place, line) in enumerate(self._lines(), 1):
            try:
                head = decoder.decode(line)
            except UNREADABLE as error:
                raise UserError(f"'{path}' line {number} is damaged: {error}") from None
            if head.format != FORMAT:
                raise UserError(f"'{path}' has format {head.format}; this version reads {FORMAT}")
            self._places.setdefault(head.key, []).append(place)
        if not self._places:
            raise UserError(f"'{path}' holds no exchange to replay")

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        place = 0
        for line in self._file:
            if line.endswith(b"\n"):  # else torn by a kill
                yield place, line
            place += len(line)

    def reply(self, key: str) -> Exchange | None:
        """What was told to a request: the first time its first reply, and so on; its last after."""
        places = self._places.get(key)
        if places is None:
            return None
        turn = self._turns.get(key, 0)
        self._turns[key] = turn + 1
        self._file.seek(places[min(turn, len(places) - 1)])
        try:
            return msgspec.json.decode(self._file.readline(), type=Exchange)
        except UNREADABLE as error:
            raise UserError(f"'{self._path}' is damaged: {error}") from None

    def close(self) -> None:
        """Release the file."""
        self._file.close()


class RecordedEngine:
    """A model engine whose exchanges are written down."""

    def __init__(self, inner: Engine, recorder: ExchangeRecorder, who: Who) -> None:
        self._inner, self._recorder, self._who = inner, recorder, who

    async def start(self) -> EngineSpec:
        """Start the engine."""
        spec = await self._inner.start()
        self._recorder.add(Exchange(_key(self._who), engine=spec))
        return spec

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """Ask the engine. Raises EngineFault, which is written down too."""
        key = _key(self._who, request, sampling, n)
        try:
            completions = await self._inner.generate(request, sampling, n)
        except EngineFault as fault:
            self._recorder.add(Exchange(key, fault=FaultNote(fault.kind, str(fault))))
            raise
        self._recorder.add(Exchange(key, completions=tuple(completions)))
        return completions

    async def close(self) -> None:
        """Close the engine."""
        await self._inner.close()


class RecordedSearch:
    """A search engine whose exchanges are written down."""

    def __init__(self, inner: SearchEngine, recorder: ExchangeRecorder, who: Who) -> None:
        self._inner, self._recorder, self._who = inner, recorder, who
        recorder.add(Exchange(_key(self._who), search=inner.spec))

    @property
    def spec(self) -> SearchSpec:
        """The engine's own."""
        return self._inner.spec

    async def search(self, query: str) -> tuple[Passage, ...]:
        """Ask the engine. Raises SearchFault, which is written down too."""
        key = _key(self._who, query)
        try:
            passages = await self._inner.search(query)
        except SearchFault as fault:
            self._recorder.add(Exchange(key, fault=FaultNote(fault.kind, str(fault))))
            raise
        self._recorder.add(Exchange(key, passages=passages))
        return passages

    async def close(self) -> None:
        """Close the engine."""
        await self._inner.close()


class ReplayedEngine:
    """A model engine's part of a cassette."""

    def __init__(self, player: ExchangePlayer, who: Who) -> None:
        self._player, self._who = player, who

    async def start(self) -> EngineSpec:
        """Who answered when it was recorded. Raises UserError where nobody like that did."""
        found = self._player.reply(_key(self._who))
        if found is None or found.engine is None:
            raise _other_run("model engine", self._who)
        return found.engine

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """What was told then. Raises EngineFault, also where this was not asked then."""
        found = self._player.reply(_key(self._who, request, sampling, n))
        return list(_told(found, lambda one: one.completions, EngineFault, "completion"))

    async def close(self) -> None:
        """Nothing to release."""


class ReplayedSearch:
    """A search engine's part of a cassette."""

    def __init__(self, player: ExchangePlayer, who: Who) -> None:
        """Raises UserError where no such search engine was recorded."""
        found = player.reply(_key(who))
        if found is None or found.search is None:
            raise _other_run("search engine", who)
        self._player, self._who, self.spec = player, who, found.search

    async def search(self, query: str) -> tuple[Passage, ...]:
        """What was told then. Raises SearchFault, also where this was not asked then."""
        found = self._player.reply(_key(self._who, query))
        return _told(found, lambda one: one.passages, SearchFault, "search result")

    async def close(self) -> None:
        """Nothing to release."""


def _key(*parts: object) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _told(
    found: Exchange | None,
    read: Callable[[Exchange], Reply | None],
    fault: type[Fault],
    what: str,
) -> Reply:
    if found is not None and found.fault is not None:
        raise fault(found.fault.kind, found.fault.message)
    told = read(found) if found is not None else None
    if told is None:
        raise fault("not-recorded", f"the cassette has no {what} for this request")
    return told


def _other_run(what: str, who: Who) -> UserError:
    named = ", ".join(str(part) for part in who if part not in ("", what))
    return UserError(
        f"the cassette holds no {what} like this run's ({named}); replay with the options that it "
        "was recorded with"
    )
