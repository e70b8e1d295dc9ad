"""Plain RAG (Lewis et al., 2020): one search with the question itself, then an answer."""

from collections.abc import Sequence

from msgspec.structs import replace

from autocoa_bench.episode import Action
from autocoa_bench.episode.answer_text import first_line, plain_answer
from autocoa_bench.episode.thoughts import CLOSE, outside_thoughts
from autocoa_bench.errors import UserError
from autocoa_bench.types import Completion, Message, Passage, Question
from baselines.model_only import ModelOnly

INSTRUCTION = """\
Answer the question with the help of the passages below, which a search engine has returned for \
it. Where they do not help, use your own knowledge. {form}

{passages}

Question: {question}"""
THINK = (
    "Think it through first. End with the answer alone, as few words as possible, inside \\boxed{}."
)
ANSWER = "Reply with the answer alone, as few words as possible."


class RAG(ModelOnly):
    """The passages stand in the prompt, before the question; the model cannot search again.

    `top_k` is the number of passages (default: the run's). Without `thinking` the model continues
    after "Answer:", and its first line is the answer. Where a run allows no search, the prompt is
    that of model-only.
    """

    name = "rag"
    section = "Agentic workflow"

    def __init__(self, top_k: int | None = None, thinking: bool = True) -> None:
        if top_k is not None and not 1 <= top_k <= 100:
            raise UserError(f"rag takes 1 to 100 passages (top_k), not {top_k}")
        self.top_k = top_k
        self._thinking = thinking
        if not thinking:
            self.prefill, self.force = "Answer:", "\nAnswer:"

    def opening_with(self, question: Question, passages: Sequence[Passage]) -> tuple[Message, ...]:
        form = THINK if self._thinking else ANSWER
        shown = self.show(passages)
        text = INSTRUCTION.format(form=form, passages=shown, question=question.text)
        return (Message("user", text),)

    def parse(self, completion: Completion) -> Action:
        action = super().parse(completion)
        # A box, which such a model may write all the same, even if the limit has cut it.
        boxed = super().parse(replace(completion, stop_reason="stop")).kind == "answer"
        if self._thinking or boxed:
            return action
        text = outside_thoughts(completion.text, CLOSE if completion.thinking else "").text
        answer = plain_answer(line := first_line(text))
        whole = completion.stop_reason != "length" or "\n" in text.partition(line or "\n")[2]
        if answer and whole:
            return action._replace(kind="answer", argument=answer, problem="")
        return action._replace(problem="no answer")

    def show(self, passages: Sequence[Passage]) -> str:
        shown = (f"[{rank}] {item.title}: {item.text}" for rank, item in enumerate(passages, 1))
        return "\n".join(shown) or "No passage was found."

    def parse_forced(self, text: str) -> str | None:
        if self._thinking:
            return super().parse_forced(text)
        return plain_answer(first_line(outside_thoughts(text).text)) or None
