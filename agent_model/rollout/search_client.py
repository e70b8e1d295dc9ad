"""A search engine as rollouts ask it: the queries of one moment together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from autocoa_bench.errors import SearchFault
from autocoa_bench.search import SearchEngine
from autocoa_bench.types import Observation


class SearchClient:
    """A search engine behind a plain call, with an event loop of its own until it is left.

    A query that it remembers is not asked again. `calls` counts those that were asked and `saved`
    those that were not; `faults` are calls that failed: they find nothing, and are not remembered.
    """

    def __init__(self, search: SearchEngine) -> None:
        self.calls = 0
        self.saved = 0
        self.faults: list[SearchFault] = []
        self._search = search
        self._found: dict[str, Observation] = {}
        self._runner = asyncio.Runner()

    def __enter__(self) -> SearchClient:
        return self

    def __exit__(self, *_: Any) -> None:
        self._runner.close()

    def __call__(self, queries: Sequence[str]) -> list[Observation]:
        """What is found for each query, in order."""
        new = [query for query in dict.fromkeys(queries) if query not in self._found]
        self.calls += len(new)
        self.saved += len(queries) - len(new)
        self._runner.run(self._ask(new))
        return [self._found.get(query, Observation(())) for query in queries]

    def forget(self) -> None:
        """Remember nothing any more."""
        self._found.clear()

    async def _ask(self, queries: Sequence[str]) -> None:
        await asyncio.gather(*map(self._ask_one, queries))

    async def _ask_one(self, query: str) -> None:
        try:
            self._found[query] = Observation(await self._search.search(query))
        except SearchFault as fault:
            self.faults.append(fault)
