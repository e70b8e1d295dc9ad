"""What servers mean when they refuse a request: a prompt too long, or a field that they don't take.

No standard says how; these are the words of OpenAI, vLLM, SGLang, TGI and llama.cpp, old and new.
"""

from __future__ import annotations

import re

from autocoa_bench.types import Refused

_TOO_LONG = re.compile(
    r"context[_ ](?:length|window|size)|maximum (?:model|prompt) length|exceed_context_size"
    r"|prompt is too long|reduce the length of the (?:messages|input|prompt)|available context",
    re.IGNORECASE,
)
_ROOM = re.compile(
    r"(?:(?:context|model|prompt) (?:length|window|size)|available context)"
    r"(?: is| is only| of)? \(?(\d+)|\bn_ctx\W+(\d+)",
    re.IGNORECASE,
)
# vLLM's "at least 8193 input tokens" says where it stopped to count, not how many there are.
_PROMPT = re.compile(
    r"(?<!at least )\b(\d+) (?:in the messages|in your prompt|input tokens|tokens from the input)"
    r"|(?:resulted in |input \(|request \(|\(length |prompt of )(\d+)|n_prompt_tokens\W+(\d+)",
    re.IGNORECASE,
)
_UNSUPPORTED = re.compile(
    r"unsupported|unrecognized|unknown|not support|not permitted|not allowed", re.IGNORECASE
)
_OPTIONAL = ("max_tokens", "temperature", "top_p", "seed", "stop")
_NAMED = re.compile(rf"['\"`]({'|'.join(_OPTIONAL)})['\"`]|:\s*({'|'.join(_OPTIONAL)})\s*$")


def too_long(status: int, message: str) -> bool:
    """Whether a refusal is for the prompt's length."""
    if status == 500:  # llama.cpp's in 2025
        return "available context size" in message
    return status in (400, 413, 422) and _TOO_LONG.search(message) is not None


def counts(data: bytes) -> str:
    """The sizes that llama.cpp puts beside its message, as words to end the message with."""
    found = re.findall(rb'"(n_prompt_tokens|n_ctx)":\s*(\d+)', data)
    sizes = ", ".join(f"{name.decode()} {size.decode()}" for name, size in found)
    return f" ({sizes})" if sizes else ""


def refused(message: str) -> Refused:
    """A refusal for length with the sizes that its message names."""
    return Refused(message, _number(_ROOM, message), _number(_PROMPT, message))


def unsupported_field(message: str) -> str | None:
    """The field of a request that a refusal says the model does not take, if one we can leave out.

    OpenAI's reasoning models take none of `max_tokens`, `temperature`, `top_p` and `stop`
    ("Unsupported parameter: 'max_tokens' is not supported with this model. Use
    'max_completion_tokens' instead."; "Unsupported value: 'temperature' does not support 0 ...").
    """
    if not _UNSUPPORTED.search(message):
        return None
    found = _NAMED.search(message)
    return (found[1] or found[2]) if found else None


def _number(pattern: re.Pattern[str], message: str) -> int | None:
    found = pattern.search(message)
    return int(next(filter(None, found.groups()))) if found else None
