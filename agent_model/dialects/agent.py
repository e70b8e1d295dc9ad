"""The agent's dialect (paper 2.1, 3.1): thoughts and searches in one turn, then a boxed answer."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from agent_model.dialects.tags import TagDialect
from autocoa_bench.episode.answer_text import forced_boxed, last_box
from autocoa_bench.errors import UserError
from autocoa_bench.types import Message, Passage, Question

EXAMPLES = tuple(
    (example["question"], example["turn"])
    for example in tomllib.loads(
        Path(__file__).with_name("agent_examples.toml").read_text(encoding="utf-8")
    )["example"]
)
"""Worked examples: a question, and the turn that answers it."""


class Agent(TagDialect):
    """`<think>` ... `<begin_search> query </end_search>` ... `</think>` `\\boxed{answer}`.

    `shots` worked examples come before the question: in-context learning for a model that has not
    learned to act (paper 4.2, RL-stage2). A trained model, such as the embedded default with the
    adapter that ships, needs none. They are in the question's message, because many chat templates
    drop the thoughts of earlier turns.
    """

    name = "agent"
    adapters: Mapping[str, Path] = MappingProxyType(
        {
            "smollm2-135m-instruct": Path(__file__).parents[1]
            / "adapters"
            / "smollm2-135m-agent.gguf"
        }
    )
    prefill = "<think>\n"
    query_tags = ("<begin_search>", "</end_search>")
    result_tags = ("<search_result>", "</search_result>")
    instruction = """\
Answer the question. Reason inside <think> and </think>. Whenever a fact is missing or uncertain \
while you reason, look it up by writing
<begin_search> your query </end_search>
and the passages found will follow between <search_result> and </search_result>. Search as often \
as you need, one fact at a time, and only inside your reasoning. After </think>, give the answer \
alone, as few words as possible, inside \\boxed{}.

Question: {question}"""
    nudge: str | None = (
        "\nI have to go on with <begin_search> a query </end_search>, or close my reasoning and "
        "give the answer in \\boxed{}.\n"
    )
    force = "\n</think>\n\n\\boxed{"
    force_stop: tuple[str, ...] = ()

    def __init__(
        self, shots: int = 0, prompt: str | None = None, preset: str | None = None
    ) -> None:
        super().__init__(prompt, preset)
        if not 0 <= shots <= len(EXAMPLES):
            raise UserError(f"agent has 0 to {len(EXAMPLES)} shots, not {shots}")
        self.shots = shots

    def opening(self, question: Question) -> tuple[Message, ...]:
        examples = EXAMPLES[len(EXAMPLES) - self.shots :]
        parts = [f"{self.ask(example).content}\n\n{turn}" for example, turn in examples]
        return (Message("user", "\n\n".join([*parts, self.ask(question.text).content])),)

    def find_answer(self, text: str, *, cut: bool) -> tuple[str | None, int]:
        return last_box(text, cut=cut)

    def show_one(self, rank: int, passage: Passage) -> str:
        return f'result {rank}: "{passage.title}"\n{passage.text}'

    def parse_forced(self, text: str) -> str | None:
        return forced_boxed(text)
