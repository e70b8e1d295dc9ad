"""The wire forms of each protocol, and what is read from replies."""

import json
from typing import Any

import msgspec
import pytest

from autocoa_bench.engines.openai import protocol as wire
from autocoa_bench.engines.openai import replies
from autocoa_bench.errors import EngineFault
from autocoa_bench.types import Generate, Message, Prompt, Sampling, Turn
from autocoa_bench.util.error_text import server_message
from autocoa_bench.util.http_client import BadReply

OPENING = (Message("system", "Be brief."), Message("user", "Who?"))
PROMPT = Prompt(
    OPENING,
    (
        Turn("model", "hm <search>x</search>"),
        Turn("environment", "<results>"),
        Turn("environment", "none</results>"),
    ),
    prefill="<think>",
)


def body(
    protocol: wire.Protocol,
    server: wire.Server = "other",
    prompt: Prompt = PROMPT,
    sampling: Sampling | None = None,
    n: int = 1,
) -> dict[str, Any]:
    request = Generate(prompt, stop=("</search>",), max_tokens=9)
    sampling = sampling or Sampling()
    form = wire.RequestForm(protocol, server, "m")
    encoded = wire.request_body(form, request, sampling, n, msgspec.Raw(b'"RENDERED"'))
    content: dict[str, Any] = json.loads(encoded)
    return content


def read(protocol: wire.Protocol, reply: object, n: int = 1) -> list[Any]:
    return list(replies.read_reply(protocol, json.dumps(reply).encode(), n, 0.0))


def chat_reply(**message: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": "stop"}]}


def test_continue_sends_the_turn_as_an_open_assistant_message() -> None:
    sent = body("continue")
    turn = "<think>hm <search>x</search><results>none</results>"
    assert sent["messages"][-1] == {"role": "assistant", "content": turn}
    assert sent["continue_final_message"] is True
    assert sent["add_generation_prompt"] is False


def test_continue_without_a_turn_asks_for_a_new_one() -> None:
    sent = body("continue", prompt=Prompt(OPENING))
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert "continue_final_message" not in sent


def test_chat_alternates_roles_and_drops_the_prefill() -> None:
    assert body("chat")["messages"][2:] == [
        {"role": "assistant", "content": "hm <search>x</search>"},
        {"role": "user", "content": "<results>none</results>"},
    ]


def test_completions_joins_the_opening_and_the_turn_by_blank_lines() -> None:
    sent = body("completions")
    assert sent["prompt"] == (
        "Be brief.\n\nWho?\n\n<think>hm <search>x</search><results>none</results>"
    )
    assert "messages" not in sent


def test_chat_keeps_what_opens_a_forced_answer_at_once() -> None:
    forced = Prompt(OPENING[1:], (Turn("environment", "Answer now:"),), prefill="<think>")
    assert body("chat", prompt=forced)["messages"] == [
        {"role": "user", "content": "Who?Answer now:"}
    ]


def test_sampling_is_sent_as_given() -> None:
    sent = body("chat", sampling=Sampling(temperature=0.7, top_p=0.9, seed=5))
    assert (sent["temperature"], sent["top_p"], sent["seed"]) == (0.7, 0.9, 5)
    assert (sent["model"], sent["max_tokens"], sent["stop"]) == ("m", 9, ["</search>"])


def test_fields_that_not_every_api_knows_are_left_out_where_they_say_nothing() -> None:
    assert not body("chat").keys() & {"n", "repetition_penalty", "top_k", "min_p"}


@pytest.mark.parametrize(
    ("server", "name"),
    [
        ("other", "repetition_penalty"),
        ("vllm", "repetition_penalty"),
        ("llama.cpp", "repeat_penalty"),
    ],
)
def test_a_repetition_penalty_has_the_servers_own_name(server: wire.Server, name: str) -> None:
    assert body("chat", server, sampling=Sampling(repetition_penalty=1.1))[name] == 1.1


@pytest.mark.parametrize("server", ["vllm", "sglang", "llama.cpp"])
def test_a_servers_own_sampling_defaults_are_switched_off(server: wire.Server) -> None:
    sent = body("chat", server)
    assert sent["top_k"] in (0, -1)
    assert sent["min_p"] == 0.0


def test_several_samples_are_asked_for_at_once() -> None:
    assert body("chat", n=3)["n"] == 3


def test_a_named_stop_string_and_token_ids_are_read_from_vllm() -> None:
    choice = {
        "message": {"content": "a"},
        "finish_reason": "stop",
        "stop_reason": "</s>",
        "token_ids": [1, 2],
    }
    [completion] = read("continue", {"choices": [choice], "usage": {"prompt_tokens": 3}})
    assert (completion.stop_string, completion.token_ids) == ("</s>", (1, 2))
    assert (completion.prompt_tokens, completion.completion_tokens) == (3, 2)


def test_a_stop_token_id_is_no_stop_string() -> None:
    choice = {"message": {"content": "a"}, "finish_reason": "stop", "stop_reason": 2}
    assert read("continue", {"choices": [choice]})[0].stop_string is None


def test_missing_usage_is_none() -> None:
    [completion] = read("chat", chat_reply(content="a"))
    assert completion.prompt_tokens is None
    assert completion.completion_tokens is None


def test_usage_of_several_choices_says_nothing_of_one() -> None:
    choices = chat_reply(content="a")["choices"] * 2
    reply = {"choices": choices, "usage": {"prompt_tokens": 3, "completion_tokens": 8}}
    assert [c.completion_tokens for c in read("chat", reply, n=2)] == [None, None]


def test_llama_cpp_names_its_stop_string_and_gives_ids() -> None:
    reply = {
        "content": "a",
        "tokens": [5],
        "stop_type": "word",
        "stopping_word": "</s>",
        "tokens_evaluated": 3,
        "tokens_predicted": 1,
    }
    [completion] = read("template", reply)
    assert (completion.stop_string, completion.token_ids) == ("</s>", (5,))
    assert (completion.prompt_tokens, completion.completion_tokens) == (3, 1)


def test_llama_cpp_at_its_limit_ends_by_length() -> None:
    assert read("template", {"content": "a", "stop_type": "limit"})[0].stop_reason == "length"


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
def test_reasoning_in_a_field_of_its_own_is_put_back_before_the_content(field: str) -> None:
    [completion] = read("chat", chat_reply(content="yes", **{field: "hm"}))
    assert completion.text == "<think>\nhm\n</think>\n\nyes"


def test_reasoning_taken_out_of_a_continued_turn_is_a_fault_that_says_what_to_do() -> None:
    with pytest.raises(EngineFault, match="without a reasoning parser"):
        read("continue", chat_reply(content=None, reasoning="hm"))


@pytest.mark.parametrize(
    "reply", [{}, {"choices": []}, {"choices": None}, [1], {"error": "x"}, {"choices": [{}]}]
)
def test_a_reply_without_a_completion_is_a_bad_one(reply: object) -> None:
    with pytest.raises(BadReply):
        read("chat", reply)


def test_fewer_completions_than_asked_for_are_a_bad_reply() -> None:
    with pytest.raises(BadReply, match="1 completions where 2"):
        read("chat", chat_reply(content="a"), n=2)


def test_choices_out_of_order_are_put_in_order() -> None:
    choices = [{"index": i, "message": {"content": str(i)}} for i in (2, 0, 1)]
    assert [c.text for c in read("chat", {"choices": choices}, n=3)] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "too long"}}, "too long"),
        ({"error": "too long"}, "too long"),
        ({"detail": "too long"}, "too long"),
        ({"message": "too\nlong"}, "too long"),
    ],
)
def test_an_errors_message_is_found_where_servers_put_it(body: object, message: str) -> None:
    assert server_message(json.dumps(body).encode()) == message


def test_an_errors_message_is_at_most_300_characters() -> None:
    assert len(server_message(b"x" * 5000)) == 300
