"""Reading of refusals: a prompt that is too long, or a field that the model does not take.

No standard defines these messages; the patterns cover those of OpenAI, vLLM, SGLang, TGI and
llama.cpp, old and new.
"""

import re

from autocoa_bench.types import Refused

_TOO_LONG = re.compile(
    r"context[_ ](?:length|window|size)|maximum (?:model|prompt) length|exceed_context_size"
    r"|prompt is too long|reduce the length of the (?:messages|input|prompt)|available context",
    re.IGNORECASE,
)
_CONTEXT_SIZE = re.compile(
    r"(?:(?:context|model|prompt) (?:length|window|size)|available context)"
    r"(?: is| is only| of)? \(?(\d+)|\bn_ctx\W+(\d+)",
    re.IGNORECASE,
)
# vLLM's "at least 8193 input tokens" is where it stopped counting, not the number of tokens.
_PROMPT_SIZE = re.compile(
    r"(?<!at least )\b(\d+) (?:in the messages|in your prompt|input tokens|tokens from the input)"
    r"|(?:resulted in |input \(|request \(|\(length |prompt of )(\d+)|n_prompt_tokens\W+(\d+)",
    re.IGNORECASE,
)
_UNSUPPORTED = re.compile(
    r"unsupported|unrecognized|unknown|not support|not permitted|not allowed", re.IGNORECASE
)
_OPTIONAL = "max_tokens|temperature|top_p|seed|stop"
_OPTIONAL_FIELD = re.compile(rf"['\"`]({_OPTIONAL})['\"`]|:\s*({_OPTIONAL})\s*$")


def too_long(status: int, message: str) -> bool:
    """True if a refusal is for the prompt's length."""
    if status == 500:  # llama.cpp's status in 2025
        return "available context size" in message
    return status in (400, 413, 422) and _TOO_LONG.search(message) is not None


def counts(data: bytes) -> str:
    """The sizes that llama.cpp reports beside its message, as a suffix for the message."""
    sizes = re.findall(rb'"(n_prompt_tokens|n_ctx)":\s*(\d+)', data)
    text = ", ".join(f"{name.decode()} {size.decode()}" for name, size in sizes)
    return f" ({text})" if text else ""


def refused(message: str) -> Refused:
    """A refusal for length, with the sizes that its message contains."""
    return Refused(message, _number(_CONTEXT_SIZE, message), _number(_PROMPT_SIZE, message))


def unsupported_field(message: str) -> str | None:
    """The optional field that the model does not take according to a refusal; None for others.

    OpenAI's reasoning models take none of `max_tokens`, `temperature`, `top_p` and `stop`
    ("Unsupported parameter: 'max_tokens' is not supported with this model. Use
    'max_completion_tokens' instead."; "Unsupported value: 'temperature' does not support 0 ...").
    """
    if not _UNSUPPORTED.search(message):
        return None
    match = _OPTIONAL_FIELD.search(message)
    return (match[1] or match[2]) if match else None


def _number(pattern: re.Pattern[str], message: str) -> int | None:
    match = pattern.search(message)
    return int(next(filter(None, match.groups()))) if match else None
