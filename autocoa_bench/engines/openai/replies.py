"""Reading of the replies of model servers, without I/O."""

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UNREADABLE, EngineFault
from autocoa_bench.types import Completion
from autocoa_bench.util.http_client import BadReply, excerpt


class _Message(Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(Struct):
    index: int = 0
    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None
    token_ids: tuple[int, ...] | None = None


class _Usage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Reply(Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


class _NativeReply(Struct):
    content: str
    tokens: tuple[int, ...] | None = None
    stop_type: str = ""
    stopping_word: str = ""
    tokens_evaluated: int | None = None
    tokens_predicted: int | None = None


NATIVE_FIELDS = _NativeReply.__struct_fields__
"""The fields of llama.cpp's native reply that are read."""

_reply_decoder = msgspec.json.Decoder(_Reply)
_native_decoder = msgspec.json.Decoder(_NativeReply | list[_NativeReply])


def read_reply(protocol: str, data: bytes, n: int, seconds: float) -> list[Completion]:
    """The completions in a reply's body. Raises BadReply, or EngineFault if no retry can help."""
    try:
        if protocol == "template":
            reply = _native_decoder.decode(data)
            replies = reply if isinstance(reply, list) else [reply]
            completions = [
                Completion(
                    text=native.content,
                    stop_reason="length" if native.stop_type == "limit" else "stop",
                    stop_string=native.stopping_word or None,
                    prompt_tokens=native.tokens_evaluated,
                    completion_tokens=native.tokens_predicted,
                    token_ids=native.tokens,
                    seconds=seconds,
                )
                for native in replies
            ]
        else:
            completions = _from_openai(protocol, _reply_decoder.decode(data), seconds)
    except UNREADABLE as error:
        raise BadReply(f"not the reply of a model server ({error}): {excerpt(data)}") from None
    if len(completions) != n:
        raise BadReply(f"{len(completions)} completions where {n} were requested: {excerpt(data)}")
    return completions


def _from_openai(protocol: str, reply: _Reply, seconds: float) -> list[Completion]:
    if bytes(reply.error) != b"null":
        raise BadReply(f"an error instead of a completion: {excerpt(bytes(reply.error))}")
    choices = sorted(reply.choices or [], key=lambda choice: choice.index)
    usage = reply.usage or _Usage()
    # The completion tokens of `usage` are the sum over all choices, unknown for one of several.
    sampled = usage.completion_tokens if len(choices) == 1 else None
    return [
        Completion(
            text=_text(protocol, choice),
            stop_reason=choice.finish_reason or "stop",
            stop_string=choice.stop_reason if isinstance(choice.stop_reason, str) else None,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=len(choice.token_ids)
            if sampled is None and choice.token_ids is not None
            else sampled,
            token_ids=choice.token_ids,
            seconds=seconds,
        )
        for choice in choices
    ]


def _text(protocol: str, choice: _Choice) -> str:
    """A choice's text; in `chat`, reasoning from a separate field is put back before it."""
    message = choice.message
    if message is None:
        if choice.text is None:
            raise BadReply("a choice without text")
        return choice.text
    reasoning = message.reasoning_content or message.reasoning
    if not reasoning:
        return message.content or ""
    if protocol == "continue":
        raise EngineFault(
            "bad-reply",
            "the server removes the model's reasoning from its turn, which then cannot be "
            "continued: start it without a reasoning parser, or use the protocol 'chat'",
        )
    return f"<think>\n{reasoning}\n</think>\n\n{message.content or ''}"
