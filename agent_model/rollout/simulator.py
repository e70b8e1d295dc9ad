"""The policy as the search engine: the text that it writes after a search is the observation.

This is the simulated environment of the paper's first RL stage (3.3.3).
"""

from __future__ import annotations

from autocoa_bench.episode import neutralise
from autocoa_bench.search.simulated import ResultFormat, TaggedDialect
from autocoa_bench.types import Completion, Generate, Observation, Search


class Simulator:
    """Requests search results from the policy and reads observations from its completions.

    `calls` counts completions; `faults` counts those that are malformed, contain text that a
    dialect would act on (a tag, a backslash), or have more than `top_k` passages. A faulty
    completion is re-rendered from the passages that can be read, as a search engine's results
    would be, so none of its tokens count as the policy's own.
    """

    def __init__(self, dialect: TaggedDialect, max_tokens: int, top_k: int) -> None:
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
