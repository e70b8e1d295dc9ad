"""The environments of rollouts: a real search engine, or one that the policy itself simulates."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from autocoa_bench.episode import neutralise
from autocoa_bench.errors import SearchFault
from autocoa_bench.search import SearchEngine
from autocoa_bench.search.simulated import ResultFormat, TaggedDialect
from autocoa_bench.types import Completion, Generate, Observation, Search


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
        """Empty the cache and reset the counts, as for a new step of training."""
        self._cache.clear()
        self.calls = self.saved = 0
        self.faults = []

    async def _search_all(self, queries: Sequence[str]) -> None:
        await asyncio.gather(*map(self._search_one, queries))

    async def _search_one(self, query: str) -> None:
        try:
            self._cache[query] = Observation(await self._search.search(query))
        except SearchFault as fault:
            self.faults.append(fault)


class Simulator:
    """Requests search results from the policy and reads observations from its completions.

    This is the simulated environment of the paper's first RL stage (3.3.3): the text that the
    policy writes after a search is the observation.

    `calls` counts completions; `faults` counts those that are malformed, contain text that a
    dialect would act on (a tag, a backslash), or have more than `top_k` passages. A faulty
    completion is re-rendered from the passages that can be read, as a search engine's results
    would be, so none of its tokens count as the policy's own.
    """

    def __init__(
        self, dialect: TaggedDialect, max_tokens: int, top_k: int, temperature: float = 0.0
    ) -> None:
        """Results are sampled at a temperature of their own; 0 takes the likeliest."""
        self.temperature = temperature
        self.calls = 0
        self.faults = 0
        self._form = ResultFormat(dialect)
        self._max_tokens = max_tokens
        self._top_k = top_k

    def request(self, search: Search) -> Generate:
        """The request that asks the policy for the results of a search."""
        return self._form.request(search.before, self._max_tokens)

    def observe(self, completion: Completion) -> Observation:
        """The observation in a completion, with the token ids as sampled if it is well-formed."""
        results = self._form.read(completion)
        self.calls += 1
        texts = (text for passage in results.passages for text in (passage.title, passage.text))
        too_many = len(results.passages) > self._top_k
        if results.problem or too_many or any(neutralise(text) != text for text in texts):
            self.faults += 1
            return Observation(results.passages[: self._top_k])
        text = self._form.written(results)
        return Observation(results.passages, text=text, token_ids=completion.token_ids)
