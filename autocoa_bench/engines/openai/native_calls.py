"""Tool calls that a server has read: as text in the model's turn, and as `tool_calls` again.

Every dialect reads text, so a call becomes the text that Hermes models write, with all that came
with it (its id, a provider's own fields):

    <tool_call>
    {"name": "search", "arguments": {"query": "..."}, "id": "call_1"}
    </tool_call>

When the turn is sent back, the same text becomes a call again, and the environment's texts after it
are the results of the calls in their order.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from autocoa_bench.errors import UNREADABLE
from autocoa_bench.types import Generate, Turn

_CALL = re.compile(r"\s*<tool_call>\s*(\{.*?\})\s*</tool_call>", re.DOTALL)
_THOUGHT = re.compile(r"\s*<think>\n?(.*?)\n?</think>\s*", re.DOTALL)

JSONObject = dict[str, Any]


def as_text(content: str, calls: Iterable[JSONObject]) -> str:
    """The text of a message with calls. Arguments that are no JSON object stay a text."""
    texts = [content.rstrip()] if content.strip() else []
    for call in calls:
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        arguments = function.get("arguments", "")
        parsed = _parsed(arguments)
        fields = {"name": function.get("name", "")}
        fields["arguments"] = arguments if parsed is None else parsed
        fields |= {key: value for key, value in call.items() if key not in _OWN_FIELDS and value}
        try:
            encoded = msgspec.json.encode(fields).decode()
        except UNREADABLE:  # half a character, or nested too deeply
            encoded = msgspec.json.encode({"name": "", "arguments": ""}).decode()
        # No argument can close the tag: in JSON, the bracket is the same character escaped.
        encoded = encoded.replace("<", "\\u003c")
        texts.append(f"<tool_call>\n{encoded}\n</tool_call>")
    return "\n".join(texts)


_OWN_FIELDS = frozenset(["function", "type", "index"])


def request_fields(request: Generate) -> JSONObject:
    """The fields of a chat request that offers tools: messages, tools, and for a forced answer the
    choice of none."""
    tools, *opening = request.prompt.opening
    messages: list[JSONObject] = [
        {"role": message.role, "content": message.content} for message in opening
    ]
    turns = list(request.prompt.turns)
    force = [turns.pop()] if request.forced else []
    _add_turns(messages, turns)
    for turn in force:
        _add_user(messages, turn.text)
    fields: JSONObject = {"messages": messages, "tools": msgspec.Raw(tools.content.encode())}
    if request.forced:
        fields["tool_choice"] = "none"
    return fields


def _add_turns(messages: list[JSONObject], turns: Sequence[Turn]) -> None:
    number = 0  # of calls so far
    for position, turn in enumerate(turns):
        if turn.source == "environment":
            continue
        after = turns[position + 1 :]
        ends = (i for i, later in enumerate(after) if later.source == "model")
        results = [later.text for later in after[: next(ends, len(after))]]
        message, ids = _as_message(turn.text, len(results), number)
        messages.append(message)
        number += len(ids)
        for id_, result in zip(ids, results, strict=False):
            messages.append({"role": "tool", "tool_call_id": id_, "content": result})
        for text in results[len(ids) :]:
            _add_user(messages, text)


# Each request of an episode repeats the messages of the one before.
@lru_cache(maxsize=1024)
def _as_message(text: str, most: int, number: int) -> tuple[JSONObject, list[str]]:
    """The message of the model that a text is, with its first calls, at most as many as `most`, and
    their ids; `number` calls come before it in the turn."""
    calls: list[JSONObject] = []
    rest, start = [], 0
    for match in _CALL.finditer(text):
        fields = _parsed(match[1])
        if fields is None or not isinstance(fields.get("arguments"), dict) or len(calls) == most:
            continue  # a server could not read it either
        arguments = msgspec.json.encode(fields.pop("arguments")).decode()
        function = {"name": fields.pop("name", ""), "arguments": arguments}
        id_ = fields.pop("id", None) or f"call{number + len(calls) + 1:05d}"
        calls.append({"id": id_, **fields, "type": "function", "function": function})
        rest.append(text[start : match.start()])
        start = match.end()
    content = "".join([*rest, text[start:]])
    message: JSONObject = {"role": "assistant"}
    # Models that think between calls get the thoughts of the turn back.
    if calls and (thought := _THOUGHT.match(content)):
        message["reasoning_content"] = thought[1]
        content = content[thought.end() :]
    message["content"] = content if content.strip() or not calls else None
    if calls:
        message["tool_calls"] = calls
    return message, [call["id"] for call in calls]


def _add_user(messages: list[JSONObject], text: str) -> None:
    if messages and messages[-1]["role"] == "user":
        text = f"{messages.pop()['content']}\n\n{text}"
    messages.append({"role": "user", "content": text})


def _parsed(value: object) -> JSONObject | None:
    """A JSON object, given as itself or as its text; None for anything else."""
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value)
        except UNREADABLE:
            return None
    return value if isinstance(value, dict) else None
