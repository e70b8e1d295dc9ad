"""Base classes for dialects of models that search by writing tags inside one continued turn."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from autocoa_bench.episode import Action
from autocoa_bench.errors import UserError
from autocoa_bench.types import Completion, Message, Passage, Question


class TagDialect(ABC):
    """The base of all tag dialects; a subclass gives its tags, its prompt and its form of answer.

    Only text that the model sampled is parsed, so a passage cannot act. Search results that the
    model writes itself are cut off; without an action before them the step is malformed. `prompt`
    names a text file with `{question}` in it that replaces the instruction, for models that were
    trained with another wording.
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
    """The tag after an answer, if there is one; it ends the episode."""

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
        query_start = text.find(self.query_tags[0])
        cut = completion.stop_reason == "length"
        answer, answer_end = self.find_answer(text, cut=cut)
        if answer and not 0 <= query_start < answer_end:
            sampled = text + self.result_tags[0] if wrote_results else text
            # A server may have cut the closing tag off as a stop.
            if not wrote_results and self.answer_close and self.answer_close not in text:
                sampled += self.answer_close
            return Action("answer", sampled, answer)
        if query_start < 0:
            problem = "wrote a search result itself" if wrote_results else "no search, no answer"
            return Action("malformed", text, problem=problem)
        before, tail = text[:query_start], text[query_start + len(self.query_tags[0]) :]
        query, closing_tag, _ = tail.partition(self.query_tags[1])
        if not closing_tag and cut:
            return Action("malformed", text, problem="the query ran out of step tokens")
        sampled = before + self.query_tags[0] + query + self.query_tags[1]
        query = " ".join(query.partition("<")[0].split())
        if not query:
            return Action("malformed", sampled, problem="a search without a query")
        return Action("search", sampled, query)

    @abstractmethod
    def find_answer(self, text: str, *, cut: bool) -> tuple[str | None, int]:
        """The answer in sampled text and the position where it ends, or (None, -1).

        `cut` tells that a token limit ended the text; an answer that is still open then is none.
        """

    def show(self, passages: Sequence[Passage]) -> str:
        results = "\n".join(self.show_one(rank, item) for rank, item in enumerate(passages, 1))
        body = results or "No passage was found."
        return f"\n\n{self.result_tags[0]}\n{body}\n{self.result_tags[1]}\n\n"

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
    force_stop: tuple[str, ...] = ("</answer>", "\n")

    def find_answer(self, text: str, *, cut: bool) -> tuple[str | None, int]:
        start = text.rfind("<answer>")
        answer, closing_tag, _ = text[start + len("<answer>") :].partition("</answer>")
        if start < 0 or (cut and not closing_tag):
            return None, -1
        return answer.strip() or None, start + len("<answer>") + len(answer)

    def parse_forced(self, text: str) -> str | None:
        return self.find_answer("<answer>" + text, cut=False)[0]


def _read_prompt(path: str) -> str:
    file = Path(path)
    if not file.is_file():
        raise UserError(f"the prompt file '{path}' does not exist or is not a regular file")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the prompt file '{path}': {error}") from None
    if "{question}" not in text:
        raise UserError(f"the prompt file '{path}' does not contain {{question}}; add it")
    return text
