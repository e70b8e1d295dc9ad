"""Simulated search: a model writes the results in the search engine's place.

This is the paper's simulated environment (stage 3 of 3.2.2 teaches it, stage 1 of 3.3 trains in
it): after a search the agent model continues its own turn and writes the observation. Its text
depends on the whole turn so far, which a query does not carry. `ResultFormat` therefore works on
prompts and without I/O, so that a loop with the policy in this process and one that talks to a
server share it. The passages go to the episode as an `Observation`, and are shown and masked as
real passages are.
"""

import re
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from autocoa_bench.types import Completion, Generate, Message, Passage, Prompt, Question, Turn

MAX_TOKENS = 1024
"""The length of one observation, as in the released code's training."""

# Private-use characters that stand for titles and texts while a dialect's format is read off.
_TITLES = ("\ue000", "\ue002")
_TEXTS = ("\ue001", "\ue003")


class TaggedDialect(Protocol):
    """A dialect that encloses search results in tags, so that a model can write them."""

    prefill: str
    query_tags: tuple[str, str]
    result_tags: tuple[str, str]

    def opening(self, question: Question) -> tuple[Message, ...]:
        """The messages before the model's turn."""

    def show(self, passages: Sequence[Passage]) -> str:
        """The observation for passages."""


class SimulatedResults(Struct, frozen=True, omit_defaults=True):
    """Search results that a model wrote: the text, and the passages read from it.

    `problem` says why the text is not well-formed; it may hold passages all the same.
    """

    text: str
    passages: tuple[Passage, ...] = ()
    problem: str = ""


def prompt_after(prompt: Prompt, text: str) -> Prompt:
    """The prompt with the text of an action (`Action.text`) at the end of the turn."""
    return Prompt(prompt.opening, (*prompt.turns, Turn("model", text)), prompt.prefill)


class ResultFormat:
    """Requests and reads a dialect's search results: the inverse of its `show`.

    The format is derived from the output of `show`, so the two cannot diverge. Where a dialect does
    not mark the end of a title (R1-Searcher), the title is read as one word.
    """

    def __init__(self, dialect: TaggedDialect) -> None:
        examples = [Passage("", title, text) for title, text in zip(_TITLES, _TEXTS, strict=True)]
        observation = dialect.show(examples)
        opening_tag, self._closing_tag = dialect.result_tags
        self._tags = (*dialect.query_tags, opening_tag)
        tag_end = observation.index(opening_tag) + len(opening_tag)
        body_end = observation.rindex(self._closing_tag)
        body = observation[tag_end:body_end].lstrip()
        self._opening = observation[: body_end - len(body)]
        self._closing = observation[body_end:]
        before_title, _, rest = body.partition(_TITLES[0])
        between = rest.partition(_TEXTS[0])[0]
        # The dialect showed the first result, so a 1 before its title is the rank.
        next_result = re.escape(before_title).replace("1", r"\d+", 1)
        head = re.escape(before_title).replace("1", r"(?P<rank>\d+)", 1)
        self._results = re.compile(
            rf"^{head}(?P<title>[^\n]*?){re.escape(between)}(?P<text>.*?)(?=\n{next_result}|\Z)",
            re.MULTILINE | re.DOTALL,
        )

    def request(self, before: Prompt, max_tokens: int = MAX_TOKENS) -> Generate:
        """The request for the results of the search at the end of `before`.

        The opening tag of the results is part of the prompt, as the environment would write it.
        """
        opening = Turn("environment", self._opening)
        prompt = Prompt(before.opening, (*before.turns, opening), before.prefill)
        return Generate(prompt, stop=(self._closing_tag,), max_tokens=max_tokens)

    def read(self, completion: Completion, top_k: int | None = None) -> SimulatedResults:
        """The passages in the reply to `request`, best first, at most `top_k`. Never raises."""
        text, closing_tag, _ = completion.text.partition(self._closing_tag)
        matches = list(self._results.finditer(text))
        passages = tuple(
            Passage(f"simulated-{rank}", match["title"].strip(), match["text"].strip())
            for rank, match in enumerate(matches, 1)
        )
        ranks = [match.groupdict().get("rank") for match in matches]
        problem = ""
        if not closing_tag and completion.stop_string != self._closing_tag:
            problem = "the results are not closed"
        elif not matches:
            problem = "no result can be read"
        elif text[: matches[0].start()].strip():
            problem = "text before the first result"
        elif any(tag in text for tag in self._tags):
            problem = "a tag inside the results"
        elif any(rank not in (None, str(number)) for number, rank in enumerate(ranks, 1)):
            problem = "results not numbered from 1"
        elif not all(passage.title and passage.text for passage in passages):
            problem = "a result without title or text"
        return SimulatedResults(text, passages[:top_k], problem)

    def written(self, results: SimulatedResults) -> str:
        """The observation as it stands in the turn when the model's text is left unchanged."""
        return self._opening + results.text + self._closing
