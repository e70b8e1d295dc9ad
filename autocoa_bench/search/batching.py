"""Batching of concurrent searches: queries that arrive while the engine works wait together."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from autocoa_bench.errors import SearchFault
from autocoa_bench.search.engine import BatchSearchEngine, SearchEngine
from autocoa_bench.types import Passage, SearchSpec

MAX_BATCH = 256
"""The most queries in one call to the engine; the others wait for the next call."""


@dataclass(eq=False)
class _PendingQuery:
    query: str
    top_k: int
    passages: tuple[Passage, ...] | None = None


class QueryBatcher:
    """Joins the queries of many clients into batches; the engine answers one batch at a time.

    A `BatchSearchEngine` works in a thread, so that the event loop stays free. Any other engine is
    searched on the event loop and returns at most its own top-k passages.
    """

    def __init__(self, engine: SearchEngine) -> None:
        self._engine = engine
        self._queue: list[_PendingQuery] = []
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "search")

    async def search(self, queries: Sequence[str], top_k: int) -> list[tuple[Passage, ...]]:
        """Return at most `top_k` passages for each query. Raises SearchFault."""
        pending = [_PendingQuery(query, top_k) for query in queries]
        self._queue += pending
        try:
            while _unanswered(pending):
                async with self._turn:
                    # Another client's turn may have answered these queries too.
                    if unanswered := _unanswered(pending):
                        await self._answer_oldest(unanswered)
        finally:
            # A fault or a cancelled request leaves queries that nobody waits for.
            if abandoned := set(_unanswered(pending)):
                self._queue = [query for query in self._queue if query not in abandoned]
        return [query.passages or () for query in pending]

    def close(self) -> None:
        """End the thread; safe to call twice."""
        self._thread.shutdown(wait=False)

    async def _answer_oldest(self, own: list[_PendingQuery]) -> None:
        """Answer the oldest queries; where these fail together, the caller's own alone."""
        batch = self._queue[:MAX_BATCH]
        own = own[:MAX_BATCH]
        try:
            await self._answer(batch)
        except SearchFault:
            if own == batch:
                raise
            await self._answer(own)

    async def _answer(self, batch: list[_PendingQuery]) -> None:
        queries = [pending.query for pending in batch]
        results: Sequence[tuple[Passage, ...]]
        if isinstance(self._engine, BatchSearchEngine):
            top_k = max(pending.top_k for pending in batch)
            results = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._engine.search_batch, queries, top_k
            )
        else:
            results = await asyncio.gather(*map(self._engine.search, queries))
        for pending, passages in zip(batch, results, strict=True):
            pending.passages = passages[: pending.top_k]
        self._queue = _unanswered(self._queue)


def _unanswered(queries: list[_PendingQuery]) -> list[_PendingQuery]:
    return [query for query in queries if query.passages is None]


class BatchedSearch(ABC):
    """Base class of engines in this process: concurrent searches share calls of `search_batch`."""

    spec: SearchSpec
    """See `SearchEngine.spec`."""

    def __init__(self) -> None:
        self._batcher: QueryBatcher | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @abstractmethod
    def search_batch(self, queries: Sequence[str], top_k: int) -> list[tuple[Passage, ...]]:
        """The results of `search` for each query, with another top-k. Raises SearchFault."""

    async def search(self, query: str) -> tuple[Passage, ...]:
        """Return at most top-k passages, best first. Raises SearchFault."""
        loop = asyncio.get_running_loop()
        if self._batcher is None or self._loop is not loop:
            await BatchedSearch.close(self)
            self._batcher, self._loop = QueryBatcher(self), loop
        [passages] = await self._batcher.search([query], self.spec.top_k)
        return passages

    async def close(self) -> None:
        """End the thread; safe to call twice."""
        if self._batcher is not None:
            self._batcher.close()
            self._batcher = None


def without_surrogates(query: str) -> str:
    """A query with `?` for each lone surrogate, which tokenizers and Java refuse."""
    return query.encode("utf-8", "replace").decode()
