"""The policy as the search engine: what it writes behind its search is the observation.

This is the simulated environment of the paper's first stage of reinforcement learning (3.3.3).
"""

from __future__ import annotations

from autocoa_bench.episode import neutralise
from autocoa_bench.search.simulated import ResultFormat, TaggedDialect
from autocoa_bench.types import Completion, Generate, Observation, Search


class Simulator:
    """Asks for results, and makes observations of them, in a dialect's own form.

    `calls` counts results that were written; of those `faults` are out of form, or hold what could
    act in a dialect (a tag, a backslash): the passages that can be read from them are shown as a
    search engine's would be, and no token of that is the policy's. So are those of which there are
    more than the `top_k` that a search engine would find.
    """

    def __init__(self, dialect: TaggedDialect, max_tokens: int, top_k: int) -> None:
        self.calls = 0
        self.faults = 0
        self._form = ResultFormat(dialect)
        self._max_tokens = max_tokens
        self._top_k = top_k

    def request(self, search: Search) -> Generate:
        """What to ask of the policy in place of a search."""
        return self._form.request(search.before, self._max_tokens)

    def observe(self, completion: Completion) -> Observation:
        """What it wrote, token by token as it was sampled."""
        found = self._form.read(completion)
        self.calls += 1
        texts = (text for each in found.passages for text in (each.title, each.text))
        several = len(found.passages) > self._top_k
        if found.problem or several or any(neutralise(text) != text for text in texts):
            self.faults += 1
            return Observation(found.passages[: self._top_k])
        return Observation(
            found.passages, text=self._form.written(found), token_ids=completion.token_ids
        )
