"""Options of requests: how they reach each kind of server, and where they are refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from autocoa_bench import registry
from autocoa_bench.engines import EngineConfig, RequestOptions, open_engine
from autocoa_bench.engines.openai import protocol as wire
from autocoa_bench.engines.openai.request_fields import request_fields
from autocoa_bench.engines.scripted import ScriptedEngine
from autocoa_bench.errors import UserError
from autocoa_bench.types import EngineSpec, Generate, Message, Prompt, Sampling
from autocoa_bench.util.http_client import StatusError
from support.templates import chatml
from support.tiny_llm import make_tokenizer
from support.token_server import Body, Kind, TokenServer

SWITCH = chatml(
    head="<|im_start|>assistant\n{% if enable_thinking is defined and enable_thinking is false %}"
    "<think>\n\n</think>\n\n{% endif %}"
)
"""Qwen3's way to switch thinking off."""
EFFORT = chatml(start="Reasoning: {{ reasoning_effort or 'medium' }}\n")
"""The way of gpt-oss."""

QUESTION = Generate(Prompt((Message("user", "Who built the tower?"),)), ("###",), 64)
THINKING = {"enable_thinking": False, "thinking": False}
LOCAL = "http://127.0.0.1:1"


class Listener(TokenServer):
    """A server that keeps the bodies of requests for completions, probes aside."""

    def __init__(self, template: str, kind: Kind = "vllm") -> None:
        tokenizer: Any = make_tokenizer()
        tokenizer.chat_template = template
        super().__init__(tokenizer, lambda prompt: "ok", kind)
        self.bodies: list[Body] = []

    def answer(self, path: str, body: Body) -> Any:
        if body.get("max_tokens", 1) > 1:
            self.bodies.append(body)
        return super().answer(path, body)


def asked(server: Listener, options: RequestOptions, **more: Any) -> tuple[EngineSpec, Body]:
    """The spec of an engine at the server, and the body of its request for the question."""

    async def run() -> EngineSpec:
        engine = server.engine(request=options, **more)
        try:
            spec = await engine.start()
            server.bodies.clear()
            server.received.clear()
            await engine.generate(QUESTION, Sampling())
            return spec
        finally:
            await engine.close()

    spec = asyncio.run(run())
    [body] = server.bodies
    return spec, body


def test_the_body_is_the_same_text_in_any_order_and_spacing() -> None:
    one = RequestOptions(body='{"b": [1], "a": {"d": 1, "c": 2}}')
    assert one == RequestOptions(body='{"a":{"c":2,"d":1},"b":[1]}')
    assert one.body == '{"a":{"c":2,"d":1},"b":[1]}'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "--body is not JSON"),
        ("[1]", "--body is not a JSON object"),
        ('{"chat_template_kwargs": 1}', "'chat_template_kwargs' in --body is not a JSON object"),
        ('{"temperature": 1}', "which has an option of its own: --temperature"),
        ('{"max_tokens": 1}', "which has an option of its own: --step-tokens"),
        ('{"top_k": 1}', "which has an option of its own: --sampling-top-k"),
        ('{"messages": []}', "which autocoa-bench sets itself"),
        ('{"stream": true}', "which autocoa-bench sets itself"),
        ('{"extra": [{"api_key": "x"}]}', "'api_key', which looks like a secret"),
    ],
)
def test_a_body_that_cannot_be_added_is_refused(body: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        RequestOptions(body=body)
    assert message in str(raised.value)


@pytest.mark.parametrize("kind", ["vllm", "sglang", "llamacpp", "old sglang"])
def test_thinking_is_switched_by_the_chat_template(kind: Kind) -> None:
    server = Listener(SWITCH, kind)
    spec, _ = asked(server, RequestOptions(thinking="off"))
    [(prompt, _)] = server.received
    assert spec.protocol == "template"
    assert spec.settings["thinking"] == "off"
    assert prompt.endswith("assistant\n<think>\n\n</think>\n\n")
    server = Listener(SWITCH, kind)
    asked(server, RequestOptions(thinking="on"))
    assert "<think>" not in server.received[0][0]


@pytest.mark.parametrize("protocol", ["chat", "continue"])
def test_a_chat_carries_the_variables_of_the_template(protocol: str) -> None:
    server = Listener(SWITCH)
    _, body = asked(server, RequestOptions(thinking="off"), protocol=protocol)
    assert body["chat_template_kwargs"] == THINKING
    assert server.received[0][0].endswith("</think>\n\n")


def test_a_tokenizer_in_this_process_renders_the_variables(tmp_path: Path) -> None:
    server = Listener(SWITCH, "chat")
    server.tokenizer.save_pretrained(tmp_path)
    spec, _ = asked(server, RequestOptions(thinking="off"), tokenizer=str(tmp_path))
    assert spec.protocol == "template"
    assert server.received[0][0].endswith("assistant\n<think>\n\n</think>\n\n")


@pytest.mark.parametrize("template", [SWITCH, EFFORT])
def test_variables_in_the_body_render_the_opening(template: str) -> None:
    server = Listener(template, "llamacpp")
    variables = {"enable_thinking": False, "reasoning_effort": "a lot"}
    body = msgspec.json.encode({"chat_template_kwargs": variables, "grammar": "x"}).decode()
    _, sent = asked(server, RequestOptions(body=body))
    [(prompt, _)] = server.received
    assert prompt.endswith("</think>\n\n") or "Reasoning: a lot" in prompt
    assert sent["grammar"] == "x"
    assert "chat_template_kwargs" not in sent


@pytest.mark.parametrize("kind", ["vllm", "sglang", "llamacpp"])
@pytest.mark.parametrize("protocol", ["template", "chat"])
def test_thinking_is_refused_where_the_template_has_no_switch(kind: Kind, protocol: str) -> None:
    with pytest.raises(UserError, match=r"--thinking has no effect on 'm'"):
        asked(Listener(EFFORT, kind), RequestOptions(thinking="on"), protocol=protocol)


def test_the_effort_is_a_variable_of_the_template_or_a_field_of_a_chat() -> None:
    server = Listener(EFFORT)
    asked(server, RequestOptions(reasoning_effort="low"))
    assert "Reasoning: low" in server.received[0][0]
    _, body = asked(Listener(EFFORT), RequestOptions(reasoning_effort="low"), protocol="chat")
    assert body["reasoning_effort"] == "low"
    with pytest.raises(UserError, match=r"--reasoning-effort has no effect on 'm'"):
        asked(Listener(SWITCH), RequestOptions(reasoning_effort="low"))


@pytest.mark.parametrize("option", [{"thinking": "on"}, {"reasoning_effort": "low"}])
def test_a_base_model_has_no_template_to_switch(option: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="'completions' has no chat template"):
        asked(Listener(SWITCH), RequestOptions(**option), protocol="completions")


def test_an_unknown_server_is_not_said_to_switch_thinking() -> None:
    with pytest.raises(UserError, match="is not known to switch thinking") as raised:
        asked(Listener(SWITCH, "chat"), RequestOptions(thinking="off"))
    assert "--body" in str(raised.value)


def test_an_unknown_server_gets_the_effort_and_the_body_as_they_are() -> None:
    options = RequestOptions(reasoning_effort="high", body='{"chat_template_kwargs": {"a": 1}}')
    _, body = asked(Listener(SWITCH, "chat"), options)
    assert (body["reasoning_effort"], body["chat_template_kwargs"]) == ("high", {"a": 1})


def test_openrouter_has_an_object_of_its_own() -> None:
    options = RequestOptions(
        thinking="on", reasoning_effort="high", body='{"reasoning": {"exclude": true}}'
    )
    fields, _ = request_fields(options, "chat", "other", "https://openrouter.ai/api")
    assert fields == {"reasoning": {"effort": "high", "enabled": True, "exclude": True}}


def test_two_values_of_one_field_are_refused() -> None:
    options = RequestOptions(reasoning_effort="high", body='{"reasoning_effort": "low"}')
    with pytest.raises(UserError, match="--body sets 'reasoning_effort', and so does"):
        request_fields(options, "chat", "other", LOCAL)


@pytest.mark.parametrize("server", get_args(wire.Server))
def test_sampling_options_replace_the_values_that_switch_them_off(server: wire.Server) -> None:
    options = RequestOptions(sampling_top_k=20, min_p=0.1, presence_penalty=1.5)
    added = request_fields(options, "chat", server, LOCAL).body
    form = wire.RequestForm("chat", server, "m", added=added)
    body = msgspec.json.decode(wire.request_body(form, QUESTION, Sampling()))
    assert (body["top_k"], body["min_p"], body["presence_penalty"]) == (20, 0.1, 1.5)
    assert body.get("repeat_last_n") == (1 << 17 if server == "llama.cpp" else None)


def test_without_options_requests_are_as_before() -> None:
    spec, body = asked(Listener(SWITCH), RequestOptions())
    assert spec.settings == {}
    assert not {"chat_template_kwargs", "reasoning_effort", "presence_penalty"} & body.keys()


@pytest.mark.parametrize(
    ("kind", "refusal"),
    [
        ("chat", "Unknown parameter: 'min_p'."),
        ("chat", "Bad request."),
        ("vllm", "Unknown parameter: 'min_p'."),
    ],
)
def test_a_server_that_refuses_an_option_ends_the_start(kind: Kind, refusal: str) -> None:
    class Strict(Listener):
        def answer(self, path: str, body: Body) -> Any:
            if body.get("min_p"):
                raise StatusError(400, refusal, refusal)
            return super().answer(path, body)

    with pytest.raises(UserError, match="does not take min_p, which"):
        asked(Strict(SWITCH, kind), RequestOptions(min_p=0.5))


@pytest.mark.parametrize(
    ("engine", "options", "flags"),
    [
        ("transformers", {"body": '{"a": 1}'}, "--body"),
        ("transformers", {"headers": "file"}, "--headers"),
        ("embedded", {"headers": "file"}, "--headers"),
        ("vllm", {"headers": "file"}, "--headers"),
    ],
)
def test_an_engine_refuses_an_option_that_it_does_not_honour(
    engine: str, options: dict[str, Any], flags: str
) -> None:
    config = EngineConfig("m", "", "auto", 1, 1024, request=RequestOptions(**options))
    with pytest.raises(UserError, match=f"'{engine}' does not take {flags} "):
        open_engine(engine, config)


def test_an_engine_that_declares_nothing_takes_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "load", lambda kind, name: ScriptedEngine)
    config = EngineConfig("m", "", "auto", 1, 1024, request=RequestOptions(min_p=0.1))
    with pytest.raises(UserError, match=r"does not take --min-p \(it takes no option of requests"):
        open_engine("silent", config)
