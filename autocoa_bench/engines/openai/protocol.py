"""The request bodies of model servers, without I/O.

A *protocol* is the form in which a prompt reaches a model (recorded in `EngineSpec.protocol`):

- `continue`: chat completions with the assistant's turn so far as a trailing assistant message
  that the server continues (vLLM, SGLang).
- `template`: llama.cpp renders the opening once with the model's chat template, the turn is
  appended piece by piece (see `engines.turns`), and the native completion endpoint continues it.
  Sampled text goes back as the sampled token ids, and the prefix stays cached.
- `chat`: for hosted APIs that cannot continue a turn. Model text becomes assistant messages and
  environment text user messages; the prefill is dropped.
- `completions`: for base models. The opening's contents and the turn, joined by blank lines.
"""

from typing import Any, Literal

import msgspec

from autocoa_bench.engines import turns
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
    "template": "/completion",
}
"""Relative to the base URL; for `template`, to the server's root."""

_ROLES: dict[str, Literal["assistant", "user"]] = {"model": "assistant", "environment": "user"}

PROBE = Generate(Prompt((Message("user", "Hi"),)), stop=("###",), max_tokens=16)
"""A tiny request with every field, so that its refusal names a field that the model rejects."""


PROBE_FIELDS = ("seed", "top_p", "stop", "temperature", "max_tokens")
"""The fields of a probe that any request can do without, the least important first."""


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
    limits: RequestLimits = NO_LIMITS,
) -> bytes:
    """The JSON body of a generation request.

    `opening_text` is the opening rendered for `template`. `limits` is what the server takes.
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
        body["prompt"] = turns.prompt_pieces(opening_text, prompt)
        body["return_tokens"] = True
        # By default llama.cpp repeats the prompt and all settings in a native reply.
        body["response_fields"] = NATIVE_FIELDS
    return msgspec.json.encode(limits.body(body))


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
