"""Protocols of search engines."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from autocoa_bench.types import Passage, SearchSpec


class SearchEngine(Protocol):
    """A search engine, made by a factory that is registered as an entry point."""

    @property
    def spec(self) -> SearchSpec:
        """All that decides its results: engine, corpus fingerprint, settings and top-k."""

    async def search(self, query: str) -> tuple[Passage, ...]:
        """Return at most top-k passages, best first. Raises SearchFault."""

    async def close(self) -> None:
        """Release all resources; safe to call twice."""


@runtime_checkable
class BatchSearchEngine(Protocol):
    """A search engine in this process that answers many queries in one call."""

    def search_batch(self, queries: Sequence[str], top_k: int) -> list[tuple[Passage, ...]]:
        """The results of `search` for each query, with another top-k. Called from a thread."""


def engine_summary(spec: SearchSpec) -> str:
    """An engine and its corpus in a few words: `bm25 over wiki.jsonl (1,000 passages)`."""
    corpus = f" over {spec.corpus} ({spec.passages:,} passages)" if spec.passages else ""
    return f"{spec.engine}{corpus}"
