"""Concurrent searches as few calls: what waits while the engine works goes to it together."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from autocoa_bench.errors import SearchFault
from autocoa_bench.search.engine import BatchSearchEngine, SearchEngine
from autocoa_bench.types import Passage, SearchSpec

MOST_AT_ONCE = 256
"""Queries a call; those beyond wait for the next."""


class _Waiting:
    """A query, how many passages it wants, and what was found for it."""

    def __init__(self, query: str, top_k: int) -> None:
        self.query = query
        self.top_k = top_k
        self.found: tuple[Passage, ...] | None = None


class QueryBatcher:
    """Searches of a server's many clients; one call to the engine at a time.

    An engine that searches many at once (`SearchesMany`) works in a thread of its own, so that the
    event loop goes on; any other answers at most its own top-k, on the event loop.
    """

    def __init__(self, engine: SearchEngine) -> None:
        self._engine = engine
        self._waiting: list[_Waiting] = []
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "search")

    async def search(self, queries: Sequence[str], top_k: int) -> list[tuple[Passage, ...]]:
        """At most `top_k` passages for each query. Raises SearchFault."""
        mine = [_Waiting(query, top_k) for query in queries]
        self._waiting += mine
        try:
            while any(each.found is None for each in mine):
                async with self._turn:
                    await self._work(mine)
        finally:
            if any(each.found is None for each in mine):  # a fault, or nobody waits any more
                dropped = set(mine)
                self._waiting = [each for each in self._waiting if each not in dropped]
        return [each.found or () for each in mine]

    def close(self) -> None:
        """Let the thread end; safe to call twice."""
        self._thread.shutdown(wait=False)

    async def _work(self, mine: list[_Waiting]) -> None:
        """Search for the longest waiting; where that fails, for the caller's own alone."""
        if all(each.found is not None for each in mine):
            return
        batch = self._waiting[:MOST_AT_ONCE]
        try:
            await self._answer(batch)
        except SearchFault:
            own = [each for each in mine if each.found is None][:MOST_AT_ONCE]
            if own == batch:
                raise
            await self._answer(own)

    async def _answer(self, batch: list[_Waiting]) -> None:
        queries = [each.query for each in batch]
        most = max(each.top_k for each in batch)
        found: Sequence[tuple[Passage, ...]]
        if isinstance(self._engine, BatchSearchEngine):
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(
                self._thread, self._engine.search_batch, queries, most
            )
        else:
            found = await asyncio.gather(*map(self._engine.search, queries))
        for each, passages in zip(batch, found, strict=True):
            each.found = passages[: each.top_k]
        self._waiting = [each for each in self._waiting if each.found is None]


def without_surrogates(query: str) -> str:
    """A query without what is no character (lone surrogates), which other languages refuse."""
    return query.encode("utf-8", "replace").decode()


class BatchedSearch(ABC):
    """A search engine in process whose concurrent searches go to its `search_batch` together."""

    def __init__(self) -> None:
        self._batches: QueryBatcher | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    @abstractmethod
    def spec(self) -> SearchSpec:
        """As `SearchEngine` has it."""

    @abstractmethod
    def search_batch(self, queries: Sequence[str], top_k: int) -> list[tuple[Passage, ...]]:
        """As `SearchesMany` has it."""

    async def search(self, query: str) -> tuple[Passage, ...]:
        """At most top-k passages, best first. Raises SearchFault."""
        loop = asyncio.get_running_loop()
        if self._batches is None or self._loop is not loop:
            self._stop()
            self._batches, self._loop = QueryBatcher(self), loop
        [found] = await self._batches.search([query], self.spec.top_k)
        return found

    async def close(self) -> None:
        """Let the thread end; safe to call twice."""
        self._stop()

    def _stop(self) -> None:
        if self._batches is not None:
            self._batches.close()
            self._batches = None
