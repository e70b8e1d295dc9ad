"""Search engines: whatever turns a query into passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from autocoa_bench.types import Passage, SearchSpec


class SearchEngine(Protocol):
    """A search engine as the runner sees it. Made by a factory named in the registry."""

    @property
    def spec(self) -> SearchSpec:
        """What makes its results comparable: engine, corpus fingerprint, settings, top-k."""
        ...

    async def search(self, query: str) -> tuple[Passage, ...]:
        """Return at most top-k passages, best first. Raises SearchFault."""
        ...

    async def close(self) -> None:
        """Release what it holds; safe to call twice."""
        ...


@runtime_checkable
class BatchSearchEngine(Protocol):
    """A search engine in process that answers many queries in one call."""

    def search_batch(self, queries: Sequence[str], top_k: int) -> list[tuple[Passage, ...]]:
        """The best passages of each query, as `search` finds them. Called from a thread."""
        ...
