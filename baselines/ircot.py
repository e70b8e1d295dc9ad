"""IRCoT (Trivedi et al., 2023, arXiv 2212.10509): each sentence of reasoning is the next query."""

import re
from collections.abc import Sequence

from autocoa_bench.episode import Action
from autocoa_bench.episode.answer_text import first_line, plain_answer, plain_query
from autocoa_bench.episode.thoughts import CLOSE, outside_thoughts
from autocoa_bench.types import Completion, Message, Passage, Question

INSTRUCTION = """\
Passages follow, then a question that needs several of them. Think step by step, one sentence at a \
time; each sentence states one fact, and further passages are looked up with it. Once nothing is \
missing, end with "So the answer is:" and the answer, as few words as possible.

Passage (Sydney Opera House): A performing arts centre on Sydney Harbour, designed by Jørn Utzon.

Passage (Jørn Utzon): Utzon was born in Copenhagen, Denmark, and studied at the Royal Academy.

Question: In which country was the architect of the Sydney Opera House born?
Thought: The Sydney Opera House was designed by Jørn Utzon. Jørn Utzon was born in Copenhagen, \
Denmark. So the answer is: Denmark.
"""

_END = re.compile(
    r"(?<!\b[A-Z])(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bJr)(?<!\bSr)(?<!\bNo)(?<!\bvs)"
    r"[.?!]+[\"”’)\]*]*(?=\s|\Z)|\n|\Z"
)
"""Where a sentence ends: not at an abbreviation or an initial."""
_LEAD = re.compile(r"\A\W{0,12}(?:thought|step)s?\s?\d*\s?:\s*", re.IGNORECASE)
_ANSWER = re.compile(r"(?:\bso the (?:final )?answer is\b:?|\banswer is:)[ \t]*", re.IGNORECASE)
_CONCLUDES = re.compile(r"\W{0,12}(?:thus|so|that is|therefore|hence)\b", re.IGNORECASE)
_QUESTION_WORDS = re.compile(r"\b(?:who|what|when|where|why|which|how|does|is)\b ?", re.IGNORECASE)


class IRCoT:
    """Retrieves with the question, then with each sentence; the answer ends the reasoning.

    As in the released code (StonyBrookNLP/ircot), a sentence that concludes ("Thus ...") is no
    query, and queries lose question words. It differs in that passages follow the sentence that
    found them, where the code collects up to 15 in front of the question; in that the answer is the
    reasoning's own, without a reader after it; and in one worked example for all datasets.
    """

    name = "ircot"
    section = "Agentic workflow"
    searches = True
    prefill = "Thought:"
    stop: tuple[str, ...] = ("\nPassage", "\nQuestion:")
    nudge: str | None = (
        '\nThat was no sentence. State the next fact, or "So the answer is:" and the answer.\n'
        "Thought:"
    )
    force = "\nThought: So the answer is:"
    force_stop: tuple[str, ...] = ("\nPassage", "\nQuestion:")

    def opening(self, question: Question) -> tuple[Message, ...]:
        return self.opening_with(question, ())

    def opening_with(self, question: Question, passages: Sequence[Passage]) -> tuple[Message, ...]:
        parts = [INSTRUCTION, *map(_shown, passages), f"Question: {question.text}"]
        return (Message("user", "\n".join(parts) + "\n"),)

    def parse(self, completion: Completion) -> Action:
        text, cut = completion.text, completion.stop_reason == "length"
        outside = outside_thoughts(text, CLOSE if completion.thinking else "").text
        start, concluded = 0, Action("malformed", text, problem="no sentence, no answer")
        for match in _END.finditer(outside):
            sentence, end = outside[start : match.end()].strip(), match.end()
            if answer := _ANSWER.search(outside, start, end):
                line_end = (outside + "\n").index("\n", answer.end())
                answer_text = plain_answer(outside[answer.end() : line_end].rstrip(" ."))
                if cut and line_end == len(text):
                    return Action("malformed", text, problem="the answer ran out of step tokens")
                if answer_text:
                    return Action("answer", text[:line_end], answer_text)
                return Action("malformed", text, problem="an answer without content")
            if cut and end == len(text) and not match[0]:
                break
            query = plain_query(_QUESTION_WORDS.sub("", _LEAD.sub("", sentence)))
            if query:
                concluded = Action("search", text[:end], query)
                if not _CONCLUDES.match(sentence):
                    return concluded
            start = end
        return concluded

    def show(self, passages: Sequence[Passage]) -> str:
        shown = "\n".join(map(_shown, passages)) or "No passage was found."
        return f"\n{shown}\nThought:"

    def parse_forced(self, text: str) -> str | None:
        return plain_answer(first_line(outside_thoughts(text).text).rstrip(" .")) or None


def _shown(passage: Passage) -> str:
    return f"Passage ({passage.title}): {passage.text}"
