"""ReSearch's tags (Chen et al., 2025, arXiv 2503.19470), to run its published models."""

from agent_model.dialects.tags import AnswerTagDialect
from autocoa_bench.episode.answer_text import forced_boxed
from autocoa_bench.types import Passage


class ReSearch(AnswerTagDialect):
    """`<think>`, `<search>`, `<result>`, and a box inside `<answer>`.

    Results follow the released rollouts. The published models were trained with the prompts of the
    presets `base` and `instruct`. ReCall, which followed ReSearch, calls functions instead.
    """

    name = "research"
    query_tags = ("<search>", "</search>")
    result_tags = ("<result>", "</result>")
    results = " <result>\n{results}\n</result>"
    between = "\n\n"
    instruction = """\
Answer the question. Reason inside <think> and </think>. Whenever a fact is missing, look it up \
with <search> query </search>; what is found follows between <result> and </result>. Then give the \
answer as <answer> The final answer is \\[ \\boxed{answer} \\] </answer>, as few words as possible.

Question: {question}"""
    nudge: str | None = (
        "\nThat was no valid action. A query goes between <search> and </search>; the answer goes "
        "into a box between <answer> and </answer>.\n"
    )
    force = "\n\n<answer> The final answer is \\[ \\boxed{"

    def show_one(self, rank: int, passage: Passage) -> str:  # noqa: ARG002 - not numbered
        return f'"{passage.title}"\n{passage.text}'

    def parse_forced(self, text: str) -> str | None:
        return forced_boxed(text)
