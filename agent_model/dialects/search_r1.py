"""Search-R1's tags (Jin et al., 2025), so that its published models can be run."""

from agent_model.dialects.tags import AnswerTagDialect
from autocoa_bench.types import Passage


class SearchR1(AnswerTagDialect):
    """`<think>`, `<search>`, `<information>`, `<answer>`; the model opens its own turn.

    The published models were trained in other forms, which are presets: `v0.2`, `v0.3`, and those
    of ZeroSearch and StepSearch, whose tags are the same.
    """

    name = "search-r1"
    query_tags = ("<search>", "</search>")
    result_tags = ("<information>", "</information>")
    instruction = """\
Answer the question. Reason inside <think> and </think> first, and again after every new piece of \
information. If some knowledge is missing, call a search engine with <search> query </search>; \
the best passages come back between <information> and </information>. You may search as often as \
you want. When nothing more is needed, give the short answer inside <answer> and </answer>.

Question: {question}
"""
    nudge: str | None = (
        "\nThat was not a valid action. To search, the query goes between <search> and </search>; "
        "to answer, the answer goes between <answer> and </answer>.\n"
    )

    def show_one(self, rank: int, passage: Passage) -> str:
        return f"Doc {rank}(Title: {passage.title}) {passage.text}"
