"""A cache of search results on disk, around any search engine, for one process or many."""

import hashlib
import sqlite3
import zlib
from contextlib import suppress
from pathlib import Path

import msgspec

from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.search.engine import SearchEngine
from autocoa_bench.types import Passage

FORMAT = 1
"""The version of the stored results; results of another version are not used."""

MAX_QUERIES = 1_000_000
"""The most queries in a cache folder; the oldest are deleted first."""

_TRIM_EVERY = 1_000
_LOCK_SECONDS = 5.0
_TABLE = "create table if not exists results (key blob primary key, passages blob, crc integer)"
_Passages = tuple[Passage, ...]
_decode = msgspec.json.Decoder(_Passages).decode


class CachedSearch:
    """A search engine whose results are cached under all that decides them: its spec and the query.

    Several engines, corpora and processes may share the folder at once. An unreadable entry is
    searched for again and overwritten; where the cache cannot be read or written at all, the engine
    answers without it. Faults are not cached.
    """

    def __init__(self, engine: SearchEngine, folder: Path, max_queries: int = MAX_QUERIES) -> None:
        """Raises UserError where the folder cannot be used."""
        self.spec = engine.spec
        self._engine = engine
        self._max_queries = max_queries
        self._file = folder / "results.sqlite"
        self._prefix = msgspec.json.encode((FORMAT, engine.spec))
        self._writes = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = self._connect()
        except (OSError, sqlite3.Error) as error:
            raise UserError(
                f"search results cannot be cached in '{folder}' ({error}); give --search-cache "
                "another folder"
            ) from None

    async def search(self, query: str) -> tuple[Passage, ...]:
        """The cached results of a query, or the engine's. Raises SearchFault."""
        key = hashlib.sha256(self._prefix + query.encode("utf-8", "surrogatepass")).digest()
        passages = self._read(key)
        if passages is None:
            passages = await self._engine.search(query)
            self._write(key, passages)
        return passages

    async def close(self) -> None:
        """Close the file and the engine; safe to call twice."""
        self._database.close()
        await self._engine.close()

    def _connect(self) -> sqlite3.Connection:
        """Open the database; a file that is not a database is replaced by a new one."""
        try:
            return self._open_database()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            self._delete()
            return self._open_database()

    def _open_database(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._file, timeout=_LOCK_SECONDS, isolation_level=None)
        try:
            database.execute("pragma journal_mode = wal")
            # A kill loses nothing; a power cut may lose the last results, which is no harm.
            database.execute("pragma synchronous = normal")
            database.execute(_TABLE)
        except sqlite3.DatabaseError:
            database.close()
            raise
        return database

    def _delete(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)

    def _read(self, key: bytes) -> _Passages | None:
        try:
            row = self._database.execute(
                "select passages, crc from results where key = ?", (key,)
            ).fetchone()
        except sqlite3.OperationalError:  # locked, or the disk is full
            return None
        except sqlite3.DatabaseError:  # damaged: start a new file
            with suppress(OSError, sqlite3.Error):
                self._database.close()
                self._delete()
                self._database = self._connect()
            return None
        if row is None or not isinstance(row[0], bytes) or zlib.crc32(row[0]) != row[1]:
            return None
        try:
            return _decode(row[0])
        except UNREADABLE:
            return None

    def _write(self, key: bytes, passages: _Passages) -> None:
        content = msgspec.json.encode(passages)
        with suppress(sqlite3.Error):
            self._database.execute(
                "insert or replace into results values (?, ?, ?)",
                (key, content, zlib.crc32(content)),
            )
            # Row ids grow with every write, so the largest one tells the age of a row.
            if self._writes % _TRIM_EVERY == 0:
                self._database.execute(
                    "delete from results where rowid <= (select max(rowid) from results) - ?",
                    (self._max_queries,),
                )
            self._writes += 1
