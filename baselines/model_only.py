"""Model only (paper 4.2): the model answers from its own knowledge, without a search."""

from collections.abc import Sequence

from autocoa_bench.episode import Action
from autocoa_bench.episode.answer_text import forced_boxed, last_boxed
from autocoa_bench.episode.thoughts import CLOSE, outside_thoughts
from autocoa_bench.types import Completion, Message, Passage, Question

INSTRUCTION = """\
Answer the question from your own knowledge. Think it through first if that helps. \
End with the answer alone, as few words as possible, inside \\boxed{{}}.

Question: {question}"""


class ModelOnly:
    """A single completion; one without a boxed answer is followed by a forced answer."""

    name = "model-only"
    section = "Model only (w/o action)"
    searches = False
    prefill = ""
    stop: tuple[str, ...] = ()
    nudge: str | None = None
    force = "\n\nThe answer is \\boxed{"
    force_stop: tuple[str, ...] = ()

    def opening(self, question: Question) -> tuple[Message, ...]:
        return (Message("user", INSTRUCTION.format(question=question.text)),)

    def parse(self, completion: Completion) -> Action:
        cut = completion.stop_reason == "length"
        outside = outside_thoughts(completion.text, CLOSE if completion.thinking else "")
        answer = last_boxed(outside.text, cut=cut)
        if answer:
            return Action("answer", completion.text, answer)
        thought = outside.closing and last_boxed(completion.text, cut=cut)
        problem = "an answer inside a thought" if thought else "no \\boxed{} answer"
        return Action("malformed", completion.text, problem=problem)

    def show(self, passages: Sequence[Passage]) -> str:  # noqa: ARG002 - it never searches
        return ""

    def parse_forced(self, text: str) -> str | None:
        return forced_boxed(text)
