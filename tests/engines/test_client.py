"""The client against a mock server: protocols found, retries, faults, keys, messages."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from openai import AsyncOpenAI

from autocoa_bench.engines import EngineConfig
from autocoa_bench.engines.openai.client import OpenAIEngine, from_options
from autocoa_bench.engines.openai.model_server import KEY_VARIABLES, normalised_url
from autocoa_bench.errors import EngineFault, UserError
from autocoa_bench.types import Completion, EngineSpec, Generate, Message, Prompt, Sampling, Turn
from autocoa_bench.util.http_client import BACKOFF_BASE, APIKey
from support.mock_server import Fault, Kind, MockServer

PROMPT = Prompt((Message("user", "Who?"),), (Turn("model", "hm"),), prefill="<think>")
REQUEST = Generate(PROMPT, stop=("</s>",), max_tokens=9)
KEY = "sk-secret-of-a-user"


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEY_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def started(server: MockServer, **options: Any) -> EngineSpec:
    engine = OpenAIEngine("mock", server.url, **options)

    async def run() -> EngineSpec:
        try:
            return await engine.start()
        finally:
            await engine.close()

    return asyncio.run(run())


def generated(
    server: MockServer, *, n: int = 1, sleeps: list[float] | None = None, **options: Any
) -> list[Completion]:
    async def sleep(seconds: float) -> None:
        if sleeps is not None:
            sleeps.append(seconds)

    engine = OpenAIEngine("mock", server.url, sleep=sleep, **options)

    async def run() -> list[Completion]:
        await engine.start()
        try:
            return await engine.generate(REQUEST, Sampling(), n)
        finally:
            await engine.close()

    return asyncio.run(run())


def first(fault: Fault, times: int = 1) -> Callable[[int], Fault | None]:
    return lambda number: fault if number < times else None


@pytest.mark.parametrize(
    ("kind", "protocol", "path"),
    [
        ("openai", "chat", "/v1/chat/completions"),
        ("vllm", "template", "/v1/completions"),
        ("sglang", "template", "/v1/completions"),
        ("llamacpp", "template", "/completion"),
    ],
)
def test_the_protocol_follows_from_the_server(kind: Kind, protocol: str, path: str) -> None:
    with MockServer(kind=kind) as server:
        assert started(server).protocol == protocol
        [completion] = generated(server)
    assert completion.text == "hello"
    assert path in server.paths


def test_a_server_that_lists_no_models() -> None:
    with MockServer(kind="unlisted") as server:
        assert started(server).protocol == "chat"


def test_a_chosen_protocol_is_kept() -> None:
    with MockServer(kind="vllm") as server:
        assert started(server, protocol="completions").protocol == "completions"
        generated(server, protocol="completions")
    assert server.paths[-1] == "/v1/completions"


def test_a_base_url_of_another_path_is_kept() -> None:
    async def run() -> None:
        engine = OpenAIEngine("mock", f"{server.url}/api/openai/")
        await engine.start()
        await engine.generate(REQUEST, Sampling())
        await engine.close()

    with MockServer() as server:
        asyncio.run(run())
    assert server.paths[0] == "/api/openai/models"
    assert server.paths[-1] == "/api/openai/chat/completions"


def test_an_opening_is_rendered_once() -> None:
    async def run(url: str) -> None:
        engine = OpenAIEngine("mock", url)
        await engine.start()
        for _ in range(3):
            await engine.generate(REQUEST, Sampling())
        await engine.close()

    with MockServer(kind="llamacpp") as server:
        asyncio.run(run(server.url))
    assert server.paths.count("/apply-template") == 2  # of the probe, and of the question
    assert server.generations()[-1]["prompt"] == ["[user]Who?[assistant]", *map(ord, "<think>hm")]


def test_a_turn_that_llama_cpp_repeats_is_taken_off() -> None:
    with MockServer(lambda body: "<think>hm yes", kind="llamacpp") as server:
        [completion] = generated(server, protocol="continue")
    assert completion.text == " yes"


def test_ids_that_reach_beyond_a_stop_string_are_not_given() -> None:
    with MockServer(kind="llamacpp") as server:
        [exact] = generated(server)
        server.overshoot = "\n\n"
        [beyond] = generated(server)
    assert exact.token_ids == tuple(map(ord, "hello</s>"))
    assert (beyond.text, beyond.token_ids) == ("hello", None)


@pytest.mark.parametrize("kind", ["openai", "llamacpp"])
def test_n_completions_come_from_one_request(kind: Kind) -> None:
    with MockServer(kind=kind) as server:
        completions = generated(server, n=3)
    assert [completion.text for completion in completions] == ["hello"] * 3
    assert len(server.generations()) == 1


def test_a_server_without_usage_leaves_counts_open() -> None:
    with MockServer() as server:
        server.usage = False
        [completion] = generated(server)
    assert completion.prompt_tokens is None
    assert completion.completion_tokens is None


@pytest.mark.parametrize(
    "fault", ["500", "drop", "truncate", "hang", "empty", "html", "error", "bytes", "deep"]
)
def test_a_passing_fault_is_tried_again(fault: Fault) -> None:
    sleeps: list[float] = []
    with MockServer(fault=first(fault, 2)) as server:
        [completion] = generated(server, sleeps=sleeps, timeout=1.0 if fault == "hang" else 60.0)
    assert completion.text == "hello"
    assert len(server.generations()) == 3
    assert 0 <= sleeps[0] <= BACKOFF_BASE
    assert 0 <= sleeps[1] <= 2 * BACKOFF_BASE


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("500", "http-500"),
        ("drop", "connection"),
        ("hang", "timeout"),
        ("truncate", "bad-reply"),
        ("empty", "bad-reply"),
        ("html", "bad-reply"),
        ("error", "bad-reply"),
        ("bytes", "bad-reply"),
        ("deep", "bad-reply"),
    ],
)
def test_a_lasting_fault_ends_by_its_kind_once_the_retries_are_spent(
    fault: Fault, kind: str
) -> None:
    with (
        MockServer(fault=first(fault, 99)) as server,
        pytest.raises(EngineFault) as raised,
    ):
        generated(server, retries=2, timeout=0.3 if fault == "hang" else 60.0)
    assert raised.value.kind == kind
    assert len(server.generations()) == 4  # one more, once the server has proved to be up


def test_a_rejected_request_is_a_fault_at_once_with_the_servers_message() -> None:
    with MockServer(fault=first("400", 99)) as server, pytest.raises(EngineFault) as raised:
        generated(server)
    assert raised.value.kind == "http-400"
    assert "fault 400" in str(raised.value)
    assert len(server.generations()) == 1


def test_no_more_requests_are_in_flight_than_allowed() -> None:
    running, most = 0, 0

    class Counting(MockServer):
        """Replies once three requests are in flight, and then not at once."""

        three = asyncio.Barrier(3)

        async def delay(self, number: int) -> None:
            await self.three.wait()
            await super().delay(number)

        async def _handle(self, request: Any) -> Any:
            nonlocal running, most
            running += 1
            most = max(most, running)
            try:
                return await super()._handle(request)
            finally:
                running -= 1

    async def run(url: str) -> None:
        engine = OpenAIEngine("mock", url, concurrency=3, retries=0, timeout=20)
        await engine.start()
        await asyncio.gather(*(engine.generate(REQUEST, Sampling()) for _ in range(12)))
        await engine.close()

    with Counting(latency=0.02) as server:
        asyncio.run(run(server.url))
    assert most == 3


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "the other one")
    monkeypatch.setenv("AUTOCOA_BENCH_API_KEY", KEY)
    with MockServer() as server:
        generated(server)
    assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {KEY}"}


def test_without_a_key_none_is_sent() -> None:
    with MockServer() as server:
        generated(server)
    assert not any("Authorization" in headers for headers in server.headers)


@pytest.mark.parametrize("fault", ["400", "401", "404", "500"])
def test_the_key_is_in_no_error(fault: Fault) -> None:
    with (
        MockServer(fault=first(fault, 99)) as server,
        pytest.raises((EngineFault, UserError), match="HTTP") as raised,
    ):
        generated(server, api_key=APIKey(KEY), retries=0)
    assert KEY not in str(raised.value)


def test_the_key_is_in_no_representation_and_no_spec() -> None:
    with MockServer() as server:
        assert KEY not in repr(started(server, api_key=APIKey(KEY)))
        assert KEY not in repr(OpenAIEngine("mock", server.url, api_key=APIKey(KEY)))


def test_a_refused_key_names_the_variables_to_set() -> None:
    with MockServer(fault=first("401")) as server, pytest.raises(UserError) as raised:
        generated(server, api_key=APIKey(KEY))
    assert "refuses the key" in str(raised.value)
    assert all(name in str(raised.value) for name in KEY_VARIABLES)


def test_a_missing_path_or_model_says_what_to_check() -> None:
    server = MockServer()
    server.down = "404"
    with server, pytest.raises(UserError) as raised:
        generated(server)
    assert "check --base-url and --model" in str(raised.value)


def test_an_unknown_model_is_met_with_the_nearest_that_the_server_has() -> None:
    async def run(url: str) -> None:
        await OpenAIEngine("qwen-7", url).start()

    with (
        MockServer(models=("qwen-7b", "llama")) as server,
        pytest.raises(UserError, match="did you mean 'qwen-7b'"),
    ):
        asyncio.run(run(server.url))


def test_of_hundreds_of_models_only_the_nearest_are_told() -> None:
    async def run(url: str) -> None:
        await OpenAIEngine("model-77x", url).start()

    with (
        MockServer(models=tuple(f"model-{i}" for i in range(300))) as server,
        pytest.raises(UserError, match="did you mean 'model-77'") as raised,
    ):
        asyncio.run(run(server.url))
    assert len(str(raised.value)) < 300


def test_no_model_is_met_with_those_that_the_server_has() -> None:
    async def run(url: str) -> None:
        await OpenAIEngine("", url).start()

    with MockServer(models=("a", "b")) as server, pytest.raises(UserError, match="serves: a, b"):
        asyncio.run(run(server.url))


def test_a_dead_port_is_one_clear_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

    async def sleep(seconds: float) -> None:
        pass

    with pytest.raises(UserError) as raised:
        asyncio.run(OpenAIEngine("m", url, sleep=sleep).start())
    assert str(raised.value) == (
        f"no model server at {url}: connection refused; start one or check --base-url"
    )


@pytest.mark.parametrize(
    ("base_url", "normalised"),
    [
        ("http://h:1", "http://h:1/v1"),
        ("http://h:1/", "http://h:1/v1"),
        ("http://h:1/v1/", "http://h:1/v1"),
        ("https://h/api/v1", "https://h/api/v1"),
    ],
)
def test_a_base_url_may_lack_its_path_or_end_in_a_slash(base_url: str, normalised: str) -> None:
    assert normalised_url(base_url) == normalised


@pytest.mark.parametrize(
    "base_url", ["", "localhost:8000", "ftp://h/v1", "http://", "http://[h", "http://h:port"]
)
def test_an_address_of_another_kind_is_refused(base_url: str) -> None:
    with pytest.raises(UserError, match="http:// or https://"):
        normalised_url(base_url)


def test_a_key_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UserError, match="AUTOCOA_BENCH_API_KEY") as raised:
        normalised_url(f"http://user:{KEY}@h/v1")
    assert KEY not in str(raised.value)


def test_the_factory_passes_the_options_on() -> None:
    engine = from_options(EngineConfig("mock", "http://h:1", "chat", 5, 100))
    assert (engine.model, engine.base_url, engine.concurrency) == ("mock", "http://h:1/v1", 5)


def test_the_factory_needs_an_address() -> None:
    with pytest.raises(UserError, match="--base-url"):
        from_options(EngineConfig("mock", "", "auto", 5, 100))


def test_the_mock_server_speaks_to_the_official_client() -> None:
    async def run(url: str) -> str | None:
        async with AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as official:
            reply = await official.chat.completions.create(
                model="mock", messages=[{"role": "user", "content": "hi"}]
            )
            return reply.choices[0].message.content

    with MockServer() as server:
        assert asyncio.run(run(server.url)) == "hello"


def test_an_adapter_is_the_servers_to_load() -> None:
    with pytest.raises(UserError, match="--enable-lora"):
        from_options(EngineConfig("mock", "http://h:1", "auto", 5, 100, "lora"))
