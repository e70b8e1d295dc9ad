"""Reading of the replies of model servers, without I/O.

The usual reply is decoded into typed records. Any other is read by `lenient_replies`, of which only
a completion's text is required: what cannot be read of the rest counts as absent.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from autocoa_bench.engines.openai import lenient_replies, native_calls
from autocoa_bench.engines.openai.finish_reasons import Ending, meaning
from autocoa_bench.engines.openai.lenient_replies import Choice
from autocoa_bench.errors import UNREADABLE, EngineFault
from autocoa_bench.types import Completion, Generate
from autocoa_bench.util.error_text import excerpt
from autocoa_bench.util.http_client import BadReply
from autocoa_bench.util.text import one_line

_Nothing = Literal[""] | Annotated[list[Any], Meta(max_length=0)] | None
"""An optional field that says nothing; anything else in it is read leniently."""
_Count = Annotated[int, Meta(gt=0)]
_Text = Annotated[str, Meta(pattern=r"\S")]

_TOKENS_OF_AN_END = 2
"""The most tokens that end a turn at once: a stop string, and the token at the end of a turn."""


_NO_REASONING = (
    "the server removes the model's reasoning from its turn, which then cannot be continued: start "
    "it without a reasoning parser, or use the protocol 'chat'"
)


class EmptyReply(BadReply):
    """A completion without a text, from a server that is up all the same."""


class _Message(Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_text: _Nothing = None
    reasoning_details: _Nothing = None
    thinking: _Nothing = None
    thinking_blocks: _Nothing = None
    refusal: _Nothing = None
    tool_calls: list[dict[str, Any]] | None = None


class _Choice(Struct):
    finish_reason: Literal["stop", "length", "tool_calls"]
    index: int = 0
    message: _Message | None = None
    text: str | None = None
    stop_reason: str | int | None = None
    matched_stop: str | int | None = None
    token_ids: tuple[int, ...] | None = None
    reasoning: _Nothing = None
    error: None = None


class _Usage(Struct):
    prompt_tokens: _Count
    completion_tokens: _Count


class _Reply(Struct):
    choices: list[_Choice]
    usage: _Usage | None = None
    error: None = None


class _NativeReply(Struct):
    content: _Text
    stop_type: Literal["eos", "word", "limit"]
    tokens: tuple[int, ...] | None = None
    stopping_word: str = ""
    tokens_evaluated: _Count | None = None
    tokens_predicted: _Count | None = None


NATIVE_FIELDS = _NativeReply.__struct_fields__
"""The fields of llama.cpp's native reply that are read."""

_reply_decoder = msgspec.json.Decoder(_Reply)
_native_decoder = msgspec.json.Decoder(_NativeReply | list[_NativeReply])


def read_reply(
    protocol: str, data: bytes, n: int, seconds: float, request: Generate | None = None
) -> list[Completion]:
    """The completions in a reply's body, in the order of their index.

    What the reply says is compared with the `request`, if it is given: a stop string that was not
    requested is none, and a count above the requested tokens is none.

    Raises BadReply for a completion that failed or is empty, and EngineFault if no retry can help.
    """
    try:
        choices = _read(protocol, data)
    except UNREADABLE as error:
        raise BadReply(f"not the reply of a model server ({error}): {excerpt(data)}") from None
    if len(choices) < n:
        raise BadReply(f"{len(choices)} completions where {n} were requested: {excerpt(data)}")
    if len(choices) > 1 and protocol != "template":
        for choice in choices:  # the reply counts the sum over all choices
            choice.completion_tokens = None
    return [_completion(protocol, choice, seconds, request) for choice in choices[:n]]


def _read(protocol: str, data: bytes) -> list[Choice]:
    """The choices of a reply. Raises one of UNREADABLE, or BadReply."""
    try:
        if protocol != "template":
            reply = _reply_decoder.decode(data)
            return lenient_replies.in_order([_from_openai(x, reply.usage) for x in reply.choices])
        native = _native_decoder.decode(data)
        return [_from_native(x) for x in (native if isinstance(native, list) else [native])]
    except UNREADABLE as error:
        try:
            return lenient_replies.read(data, native=protocol == "template")
        except UNREADABLE:
            raise error from None


def _from_openai(choice: _Choice, usage: _Usage | None) -> Choice:
    message, text, reasoning = choice.message, choice.text, ""
    calls: tuple[dict[str, Any], ...] = ()
    if message:
        text, reasoning = message.content, message.reasoning_content or message.reasoning or ""
        calls = tuple(call for call in message.tool_calls or () if call.get("function"))
    if not (reasoning or calls or (text and not text.isspace())):
        raise ValueError("a choice without a text")
    stop = choice.stop_reason if isinstance(choice.stop_reason, str) else choice.matched_stop
    return Choice(
        text=text,
        word=choice.finish_reason,
        reasoning=reasoning,
        stop_string=stop if isinstance(stop, str) else "",
        token_ids=choice.token_ids,
        calls_tool=bool(calls),
        calls=calls,
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        index=choice.index,
    )


def _from_native(reply: _NativeReply) -> Choice:
    return Choice(
        text=reply.content,
        word=reply.stop_type,
        stop_string=reply.stopping_word,
        token_ids=reply.tokens,
        prompt_tokens=reply.tokens_evaluated,
        completion_tokens=reply.tokens_predicted,
    )


def _completion(
    protocol: str, choice: Choice, seconds: float, request: Generate | None
) -> Completion:
    """A choice as a completion. Raises BadReply for one that failed or is empty, or EngineFault."""
    most = request.max_tokens + request.thinking_tokens if request else None
    sampled = choice.completion_tokens
    if most is not None and sampled is not None and sampled > most:
        sampled = None
    ending = _ending(choice, hit_limit=sampled is not None and sampled == most)
    if choice.error or ending == "failed":
        reason = f"finish reason '{one_line(choice.word, 80)}' {choice.error}".strip()
        raise BadReply(f"the server has given the completion up: {reason}")
    stop_string = choice.stop_string
    if request and stop_string not in request.stop:
        stop_string = ""
    text, ids = choice.text or "", choice.token_ids or None
    if choice.calls and protocol == "chat" and request and request.prompt.offers_tools:
        text, ids = native_calls.as_text(text, choice.calls), None
        ending = "stop" if ending == "tool-call" else ending
    if choice.reasoning and protocol == "chat":
        text, ids = _with_reasoning(choice.reasoning, text), None
    elif choice.reasoning and (protocol == "continue" or not text.strip()):
        raise EngineFault("bad-reply", _NO_REASONING)
    elif ending == "stop" and not text.strip() and not _at_once(protocol, choice, stop_string):
        raise EmptyReply(f"a completion without a text (finish reason '{choice.word}')")
    if not sampled and ids is not None:
        sampled = len(ids)
    return Completion(
        text=text,
        stop_reason=ending,
        stop_string=stop_string or None,
        prompt_tokens=choice.prompt_tokens or None,
        completion_tokens=sampled or None,
        token_ids=ids,
        seconds=seconds,
    )


def _ending(choice: Choice, *, hit_limit: bool) -> Ending:
    """How a completion ended; it is finished where its finish reason does not tell.

    `hit_limit` tells that as many tokens were sampled as were requested.
    """
    ending = meaning(choice.word)
    if choice.refused:
        return "filtered"
    if choice.calls_tool and not (choice.text or "").strip() and ending != "filtered":
        return "tool-call"
    if ending is None and hit_limit:
        return "length"
    return ending or "stop"


def _at_once(protocol: str, choice: Choice, stop_string: str) -> bool:
    """True if an empty text is what was sampled: its first token ended the turn or was a stop.

    That happens to a turn which is continued, so there an empty text is a fault only if the server
    has counted no token. A new turn must show by its few tokens that it ended.
    """
    if choice.text is None:
        return False
    if stop_string or choice.token_ids:
        return True
    if protocol == "chat":
        return 0 < (choice.completion_tokens or 0) <= _TOKENS_OF_AN_END
    # Where all counts are 0, nobody has counted.
    return choice.completion_tokens != 0 or not choice.prompt_tokens


def _with_reasoning(reasoning: str, text: str) -> str:
    """A text after the reasoning that the server has taken out of it.

    Where no text follows, the thought is still open: a limit or a stop string ended it.
    """
    thought = reasoning.strip("\n").removeprefix("<think>").removesuffix("</think>").strip("\n")
    before, tag, _ = text.partition("</think>")
    if text.lstrip().startswith("<think>") or (tag and thought in before):
        return text  # the server has left it in
    return f"<think>\n{thought}" + (f"\n</think>\n\n{text}" if text.strip() else "")
