"""The request and reply bodies of model servers, without I/O.

A *protocol* is the form in which a prompt reaches a model (recorded in `EngineSpec.protocol`):

- `continue`: chat completions with the assistant's turn so far as a trailing assistant message
  that the server continues (vLLM, SGLang).
- `template`: llama.cpp renders the opening once with the model's chat template, the turn is
  appended piece by piece (see `prompt_pieces`), and the native completion endpoint continues it.
  Sampled text goes back as the sampled token ids, and the prefix stays cached.
- `chat`: for hosted APIs that cannot continue a turn. Model text becomes assistant messages and
  environment text user messages; the prefill is dropped.
- `completions`: for base models. The opening's contents and the turn, joined by blank lines.
"""

from typing import Any, Literal

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UNREADABLE, EngineFault
from autocoa_bench.types import Completion, Generate, Message, Prompt, Sampling
from autocoa_bench.util.http_client import BadReply, excerpt

Protocol = Literal["continue", "template", "chat", "completions"]

Server = Literal["llama.cpp", "vllm", "sglang", "other"]
"""The server software, as far as it determines the fields of a request."""

PATHS: dict[Protocol, str] = {
    "continue": "/chat/completions",
    "chat": "/chat/completions",
    "completions": "/completions",
    "template": "/completion",
}
"""Relative to the base URL; for `template`, to the server's root."""

_ROLES: dict[str, Literal["assistant", "user"]] = {"model": "assistant", "environment": "user"}

PROBE = Generate(Prompt((Message("user", "Hi"),)), stop=("###",), max_tokens=16)
"""A tiny request with every field, so that its refusal names a field that the model rejects."""


def chat_messages(prompt: Prompt) -> list[Message]:
    """A prompt as alternating messages, for servers that cannot continue a turn."""
    messages = list(prompt.opening)
    for turn in prompt.turns:
        role = _ROLES[turn.source]
        if messages[-1].role == role:
            messages[-1] = Message(role, messages[-1].content + turn.text)
        else:
            messages.append(Message(role, turn.text))
    return messages


def request_body(
    protocol: Protocol,
    server: Server,
    model: str,
    request: Generate,
    sampling: Sampling,
    n: int,
    opening_text: str = "",
    refused: frozenset[str] = frozenset(),
) -> bytes:
    """The JSON body of a generation request.

    `opening_text` is the opening rendered for `template`. The fields `refused` are left out;
    `max_tokens` is then sent as `max_completion_tokens`, its name for OpenAI's reasoning models.
    """
    prompt = request.prompt
    body: dict[str, Any] = {
        "model": model,
        "max_tokens": request.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
    }
    if request.stop:
        body["stop"] = request.stop
    if n > 1:
        body["n"] = n
    _add_sampling(body, server, sampling)
    if protocol == "chat":
        body["messages"] = chat_messages(prompt)
    elif protocol == "continue":
        body["messages"] = prompt.opening
        if prompt.continuation:
            body["messages"] += (Message("assistant", prompt.continuation),)
            body["continue_final_message"] = True
            body["add_generation_prompt"] = False
    elif protocol == "completions":
        contents = [message.content for message in prompt.opening]
        body["prompt"] = "\n\n".join([*contents, prompt.continuation])
    else:
        body["prompt"] = prompt_pieces(opening_text, prompt)
        body["return_tokens"] = True
        # By default llama.cpp repeats the prompt and all settings in a native reply.
        body["response_fields"] = _NativeReply.__struct_fields__
    if "max_tokens" in refused:
        body["max_completion_tokens"] = request.max_tokens
    return msgspec.json.encode({name: body[name] for name in body if name not in refused})


def join_prefill(opening_text: str, prefill: str) -> str:
    """A rendered opening with the prefill at its end, once even if the template adds it too."""
    written = prefill.strip()
    if written and opening_text.rstrip().endswith(written):
        opening_text = opening_text.rstrip().removesuffix(written)
    return opening_text + prefill


def prompt_pieces(opening_text: str, prompt: Prompt) -> str | list[str | int]:
    """A prompt for llama.cpp, cut into pieces exactly as training cuts a trajectory.

    The opening with the prefill is one text, each stretch of environment text another; each is
    tokenised on its own, and between them stand the ids of the model's turns. Every model turn must
    have ids, because llama.cpp reads an array of texts alone as several prompts.
    """
    pieces: list[str | int] = []
    text = join_prefill(opening_text, prompt.prefill)
    for turn in prompt.turns:
        if turn.source == "environment":
            text += turn.text
            continue
        assert turn.token_ids is not None, "a model's turn is sent as ids"
        pieces += [text, *turn.token_ids] if text else turn.token_ids
        text = ""
    if not pieces:
        return text
    return [*pieces, text] if text else pieces


def _add_sampling(body: dict[str, Any], server: Server, sampling: Sampling) -> None:
    """Add the repetition penalty under the server's name, and switch off the server's defaults.

    By default llama.cpp samples with top-k 40 and min-p 0.05, and vLLM and SGLang take top-k and
    the repetition penalty from the model's generation_config.json.
    """
    penalty = sampling.repetition_penalty
    if server == "llama.cpp":
        body["top_k"] = 0
        body["min_p"] = 0.0
        if penalty != 1.0:
            body["repeat_penalty"] = penalty
            body["repeat_last_n"] = -1
    elif server in ("vllm", "sglang"):
        body["top_k"] = -1
        body["min_p"] = 0.0
        body["repetition_penalty"] = penalty
        if server == "vllm":
            body["return_token_ids"] = True
    elif penalty != 1.0:
        body["repetition_penalty"] = penalty


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


class ModelCard(Struct):
    """An entry of a server's list of models; `parent` is the base of a LoRA adapter."""

    id: str
    owned_by: str | None = None
    parent: str | None = None
    max_model_len: int | None = None


class ModelList(Struct):
    """The reply to /models."""

    data: list[ModelCard]


_reply_decoder = msgspec.json.Decoder(_Reply)
_native_decoder = msgspec.json.Decoder(_NativeReply | list[_NativeReply])


def read_reply(protocol: Protocol, data: bytes, n: int, seconds: float) -> list[Completion]:
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


def _from_openai(protocol: Protocol, reply: _Reply, seconds: float) -> list[Completion]:
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


def _text(protocol: Protocol, choice: _Choice) -> str:
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
