"""Search results kept on disk: a wrapper around any search engine, for one process or many."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from contextlib import suppress
from pathlib import Path

import msgspec

from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.search.engine import SearchEngine
from autocoa_bench.types import Passage, SearchSpec

FORMAT = 1
"""Of what is kept: results of another are not used."""

MOST_KEPT = 1_000_000
"""Queries in a folder; the longest kept go first."""

_TRIM_EVERY = 1_000
_WAIT_SECONDS = 5.0
_TABLE = "create table if not exists results (key blob primary key, passages blob, crc integer)"
_Passages = tuple[Passage, ...]
_decode = msgspec.json.Decoder(_Passages).decode


class CachedSearch:
    """A search engine whose results are kept, by all that decides them: its spec and the query.

    The folder may be shared: several engines, corpora and processes at once. What is unreadable in
    it is searched for anew and written over; where it cannot be read or written at all, the engine
    answers as if nothing were kept. Faults are not kept.
    """

    def __init__(self, engine: SearchEngine, folder: Path, most: int = MOST_KEPT) -> None:
        """Raises UserError where the folder cannot be used."""
        self._engine = engine
        self._most = most
        self._file = folder / "results.sqlite"
        self._prefix = msgspec.json.encode((FORMAT, engine.spec))
        self._written = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._store = self._opened()
        except (OSError, sqlite3.Error) as error:
            raise UserError(
                f"search results cannot be kept in '{folder}' ({error}); give --search-cache "
                "another folder"
            ) from None

    @property
    def spec(self) -> SearchSpec:
        """The engine's own: keeping results changes none."""
        return self._engine.spec

    async def search(self, query: str) -> tuple[Passage, ...]:
        """What was found before, or what the engine finds now. Raises SearchFault."""
        key = hashlib.sha256(self._prefix + query.encode("utf-8", "surrogatepass")).digest()
        found = self._read(key)
        if found is None:
            found = await self._engine.search(query)
            self._write(key, found)
        return found

    async def close(self) -> None:
        """Close the file and the engine; safe to call twice."""
        self._store.close()
        await self._engine.close()

    def _opened(self) -> sqlite3.Connection:
        """The file's connection; a file that is no database gives way to a new one."""
        for attempt in range(2):
            store = sqlite3.connect(self._file, timeout=_WAIT_SECONDS, isolation_level=None)
            try:
                store.execute("pragma journal_mode = wal")
                # A kill loses nothing; a power cut may lose the last results, which is no harm.
                store.execute("pragma synchronous = normal")
                store.execute(_TABLE)
            except sqlite3.OperationalError:
                store.close()
                raise
            except sqlite3.DatabaseError:
                store.close()
                if attempt:
                    raise
                self._discard()
            else:
                break
        return store

    def _renew(self) -> None:
        with suppress(OSError, sqlite3.Error):
            self._store.close()
            self._discard()
            self._store = self._opened()

    def _discard(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)

    def _read(self, key: bytes) -> _Passages | None:
        try:
            row = self._store.execute(
                "select passages, crc from results where key = ?", (key,)
            ).fetchone()
        except sqlite3.OperationalError:  # locked, or the disk is full
            return None
        except sqlite3.DatabaseError:  # damaged
            self._renew()
            return None
        if row is None or not isinstance(row[0], bytes) or zlib.crc32(row[0]) != row[1]:
            return None
        try:
            return _decode(row[0])
        except UNREADABLE:
            return None

    def _write(self, key: bytes, found: _Passages) -> None:
        data = msgspec.json.encode(found)
        with suppress(sqlite3.Error):
            self._store.execute(
                "insert or replace into results values (?, ?, ?)", (key, data, zlib.crc32(data))
            )
            if self._written % _TRIM_EVERY == 0:
                self._store.execute(
                    "delete from results where rowid <= (select max(rowid) from results) - ?",
                    (self._most,),
                )
            self._written += 1
