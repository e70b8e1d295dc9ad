"""The scripted engine: what it replays, cuts and counts."""

import asyncio

import pytest

from autocoa_bench.engines.scripted import ScriptedEngine
from autocoa_bench.errors import EngineFault
from autocoa_bench.types import Completion, Generate, Message, Prompt, Sampling

REQUEST = Generate(Prompt((Message("user", "one two"),)), stop=("<b>", "<a>"), max_tokens=4)


def ask(engine: ScriptedEngine, n: int = 1) -> list[Completion]:
    return asyncio.run(engine.generate(REQUEST, Sampling(), n))


def test_texts_come_in_order() -> None:
    assert [c.text for c in ask(ScriptedEngine(["x", "y"]), n=2)] == ["x", "y"]


def test_a_script_that_has_ended_is_a_fault() -> None:
    with pytest.raises(EngineFault, match="no text left"):
        ask(ScriptedEngine([]))


def test_text_ends_before_the_first_stop_string() -> None:
    [completion] = ask(ScriptedEngine(["x <a> y <b>"]))
    assert (completion.text, completion.stop_string) == ("x ", "<a>")


def test_the_stop_string_comes_back_where_asked_for() -> None:
    [completion] = ask(ScriptedEngine(["x <a> y"], keep_stop=True))
    assert completion.text == "x <a>"


def test_text_ends_at_the_token_limit() -> None:
    [completion] = ask(ScriptedEngine(["1 2 3 4 5"]))
    assert (completion.text, completion.stop_reason) == ("1 2 3 4", "length")
    assert (completion.prompt_tokens, completion.completion_tokens) == (2, 4)


def test_a_function_sees_the_request_and_may_make_the_completion() -> None:
    completion = Completion("completion")
    engine = ScriptedEngine(lambda request, sampling: completion)
    assert ask(engine) == [completion]
    assert engine.requests == [REQUEST]
