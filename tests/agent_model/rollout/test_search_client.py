"""The search client: a query is searched once, and a failed search is an empty observation."""

from __future__ import annotations

from agent_model.rollout.environments import SearchClient
from autocoa_bench.errors import SearchFault
from autocoa_bench.types import Passage


class Towns:
    """A search engine that fails on what it was told to, and keeps what it was asked."""

    def __init__(self, *fails: str) -> None:
        self.asked: list[str] = []
        self.fails = set(fails)

    async def search(self, query: str) -> tuple[Passage, ...]:
        self.asked.append(query)
        if query in self.fails:
            raise SearchFault("connection", "the server is gone")
        return (Passage("p", "Town", f"Of {query}."),)


def found(finder: SearchClient, *queries: str) -> list[str]:
    return ["".join(each.text for each in got.passages) for got in finder(queries)]


def test_results_are_cached_until_the_cache_is_cleared() -> None:
    towns = Towns()
    with SearchClient(towns) as finder:  # type: ignore[arg-type]
        assert found(finder, "a", "b", "a") == ["Of a.", "Of b.", "Of a."]
        assert found(finder, "b", "c") == ["Of b.", "Of c."]
        assert (towns.asked, finder.calls, finder.saved) == (["a", "b", "c"], 3, 2)
        finder.clear()
        assert found(finder, "a") == ["Of a."]
        assert (finder.calls, finder.saved) == (1, 0)


def test_a_failed_search_returns_nothing_and_is_tried_again() -> None:
    towns = Towns("a")
    with SearchClient(towns) as finder:  # type: ignore[arg-type]
        assert found(finder, "a", "b") == ["", "Of b."]
        assert [str(fault) for fault in finder.faults] == ["the server is gone"]
        towns.fails.clear()
        assert found(finder, "a") == ["Of a."]
        assert (finder.calls, len(finder.faults)) == (3, 1)
