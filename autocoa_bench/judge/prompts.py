"""The prompts of the LLM judge (paper 4.1): the question, the golds and the answer, for a verdict.

Answers are untrusted text. The prompt has each as one JSON string, so that no line of an answer
can be taken for a line of the prompt.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from autocoa_bench.types import Message

_FOLDER = Path(__file__).parent
BRIEF, REASONED = (
    (_FOLDER / f"prompt_{name}.txt").read_text(encoding="utf-8").rstrip("\n")
    for name in ("brief", "reasoned")
)

_SHIPPED = _FOLDER / "adapters"
_VERDICT = re.compile(r"verdict: (correct|incorrect)", re.IGNORECASE)


class TextPrompt(Struct):
    """A prompt of one user message; the last line of its reply is the verdict.

    `max_tokens` limits the reply; for `adapters` and `audits` see `JudgePrompt`.
    """

    name: str
    text: str
    max_tokens: int
    adapters: dict[str, Path] = {}
    audits: tuple[Path, ...] = ()

    def opening(self, question: str, golds: Sequence[str], answer: str) -> tuple[Message, ...]:
        """The one message that the judge receives."""
        text = self.text.format(
            question=_quoted(question), golds=_quoted(list(golds)), answer=_quoted(answer)
        )
        return (Message("user", text),)

    def read(self, reply: str) -> bool | None:
        """The verdict in the last line that is not blank; None where that is no verdict."""
        lines = [line.strip() for line in reply.splitlines() if line.strip()]
        match = _VERDICT.fullmatch(lines[-1].replace("*", "").removesuffix(".")) if lines else None
        return match[1].lower() == "correct" if match else None


def brief() -> TextPrompt:
    """Asks for the verdict alone: cheap, and the prompt that the shipped judge is trained on."""
    adapters = {"smollm2-135m-instruct": _SHIPPED / "smollm2-135m-judge.gguf"}
    audits = (_SHIPPED / "audit.json",)
    return TextPrompt("brief", BRIEF, max_tokens=16, adapters=adapters, audits=audits)


def reasoned() -> TextPrompt:
    """Asks for a comparison before the verdict: for models that gain by thinking."""
    return TextPrompt("reasoned", REASONED, max_tokens=256)


def _quoted(value: str | list[str]) -> str:
    return json.dumps(value, ensure_ascii=False)
