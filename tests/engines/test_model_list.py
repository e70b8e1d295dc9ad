"""Lists of models in many shapes, which advise and never decide."""

import asyncio
import json
from typing import Any

import pytest

from autocoa_bench.engines.openai import model_list
from autocoa_bench.engines.openai.client import OpenAIEngine
from autocoa_bench.engines.openai.model_list import ModelCard
from autocoa_bench.errors import UserError
from autocoa_bench.types import EngineSpec, Generate, Message, Prompt, Sampling
from support.mock_server import MockServer, is_probe

LISTS: dict[str, object] = {
    "OpenAI": {"object": "list", "data": [{"id": "m", "object": "model"}, {"id": "n"}]},
    "a bare list": [{"id": "m"}, {"id": "n"}],
    "texts": ["m", "n"],
    "texts under a key": {"models": ["m", "n"]},
    "Ollama": {"models": [{"name": "m", "model": "m"}, {"name": "n"}]},
    "both keys": {"models": [], "data": [{"id": "m"}, {"id": "n"}]},
    "a list in a list": {"data": {"models": [{"id": "m"}, {"id": "n"}]}},
    "keyed by name": {"data": {"m": {"owned_by": "x"}, "n": {}}},
    "duplicates": {"data": [{"id": "m"}, {"id": "m"}, {"id": "n"}]},
    "odd fields": {"data": [{"id": "m", "owned_by": 7, "max_model_len": "?"}, {"id": "n"}, {}, 3]},
}


@pytest.mark.parametrize("reply", LISTS.values(), ids=LISTS)
def test_a_list_of_models_is_read_in_any_shape(reply: object) -> None:
    cards = model_list.read(json.dumps(reply).encode())
    assert [card.id for card in cards] == ["m", "n"]


@pytest.mark.parametrize(
    "reply", [b"<html>", b"", b"null", b"{}", b'{"data": 3}', b'{"error": "no"}', b"\xff", b'"m"']
)
def test_what_is_no_list_of_models_lists_none(reply: bytes) -> None:
    assert model_list.read(reply) == []


@pytest.mark.parametrize(
    ("listed", "model", "is_listed"),
    [
        ("models/gemini-2.5-flash", "gemini-2.5-flash", True),
        ("gemini-2.5-flash", "models/gemini-2.5-flash", True),
        ("llama3.2:latest", "llama3.2", True),
        ("Qwen/Qwen3-8B", "qwen/qwen3-8b", True),
        ("llama3.2:1b", "llama3.2", False),
        ("qwen-7b", "qwen-7", False),
    ],
)
def test_a_model_is_listed_in_another_spelling_of_its_name(
    listed: str, model: str, is_listed: bool
) -> None:
    assert (model_list.find(model, [ModelCard(listed)]) is not None) == is_listed


def test_the_same_spelling_comes_first() -> None:
    cards = [ModelCard("M", max_model_len=1), ModelCard("m", max_model_len=2)]
    assert model_list.find("m", cards) is cards[1]


@pytest.mark.parametrize("length", [2048, 2048.0, "2048"])
def test_an_adapter_has_the_context_of_its_parent(length: object) -> None:
    content = [{"id": "a", "parent": "base"}, {"id": "base", "max_model_len": length}]
    assert model_list.context_tokens("a", model_list.read(json.dumps(content).encode())) == 2048


def started(server: MockServer, model: str = "mock") -> EngineSpec:
    """Start an engine and let it answer once."""

    async def sleep(_: float) -> None:
        pass

    async def run() -> EngineSpec:
        engine = OpenAIEngine(model, server.url, sleep=sleep)
        spec = await engine.start()
        request = Generate(Prompt((Message("user", "Who?"),)), (), 9)
        [completion] = await engine.generate(request, Sampling())
        assert completion.text == "hello"
        await engine.close()
        return spec

    return asyncio.run(run())


@pytest.mark.parametrize(
    "listing",
    [(status, b'{"error": "no"}') for status in (400, 401, 403, 404, 405, 429, 500, 501)]
    + [(200, b"<html>Sign in</html>"), (200, b"[]"), (200, b'[{"id": "mock"}]')]
    + [(301, b""), (200, b'{"data": [{"id": "models/mock"}]}')],
)
def test_the_first_request_decides_whatever_the_list_says(
    listing: tuple[int, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    with MockServer() as server:
        server.listing = listing
        assert started(server).model == "mock"
    assert "does not list" not in capsys.readouterr().err


def test_a_name_that_is_not_listed_but_answers_is_a_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with MockServer() as server:
        server.listing = 200, b'["other"]'
        assert started(server).model == "mock"
    assert "does not list the model 'mock'" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["openai", "vllm"])
def test_a_name_that_neither_is_listed_nor_answers_is_met_with_the_nearest(kind: Any) -> None:
    with MockServer(kind=kind, models=("mock-7b",)) as server, pytest.raises(UserError) as raised:
        started(server, "mock-7")
    assert "did you mean 'mock-7b'" in str(raised.value)


def test_a_refusal_of_the_name_in_other_words_is_met_with_the_nearest() -> None:
    def refusal(body: dict[str, Any]) -> str:
        return f"{body['model']} is not a valid model ID"

    server = MockServer(refusal=refusal)
    server.listing = 200, b'["mock-7b"]'
    with server, pytest.raises(UserError) as raised:
        started(server)
    assert "did you mean 'mock-7b'" in str(raised.value)
    assert "not a valid model ID" in str(raised.value)


THINKING: dict[str, dict[str, Any]] = {
    "all tokens go into unseen thoughts": {"message": {"content": ""}, "finish_reason": "length"},
    "no content": {"message": {"content": None}, "finish_reason": "length"},
    "a thought": {"message": {"content": None, "reasoning": "Hm"}, "finish_reason": "length"},
    "nothing": {"message": {"content": ""}, "finish_reason": "stop"},
    "a tool call": {"message": {"tool_calls": [{"id": "1"}]}, "finish_reason": "tool_calls"},
    "filtered": {"message": {"content": None}, "finish_reason": "content_filter"},
}


@pytest.mark.parametrize("choice", THINKING.values(), ids=THINKING)
def test_a_model_that_says_nothing_to_a_probe_is_up(choice: dict[str, Any]) -> None:
    with MockServer() as server:
        server.alter = lambda body, reply: {"choices": [choice]} if is_probe(body) else reply
        assert started(server).protocol == "chat"


@pytest.mark.parametrize("fault", ["html", "error", "given up", "truncate"])
def test_a_server_that_answers_no_request_is_refused_in_one_message(fault: Any) -> None:
    server = MockServer()
    server.down = fault
    with server, pytest.raises(UserError, match="answers no request") as raised:
        started(server)
    assert "--base-url" in str(raised.value)
