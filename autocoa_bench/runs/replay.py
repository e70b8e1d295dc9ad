"""Cassettes: recordings of every exchange with a model and a search engine, replayed offline.

A cassette is a file of JSON lines, one for each exchange, written as it ends. A request is
identified by a hash of all that decides its reply, so a replayed run may ask in any order and needs
no server. Replies come back as they were recorded; only times differ.
"""

import hashlib
from collections import defaultdict, deque
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from autocoa_bench.engines import Engine, late_settings
from autocoa_bench.episode.dialect import fingerprinted_stop
from autocoa_bench.errors import EngineFault, Fault, SearchFault, UserError
from autocoa_bench.search import SearchEngine
from autocoa_bench.types import (
    Completion,
    EngineSpec,
    FaultNote,
    Generate,
    ModelTraits,
    Passage,
    Sampling,
    SearchSpec,
)
from autocoa_bench.util.json_lines import LineFile, decode_line, whole_lines

Reply = TypeVar("Reply")

BackendId = tuple[str | int, ...]
"""The engine or the search of a run's configuration: part of each request's hash."""

FORMAT = 1
"""The version of the lines' layout."""


class Exchange(Struct, frozen=True):
    """One line: the hash of a request, and one kind of reply."""

    key: str
    format: int = FORMAT
    engine: EngineSpec | None = None
    traits: ModelTraits | None = None
    search: SearchSpec | None = None
    completions: tuple[Completion, ...] | None = None
    passages: tuple[Passage, ...] | None = None
    fault: FaultNote | None = None


_EXCHANGES = msgspec.json.Decoder(Exchange)
_ADVICE = "record the run again"


class _Head(Struct):
    key: str
    format: int


class ExchangePlayer:
    """A recorded cassette; replies are read from the file when they are asked for."""

    def __init__(self, path: Path) -> None:
        """Raises UserError where the file is missing, damaged, or of another version."""
        self._path = path
        self._positions: defaultdict[str, deque[int]] = defaultdict(deque)
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise UserError(f"cannot replay '{path}': {error.strerror}") from None
        decoder = msgspec.json.Decoder(_Head)
        for number, (position, line) in enumerate(whole_lines(self._file), 1):
            head = decode_line(line, decoder, f"'{path}' line {number}", _ADVICE)
            if head.format != FORMAT:
                raise UserError(f"'{path}' has format {head.format}; this version reads {FORMAT}")
            self._positions[head.key].append(position)
        if not self._positions:
            raise UserError(f"'{path}' holds no exchange to replay")

    def reply(self, key: str) -> Exchange:
        """The next recorded reply to a request; once all were given, the last one again.

        An exchange without a reply where the request was not recorded.
        """
        positions = self._positions.get(key)
        if positions is None:
            return Exchange(key)
        self._file.seek(positions.popleft() if len(positions) > 1 else positions[0])
        line = self._file.readline()
        return decode_line(line, _EXCHANGES, f"an exchange of '{self._path}'", _ADVICE)

    def close(self) -> None:
        """Release the file."""
        self._file.close()


class RecordedEngine:
    """A model engine whose exchanges are recorded."""

    def __init__(self, inner: Engine, recorder: LineFile, backend: BackendId) -> None:
        self._inner, self._recorder, self._backend = inner, recorder, backend
        self.traits = ModelTraits()

    async def start(self) -> EngineSpec:
        spec = await self._inner.start()
        self.traits = getattr(self._inner, "traits", ModelTraits())
        self._recorder.add(Exchange(_key(self._backend), engine=spec, traits=self.traits))
        return spec

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """Ask the engine. Raises EngineFault, which is recorded too."""
        key = _key(self._backend, _identity(request), sampling, n)
        try:
            completions = await self._inner.generate(request, sampling, n)
        except EngineFault as fault:
            self._recorder.add(Exchange(key, fault=FaultNote(fault.kind, str(fault))))
            raise
        self._recorder.add(Exchange(key, completions=tuple(completions)))
        return completions

    @property
    def late_settings(self) -> dict[str, str | int | float]:
        """Those of the engine."""
        return late_settings(self._inner)

    async def close(self) -> None:
        await self._inner.close()


class RecordedSearch:
    """A search engine whose exchanges are recorded."""

    def __init__(self, inner: SearchEngine, recorder: LineFile, backend: BackendId) -> None:
        self._inner, self._recorder, self._backend = inner, recorder, backend
        self.spec = inner.spec
        recorder.add(Exchange(_key(backend), search=self.spec))

    async def search(self, query: str) -> tuple[Passage, ...]:
        """Ask the engine. Raises SearchFault, which is recorded too."""
        key = _key(self._backend, query)
        try:
            passages = await self._inner.search(query)
        except SearchFault as fault:
            self._recorder.add(Exchange(key, fault=FaultNote(fault.kind, str(fault))))
            raise
        self._recorder.add(Exchange(key, passages=passages))
        return passages

    async def close(self) -> None:
        await self._inner.close()


class ReplayedEngine:
    """The model engine of a cassette."""

    def __init__(self, player: ExchangePlayer, backend: BackendId) -> None:
        self._player, self._backend = player, backend
        self.traits = ModelTraits()

    async def start(self) -> EngineSpec:
        """The spec of the recorded engine. Raises UserError where the cassette has no such one."""
        exchange = self._player.reply(_key(self._backend))
        if exchange.engine is None:
            raise _not_recorded(self._backend)
        self.traits = exchange.traits or self.traits  # earlier recordings have none
        return exchange.engine

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """The recorded completions. Raises EngineFault, recorded or for a request that was not."""
        exchange = self._player.reply(_key(self._backend, _identity(request), sampling, n))
        return list(_recorded(exchange, exchange.completions, EngineFault, "completion"))

    async def close(self) -> None:
        """Nothing to release."""


class ReplayedSearch:
    """The search engine of a cassette."""

    def __init__(self, player: ExchangePlayer, backend: BackendId) -> None:
        """Raises UserError where the cassette has no such search engine."""
        exchange = player.reply(_key(backend))
        if exchange.search is None:
            raise _not_recorded(backend)
        self._player, self._backend, self.spec = player, backend, exchange.search

    async def search(self, query: str) -> tuple[Passage, ...]:
        """The recorded passages. Raises SearchFault, recorded or for a query that was not."""
        exchange = self._player.reply(_key(self._backend, query))
        return _recorded(exchange, exchange.passages, SearchFault, "search result")

    async def close(self) -> None:
        """Nothing to release."""


def _identity(request: Generate) -> dict[str, object]:
    """The fields of a request that earlier recordings were keyed by."""
    fields = msgspec.structs.asdict(request)
    del fields["thinking_tokens"]  # follows from `forced` and the run's budget
    if request.forced:
        fields["stop"] = fingerprinted_stop(request.prompt.continuation, request.stop)
    return fields


def _key(*parts: object) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _recorded(exchange: Exchange, reply: Reply | None, fault: type[Fault], noun: str) -> Reply:
    """The reply of an exchange. Raises the fault that it holds, or one where there is no reply."""
    if exchange.fault is not None:
        raise fault(exchange.fault.kind, exchange.fault.message)
    if reply is None:
        raise fault("not-recorded", f"the cassette has no {noun} for this request")
    return reply


def _not_recorded(backend: BackendId) -> UserError:
    kind, *settings = backend
    listed = ", ".join(str(setting) for setting in settings if setting != "")
    return UserError(
        f"the cassette holds no {kind} like this run's ({listed}); replay with the options that it "
        "was recorded with"
    )
