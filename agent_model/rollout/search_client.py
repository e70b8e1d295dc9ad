"""A search engine behind a synchronous call, for rollouts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from autocoa_bench.errors import SearchFault
from autocoa_bench.search import SearchEngine
from autocoa_bench.types import Observation


class SearchClient:
    """Runs a search engine in an event loop of its own and caches its results.

    `calls` counts queries sent to the engine and `saved` those answered from the cache. `faults`
    are calls that failed: they return no passages and are not cached.
    """

    def __init__(self, search: SearchEngine) -> None:
        self.calls = 0
        self.saved = 0
        self.faults: list[SearchFault] = []
        self._search = search
        self._cache: dict[str, Observation] = {}
        self._runner = asyncio.Runner()

    def __enter__(self) -> SearchClient:
        return self

    def __exit__(self, *_: Any) -> None:
        self._runner.close()

    def __call__(self, queries: Sequence[str]) -> list[Observation]:
        """The observations for queries, in order; new queries are searched concurrently."""
        new = [query for query in dict.fromkeys(queries) if query not in self._cache]
        self.calls += len(new)
        self.saved += len(queries) - len(new)
        self._runner.run(self._search_all(new))
        return [self._cache.get(query, Observation(())) for query in queries]

    def clear(self) -> None:
        """Empty the cache."""
        self._cache.clear()

    async def _search_all(self, queries: Sequence[str]) -> None:
        await asyncio.gather(*map(self._search_one, queries))

    async def _search_one(self, query: str) -> None:
        try:
            self._cache[query] = Observation(await self._search.search(query))
        except SearchFault as fault:
            self.faults.append(fault)
