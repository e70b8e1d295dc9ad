"""The prompts of the LLM judge (paper 4.1): the question, the golds and the answer, for a verdict.

Answers are untrusted text. The prompt has each as one JSON string, so that no line of an answer
can be taken for a line of the prompt.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from autocoa_bench.errors import UserError
from autocoa_bench.judge.reply import parse_verdict
from autocoa_bench.types import Message

_FOLDER = Path(__file__).parent
BRIEF, REASONED = (
    (_FOLDER / f"prompt_{name}.txt").read_text(encoding="utf-8").rstrip("\n")
    for name in ("brief", "reasoned")
)

_SHIPPED = _FOLDER / "adapters"


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
        """The verdict in the last line of a reply; None where that is no verdict."""
        return parse_verdict(reply)


def brief(max_tokens: int = 16) -> TextPrompt:
    """Asks for the verdict alone: cheap, and the prompt that the shipped judge is trained on.

    Raises UserError for a limit below 1.
    """
    adapters = {"smollm2-135m-instruct": _SHIPPED / "smollm2-135m-judge.gguf"}
    audits = (_SHIPPED / "audit.json",)
    return TextPrompt("brief", BRIEF, _limit(max_tokens), adapters=adapters, audits=audits)


def reasoned(max_tokens: int = 256) -> TextPrompt:
    """Asks for a comparison before the verdict: for models that gain by thinking.

    Raises UserError for a limit below 1.
    """
    return TextPrompt("reasoned", REASONED, _limit(max_tokens))


def _limit(max_tokens: int) -> int:
    if max_tokens < 1:
        raise UserError(f"a judge's prompt has max_tokens of at least 1, not {max_tokens}")
    return max_tokens


def _quoted(value: str | list[str]) -> str:
    return json.dumps(value, ensure_ascii=False)
