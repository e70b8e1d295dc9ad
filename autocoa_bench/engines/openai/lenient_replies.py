"""Replies in any shape that a server or a router in front of it has been seen to send.

A value of the wrong type counts as absent, wherever it stands. Texts may be lists of parts, a body
may be the stream that nobody asked for, and JSON may be as Python and JavaScript write it.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, Literal

from msgspec import Struct

from autocoa_bench.util.error_text import excerpt
from autocoa_bench.util.http_client import BadReply
from autocoa_bench.util.text import whole_characters

_BOM = "\ufeff"
_MOST_TOKENS = 1 << 40
_LARGEST_ID = 1 << 31
_DEEPEST_COUNT = 4

_REASONING = (
    *("reasoning_content", "reasoning", "reasoning_text", "reasoning_details"),
    *("thinking", "thinking_blocks"),
)
_TEXTS = ("text", "content", "value", "output_text", "summary", "refusal", *_REASONING, "parts")
_FINISH = (
    *("finish_reason", "finishReason", "stop_type", "done_reason", "finish_details"),
    *("native_finish_reason", "stop_reason"),
)
_STOP_STRING = ("stop_reason", "matched_stop", "stopping_word", "stop_sequence")
_PROMPT_TOKENS = (
    *("prompt_tokens", "input_tokens", "promptTokens", "inputTokens", "promptTokenCount"),
    *("prompt_eval_count", "prompt_token_count", "tokens_evaluated"),
)
_COMPLETION_TOKENS = (
    *("completion_tokens", "output_tokens", "completionTokens", "outputTokens", "eval_count"),
    *("candidatesTokenCount", "completion_token_count", "generated_tokens", "tokens_predicted"),
)


_MESSAGE = ("message", "delta")
_ENVELOPES = ("data", "result", "response", "output")
_STREAM = re.compile(r"(?:data|event|id|retry)?:")

Kind = Literal["text", "thought", "refusal", "tool"]


class Choice(Struct):
    """A completion as a server sent it; `text` is None where there is none.

    `word` is the server's finish reason, `reasoning` a thought outside of the text, `error` what
    went wrong with this completion. `refused` tells that the text is a refusal, and `calls_tool`
    that the completion calls a tool; `calls` are its calls as the server has read them.
    """

    text: str | None
    word: str = ""
    reasoning: str = ""
    stop_string: str = ""
    token_ids: tuple[int, ...] | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    calls_tool: bool = False
    calls: tuple[dict[str, Any], ...] = ()
    refused: bool = False
    error: str = ""
    index: int | None = None


def read(data: bytes, *, native: bool) -> list[Choice]:
    """The completions in a body, in order; `native` is the shape of llama.cpp's own endpoint.

    Raises ValueError or RecursionError for what is no JSON, and BadReply for an error or a stream
    that breaks off.
    """
    reply = decode(data)
    if isinstance(reply, list) and len(reply) == 1:
        reply = reply[0]
    content = reply if isinstance(reply, dict) else {}
    # Some gateways put the reply into an envelope with a code of their own.
    wrapped = (content.get(key) for key in _ENVELOPES if "choices" not in content)
    content = next((x for x in wrapped if isinstance(x, dict) and "choices" in x), content)
    if _says_something(content.get("error")):
        raise BadReply(f"an error instead of a completion: {_shown(content['error'])}")
    if native and "choices" not in content:
        items = _items(reply)
        places = items
    else:
        # Without choices, Ollama's own shape.
        bare = [content] if isinstance(content.get("message"), dict) else []
        items = _items(content["choices"]) if "choices" in content else bare
        places = [content] * len(items)
    choices = []
    for item, place in zip(items, places, strict=True):
        choice = _choice(item)
        choice.prompt_tokens = _count_in(place, _PROMPT_TOKENS)
        choice.completion_tokens = _count_in(place, _COMPLETION_TOKENS)
        choices.append(choice)
    return in_order(choices)


def in_order(choices: list[Choice]) -> list[Choice]:
    """Completions by their index; as they came where an index is missing or given twice."""
    indices = {choice.index for choice in choices} - {None}
    if len(indices) < len(choices):
        return choices
    return sorted(choices, key=lambda choice: choice.index or 0)


def count(value: object) -> int | None:
    """A number of tokens from an integer, a float or a text of digits; None for anything else."""
    if isinstance(value, str) and re.fullmatch(r"\s*\d{1,15}(?:\.0*)?\s*", value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < _MOST_TOKENS and value == int(value) else None


def decode(data: bytes) -> Any:
    """The JSON of a body, or what the stream in it adds up to. Raises as `read` does."""
    text = data.decode().lstrip(_BOM).strip()
    if _STREAM.match(text):
        return _joined(_events(text))
    try:
        return json.loads(text, strict=False)
    except json.JSONDecodeError:
        lines = text.splitlines()
        if len(lines) < 2:
            raise
        return _joined(json.loads(line, strict=False) for line in lines if line.strip())


def _events(text: str) -> Iterator[Any]:
    """The JSON of each server-sent event of a stream."""
    for event in re.split(r"(?:\r\n|\n|\r){2,}", text):
        content = "\n".join(re.findall(r"^data: ?(.*)$", event, re.MULTILINE)).strip()
        if content and content != "[DONE]":
            yield json.loads(content, strict=False)


def _joined(events: Iterator[Any]) -> dict[str, Any]:
    """The reply that the events of a stream add up to. Raises BadReply where it breaks off."""
    reply: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for event in filter(lambda event: isinstance(event, dict), events):
        for name in ("usage", "error", *_PROMPT_TOKENS, *_COMPLETION_TOKENS):
            if event.get(name) is not None:
                reply[name] = event[name]
        items = _items(event["choices"]) if "choices" in event else [event]
        for position, item in enumerate(items):
            piece = _choice(item)
            index = position if piece.index is None else piece.index
            whole = choices.setdefault(index, {"index": index, "message": {"tool_calls": []}})
            _add_piece(whole, item, piece)
    if not any(_word(choice) for choice in choices.values()) and "error" not in reply:
        raise BadReply("a stream that breaks off")
    return {**reply, "choices": list(choices.values())}


def _add_piece(whole: dict[str, Any], item: dict[str, Any], piece: Choice) -> None:
    """Add what an event says of a choice to the choice."""
    message = whole["message"]
    message["content"] = message.get("content", "") + (piece.text or "")
    message["reasoning"] = message.get("reasoning", "") + piece.reasoning
    message["refusal"] = message.get("refusal") or piece.refused
    message["tool_calls"] += [True] * piece.calls_tool
    if piece.token_ids is not None:
        whole["token_ids"] = [*whole.get("token_ids", ()), *piece.token_ids]
    for name in (*_FINISH, *_STOP_STRING, "error"):
        if item.get(name) is not None:
            whole[name] = item[name]


def _items(choices: object) -> list[dict[str, Any]]:
    """The choices of a reply, which may be a single one, or numbered by keys."""
    if isinstance(choices, dict):
        is_numbered = choices and all(str(key).isdecimal() for key in choices)
        choices = list(choices.values()) if is_numbered else [choices]
    if not isinstance(choices, list):
        return []
    return [item for item in choices if isinstance(item, dict)]


def _choice(item: dict[str, Any]) -> Choice:
    """A choice without its counts."""
    message: Any = next((item[key] for key in _MESSAGE if item.get(key)), {})
    if not isinstance(message, dict):
        message = {"content": message}
    values = (message.get("content"), message.get("text"), item.get("text"), item.get("content"))
    contents = [parts for value in values if (parts := list(_parts(value)))]
    parts = max(contents, key=lambda parts: any(text.strip() for _, text in parts), default=[])
    refusal = message.get("refusal")
    parts += [("refusal", _text(refusal))] if _says_something(refusal) else []
    reasoning = "".join(
        next((text for key in _REASONING if (text := _text(place.get(key)))), "")
        for place in ((message, item) if message else (item,))
    ) or "\n".join(text for kind, text in parts if kind == "thought")
    calls = any(_says_something(message.get(key)) for key in ("tool_calls", "function_call"))
    kinds = {kind for kind, _ in parts}
    text = "".join(text for kind, text in parts if kind in ("text", "refusal"))
    return Choice(
        text=text if kinds & {"text", "refusal"} else None,
        word=_word(item),
        reasoning=reasoning,
        stop_string=_stop_string(item),
        token_ids=_ids(item),
        calls_tool=calls or "tool" in kinds,
        calls=_calls(message),
        refused="refusal" in kinds,
        error=_shown(item["error"]) if _says_something(item.get("error")) else "",
        index=_index(item.get("index")),
    )


def _calls(message: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """The tool calls of a message, also a single one in the form of 2023."""
    calls = message.get("tool_calls")
    if not calls and isinstance(message.get("function_call"), dict):
        calls = [{"function": message["function_call"]}]
    if not isinstance(calls, list):
        return ()
    return tuple(
        call for call in calls if isinstance(call, dict) and _says_something(call.get("function"))
    )


def _parts(value: object) -> Iterator[tuple[Kind, str]]:
    """The parts of a message's content with their kinds: a text, or a list of typed parts."""
    if isinstance(value, str):
        yield "text", whole_characters(value)
    elif isinstance(value, list):
        for part in value:
            yield from _parts(part)
    elif isinstance(value, dict):
        name = str(value.get("type") or "").lower()
        if re.search("tool|function", name):
            yield "tool", ""
        elif "refus" in name:
            yield "refusal", _text(value)
        elif re.search("think|reason|thought", name) or value.get("thought") is True:
            yield "thought", _text(value)
        elif isinstance(value.get("content"), list):
            yield from _parts(value["content"])
        elif not name or "text" in name:
            yield "text", _text(value)


def _text(value: object) -> str:
    """The text in a value: itself, or that of its parts, a line each."""
    if isinstance(value, str):
        return whole_characters(value)
    if isinstance(value, list):
        return "\n".join(filter(None, map(_text, value)))
    if isinstance(value, dict):
        return next((text for key in _TEXTS if (text := _text(value.get(key)))), "")
    return ""


def _word(item: dict[str, Any]) -> str:
    """The finish reason of a choice, in the server's word."""
    for key in _FINISH:
        value = item.get(key)
        if isinstance(value, dict):  # SGLang
            value = value.get("type") or value.get("reason")
        if isinstance(value, str) and value.strip():
            return value
    return "limit" if item.get("stopped_limit") is True else ""  # llama.cpp until 2024


def _stop_string(item: dict[str, Any]) -> str:
    reason = item.get("finish_reason")
    matched = reason.get("matched") if isinstance(reason, dict) else None
    values = (matched, *(item.get(key) for key in _STOP_STRING))
    return next((value for value in values if isinstance(value, str) and value), "")


def _ids(item: dict[str, Any]) -> tuple[int, ...] | None:
    ids = item.get("tokens") if item.get("token_ids") is None else item["token_ids"]
    if not isinstance(ids, list) or not all(
        type(number) is int and 0 <= number < _LARGEST_ID for number in ids
    ):
        return None
    return tuple(ids)


def _index(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal():
        return int(value)
    return value if type(value) is int else None


def _count_in(place: object, names: tuple[str, ...], depth: int = _DEEPEST_COUNT) -> int | None:
    """The first count under one of the names, from the outside to the inside."""
    if isinstance(place, list):
        place = dict(enumerate(place))
    if not isinstance(place, dict) or not depth:
        return None
    nested = (value for key, value in place.items() if key not in ("choices", *_MESSAGE))
    numbers = [count(place.get(name)) for name in names]
    numbers += [_count_in(value, names, depth - 1) for value in nested]
    reported = [number for number in numbers if number is not None]
    return next(filter(None, reported), 0) if reported else None


def _says_something(value: object) -> bool:
    """False for null, 0, "" and for what consists of nothing else."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return any(map(_says_something, value))
    return bool(value.strip() if isinstance(value, str) else value)


def _shown(error: object) -> str:
    return excerpt(json.dumps(error).encode())
