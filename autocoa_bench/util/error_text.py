"""The text of an error reply: what to show of it, and what to search for its cause."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec

from autocoa_bench.errors import UNREADABLE
from autocoa_bench.util.text import one_line

_LONGEST = 6000
"""Characters of an error that are searched."""
_ECHOES = frozenset({"input", "ctx", "url", "documentation_url"})
"""Keys of error details that repeat the request or point elsewhere."""


def server_message(data: bytes) -> str:
    """The message in the body of an error, as one line of at most 300 characters."""
    content = _decoded(data)
    if content is None:
        return excerpt(data)
    # OpenRouter and gateways have the message of the server behind them in a field of its own.
    inner = _inner(content)
    if isinstance(content, list) and len(content) == 1:  # Gemini
        content = content[0]
    for key in ("error", "message", "detail"):
        if isinstance(content, dict) and content.get(key):
            content = cast("dict[str, Any]", content)[key]
    text = content if isinstance(content, str) else msgspec.json.encode(content).decode()
    return excerpt((text if not inner or inner in text else f"{text}: {inner}").encode())


def error_text(data: bytes) -> str:
    """All that an error says, codes and nested JSON included, as one line of `key: value`."""
    content = _decoded(data)
    if content is None:
        return " ".join(data[:_LONGEST].decode("utf-8", "replace").split())
    return " ".join(" ".join(_leaves(content, 8)).split())[:_LONGEST]


def error_inside(data: bytes) -> tuple[int, bytes | None]:
    """The error that a body of status 200 reports, with its status: 500 if it names none.

    None if it reports no error.
    """
    content = _decoded(data)
    if isinstance(content, list) and len(content) == 1:
        content = content[0]
    choices = content.get("choices") if isinstance(content, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    for part in (content, first):
        error = part.get("error") if isinstance(part, dict) else None
        if error:
            code = str(error.get("code")) if isinstance(error, dict) else ""
            status = int(code) if re.fullmatch("[45][0-9][0-9]", code) else 500
            return status, msgspec.json.encode({"error": error})
    return 500, None


def excerpt(data: bytes | Sequence[int]) -> str:
    """The first 300 characters of a body, as one line."""
    return one_line(bytes(data[:1200]).decode("utf-8", "replace"))[:300]


def _decoded(data: bytes | str) -> Any:
    try:
        return msgspec.json.decode(data)
    except UNREADABLE:
        return None


def _inner(content: Any) -> str:
    error = content.get("error") if isinstance(content, dict) else None
    metadata = error.get("metadata") if isinstance(error, dict) else None
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    return server_message(raw.encode()) if isinstance(raw, str) else ""


def _leaves(content: Any, depth: int) -> Iterator[str]:
    """The scalars of decoded JSON with their keys; a list of scalars is joined by dots."""
    if isinstance(content, str) and content.lstrip()[:1] in ("{", "[") and depth:
        nested = _decoded(content)
        content = content if nested is None else nested
    if not depth or not isinstance(content, dict | list):
        yield str(content)
    elif isinstance(content, list):
        if all(isinstance(item, str | int) for item in content):
            yield ".".join(map(str, content))
        else:
            for item in content:
                yield from _leaves(item, depth - 1)
    else:
        for key, value in content.items():
            if key not in _ECHOES and value is not None:
                yield f"{key}:"
                yield from _leaves(value, depth - 1)
