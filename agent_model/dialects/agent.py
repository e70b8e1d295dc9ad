"""The agent's dialect (paper 2.1, 3.1): thought and search in one turn, then a boxed answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from agent_model.dialects.tags import TagDialect
from autocoa_bench.episode.answer_text import after_reasoning, forced_boxed, last_boxed
from autocoa_bench.errors import UserError
from autocoa_bench.types import Message, Passage, Question

EXAMPLES = (
    (
        "Did Ada Lovelace and George Boole die in the same year?",
        """\
<think>
I need the year in which each of them died. First Ada Lovelace.
<begin_search> Ada Lovelace death </end_search>

<search_result>
result 1: "Ada Lovelace"
English mathematician known for her notes on the Analytical Engine. She died on 27 November 1852.
</search_result>

Ada Lovelace died in 1852. Now George Boole.
<begin_search> George Boole death </end_search>

<search_result>
result 1: "George Boole"
English logician, professor at Queen's College, Cork. He died of pneumonia in December 1864.
</search_result>

George Boole died in 1864, so the years differ.
</think>

\\boxed{no}""",
    ),
    (
        "In which country was the architect of the Sydney Opera House born?",
        """\
<think>
I need the architect of the Sydney Opera House first.
<begin_search> Sydney Opera House architect </end_search>

<search_result>
result 1: "Sydney Opera House"
A performing arts centre on Sydney Harbour, designed by Jørn Utzon and opened in 1973.
</search_result>

The architect is Jørn Utzon. Now I need the place where he was born.
<begin_search> Jørn Utzon birthplace </end_search>

<search_result>
result 1: "Jørn Utzon"
Utzon (1918-2008) was born in Copenhagen, Denmark, and studied at the Royal Danish Academy.
</search_result>

Jørn Utzon was born in Copenhagen, which is in Denmark.
</think>

\\boxed{Denmark}""",
    ),
)


class Agent(TagDialect):
    """`<think>` ... `<begin_search> query </end_search>` ... `</think>` `\\boxed{answer}`.

    `shots` worked examples stand before the question, as earlier turns of the chat: in-context
    learning for a model that was not trained to act (paper 4.2, RL-stage2). A trained one, such as
    the embedded default with the adapter that ships, needs none.
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
    force_stop: tuple[str, ...] = ("}", "\n")

    def __init__(self, shots: int = 0, prompt: str | None = None) -> None:
        super().__init__(prompt)
        if not 0 <= shots <= len(EXAMPLES):
            raise UserError(f"agent takes shots from 0 to {len(EXAMPLES)}, not {shots}")
        self.shots = shots

    def opening(self, question: Question) -> tuple[Message, ...]:
        messages: list[Message] = []
        for example, turn in EXAMPLES[len(EXAMPLES) - self.shots :]:
            messages += [self.ask(example), Message("assistant", turn)]
        return (*messages, self.ask(question.text))

    def find_answer(self, text: str, *, cut: bool) -> tuple[str | None, int]:
        """The last box after the reasoning; where that is never closed and nothing is searched,
        the last box of all."""
        if "</think>" not in text and self.query_tags[0] in text:
            return None, -1
        answer = last_boxed(after_reasoning(text), cut=cut)
        return (answer, text.rfind("\\boxed")) if answer else (None, -1)

    def show_one(self, rank: int, passage: Passage) -> str:
        return f'result {rank}: "{passage.title}"\n{passage.text}'

    def parse_forced(self, text: str) -> str | None:
        return forced_boxed(text)
