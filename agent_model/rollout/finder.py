"""A search engine as rollouts ask it: the queries of one moment together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from autocoa_bench.errors import SearchFault
from autocoa_bench.search import SearchEngine
from autocoa_bench.types import Observation


class Finder:
    """A search engine behind a plain call, with an event loop of its own until it is left.

    `calls` counts its queries; `faults` are those that failed, which find nothing.
    """

    def __init__(self, search: SearchEngine) -> None:
        self.calls = 0
        self.faults: list[SearchFault] = []
        self._search = search
        self._runner = asyncio.Runner()

    def __enter__(self) -> Finder:
        return self

    def __exit__(self, *_: Any) -> None:
        self._runner.close()

    def __call__(self, queries: Sequence[str]) -> list[Observation]:
        """What is found for each query, in order."""
        self.calls += len(queries)
        return self._runner.run(self._all_of(queries))

    async def _all_of(self, queries: Sequence[str]) -> list[Observation]:
        return await asyncio.gather(*map(self._one, queries))

    async def _one(self, query: str) -> Observation:
        try:
            return Observation(await self._search.search(query))
        except SearchFault as fault:
            self.faults.append(fault)
            return Observation(())
