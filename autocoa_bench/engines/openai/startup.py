"""The start of a run at a server: what the server is, and the requests that it needs."""

import asyncio
import sys
from contextlib import suppress
from typing import Literal

import msgspec
from msgspec.structs import replace

from autocoa_bench.engines.openai import model_list, probes
from autocoa_bench.engines.openai import protocol as wire
from autocoa_bench.engines.openai.endpoint import TRIALS, Endpoint, RefusedOption
from autocoa_bench.engines.openai.model_list import ModelCard
from autocoa_bench.engines.openai.request_fields import request_fields
from autocoa_bench.engines.openai.server_tokenizers import (
    LlamaCppTokenizer,
    LocalTokenizer,
    SGLangTokenizer,
    VLLMTokenizer,
)
from autocoa_bench.engines.openai.turn_tokenizer import PROBE_OPENING, UNUSABLE, TurnTokenizer
from autocoa_bench.engines.request_options import no_switch, other_variables
from autocoa_bench.errors import UNREADABLE, EngineFault, UserError
from autocoa_bench.types import ModelTraits
from autocoa_bench.util.http_client import (
    NO_SUCH_PATH,
    PROBE_TIMEOUT,
    StatusError,
)
from autocoa_bench.util.text import one_line

_OWNERS: dict[str, wire.Server] = {"llamacpp": "llama.cpp", "vllm": "vllm", "sglang": "sglang"}


async def prepare(
    endpoint: Endpoint,
    protocol: wire.Protocol | Literal["auto"],
    tokenizer_name: str,
    tools: bool,
) -> None:
    """Identify the server, and set the endpoint up for it. Raises UserError.

    `tools` is that of `EngineConfig`.
    """
    endpoint.cards = await _list_models(endpoint)
    if not endpoint.model and endpoint.cards:
        raise model_list.wrong_name(endpoint.root, endpoint.model, endpoint.cards)
    endpoint.form = replace(endpoint.form, server=await _identify(endpoint))
    if endpoint.is_unlisted:
        await _try_unlisted_name(endpoint)
    await _choose_protocol(endpoint, protocol, tokenizer_name)
    if tools and endpoint.tokenizer:
        learned = await endpoint.tokenizer.tool_turns()
        endpoint.traits = replace(endpoint.traits, tool_turns=learned)
    if endpoint.form.server == "other":
        await _find_limits(endpoint)
    elif endpoint.form.protocol in ("chat", "continue"):
        for tokenizer in await _tokenizers(endpoint, ""):
            await _check_template(endpoint, tokenizer)
    if endpoint.form.protocol == "chat":
        with suppress(StatusError, EngineFault):  # such as a question that is too long
            quotes = await probes.drops_thoughts(endpoint.complete, continued=False)
            endpoint.form = replace(endpoint.form, quotes=quotes)
    endpoint.first_limits = endpoint.limits


async def _list_models(endpoint: Endpoint) -> list[ModelCard]:
    """The models that the server lists; none if it has no list. Raises UserError.

    Only a server that cannot be reached is an error: a refusal of the list says nothing of a
    request for completions.
    """
    url = f"{endpoint.base_url}/models"
    try:
        data = await endpoint.http.retry(
            lambda: endpoint.send("GET", url, timeout=PROBE_TIMEOUT), TRIALS
        )
    except (StatusError, UserError):
        return []
    except EngineFault as fault:
        if fault.kind != "connection":
            return []
        raise UserError(
            f"no model server at {endpoint.root}: {fault}; start one or check --base-url"
        ) from None
    return model_list.read(data)


async def _identify(endpoint: Endpoint) -> wire.Server:
    """The server software, by the owner in its list of models, else by its endpoints."""
    card = model_list.find(endpoint.model, endpoint.cards)
    owners = {card.owned_by} if card else {card.owned_by for card in endpoint.cards}
    if len(owners) == 1 and (owner := owners.pop()) in _OWNERS:
        return _OWNERS[owner]
    if await _has_path(endpoint, "/props", "default_generation_settings"):
        return "llama.cpp"
    if await _has_path(endpoint, "/version", "version"):
        return "vllm"
    return "other"


async def _has_path(endpoint: Endpoint, path: str, field: str) -> bool:
    try:
        url = endpoint.root + path
        data = await endpoint.http.retry(
            lambda: endpoint.http.send("GET", url, timeout=PROBE_TIMEOUT), retries=1
        )
        content = msgspec.json.decode(data)
    except (StatusError, EngineFault, UserError, *UNREADABLE):
        return False
    return isinstance(content, dict) and field in content


async def _try_unlisted_name(endpoint: Endpoint) -> None:
    """Ask for a model that the server does not list. Raises UserError if it does not answer."""
    try:
        await endpoint.http.retry(lambda: endpoint.probe(None))
    except (StatusError, EngineFault) as error:
        problem = model_list.wrong_name(endpoint.root, endpoint.model, endpoint.cards)
        raise UserError(f"{problem}: {error}") from None
    print(
        f"warning: {endpoint.root} does not list the model '{endpoint.model}', but answers to the "
        "name; it may be another model",
        file=sys.stderr,
    )


async def _choose_protocol(
    endpoint: Endpoint, protocol: wire.Protocol | Literal["auto"], tokenizer_name: str
) -> None:
    """Find a protocol that gives the model its own turn unchanged. Raises UserError."""
    if protocol in ("chat", "completions"):
        _use(endpoint, protocol)
        return
    problem = "the server has no endpoint to tokenise prompts; name a tokenizer (--tokenizer)"
    if protocol in ("auto", "template"):
        _use(endpoint, "template")
        for tokenizer in await _tokenizers(endpoint, tokenizer_name):
            try:
                await tokenizer.start()
                await probes.check(tokenizer, endpoint.complete)
            except RefusedOption:
                raise
            except UNUSABLE as error:
                problem = str(error)
                continue
            await _check_template(endpoint, tokenizer)
            endpoint.tokenizer, endpoint.traits = tokenizer, tokenizer.traits
            return
    unusable = problem
    if protocol == "continue" or (protocol == "auto" and endpoint.form.server != "other"):
        _use(endpoint, "continue")
        try:
            if not await probes.drops_thoughts(endpoint.complete, continued=True):
                if protocol == "auto":
                    _warn(endpoint, unusable)
                return
            problem = "its chat template drops the thoughts of a turn that is to be continued"
        except RefusedOption:
            raise
        except UNUSABLE as error:
            problem = str(error)
    if protocol != "auto":
        raise UserError(
            f"{endpoint.root} cannot be used with the protocol '{protocol}': {problem[:200]}; "
            "leave out --protocol, or give --protocol chat"
        )
    _use(endpoint, "chat")
    if endpoint.form.server != "other" or tokenizer_name:
        _warn(endpoint, unusable)


def _warn(endpoint: Endpoint, problem: str) -> None:
    """Say that a server is driven by another protocol than its own."""
    print(
        f"warning: prompts cannot be sent to {endpoint.root} token by token "
        f"({one_line(problem, 200)}); the run uses the protocol '{endpoint.form.protocol}'",
        file=sys.stderr,
    )


def _use(endpoint: Endpoint, protocol: wire.Protocol) -> None:
    """Set the protocol. Raises UserError for an option that it cannot express."""
    fields = request_fields(endpoint.options, protocol, endpoint.form.server, endpoint.root)
    endpoint.form = replace(endpoint.form, protocol=protocol, added=fields.body)
    endpoint.variables = fields.variables
    endpoint.traits = ModelTraits(new_turns=protocol == "chat")


async def _tokenizers(endpoint: Endpoint, name: str) -> list[TurnTokenizer]:
    """The tokenizers to try, the best first. Raises UserError for one that does not load."""
    variables = endpoint.variables
    if name:
        from autocoa_bench.engines.weights import huggingface

        tokenizer = await asyncio.to_thread(huggingface.load_tokenizer, name)
        return [LocalTokenizer(tokenizer, variables)]
    if endpoint.form.server == "llama.cpp":
        return [LlamaCppTokenizer(endpoint.call, variables)]
    if endpoint.form.server == "vllm":
        return [VLLMTokenizer(endpoint.call, endpoint.model, variables)]
    if endpoint.form.server == "sglang":
        return [SGLangTokenizer(endpoint.call, endpoint.model, variables)]
    return []


async def _check_template(endpoint: Endpoint, tokenizer: TurnTokenizer) -> None:
    """Raise UserError for an option that the model's chat template does not honour.

    A server without an endpoint that renders messages is believed.
    """
    messages = [{"role": message.role, "content": message.content} for message in PROBE_OPENING]
    for flag, other in other_variables(endpoint.options, tokenizer.variables):
        try:
            rendering = await tokenizer.render(messages, tokenizer.variables)
            is_same = rendering == await tokenizer.render(messages, other)
        except UNUSABLE:  # also of a template that refuses the other value, and so reads it
            continue
        if is_same:
            raise no_switch(flag, endpoint.model)


async def _find_limits(endpoint: Endpoint) -> None:
    """Find what a hosted model does not take of a request. Raises UserError."""
    try:
        await endpoint.http.retry(lambda: endpoint.probe(None))
    except StatusError as error:
        if error.status in NO_SUCH_PATH:
            raise endpoint.rejection(error, endpoint.url) from None
        await _find_limits_by_trial(endpoint, error)
    except EngineFault as fault:
        raise UserError(
            f"{endpoint.root} answers no request for a completion: {fault}; check --base-url and "
            "--model"
        ) from None


async def _find_limits_by_trial(endpoint: Endpoint, refusal: StatusError) -> None:
    """Find the field without which a probe is answered, where its refusal does not name it.

    If there is none, the refusal may concern the probe alone (such as its short answer), so
    that the run's own requests decide. Raises RefusedOption if it concerns the options of requests.
    """
    limits = endpoint.limits
    for fields in (*({field} for field in wire.PROBE_FIELDS), set(wire.PROBE_FIELDS)):
        endpoint.limits = replace(limits, refused=limits.refused | fields)
        with suppress(StatusError, EngineFault):
            await endpoint.http.retry(lambda: endpoint.probe(None))
            return
    endpoint.limits = limits
    added = endpoint.form.added
    if added:
        endpoint.form = replace(endpoint.form, added={})
        with suppress(StatusError, EngineFault):
            await endpoint.http.retry(lambda: endpoint.probe(None))
            raise RefusedOption(endpoint.root, added, str(refusal))
        endpoint.form = replace(endpoint.form, added=added)
