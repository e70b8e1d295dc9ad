"""ReAct (Yao et al., 2022): a prompt makes the model write Thought, Action, Observation."""

from __future__ import annotations

import re
from collections.abc import Sequence

from autocoa_bench.episode import Action
from autocoa_bench.episode.answer_text import balanced
from autocoa_bench.errors import UserError
from autocoa_bench.types import Completion, Message, Passage, Question, StepKind

INSTRUCTION = """\
Answer the question by taking turns of Thought, Action and Observation. A Thought reasons about \
what is known and what is missing. An Action is one of:
Search[query] looks the query up and is followed by an Observation with passages.
Finish[answer] gives the final answer, as few words as possible, and ends the task.
Write one Thought and one Action at a time; never write an Observation yourself.
"""

EXAMPLES = (
    """\
Question: What is the chemical symbol for gold?
Thought: I know this: the symbol for gold is Au.
Action: Finish[Au]
""",
    """\
Question: Did Ada Lovelace and George Boole die in the same year?
Thought: I need the year of death of each.
Action: Search[Ada Lovelace death]
Observation: [1] Ada Lovelace: English mathematician known for her notes on the Analytical \
Engine. She died on 27 November 1852.
Thought: Ada Lovelace died in 1852. Now George Boole.
Action: Search[George Boole death]
Observation: [1] George Boole: English logician, professor at Queen's College, Cork. He died of \
pneumonia in December 1864.
Thought: 1852 and 1864 differ.
Action: Finish[no]
""",
    """\
Question: In which country was the architect of the Sydney Opera House born?
Thought: I need the architect of the Sydney Opera House, then where that person was born.
Action: Search[architect of the Sydney Opera House]
Observation: [1] Sydney Opera House: A performing arts centre on Sydney Harbour, designed by \
Jørn Utzon and opened in 1973.
Thought: The architect is Jørn Utzon. Now I need his birthplace.
Action: Search[Jørn Utzon birthplace]
Observation: [1] Jørn Utzon: Utzon (1918-2008) was born in Copenhagen, Denmark, and studied at \
the Royal Danish Academy.
Thought: Jørn Utzon was born in Copenhagen, which is in Denmark.
Action: Finish[Denmark]
""",
)

_ACTION = re.compile(r"^[ \t]*Action[ \t]*\d*[ \t]*:[ \t]*(search|finish)[ \t]*\[", re.I | re.M)
_FORCED_LEAD = re.compile(r"^\s*(?:action\s*:)?\s*finish\s*\[", re.I)


class ReAct:
    """Few-shot by default; `shots=0` is zero-shot. Works as chat turns and as plain text."""

    name = "react"
    section = "Agentic workflow"
    searches = True
    prefill = "Thought:"
    stop: tuple[str, ...] = ("\nObservation", "\nQuestion:")
    nudge: str | None = (
        "\nObservation: That could not be read. The next line must be Action: Search[query] or "
        "Action: Finish[answer].\nThought:"
    )
    force = "\nThought: I must answer now.\nAction: Finish["
    force_stop: tuple[str, ...] = ("]", "\n")

    def __init__(self, shots: int = len(EXAMPLES)) -> None:
        if not 0 <= shots <= len(EXAMPLES):
            raise UserError(f"react takes shots from 0 to {len(EXAMPLES)}, not {shots}")
        self.shots = shots

    def opening(self, question: Question) -> tuple[Message, ...]:
        parts = [INSTRUCTION, *EXAMPLES[: self.shots], f"Question: {question.text}"]
        return (Message("user", "\n".join(parts) + "\n"),)

    def parse(self, completion: Completion) -> Action:
        text = completion.text.split("\nObservation", 1)[0]
        # An action that was only drafted in a reasoning model's thoughts is not one.
        match = _ACTION.search(text, max(0, text.rfind("</think>")))
        if match is None:
            return Action("malformed", text, problem="no Action: Search[...] or Finish[...]")
        line = text[match.end() :].split("\n", 1)[0]
        argument, closed = balanced(line, "[", "]")
        if not closed and completion.stop_reason == "length":
            return Action("malformed", text, problem="the action ran out of step tokens")
        kept = text[: match.end()] + argument.rstrip() + "]"
        if not argument.strip():
            return Action("malformed", kept, problem="an action without a query or an answer")
        kind: StepKind = "search" if match[1].lower() == "search" else "answer"
        return Action(kind, kept, argument.strip())

    def show(self, passages: Sequence[Passage]) -> str:
        found = " ".join(f"[{i}] {p.title}: {p.text}" for i, p in enumerate(passages, 1))
        return f"\nObservation: {found or 'No passage was found.'}\nThought:"

    def parse_forced(self, text: str) -> str | None:
        lead = _FORCED_LEAD.match(text)
        line = text[lead.end() if lead else 0 :].strip().split("\n", 1)[0]
        return balanced(line, "[", "]")[0].strip() or None
