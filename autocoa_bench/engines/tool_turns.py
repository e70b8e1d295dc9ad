"""How a chat template writes the results of tool calls, learned from what it renders.

The project renders an opening once and appends to it what the model sampled and what the
environment says, so it must know the text between a call and its result, and between that and the
model's next message. No table of models is needed: a conversation with marks in the place of
queries and results is rendered, and the text around the marks is what the template writes.
`learn` asks for such conversations; a template that has no place for tools gets their results as
messages of the user.
"""

import json
from collections.abc import Generator, Sequence
from typing import Any

from autocoa_bench.types import Message, ToolTurns

_TEXT, _USER, _QUERY, _RESULT = "qztext", "qzuser", "qzquery", 'qzresult"\nqzend'
_OTHER_ENDS = ("<|end|>", "<|observation|>", "<|user|>")
"""gpt-oss's end of a message before another one; GLM's, which are the start of the next one."""
_PROBE_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "search",
            "description": "qzdescription",
            "parameters": {
                "type": "object",
                "properties": {"query": {"type": "string", "description": "What to search."}},
                "required": ["query"],
            },
        },
    }
]
_DESCRIBED = """\
You can call functions, whose results then follow. They are, one a line:
<tools>
{tools}
</tools>
To call one, write its name and its arguments as JSON:
<tool_call>
{{"name": NAME, "arguments": {{...}}}}
</tool_call>
and end your message. The results come back between <tool_response> and </tool_response>."""

Conversation = tuple[list[dict[str, Any]], list[dict[str, Any]] | None]
"""Messages, and the tools offered in them."""


def split(opening: Sequence[Message]) -> tuple[list[dict[str, Any]] | None, Sequence[Message]]:
    """The tools that an opening offers, None for none, and its other messages."""
    if not opening or opening[0].role != "tools":
        return None, opening
    return json.loads(opening[0].content), opening[1:]


def descriptions(tools: Sequence[dict[str, Any]]) -> list[str]:
    """The descriptions of functions, which any template that knows tools writes."""
    return [str(tool["function"]["description"]) for tool in tools]


def described(tools: Sequence[dict[str, Any]], opening: Sequence[Message]) -> list[Message]:
    """An opening whose first message describes the tools, for templates that have no place for
    them."""
    listed = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    text = _DESCRIBED.format(tools=listed)
    if opening and opening[0].role == "system":
        return [Message("system", f"{opening[0].content}\n\n{text}"), *opening[1:]]
    return [Message("system", text), *opening]


def learn(ends: Sequence[str]) -> Generator[Conversation, str | None, ToolTurns | None]:
    """Yields conversations, takes each as the template renders it with the head of the model's next
    message (None where it fails), and returns what they show; None if they show nothing.

    `ends` are the texts of tokens that may end a message of the model.
    """
    ends = (*ends, *_OTHER_ENDS)
    user = [_message("user", _USER)]
    rendered = yield [*user, _message("assistant", _TEXT), *user], None
    text_end, before, after = _around_user(rendered or "", ends)
    if before is None:
        return None
    offered = yield user, _PROBE_TOOLS
    if offered and "qzdescription" in offered:
        for calls in (2, 1):
            for arguments in ({"query": _QUERY}, json.dumps({"query": _QUERY})):
                rendered = yield _with_calls(calls, arguments), _PROBE_TOOLS
                turns = _around_results(rendered or "", ends, text_end, (before, after))
                if turns:
                    return turns
    return ToolTurns(
        end=text_end,
        before=f"{before}<tool_response>\n",
        between="\n</tool_response>\n<tool_response>\n",
        after=f"\n</tool_response>{after}",
        text_end=text_end,
        user=(before, after),
    )


def _message(role: str, content: str, **fields: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **fields}


def _with_calls(number: int, arguments: object) -> list[dict[str, Any]]:
    """A conversation in which one message makes calls, with two results."""
    ids = ["call00001", "call00002"]
    function = {"name": "search", "arguments": arguments}
    calls = [{"id": id_, "type": "function", "function": function} for id_ in ids[:number]]
    results = [_message("tool", _RESULT, name="search", tool_call_id=id_) for id_ in ids]
    return [_message("user", _USER), _message("assistant", "", tool_calls=calls), *results]


def _around_user(text: str, ends: Sequence[str]) -> tuple[str, str | None, str]:
    """The end of a message, and the text before and after the user's next one."""
    _, _, after_text = text.rpartition(_TEXT)
    between, mark, after = after_text.partition(_USER)
    start, end = _first(between, ends)
    return (end, between[start + len(end) :], after) if mark and end else ("", None, "")


def _around_results(
    text: str, ends: Sequence[str], text_end: str, user: tuple[str, str]
) -> ToolTurns | None:
    result = _RESULT
    if result not in text:
        result = json.dumps(_RESULT)[1:-1]
    parts = text.split(result)
    if len(parts) != 3:
        return None
    _, mark, before = parts[0].rpartition(_QUERY)
    start, end = _first(before, ends)
    if not (mark and end):
        return None
    return ToolTurns(
        end=end,
        before=before[start + len(end) :],
        between=parts[1],
        after=parts[2],
        text_end=text_end,
        user=user,
        quoted=result != _RESULT,
    )


def _first(text: str, ends: Sequence[str]) -> tuple[int, str]:
    """The first end in a text, and where it is; (0, "") for none."""
    return min(((text.find(end), end) for end in ends if end in text), default=(0, ""))
