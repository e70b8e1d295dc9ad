"""Tool calls in model text, in the formats of the field.

The format is recognised by its marks, which no two formats share:

- Hermes, Qwen: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`. The project writes the
  calls that a server has parsed in this form, too.
- Qwen3-Coder: `<function=NAME><parameter=KEY>value</parameter></function>`, with or without
  `<tool_call>` around it.
- gpt-oss (harmony): `to=functions.NAME<|channel|>commentary json<|message|>{...}`, up to the token
  `<|call|>`, which ends the message.
- DeepSeek V3, R1, V3.1: the name and the arguments between tokens of its own; before V3.1 with the
  type `function` before the name and a code fence around the arguments.
- Mistral: `[TOOL_CALLS][{"name": ..., "arguments": {...}}]`, and since 2025
  `[TOOL_CALLS]NAME[ARGS]{...}`.
- Llama 3: a message that is nothing but `{"name": ..., "parameters": {...}}`.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_HERMES = re.compile(r"<tool_call>(.*?)(?:(</tool_call>)|(?=<tool_call>)|\Z)", re.DOTALL)
_FUNCTION = re.compile(
    r"<function=([^<>\s]{1,64})>(.*?)(?:(</function>)|(?=<function=)|\Z)", re.DOTALL
)
_PARAMETER = re.compile(
    r"<parameter=([^<>\s]{1,64})>(.*?)(?:</parameter>|(?=<parameter=)|\Z)", re.DOTALL
)
_HARMONY = re.compile(
    r"to=functions\.([\w.-]{1,64})[^{}\n]{0,80}?<\|message\|>(.*?)"
    r"(?:<\|call\|>|(?=<\|(?:end|start|channel)\|>)|\Z)",
    re.DOTALL,
)
_DEEPSEEK = re.compile(
    r"<｜tool▁call▁begin｜>(?:function<｜tool▁sep｜>)?([\w.-]{1,64})(?:<｜tool▁sep｜>|\s)(.*?)"
    r"(?:(<｜tool▁call▁end｜>)|(?=<｜tool▁call▁begin｜>)|\Z)",
    re.DOTALL,
)
_DEEPSEEK_CLOSE = "<｜tool▁calls▁end｜>"
_MISTRAL = re.compile(
    r"\[TOOL_CALLS\]\s{0,9}(?:(?P<list>\[)|(?P<name>[\w.-]{1,64})(?:\[CALL_ID\]\w{1,64})?"
    r"(?:\[ARGS\])?\s{0,9})"
)
_BETWEEN = re.compile(r"\s{0,9}[;,]?\s{0,9}")
_PYTHON_TAG = "<|python_tag|>"
_decoder = json.JSONDecoder(strict=False)


class ToolCall(NamedTuple):
    """A call in a text: the name of the function, its arguments (None where they are not a JSON
    object), where it ends, and the closing marks that are missing if the text ends there."""

    name: str
    arguments: dict[str, Any] | None
    end: int
    missing: str = ""


def tool_calls(text: str, outside: str) -> list[ToolCall]:
    """All calls in a text, in order.

    `outside` is the text with blanks for its thoughts, which hold no call; gpt-oss writes calls
    into a channel that is a thought otherwise.
    """
    if "<tool_call>" in outside:
        return list(_hermes(outside))
    if "<function=" in outside:
        return [_function(match) for match in _FUNCTION.finditer(outside)]
    if "to=functions." in text:
        return [
            ToolCall(match[1], _object(match[2]), match.end()) for match in _HARMONY.finditer(text)
        ]
    if "<｜tool▁call▁begin｜>" in outside:
        return list(_deepseek(outside))
    if "[TOOL_CALLS]" in outside:
        return list(_mistral(outside))
    if outside.lstrip().startswith(("{", _PYTHON_TAG)):
        return _llama(outside)
    return []


def _hermes(text: str) -> Iterator[ToolCall]:
    for match in _HERMES.finditer(text):
        missing = "" if match[2] else "</tool_call>"
        function = _FUNCTION.search(match[1])
        if function:
            call = _function(function)
            missing = call.missing + missing
            yield call._replace(end=match.end(), missing=missing)
            continue
        content = _object(match[1])
        name = content.get("name", "") if content else ""
        arguments = _object((content or {}).get("arguments"))
        yield ToolCall(str(name), arguments, match.end(), missing)


def _function(match: re.Match[str]) -> ToolCall:
    arguments = {key: value.strip() for key, value in _PARAMETER.findall(match[2])}
    missing = "" if match[3] else "</function>"
    return ToolCall(match[1], arguments, match.end(), missing)


def _deepseek(text: str) -> Iterator[ToolCall]:
    for match in _DEEPSEEK.finditer(text):
        content = match[2].strip().removeprefix("```json").removesuffix("```")
        missing = "" if match[3] else "<｜tool▁call▁end｜>"
        end = match.end()
        if match[3] and text.startswith(_DEEPSEEK_CLOSE, end):
            end += len(_DEEPSEEK_CLOSE)
        else:
            missing += _DEEPSEEK_CLOSE
        yield ToolCall(match[1], _object(content), end, missing)


def _mistral(text: str) -> Iterator[ToolCall]:
    position = 0
    while match := _MISTRAL.search(text, position):
        position = match.end()
        if match["name"]:
            arguments, end = _object_at(text, position)
            yield ToolCall(match["name"], arguments, end)
            position = end
            continue
        while position < len(text):
            content, end = _object_at(text, position)
            name = content.get("name", "") if content else ""
            arguments = _object((content or {}).get("arguments"))
            position = end + len((_BETWEEN.match(text, end) or [""])[0])
            closed = text.startswith("]", position)
            position += closed
            missing = "" if closed else "]"
            yield ToolCall(str(name), arguments, position if closed else end, missing)
            if closed or content is None:
                break


def _llama(text: str) -> list[ToolCall]:
    calls = []
    position = len(text) - len(text.lstrip())
    position += len(_PYTHON_TAG) if text.startswith(_PYTHON_TAG, position) else 0
    while position < len(text):
        content, end = _object_at(text, position)
        arguments = _object((content or {}).get("parameters", (content or {}).get("arguments")))
        if content is None or arguments is None or not isinstance(content.get("name"), str):
            return []  # an answer, of whatever form
        calls.append(ToolCall(content["name"], arguments, end))
        position = end + len((_BETWEEN.match(text, end) or [""])[0])
    return calls


def _object_at(text: str, start: int) -> tuple[dict[str, Any] | None, int]:
    """The JSON object that starts at a position, and where it ends; (None, the end of the text)."""
    try:
        value, end = _decoder.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None, len(text)
    return (value, end) if isinstance(value, dict) else (None, len(text))


def _object(value: object) -> dict[str, Any] | None:
    """A JSON object, given as itself or as its text; None for anything else."""
    if isinstance(value, str):
        try:
            value = _decoder.decode(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None
