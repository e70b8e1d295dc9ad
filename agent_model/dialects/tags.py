"""Dialects of models that search by writing tags inside one continued turn."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from autocoa_bench.episode import Action, episode
from autocoa_bench.errors import UserError
from autocoa_bench.types import (
    Budget,
    Completion,
    Generate,
    Message,
    Observation,
    Passage,
    Question,
    Trajectory,
)


class TagDialect(ABC):
    """What tag dialects share; a subclass states its tags, its prompt and its answer form.

    Only what the model sampled is ever parsed, so a passage cannot act; the model's own search
    results are cut, and malformed where no action comes before them. `prompt` names a text file
    with `{question}` in it that replaces the instruction, for models that were trained with a
    wording of their own.
    """

    name: str
    section = "Agent model"
    searches = True
    prefill = ""
    query_tags: tuple[str, str]
    result_tags: tuple[str, str]
    instruction: str
    force: str
    force_stop: tuple[str, ...]
    nudge: str | None
    answer_close: str | None = None
    """A tag that ends the episode, where the answer has one."""

    def __init__(self, prompt: str | None = None) -> None:
        self._template = self.instruction if prompt is None else _read_prompt(prompt)
        closing = (self.answer_close,) if self.answer_close else ()
        self.stop: tuple[str, ...] = (self.query_tags[1], self.result_tags[0], *closing)

    def opening(self, question: Question) -> tuple[Message, ...]:
        return (self.ask(question.text),)

    def ask(self, question: str) -> Message:
        """The instruction with a question in its place."""
        return Message("user", self._template.replace("{question}", question))

    def parse(self, completion: Completion) -> Action:
        text, open_results, _ = completion.text.partition(self.result_tags[0])
        wrote_results = bool(open_results) or completion.stop_string == self.result_tags[0]
        search = text.find(self.query_tags[0])
        cut = completion.stop_reason == "length"
        answer, end = self.find_answer(text, cut=cut)
        if answer and not 0 <= search < end:
            kept = text + self.result_tags[0] if wrote_results else self._closed(text)
            return Action("answer", kept, answer)
        if search < 0:
            problem = "wrote a search result itself" if wrote_results else "no search, no answer"
            return Action("malformed", text, problem=problem)
        query, closed, _ = text[search + len(self.query_tags[0]) :].partition(self.query_tags[1])
        if not closed and cut:
            return Action("malformed", text, problem="the query ran out of step tokens")
        kept = text[:search] + self.query_tags[0] + query + self.query_tags[1]
        query = " ".join(query.partition("<")[0].split())
        if not query:
            return Action("malformed", kept, problem="a search without a query")
        return Action("search", kept, query)

    def _closed(self, text: str) -> str:
        """Text with the answer's closing tag put back where a server took it as a stop string."""
        if self.answer_close and self.answer_close not in text:
            return text + self.answer_close
        return text

    @abstractmethod
    def find_answer(self, text: str, *, cut: bool) -> tuple[str | None, int]:
        """The answer in sampled text and where it ends, or (None, -1).

        `cut`: a token limit ended the text, so an answer that is still open is none.
        """

    def show(self, passages: Sequence[Passage]) -> str:
        found = "\n".join(self.show_one(i, p) for i, p in enumerate(passages, 1))
        body = found or "No passage was found."
        return f"\n\n{self.result_tags[0]}\n{body}\n{self.result_tags[1]}\n\n"

    @abstractmethod
    def show_one(self, rank: int, passage: Passage) -> str:
        """One hit as the model is shown it; `rank` counts from 1."""

    @abstractmethod
    def parse_forced(self, text: str) -> str | None:
        """The answer in a forced completion's text, or None where there is none."""


class AnswerTagDialect(TagDialect):
    """A tag dialect whose answer stands between `<answer>` and `</answer>`."""

    answer_close = "</answer>"
    force = "\n\n<answer>"
    force_stop: tuple[str, ...] = ("</answer>", "\n")

    def find_answer(self, text: str, *, cut: bool) -> tuple[str | None, int]:
        start = text.rfind("<answer>")
        answer, closed, _ = text[start + len("<answer>") :].partition("</answer>")
        if start < 0 or (cut and not closed):
            return None, -1
        return answer.strip() or None, start + len("<answer>") + len(answer)

    def parse_forced(self, text: str) -> str | None:
        return self.find_answer("<answer>" + text, cut=False)[0]


def replay(
    question: Question, dialect: TagDialect, text: str, read_hit: Callable[[str], Passage]
) -> Trajectory:
    """A trajectory from a finished turn's flat text, by driving the episode over it.

    `read_hit` turns one line of a result block into a passage. What follows the text's end (a
    forced answer) is empty, so a turn without an answer has none.
    """
    opening, closing = (re.escape(tag) for tag in dialect.result_tags)
    pieces = re.split(rf"{opening}(.*?)(?:{closing}|\Z)", text, flags=re.DOTALL)
    completions = iter(pieces[0::2])
    results = iter(pieces[1::2])
    budget = Budget(max_actions=len(pieces), context_tokens=10**9)
    run = episode(question, dialect, budget)
    event = next(run)
    while True:
        if isinstance(event, Generate):
            reply: Completion | Observation = Completion(next(completions, ""))
        else:
            lines = [line for line in next(results, "").splitlines() if line.strip()]
            reply = Observation(tuple(read_hit(line) for line in lines))
        try:
            event = run.send(reply)
        except StopIteration as end:
            trajectory: Trajectory = end.value
            return trajectory


def _read_prompt(path: str) -> str:
    file = Path(path)
    if not file.is_file():
        raise UserError(f"the prompt file '{path}' is not there, or is no regular file")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the prompt file '{path}': {error}") from None
    if "{question}" not in text:
        raise UserError(f"the prompt file '{path}' has no {{question}} in it")
    return text
