"""R1-Searcher's tags (Song et al., 2025), so that its published models can be run."""

from agent_model.dialects.tags import AnswerTagDialect
from autocoa_bench.types import Passage


class R1Searcher(AnswerTagDialect):
    """`<|begin_of_query|>`, `<|begin_of_documents|>`, `<answer>`, in a prefilled `<think>`.

    The published models were trained with other prompts, which are presets: `base`, `instruct`.
    """

    name = "r1-searcher"
    prefill = "<think>"
    query_tags = ("<|begin_of_query|>", "<|end_of_query|>")
    result_tags = ("<|begin_of_documents|>", "<|end_of_documents|>")
    instruction = """\
Answer the question. Reason step by step inside <think> and </think>, then give the final answer \
inside <answer> and </answer>. While reasoning you may look facts up: write \
<|begin_of_query|> keywords <|end_of_query|> and the documents found follow between \
<|begin_of_documents|> and <|end_of_documents|>. Ask for one fact in each query.

Question: {question}"""
    nudge: str | None = (
        "\nNext comes either <|begin_of_query|> keywords <|end_of_query|> or, after </think>, the "
        "answer between <answer> and </answer>.\n"
    )
    force = "\n</think>\n\n<answer>"

    def show_one(self, rank: int, passage: Passage) -> str:
        return f"({rank}){passage.title} {passage.text}"
