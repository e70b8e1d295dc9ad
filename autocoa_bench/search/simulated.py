"""A model plays the search engine: it writes the results that a search would have brought.

This is the paper's simulated environment (stage 3 of 3.2.2 teaches it, stage 1 of 3.3 trains in
it): the agent model goes on with its own turn after the search and writes the observation. What it
writes depends on the whole turn so far, which a query does not carry. So the seam is without I/O
and takes a prompt: `ResultForm.request` says what to ask of a model after a search, and
`ResultForm.read` makes passages of its reply. A loop that holds the policy in process and one
that talks to a server (`observe`) use the same two; what comes back goes to the episode as an
`Observation`, is shown as real passages are, and is masked as they are.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from autocoa_bench.types import (
    Completion,
    Generate,
    Message,
    Passage,
    Prompt,
    Question,
    Sampling,
    Turn,
)

MAX_TOKENS = 1024
"""Of one observation, as in the released code's training."""

_TITLES = ("\ue000", "\ue002")  # stand for a passage's parts while a dialect's form is looked at
_TEXTS = ("\ue001", "\ue003")


class TaggedDialect(Protocol):
    """What a dialect must have for a model to write its search results: tags around them."""

    prefill: str
    query_tags: tuple[str, str]
    result_tags: tuple[str, str]

    def opening(self, question: Question) -> tuple[Message, ...]:
        """The messages before the model's turn."""
        ...

    def show(self, passages: Sequence[Passage]) -> str:
        """The observation for passages."""
        ...


class ModelClient(Protocol):
    """A model server, as far as it is needed here (see `engines.Engine`)."""

    async def generate(self, request: Generate, sampling: Sampling, n: int = 1) -> list[Completion]:
        """Return `n` completions. Raises EngineFault."""
        ...


class SimulatedResults(Struct, frozen=True, omit_defaults=True):
    """What a model wrote as search results: its text, and the passages read from it.

    `problem` says why the text is not well-formed; passages may be read from it all the same.
    """

    text: str
    passages: tuple[Passage, ...] = ()
    problem: str = ""


def prompt_after(prompt: Prompt, text: str) -> Prompt:
    """The prompt with a completion's kept text (`Action.text`) at the end of the turn."""
    return Prompt(prompt.opening, (*prompt.turns, Turn("model", text)), prompt.prefill)


class ResultFormat:
    """How a dialect's search results are asked for and read: the inverse of its `show`.

    The form is taken from what `show` writes, so it cannot drift from it. Where a dialect does not
    mark where a title ends (R1-Searcher), the title is read as one word and the text begins early.
    """

    def __init__(self, dialect: TaggedDialect) -> None:
        both = [Passage("", title, text) for title, text in zip(_TITLES, _TEXTS, strict=True)]
        self._opened, self._closed = dialect.result_tags
        self._tags = (*dialect.query_tags, self._opened)
        shown = dialect.show(both)
        start = shown.index(self._opened) + len(self._opened)
        start += len(shown[start:]) - len(shown[start:].lstrip())
        self._opening = shown[:start]
        self._ending = shown[shown.rindex(self._closed) :]
        body = shown[start : shown.rindex(self._closed)]
        before, _, rest = body.partition(_TITLES[0])
        middle = rest.partition(_TEXTS[0])[0]
        head = re.escape(before).replace("1", r"\d+", 1)
        ranked = re.escape(before).replace("1", r"(?P<rank>\d+)", 1)
        self._hits = re.compile(
            rf"^{ranked}(?P<title>[^\n]*?){re.escape(middle)}(?P<text>.*?)(?=\n{head}|\Z)",
            re.MULTILINE | re.DOTALL,
        )

    def request(self, before: Prompt, max_tokens: int = MAX_TOKENS) -> Generate:
        """What to ask of a model for the results of the search that `before` ends with.

        The tag that opens the results is put there for it, as the environment would.
        """
        opened = Turn("environment", self._opening)
        prompt = Prompt(before.opening, (*before.turns, opened), before.prefill)
        return Generate(prompt, stop=(self._closed,), max_tokens=max_tokens)

    def read(self, completion: Completion) -> SimulatedResults:
        """The passages in a reply to `request`, best first. Never raises."""
        text, closed, _ = completion.text.partition(self._closed)
        hits = list(self._hits.finditer(text))
        passages = tuple(
            Passage(f"simulated-{rank}", hit["title"].strip(), hit["text"].strip())
            for rank, hit in enumerate(hits, 1)
        )
        problem = ""
        if not closed and completion.stop_string != self._closed:
            problem = "the results are not closed"
        elif not hits:
            problem = "no result can be read"
        elif text[: hits[0].start()].strip():
            problem = "text before the first result"
        elif any(tag in text for tag in self._tags):
            problem = "a tag inside the results"
        elif any(hit.groupdict().get("rank", str(n)) != str(n) for n, hit in enumerate(hits, 1)):
            problem = "results not numbered from 1"
        elif not all(passage.title and passage.text for passage in passages):
            problem = "a result without title or text"
        return SimulatedResults(text, passages, problem)

    def written(self, found: SimulatedResults) -> str:
        """The observation as it stands in the turn where what was written is left as it is."""
        return self._opening + found.text + self._ending


async def simulate_search(
    model: ModelClient,
    form: ResultFormat,
    before: Prompt,
    sampling: Sampling,
    top_k: int,
    max_tokens: int,
) -> SimulatedResults:
    """The results of the search that a turn ends with, at most `top_k`, as a model writes them.

    Raises EngineFault.
    """
    [completion] = await model.generate(form.request(before, max_tokens), sampling)
    found = form.read(completion)
    return SimulatedResults(found.text, found.passages[:top_k], found.problem)
