"""The request bodies of model servers, without I/O.

A *protocol* is the form in which a prompt reaches a model (recorded in `EngineSpec.protocol`):

- `template`: the opening is rendered once with the model's chat template, by the server or by a
  tokenizer in this process, and the turn is appended to it piece by piece (see `engines.turns` and
  `openai.turn_tokenizer`). The completions endpoint continues it. Sampled text goes back as the
  sampled token ids, and the prefix stays cached.
- `continue`: chat completions with the assistant's turn so far as a trailing assistant message
  that the server continues. The chat template renders it, and must not change it.
- `chat`: for hosted APIs that cannot continue a turn. Model text becomes assistant messages and
  environment text user messages; the prefill is dropped. Where the server's template drops thoughts
  from assistant messages, the turn so far is quoted at the end of the last user message instead.
  Tools go into `tools`, and calls and their results into messages of their own (`native_calls`).
- `completions`: for base models. The opening's contents and the turn, joined by blank lines.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from autocoa_bench.engines import tool_turns
from autocoa_bench.engines.openai import native_calls
from autocoa_bench.engines.openai.replies import NATIVE_FIELDS
from autocoa_bench.engines.openai.request_limits import NO_LIMITS, RequestLimits
from autocoa_bench.types import Generate, Message, Prompt, Sampling

Protocol = Literal["continue", "template", "chat", "completions"]

Server = Literal["llama.cpp", "vllm", "sglang", "other"]
"""The server software, as far as it determines the fields of a request."""

PATHS: dict[Protocol, str] = {
    "continue": "/chat/completions",
    "chat": "/chat/completions",
    "completions": "/completions",
    "template": "/completions",
}
"""Relative to the base URL."""

NATIVE_PATH = "/completion"
"""The path of `template` on llama.cpp, relative to the server's root."""

WHOLE_TEXT = 1 << 17
"""Tokens that llama.cpp's penalties look back at, of which it keeps a list; by default 64. It has
given up -1 for all."""

_ROLES: dict[str, Literal["assistant", "user"]] = {"model": "assistant", "environment": "user"}

PROBE = Generate(Prompt((Message("user", "Hi"),)), stop=("###",), max_tokens=16)
"""A tiny request with every field, so that its refusal names a field that the model rejects."""

PROBE_FIELDS = ("seed", "top_p", "stop", "temperature", "max_tokens")
"""The fields of a probe that any request can do without, the least important first."""

QUOTED = "\n\nThis is your reply so far; continue it from where it ends:\n\n"
"""The text before a turn that is quoted in a user message."""


def chat_messages(prompt: Prompt, *, quotes: bool = False) -> list[Message]:
    """A prompt as alternating messages, for servers that cannot continue a turn.

    With `quotes`, the turn so far is quoted in the last user message.
    """
    messages = plain_messages(prompt.opening)
    text = "".join(turn.text for turn in prompt.turns)
    if quotes and text:
        last = messages.pop().content if messages[-1].role == "user" else ""
        return [*messages, Message("user", f"{last}{QUOTED}{text}")]
    for turn in prompt.turns:
        role = _ROLES[turn.source]
        if messages[-1].role == role:
            messages[-1] = Message(role, messages[-1].content + turn.text)
        else:
            messages.append(Message(role, turn.text))
    return messages


def plain_messages(opening: Sequence[Message]) -> list[Message]:
    """The messages of an opening; tools that it offers are described in the first."""
    tools, messages = tool_turns.split(opening)
    return tool_turns.described(tools, messages) if tools else list(messages)


class RequestForm(Struct, frozen=True):
    """How a server takes requests: its software, the protocol, the name of its model.

    `quotes` is that of `chat_messages`. `added` are the fields that the options of requests add to
    the body (`openai.request_fields`).
    """

    protocol: Protocol
    server: Server
    model: str
    quotes: bool = False
    added: dict[str, Any] = {}

    def calls_tools(self, request: Generate) -> bool:
        """True if the server offers the tools of a request itself, and reads the calls."""
        return self.protocol == "chat" and request.prompt.offers_tools

    @property
    def is_native(self) -> bool:
        """True for llama.cpp's own endpoint."""
        return self.protocol == "template" and self.server == "llama.cpp"

    @property
    def reply_form(self) -> Protocol:
        """The protocol whose replies look like those of this form."""
        has_own_form = self.protocol != "template" or self.is_native
        return self.protocol if has_own_form else "completions"


def request_body(
    form: RequestForm,
    request: Generate,
    sampling: Sampling,
    n: int = 1,
    prompt: msgspec.Raw | None = None,
    specials: Sequence[str] = (),
    limits: RequestLimits = NO_LIMITS,
) -> bytes:
    """The JSON body of a generation request.

    `prompt` is the prompt for `template`, `specials` are the model's special tokens, and `limits`
    is what the server takes.
    """
    body: dict[str, Any] = {
        "model": form.model,
        "max_tokens": request.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": sampling.seed,
    }
    stop = request.stop
    if form.protocol == "chat" and request.thinking_tokens:
        # The model thinks first, and the stop strings of an answer would cut its thought.
        body["max_tokens"] += request.thinking_tokens
        stop = ()
    if form.calls_tools(request):
        stop = ()  # the server ends a message with calls
    if stop:
        body["stop"] = stop
    if n > 1:
        body["n"] = n
    _add_sampling(body, form.server, sampling)
    if form.server in ("vllm", "sglang"):
        body["skip_special_tokens"] = False
        body["return_token_ids"] = True
    if form.calls_tools(request):
        body |= native_calls.request_fields(request)
    else:
        _add_prompt(body, form, request.prompt, prompt)
    if form.is_native:
        body["return_tokens"] = True
        # By default llama.cpp repeats the prompt and all settings in a native reply.
        body["response_fields"] = NATIVE_FIELDS
        # It hides special tokens, and does not find them as stop strings, unless they are named.
        if preserved := [text for text in request.stop if text in specials]:
            body["preserved_tokens"] = preserved
    # The options replace the values that switch the server's own defaults off.
    return msgspec.json.encode(limits.body({**body, **form.added}))


def _add_prompt(
    body: dict[str, Any], form: RequestForm, prompt: Prompt, rendered: msgspec.Raw | None
) -> None:
    if form.protocol == "template":
        body["prompt"] = rendered
        if form.server == "vllm":
            body["spaces_between_special_tokens"] = False
            body["add_special_tokens"] = False  # where the prompt is text
    elif form.protocol == "chat":
        body["messages"] = chat_messages(prompt, quotes=form.quotes)
    elif form.protocol == "completions":
        contents = [message.content for message in plain_messages(prompt.opening)]
        body["prompt"] = "\n\n".join([*contents, prompt.continuation])
    else:
        body["messages"] = plain_messages(prompt.opening)
        if prompt.continuation:
            body["messages"].append(Message("assistant", prompt.continuation))
            body["continue_final_message"] = True
            body["add_generation_prompt"] = False


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
            body["repeat_last_n"] = WHOLE_TEXT
    elif server in ("vllm", "sglang"):
        body["top_k"] = -1
        body["min_p"] = 0.0
        body["repetition_penalty"] = penalty
    elif penalty != 1.0:
        body["repetition_penalty"] = penalty
