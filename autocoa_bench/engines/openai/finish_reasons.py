"""The finish reasons of all servers, and what they mean.

OpenAI, vLLM, SGLang, llama.cpp, Ollama, TGI, Gemini, Anthropic, Bedrock, Cohere, Mistral, DeepSeek
and the routers in front of them name the end of a completion in about eighty words, and new ones
appear with every release. Hence stems of words are compared, without case and punctuation, in the
order of the table.
"""

import re
from typing import Literal

Ending = Literal["stop", "length", "filtered", "tool-call", "failed"]
"""`stop`, `length`, `filtered` and `tool-call` are those of `types.Completion.stop_reason`;
`failed` is a completion that the server gave up."""

_MEANINGS: tuple[tuple[Ending, re.Pattern[str]], ...] = (
    # Among them Gemini's `function_call_filter: MALFORMED_FUNCTION_CALL`.
    ("tool-call", re.compile(r"tool|function")),
    (
        "filtered",
        re.compile(
            r"filter|safe|recitation|block|prohibit|spii|refus|guardrail|moderat|sensitiv|toxic"
            r"|policy|inspection|flagged|^language$|copyright|denied"
        ),
    ),
    # Limits of the account and of the server's time; the model's own limits come next.
    ("failed", re.compile(r"quota|rate_?limit|time_?(?:limit|out)|timed|deadline|unfinished")),
    # Cohere's ERROR_LIMIT, Mistral's model_length, Anthropic's model_context_window_exceeded and
    # pause_turn, vLLM's repetition; any max_something.
    (
        "length",
        re.compile(
            r"length|limit|max|context|trunca|exceed|incomplete|repetition|repeat|budget|too_?long"
            r"|^pause"
        ),
    ),
    (
        "failed",
        re.compile(
            r"error|abort|cancel|fail|insufficient|unavailable|overload|disconnect|interrupt"
            r"|preempt|shut_?down|kill|crash|exception|malformed|invalid|^(?:un)?load(?:ed)?$"
        ),
    ),
    (
        "stop",
        re.compile(
            r"stop|eos|eog|end|done|complete|finish|success|normal|natural|word|matched|final"
        ),
    ),
)

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PREFIX = re.compile(r"^_*finish_?reason_")


def meaning(word: str) -> Ending | None:
    """The meaning of a server's finish reason; None where it is empty or unknown."""
    if word == "stop":
        return "stop"
    plain = _PREFIX.sub("", re.sub(r"[^a-z]+", "_", _CAMEL.sub("_", word).lower())).strip("_")
    return next((ending for ending, stems in _MEANINGS if stems.search(plain)), None)
