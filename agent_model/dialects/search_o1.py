"""Search-o1 (Li et al., 2025, arXiv 2501.05366): searches inside reasoning, read apart from it."""

from collections.abc import Sequence

from agent_model.dialects.tags import TagDialect
from autocoa_bench.episode.answer_text import forced_boxed, last_box
from autocoa_bench.types import Message, Passage

READING = """\
Someone is reasoning about a question and has just searched for something. Read the pages that \
were found, and pick out what helps to go on reasoning: only what the pages state.

The reasoning so far:
{reasoning}

The search: {query}

The pages:
{pages}

Begin with "**Final Information**" on a line of its own, followed by the helpful information in \
full sentences, or by "No helpful information found."
"""
_HEADING = "**Final Information**"
_NOTHING = "No helpful information found."


class SearchO1(TagDialect):
    """Searches stand inside the reasoning. What a search returns is first read in a prompt of its
    own ("reason in documents"), and only what was written there enters the reasoning.

    Tags, heading, and the selection of earlier reasoning are the released code's (RUC-NLPIR and
    sunnynexus/Search-o1); the wording is our own. It differs in three ways: the thought is opened
    for models that do not do so themselves, the prompt does not name the number of searches, and a
    repeated query is searched again. Passages take the place of web pages.
    """

    name = "search-o1"
    section = "Agentic workflow"
    prefill = "<think>\n"
    query_tags = ("<|begin_search_query|>", "<|end_search_query|>")
    result_tags = ("<|begin_search_result|>", "<|end_search_result|>")
    instruction = """\
Reason about the question step by step. You can search while you reason: write \
<|begin_search_query|> your query <|end_search_query|> and helpful information from the pages \
found follows between <|begin_search_result|> and <|end_search_result|>. Search as often as you \
need, whenever you are not sure of a fact, and go on reasoning with what you learn. Never write a \
search result yourself. At the end give the answer alone, as few words as possible, inside \
\\boxed{}.

Question: {question}"""
    nudge: str | None = (
        "\nI have to go on with <|begin_search_query|> a query <|end_search_query|>, or give the "
        "answer in \\boxed{}.\n"
    )
    force = "\n</think>\n\n\\boxed{"
    force_stop: tuple[str, ...] = ()

    def find_answer(self, text: str, *, cut: bool) -> tuple[str | None, int]:
        return last_box(text, cut=cut)

    def parse_forced(self, text: str) -> str | None:
        return forced_boxed(text)

    def show_one(self, rank: int, passage: Passage) -> str:
        return f"**Web Page {rank}:** {passage.title}: {passage.text}"

    def reading(self, query: str, turn: str, passages: Sequence[Passage]) -> tuple[Message, ...]:
        pages = "\n".join(self.show_one(rank, passage) for rank, passage in enumerate(passages, 1))
        text = READING.format(reasoning=_selected(turn), query=query, pages=pages)
        return (Message("user", text),)

    def parse_reading(self, text: str) -> str:
        return text.partition(_HEADING)[2].strip("` \n")

    def show_reading(self, text: str) -> str:
        opening, closing = self.result_tags
        return f"\n\n{opening}{text or _NOTHING}{closing}\n\n"


def _selected(turn: str) -> str:
    """The first step of some reasoning, the last four, and those with a search or its result."""
    steps = [
        f"Step {number}: {line}"
        for number, line in enumerate(filter(str.strip, turn.split("\n")), 1)
    ]
    kept = ""
    for number, step in enumerate(steps):
        if number == 0 or number >= len(steps) - 4 or "begin_search" in step:
            kept += f"{step}\n\n"
        elif not kept.endswith("...\n\n"):
            kept += "...\n\n"
    return kept.strip()
