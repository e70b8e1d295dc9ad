"""The embedded server with the real SmolLM2."""

import asyncio
import signal
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from openai import OpenAI

from agent_model.dialects.agent import Agent
from autocoa_bench.engines import EngineConfig, turns
from autocoa_bench.engines.launch import embedded
from autocoa_bench.engines.launch.embedded import EmbeddedEngine, from_options
from autocoa_bench.engines.weights import models
from autocoa_bench.engines.weights.convert import convert
from autocoa_bench.engines.weights.models import DEFAULT
from autocoa_bench.episode import episode
from autocoa_bench.errors import CONTEXT, EngineFault, MissingExtra, UserError
from autocoa_bench.types import (
    Budget,
    Completion,
    Generate,
    Message,
    Prompt,
    Question,
    Sampling,
    Turn,
)
from support.interrupt import heed_ctrl_c
from support.tiny import numpy_lora

GREEDY = Sampling()
QUESTIONS = (
    "What is the capital of France?",
    "Write a story about a dog.",
    "Why is the sky blue?",
    "List ten fruits.",
    "Who wrote Hamlet?",
    "How do magnets work?",
    "Describe Rome.",
    "Tell me about Mars.",
)


SHAPES = {
    "self_attn.q_proj": (576, 576),
    "self_attn.k_proj": (192, 576),
    "self_attn.v_proj": (192, 576),
    "self_attn.o_proj": (576, 576),
    "mlp.gate_proj": (1536, 576),
    "mlp.up_proj": (1536, 576),
    "mlp.down_proj": (576, 1536),
}
"""SmolLM2-135M's linear layers."""


class Session:
    """A started engine and the event loop that it lives in."""

    def __init__(self, adapter: str = "") -> None:
        self.runner = asyncio.Runner()
        self.engine = EmbeddedEngine(parallel=8, context_tokens=1024, adapter=adapter)
        self.spec = self.runner.run(self.engine.start())

    def ask(
        self, question: str, turn: str = "", tokens: int = 24, stop: tuple[str, ...] = ()
    ) -> Completion:
        [completion] = self.runner.run(self._ask(question, turn, tokens, stop))
        return completion

    def ask_all_at_once(self, questions: tuple[str, ...]) -> list[Completion]:
        async def run() -> list[list[Completion]]:
            return await asyncio.gather(*(self._ask(question) for question in questions))

        return [completion for [completion] in self.runner.run(run())]

    def generate(self, request: Generate) -> list[Completion]:
        return self.runner.run(self.engine.generate(request, GREEDY))

    def post(self, path: str, body: object) -> Any:
        url = self.engine.base_url.removesuffix("/v1") + path
        headers = self.engine.api_key.headers()
        request = urllib.request.Request(url, msgspec.json.encode(body), headers)
        with urllib.request.urlopen(request) as reply:
            return msgspec.json.decode(reply.read())

    def tokens(self, text: str) -> list[int]:
        tokens_of_text: list[int] = self.post("/tokenize", {"content": text})["tokens"]
        return tokens_of_text

    async def _ask(
        self, question: str, turn: str = "", tokens: int = 24, stop: tuple[str, ...] = ()
    ) -> list[Completion]:
        turns = (Turn("model", turn),) if turn else ()
        prompt = Prompt((Message("user", question),), turns)
        return await self.engine.generate(Generate(prompt, stop, tokens), GREEDY)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    session = Session()
    yield session
    session.runner.run(session.engine.close())
    session.runner.close()


@pytest.mark.slow
def test_the_spec_names_the_file_that_answers(session: Session) -> None:
    assert (session.spec.engine, session.spec.protocol) == ("embedded", "template")
    assert len(str(session.spec.settings["sha256"])) == 64


@pytest.mark.slow
def test_eight_at_once_equal_eight_one_by_one(session: Session) -> None:
    alone = [session.ask(question) for question in QUESTIONS]
    together = session.ask_all_at_once(QUESTIONS)
    assert [c.token_ids for c in together] == [c.token_ids for c in alone]


@pytest.mark.slow
def test_with_an_8_bit_adapter_too_eight_at_once_equal_eight_one_by_one(
    session: Session, tmp_path: Path
) -> None:
    folder = numpy_lora(tmp_path / "lora", layers=30, rank=32, shapes=SHAPES)
    adapter = convert(str(folder), str(tmp_path / "trained.gguf"), DEFAULT)
    adapted = Session(str(adapter))
    try:
        alone = [adapted.ask(question) for question in QUESTIONS]
        together = adapted.ask_all_at_once(QUESTIONS)
    finally:
        adapted.runner.run(adapted.engine.close())
        adapted.runner.close()
    assert [c.token_ids for c in together] == [c.token_ids for c in alone]
    assert alone[1].text != session.ask(QUESTIONS[1]).text
    assert adapter.stat().st_size < 11_000_000
    assert adapted.spec.settings["adapter"] == "trained"
    assert adapted.spec.settings.keys() - session.spec.settings.keys() == {
        "adapter",
        "adapter_sha256",
    }


@pytest.mark.slow
def test_an_adapter_for_another_model_is_one_clear_error(tmp_path: Path) -> None:
    shapes = {"self_attn.v_proj": (64, 64)}
    folder = numpy_lora(tmp_path / "lora", layers=1, rank=32, shapes=shapes)
    adapter = convert(str(folder), str(tmp_path / "other.gguf"), DEFAULT, "f16")
    with pytest.raises(UserError, match="an adapter for it"):
        asyncio.run(EmbeddedEngine(parallel=1, context_tokens=512, adapter=str(adapter)).start())


@pytest.mark.slow
def test_a_turn_continued_in_pieces_equals_one_written_at_once(session: Session) -> None:
    whole = session.ask(QUESTIONS[2], tokens=48)
    turn = ""
    for _ in range(3):
        turn += session.ask(QUESTIONS[2], turn, tokens=16).text
    assert turn == whole.text


@pytest.mark.slow
def test_a_stop_string_is_named_and_its_tokens_are_kept(session: Session) -> None:
    completion = session.ask(QUESTIONS[0], "The capital of", stop=(" Paris",))
    assert completion.stop_string == " Paris"
    assert "Paris" not in completion.text
    assert completion.token_ids is not None
    assert completion.completion_tokens == len(completion.token_ids)


@pytest.mark.slow
def test_the_server_evaluates_the_sampled_ids_and_each_text_on_its_own(session: Session) -> None:
    text, observation = "I look up Paris.", "\n\nresult 1: Paris is in France.\n\n"
    letters = [session.tokens(letter) for letter in text]
    odd = tuple(token for [token] in letters)  # no tokenizer would cut the text so
    turns = (Turn("model", text, odd), Turn("environment", observation))
    prompt = Prompt((Message("user", QUESTIONS[0]),), turns, prefill="<think>\n")
    [completion] = session.generate(Generate(prompt, (), 16))
    opening = session.post(
        "/apply-template", {"messages": [{"role": "user", "content": QUESTIONS[0]}]}
    )
    pieces = [*session.tokens(opening["prompt"] + "<think>\n"), *odd, *session.tokens(observation)]
    by_ids = session.post(
        "/completion",
        {"prompt": pieces, "n_predict": 16, "temperature": 0, "return_tokens": True},
    )
    assert completion.prompt_tokens == len(pieces)
    assert completion.token_ids == tuple(by_ids["tokens"])


@pytest.mark.slow
def test_an_episode_goes_on_from_its_own_ids(session: Session) -> None:
    agent = Agent(shots=0)
    run = episode(
        Question("q", QUESTIONS[4], ()), agent, Budget(step_tokens=24, context_tokens=1024)
    )
    request = next(run)
    assert isinstance(request, Generate)
    [first] = session.generate(request)
    request = run.send(first)
    assert isinstance(request, Generate)
    assert first.token_ids is not None
    ended = first.stop_reason == "stop"
    assert request.prompt.turns[0].token_ids == (first.token_ids[:-1] if ended else first.token_ids)
    [second] = session.generate(request)
    _, *new = turns.pieces("", request.prompt)
    new_tokens = sum(len(piece.ids or session.tokens(piece.text)) for piece in new)
    assert first.prompt_tokens is not None
    assert second.prompt_tokens == first.prompt_tokens + new_tokens


@pytest.mark.slow
@pytest.mark.slow
def test_penalties_change_what_is_written(session: Session) -> None:
    question = Generate(Prompt((Message("user", QUESTIONS[3]),)), (), 48)

    def text(sampling: Sampling) -> str:
        [completion] = session.runner.run(session.engine.generate(question, sampling))
        return completion.text

    assert text(Sampling(repetition_penalty=1.5)) != text(GREEDY)


def test_a_prompt_beyond_the_context_is_refused_for_its_length(session: Session) -> None:
    with pytest.raises(EngineFault, match="exceeds the available context") as raised:
        session.ask("word " * 2000)
    assert raised.value.kind == CONTEXT


@pytest.mark.slow
def test_the_official_client_is_served_and_prefixes_are_cached(session: Session) -> None:
    key = session.engine.api_key.headers()["Authorization"].removeprefix("Bearer ")
    with OpenAI(base_url=session.engine.base_url, api_key=key) as official:
        for _ in range(2):
            reply = official.chat.completions.create(
                model=DEFAULT,
                messages=[{"role": "user", "content": QUESTIONS[0]}],
                max_tokens=8,
                temperature=0,
            )
    assert reply.choices[0].message.content
    assert reply.usage is not None
    assert reply.usage.prompt_tokens_details is not None
    assert reply.usage.prompt_tokens_details.cached_tokens == reply.usage.prompt_tokens - 1


@pytest.mark.slow
@pytest.mark.parametrize("closes", [True, False])
def test_ctrl_c_in_the_middle_of_eight_generations_ends_cleanly(closes: bool) -> None:
    program = f"""
        import asyncio
        import aiohttp
        from autocoa_bench.engines.launch.embedded import EmbeddedEngine
        from autocoa_bench.types import Generate, Message, Prompt, Sampling

        async def announce(engine):
            url, headers = f"{{engine.base_url}}/completions", engine.api_key.headers()
            body = {{"prompt": "Count to 1000.", "stream": True}}
            async with aiohttp.request("POST", url, json=body, headers=headers) as reply:
                await reply.content.readline()
            print("generating", flush=True)

        async def main():
            engine = EmbeddedEngine(context_tokens=512, parallel=9)
            await engine.start()
            request = Generate(Prompt((Message("user", "Count to 1000."),)), (), 400)
            try:
                eight = (engine.generate(request, Sampling()) for _ in range(8))
                await asyncio.gather(*eight, announce(engine))
            finally:
                if {closes}:
                    await engine.close()

        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "generating\n"
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert (process.returncode, output) == (0, "interrupted\n")


def test_a_file_that_is_no_whole_model_is_one_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + b"\0" * 100)
    with pytest.raises(UserError, match="cannot serve"):
        asyncio.run(EmbeddedEngine(str(path)).start())


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingExtra, match=r"autocoa-bench\[embedded\]"):
        asyncio.run(EmbeddedEngine().start())


def test_closing_twice_or_before_the_start_is_harmless() -> None:
    engine = EmbeddedEngine()
    asyncio.run(engine.close())
    asyncio.run(engine.close())


def test_the_factory_refuses_a_protocol_that_would_be_ignored() -> None:
    with pytest.raises(UserError, match="template"):
        from_options(EngineConfig(DEFAULT, "", "chat", 8, 512))


def test_an_adapter_that_cannot_be_loaded_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="models convert"):
        models.resolve_adapter(str(tmp_path))
    with pytest.raises(UserError, match="is not a GGUF file"):
        models.resolve_adapter(__file__)


def test_no_more_threads_thanidle_cores_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([[0] * 8, [10, 0, 0, 20, 10, 0, 0, 0], [0] * 8, [40, 0, 0, 0, 0, 0, 0, 0]])
    monkeypatch.setattr(embedded, "_cpu_times", lambda: next(ticks))
    monkeypatch.setattr(embedded.os, "sched_getaffinity", lambda process: set(range(4)))
    monkeypatch.setattr(embedded.time, "sleep", lambda seconds: None)
    assert embedded.idle_cores() == 3
    assert embedded.idle_cores() == 1


@pytest.mark.slow
def test_completions_do_not_depend_on_the_number_of_threads(session: Session) -> None:
    async def with_two_threads() -> list[Completion]:
        engine = EmbeddedEngine(parallel=2, context_tokens=512, threads=2)
        await engine.start()
        prompt = Prompt((Message("user", QUESTIONS[2]),))
        try:
            return await engine.generate(Generate(prompt, (), 24), GREEDY)
        finally:
            await engine.close()

    [completion] = asyncio.run(with_two_threads())
    assert completion.token_ids == session.ask(QUESTIONS[2]).token_ids


def test_fewer_run_at_once_where_memory_is_short() -> None:
    assert embedded._affordable(8, 0) == 8
    assert embedded._affordable(8, 1) == 8
    assert embedded._affordable(8, 1 << 60) == 1


def test_a_page_in_a_browser_cannot_use_the_server_on_loopback(session: Session) -> None:
    url = session.engine.base_url.removesuffix("/v1")
    for path in ("/completion", "/tokenize", "/v1/chat/completions"):
        request = urllib.request.Request(url + path, b"{}", {"Origin": "http://evil.example"})
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(request)
    assert url.startswith("http://127.0.0.1:")
