"""Reasoning without tools, in which CoT data is sampled from a teacher (paper 3.2.1)."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from agent_model.dialects.agent import Agent
from autocoa_bench.episode import Action
from autocoa_bench.types import Completion


class CoT(Agent):
    """The agent's turn without searches: `<think>` ... `</think>` `\\boxed{answer}`.

    A completion that searches anyway is malformed and gets no nudge: the episode then ends with a
    forced answer, which data synthesis drops.
    """

    name = "cot"
    searches = False
    instruction = """\
Answer the question from your own knowledge; there is nothing to look facts up in. Reason step by \
step inside <think> and </think>: what the question asks for, what you know of it, and what \
follows. After </think>, give the answer alone, as few words as possible, inside \\boxed{}.

Question: {question}"""
    nudge = None
    adapters: Mapping[str, Path] = MappingProxyType({})
    """Empty, because the agent's adapters have learned to search."""

    def __init__(self, prompt: str | None = None) -> None:
        super().__init__(shots=0, prompt=prompt)

    def parse(self, completion: Completion) -> Action:
        action = super().parse(completion)
        if action.kind == "search":
            return Action("malformed", action.text, problem="a search, where none is possible")
        return action
