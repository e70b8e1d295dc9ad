"""Base classes for dialects of models that search by writing tags inside one continued turn."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from agent_model.dialects.presets import load_preset
from autocoa_bench.episode import Action
from autocoa_bench.episode.answer_text import forced_tagged, last_tagged, plain_query
from autocoa_bench.episode.thoughts import CLOSE, outside_thoughts
from autocoa_bench.errors import UserError
from autocoa_bench.types import Completion, Message, Passage, Question

_NEXT_TAG = re.compile(
    r"<\s?(?:[/\\|｜]|(?:begin_search|search|search_result|information|result|answer|think)\b)",
    re.IGNORECASE,
)
_RAN_OUT = "the query ran out of step tokens"


class TagDialect(ABC):
    """The base of all tag dialects; a subclass gives its tags, its prompt and its form of answer.

    Only text that the model sampled is parsed, so a passage cannot act. A thought holds no answer,
    and a search only where the prefill opens it. Search results that the model writes itself are
    cut off; without an action before them the step is malformed.

    `preset` names the form in which a published checkpoint was trained (`presets.toml`). `prompt`
    names a text file with `{question}` in it that replaces the instruction, for models that were
    trained with another wording; a preset whose instruction is the system message needs no
    `{question}`.
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
    results = ""
    """The observation, with {results} in it; empty for the results on lines between their tags."""
    between = "\n"
    """The text between two results."""
    answer_close: str | None = None
    """The tag after an answer, if there is one; it ends the episode."""

    def __init__(self, prompt: str | None = None, preset: str | None = None) -> None:
        self._template, self._system, self._result = self.instruction, False, ""
        if preset is not None:
            form = load_preset(self.name, preset)
            self._template, self._system, self._result = form.instruction, form.system, form.result
            self.results = form.results or self.results
        if prompt is not None:
            self._template = read_prompt(prompt, needs_question=not self._system)
        closing = (self.answer_close,) if self.answer_close else ()
        # Where the prefill opens a thought, searches belong into it.
        self._searches_in_thoughts = bool(outside_thoughts(self.prefill).closing)
        self._query_marks = tuple(re.compile(re.escape(tag), re.I) for tag in self.query_tags)
        self.stop: tuple[str, ...] = (self.query_tags[1], self.result_tags[0], *closing)

    def opening(self, question: Question) -> tuple[Message, ...]:
        if self._system:
            return Message("system", self._template), Message("user", question.text)
        return (self.ask(question.text),)

    def ask(self, question: str) -> Message:
        """The instruction with a question in its place."""
        return Message("user", self._template.replace("{question}", question))

    def parse(self, completion: Completion) -> Action:
        text, open_results, _ = completion.text.partition(self.result_tags[0])
        wrote_results = bool(open_results) or completion.stop_string == self.result_tags[0]
        cut = completion.stop_reason == "length"
        outside = outside_thoughts(text, CLOSE if completion.thinking else "").text
        action, start = self._search(text if self._searches_in_thoughts else outside, text, cut=cut)
        answer, answer_end = self.find_answer(outside, cut=cut)
        searches = action is not None and (action.kind == "search" or action.problem == _RAN_OUT)
        # Where searches belong into the reasoning, one ends the text unless that is closed.
        unfinished = self._searches_in_thoughts and outside == text
        if answer and not (searches and (start < answer_end or unfinished)):
            sampled = text + self.result_tags[0] if wrote_results else text
            # A server may have cut the closing tag off as a stop.
            if not wrote_results and self.answer_close and answer_end >= len(text):
                sampled += self.answer_close
            return Action("answer", sampled, answer)
        if action:
            return action
        problem = "wrote a search result itself" if wrote_results else "no search, no answer"
        hidden, _ = self._search(text, text, cut=cut)
        if not wrote_results and (hidden or self.find_answer(text, cut=cut)[0]):
            problem = "a search or an answer inside a thought"
        return Action("malformed", text, problem=problem)

    def _search(self, readable: str, text: str, *, cut: bool) -> tuple[Action | None, int]:
        """The first search in `readable`, and where it starts; else the first that is malformed.

        `readable` is `text`, or as long as it with blanks for thoughts.
        """
        opening, closing = self._query_marks
        ends = [match.span() for match in closing.finditer(readable)][::-1]
        malformed, malformed_start = None, -1
        for match in opening.finditer(readable):
            while ends and ends[-1][0] < match.end():
                ends.pop()
            query = plain_query(_up_to_tag(readable, match.end()))
            searches = bool(query) and (bool(ends) or not cut)
            if not searches and malformed:
                continue
            if not ends and cut:
                action = Action("malformed", text, problem=_RAN_OUT)
            else:
                sampled = text[: ends[-1][1]] if ends else text + self.query_tags[1]
                if searches:
                    return Action("search", sampled, query), match.start()
                action = Action("malformed", sampled, problem="a search without a query")
            malformed, malformed_start = action, match.start()
        return malformed, malformed_start

    @abstractmethod
    def find_answer(self, text: str, *, cut: bool) -> tuple[str | None, int]:
        """The answer in sampled text and the position where it ends, or (None, -1).

        Thoughts are blanks in `text`. `cut` tells that a token limit ended the text; an answer that
        is still open then is none.
        """

    def show(self, passages: Sequence[Passage]) -> str:
        shown = [
            self._result.format(rank=rank, title=passage.title, text=passage.text)
            or self.show_one(rank, passage)
            for rank, passage in enumerate(passages, 1)
        ]
        opening, closing = self.result_tags
        form = self.results or f"\n\n{opening}\n{{results}}\n{closing}\n\n"
        return form.format(results=self.between.join(shown) or "No passage was found.")

    @abstractmethod
    def show_one(self, rank: int, passage: Passage) -> str:
        """One passage as the model sees it; `rank` counts from 1."""

    @abstractmethod
    def parse_forced(self, text: str) -> str | None:
        """The answer in the text of a forced completion, or None."""


class AnswerTagDialect(TagDialect):
    """A tag dialect with its answer between `<answer>` and `</answer>`."""

    answer_close = "</answer>"
    force = "\n\n<answer>"
    force_stop: tuple[str, ...] = ("</answer>",)

    def find_answer(self, text: str, *, cut: bool) -> tuple[str | None, int]:
        return last_tagged(text, "answer", cut=cut)

    def parse_forced(self, text: str) -> str | None:
        return forced_tagged(text, "answer")


def _up_to_tag(text: str, start: int) -> str:
    """The text from `start` to the next tag of a dialect, or the next closing one."""
    end = _NEXT_TAG.search(text, start)
    return text[start : end.start()] if end else text[start:]


def read_prompt(path: str, *, needs_question: bool = True) -> str:
    """The text of a prompt file, with `{question}` in it if it needs one. Raises UserError."""
    file = Path(path)
    if not file.is_file():
        raise UserError(f"the prompt file '{path}' does not exist or is not a regular file")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the prompt file '{path}': {error}") from None
    if needs_question and "{question}" not in text:
        raise UserError(f"the prompt file '{path}' does not contain {{question}}; add it")
    return text
