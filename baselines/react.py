"""ReAct (Yao et al., 2022): a prompt makes the model write thoughts, actions and observations."""

import re
from collections.abc import Sequence
from pathlib import Path

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

_EXAMPLE_FILE = Path(__file__).with_name("react_examples.txt")
EXAMPLES = [
    f"{example}\n"
    for example in _EXAMPLE_FILE.read_text(encoding="utf-8").strip("\n").split("\n\n")
]

_ACTION = re.compile(r"^[ \t]*Action[ \t]*\d*[ \t]*:[ \t]*(search|finish)[ \t]*\[", re.I | re.M)
_FORCED_LEAD = re.compile(r"^\s*(?:action\s*:)?\s*finish\s*\[", re.I)


class ReAct:
    """The ReAct workflow, few-shot by default; `shots=0` is zero-shot.

    The prompt works as chat turns and as plain text.
    """

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
            raise UserError(f"react takes 0 to {len(EXAMPLES)} shots, not {shots}")
        self.shots = shots

    def opening(self, question: Question) -> tuple[Message, ...]:
        parts = [INSTRUCTION, *EXAMPLES[: self.shots], f"Question: {question.text}"]
        return (Message("user", "\n".join(parts) + "\n"),)

    def parse(self, completion: Completion) -> Action:
        text = completion.text.split("\nObservation", 1)[0]
        # Actions drafted in a reasoning model's thoughts do not count.
        match = _ACTION.search(text, max(0, text.rfind("</think>")))
        if match is None:
            return Action("malformed", text, problem="no Action: Search[...] or Finish[...]")
        line = text[match.end() :].split("\n", 1)[0]
        argument, closed = balanced(line, "[", "]")
        if not closed and completion.stop_reason == "length":
            return Action("malformed", text, problem="the action ran out of step tokens")
        # Text after the action is cut: the model would continue with an observation of its own.
        text = text[: match.end()] + argument.rstrip() + "]"
        if not argument.strip():
            return Action("malformed", text, problem="an action without a query or an answer")
        kind: StepKind = "search" if match[1].lower() == "search" else "answer"
        return Action(kind, text, argument.strip())

    def show(self, passages: Sequence[Passage]) -> str:
        results = " ".join(f"[{i}] {p.title}: {p.text}" for i, p in enumerate(passages, 1))
        return f"\nObservation: {results or 'No passage was found.'}\nThought:"

    def parse_forced(self, text: str) -> str | None:
        repeated_lead = _FORCED_LEAD.match(text)
        line = text[repeated_lead.end() if repeated_lead else 0 :].strip().split("\n", 1)[0]
        return balanced(line, "[", "]")[0].strip() or None
