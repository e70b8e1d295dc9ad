"""Self-ask with a search engine (Press et al., 2023, arXiv 2210.03350): follow-up questions."""

import re
from collections.abc import Sequence

from autocoa_bench.episode import Action
from autocoa_bench.episode.answer_text import first_line, plain_answer, plain_query
from autocoa_bench.episode.thoughts import CLOSE, outside_thoughts
from autocoa_bench.types import Completion, Message, Passage, Question

INSTRUCTION = """\
Answer the last question in the form of the examples: ask one simple follow up question at a time, \
give its intermediate answer by the context that is then shown, and end with the final answer, as \
few words as possible.

Question: Did Ada Lovelace and George Boole die in the same year?
Are follow up questions needed here: Yes.
Follow up: When did Ada Lovelace die?
Context1: Ada Lovelace: English mathematician known for her notes on the Analytical Engine. She \
died on 27 November 1852.
Intermediate answer: Ada Lovelace died in 1852.
Follow up: When did George Boole die?
Context1: George Boole: English logician, professor at Queen's College, Cork. He died of pneumonia \
in December 1864.
Intermediate answer: George Boole died in 1864.
So the final answer is: no

Question: What is the chemical symbol for gold?
Are follow up questions needed here: No.
So the final answer is: Au

Question: {question}
"""

_MARK = re.compile(
    r"^[ \t>*_#-]{0,12}(?:(?P<search>follow[ -]?up(?: question)?)|so the final answer is)"
    r"[ \t*_]{0,4}\d{0,2}[*_]{0,4}(?::|(?<=is))[*_]{0,4}(?P<text>[^\n]*)(?P<end>\n?)",
    re.IGNORECASE | re.MULTILINE,
)


class SelfAsk:
    """`Follow up:` is searched, `Intermediate answer:` follows the passages, and
    `So the final answer is:` ends it.

    The form is the released prompt's (ofirpress/self-ask). There a search engine's short answer
    stands after `Intermediate answer:`. Passages have none, so that they are shown before it, as in
    FlashRAG's version, and the model gives the intermediate answer. The examples are our own.
    """

    name = "self-ask"
    section = "Agentic workflow"
    searches = True
    prefill = "Are follow up questions needed here:"
    stop: tuple[str, ...] = ("\nContext", "\nQuestion:")
    nudge: str | None = (
        '\nThe next line begins with "Follow up:" or with "So the final answer is:".\n'
    )
    force = "\nSo the final answer is:"
    force_stop: tuple[str, ...] = ("\nContext", "\nQuestion:")

    def opening(self, question: Question) -> tuple[Message, ...]:
        return (Message("user", INSTRUCTION.replace("{question}", question.text)),)

    def parse(self, completion: Completion) -> Action:
        text, cut = completion.text, completion.stop_reason == "length"
        outside = outside_thoughts(text, CLOSE if completion.thinking else "").text
        problem = "no follow up, no final answer"
        for mark in _MARK.finditer(outside):
            if cut and not mark["end"]:
                problem = "the line ran out of step tokens"
                continue
            said, end = mark["text"].rstrip(" ."), mark.end("text")
            if mark["search"] and (query := plain_query(said)):
                return Action("search", text[:end], query)
            if not mark["search"] and (answer := plain_answer(said)):
                return Action("answer", text[:end], answer)
        if problem.startswith("no") and _MARK.search(text):
            problem = "a follow up or an answer inside a thought"
        return Action("malformed", text, problem=problem)

    def show(self, passages: Sequence[Passage]) -> str:
        shown = [f"Context{rank}: {p.title}: {p.text}" for rank, p in enumerate(passages, 1)]
        return (
            "\n" + "\n".join(shown or ["Context1: Nothing was found."]) + "\nIntermediate answer:"
        )

    def parse_forced(self, text: str) -> str | None:
        text = outside_thoughts(text).text
        repeated = [mark["text"] for mark in _MARK.finditer(text) if not mark["search"]]
        return plain_answer((repeated or [first_line(text)])[-1].strip().rstrip(".")) or None
