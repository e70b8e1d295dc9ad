"""What the options of requests (`RequestOptions`) become at a server.

vLLM, SGLang and llama.cpp switch thinking by variables of the chat template, which a chat has in
`chat_template_kwargs`; for `template` the opening is rendered with them. Sources:
docs.vllm.ai/en/stable/features/reasoning_outputs, docs.sglang.io/docs/advanced_features,
openrouter.ai/docs/use-cases/reasoning-tokens, and the README of llama.cpp's server.
"""

from typing import Any, NamedTuple
from urllib.parse import urlsplit

from autocoa_bench.engines.openai import protocol as wire
from autocoa_bench.engines.request_options import TEMPLATE_VARIABLES, RequestOptions, merged
from autocoa_bench.errors import UserError

_OPENROUTER = "openrouter.ai"


class RequestFields(NamedTuple):
    """The fields that options add to the body of a request, and the variables of the template."""

    body: dict[str, Any]
    variables: dict[str, Any]


def request_fields(
    options: RequestOptions, protocol: wire.Protocol, server: wire.Server, root: str
) -> RequestFields:
    """The fields for a server, by its protocol, its software and its address.

    Raises UserError for an option that a request in this form cannot express.
    """
    body = merged(options.fields(), _sampling(options, server))
    own_variables = body.pop(TEMPLATE_VARIABLES, {})
    variables = options.variables()
    if protocol == "completions" and variables:
        raise UserError(
            "the protocol 'completions' has no chat template, so --thinking, --reasoning-effort "
            f"and '{TEMPLATE_VARIABLES}' in --body have no effect; leave them out, or give another "
            "--protocol"
        )
    if protocol == "template":
        return RequestFields(body, variables)
    if server == "other":
        body, variables = merged(body, _hosted(options, root)), own_variables
    elif options.reasoning_effort and server != "llama.cpp":
        body = merged(body, {"reasoning_effort": variables.pop("reasoning_effort")})
    if variables:
        body[TEMPLATE_VARIABLES] = variables
    return RequestFields(body, variables)


def _sampling(options: RequestOptions, server: wire.Server) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "top_k": options.sampling_top_k,
        "min_p": options.min_p,
        "presence_penalty": options.presence_penalty,
    }
    if server == "llama.cpp" and options.presence_penalty:
        fields["repeat_last_n"] = wire.WHOLE_TEXT
    return {name: value for name, value in fields.items() if value is not None}


def _hosted(options: RequestOptions, root: str) -> dict[str, Any]:
    """The fields of a hosted API, or of a server whose software is unknown. Raises UserError."""
    fields: dict[str, Any] = {}
    is_openrouter = urlsplit(root).hostname == _OPENROUTER
    if options.reasoning_effort:
        fields = {"reasoning_effort": options.reasoning_effort}
        if is_openrouter:
            fields = {"reasoning": {"effort": options.reasoning_effort}}
    if options.thinking and is_openrouter:
        fields.setdefault("reasoning", {})["enabled"] = options.thinking == "on"
    elif options.thinking:
        raise UserError(
            f"the server at {root} is not known to switch thinking (vLLM, SGLang, llama.cpp and "
            "OpenRouter are); give the field that it documents instead of --thinking, such as\n"
            """--body '{"chat_template_kwargs": {"enable_thinking": false}}'"""
        )
    return fields
