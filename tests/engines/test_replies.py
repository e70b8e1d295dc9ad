"""Replies of many servers and routers, usual and odd, and what is read from them."""

import json
from typing import Any

import pytest

from autocoa_bench.engines.openai import replies
from autocoa_bench.engines.openai.finish_reasons import meaning
from autocoa_bench.errors import EngineFault
from autocoa_bench.types import Completion, Generate, Message, Prompt
from autocoa_bench.util.http_client import BadReply

REQUEST = Generate(Prompt((Message("user", "Who?"),)), stop=("</s>",), max_tokens=64)


def body_of(content: object) -> bytes:
    return content if isinstance(content, bytes) else json.dumps(content).encode()


def read(content: object, protocol: str = "chat", n: int = 1) -> list[Completion]:
    return replies.read_reply(protocol, body_of(content), n, 0.0, REQUEST)


def choice(finish: object = "stop", **fields: Any) -> dict[str, Any]:
    return {"index": 0, "finish_reason": finish, **fields}


def chat(finish: object = "stop", /, usage: object = None, **message: Any) -> dict[str, Any]:
    reply = {"choices": [choice(finish, message={"role": "assistant", **message})]}
    return reply if usage is None else reply | {"usage": usage}


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (
            "stop",
            "stop STOP Stop eos eos_token word stop_sequence stopSequence end_turn EndTurn "
            "COMPLETE completed eosToken stopTrigger normal <|im_end|> FINISH_REASON_STOP",
        ),
        (
            "length",
            "length max_tokens MAX_TOKENS maxTokens max_output_tokens limit model_length "
            "ERROR_LIMIT model_context_window_exceeded context_length_exceeded incomplete "
            "repetition pause_turn FinishReason.MAX_TOKENS max_new_tokens",
        ),
        (
            "filtered",
            "content_filter contentFilter CONTENT_FILTERED SAFETY RECITATION BLOCKLIST SPII "
            "LANGUAGE PROHIBITED_CONTENT IMAGE_SAFETY refusal ERROR_TOXIC guardrail_intervened "
            "content_filter:PROHIBITED_CONTENT",
        ),
        (
            "tool-call",
            "tool_calls tool_use toolUse function_call MALFORMED_FUNCTION_CALL "
            "UNEXPECTED_TOOL_CALL function_call_filter:MALFORMED_FUNCTION_CALL",
        ),
        (
            "failed",
            "error ERROR abort aborted cancelled USER_CANCEL insufficient_system_resource load "
            "network_error timeout time_limit overloaded rate_limit_exceeded unload",
        ),
        (None, "none OTHER FINISH_REASON_UNSPECIFIED unknown"),
    ],
)
def test_a_finish_reason_of_any_server_has_one_of_five_meanings(
    ending: str | None, words: str
) -> None:
    meanings = {word: meaning(word) for word in words.split()}
    assert meanings == dict.fromkeys(words.split(), ending)


PLAIN: dict[str, object] = {
    "OpenAI": chat(content="Paris", refusal=None, annotations=[], tool_calls=None),
    "vLLM": chat(content="Paris", reasoning=None, tool_calls=[], function_call=None),
    "SGLang, a finish reason as an object": {
        "choices": [choice({"type": "stop", "matched": 2}, message={"content": "Paris"})]
    },
    "a text completion": {"choices": [choice(text="Paris", logprobs=None)]},
    "no finish reason": chat(None, content="Paris"),
    "an unknown finish reason": chat("OTHER", content="Paris"),
    "a finish reason of the wrong type": chat(7, content="Paris"),
    "no index": {"choices": [{"message": {"content": "Paris"}}]},
    "an index as text": {"choices": [{"index": "0", "message": {"content": "Paris"}}]},
    "one choice instead of a list": {"choices": choice(message={"content": "Paris"})},
    "choices by number": {"choices": {"0": choice(message={"content": "Paris"})}},
    "text under message.text": chat(text="Paris"),
    "a message that is a text": {"choices": [choice(message="Paris")]},
    "a delta instead of a message": {"choices": [choice(message=None, delta={"content": "Paris"})]},
    "parts": chat(content=[{"type": "text", "text": "Pa"}, {"type": "text", "text": "ris"}]),
    "output parts": chat(content=[{"type": "output_text", "text": "Paris", "annotations": []}]),
    "parts that are texts": chat(content=["Pa", "ris"]),
    "a part with a value": chat(content=[{"type": "text", "text": {"value": "Paris"}}]),
    "a part with parts": chat(content={"content": [{"type": "text", "text": "Paris"}]}),
    "a part that is no text": chat(
        content=[{"type": "image_url"}, {"type": "text", "text": "Paris"}]
    ),
    "extra fields of odd types": chat(content="Paris", audio=3, reasoning=[], thinking={})
    | {"id": 9},
    "ids of the wrong type": {"choices": [choice(text="Paris", token_ids=["a", 1.5])]},
    "no ids": {"choices": [choice(text="Paris", token_ids=[])]},
    "an error that says nothing": chat(content="Paris") | {"error": {"code": 0, "message": ""}},
    "an empty error in the choice": {
        "choices": [choice(message={"content": "Paris"}, error={"message": None})]
    },
    "tool calls that call nothing": chat(content="Paris", tool_calls=[{}], function_call={}),
    "a byte order mark": "\ufeff".encode() + body_of(chat(content="Paris")),
    "blank lines before JSON": b"\n \n\t" + body_of(chat(content="Paris")),
    "a list of one reply": [chat(content="Paris")],
    "a gateway's envelope": {"code": 0, "data": chat(content="Paris")},
    "Ollama's own shape": {"message": {"content": "Paris"}, "done": True, "done_reason": "stop"},
    "infinite logprobs": body_of(
        chat(content="Paris") | {"logprobs": [float("-inf"), float("nan")]}
    ),
    "control characters": b'{"choices": [{"message": {"content": "Paris", "x": "\t\n"}}]}',
    "a stream": (
        b': ping\n\ndata: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
        b'data: {"choices":[{"index":0,"delta":{"content":"Pa"},"finish_reason":null}]}\r\n\r\n'
        b'event: x\ndata: {"choices":[{"index":0,"delta":{"content":"ris"}}]}\n\n'
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n'
    ),
    "a stream of lines": (
        b'{"message": {"content": "Pa"}, "done": false}\n'
        b'{"message": {"content": "ris"}, "done": true, "done_reason": "stop"}\n'
    ),
}


@pytest.mark.parametrize("reply", PLAIN.values(), ids=PLAIN)
def test_only_the_text_of_a_reply_is_required(reply: object) -> None:
    [completion] = read(reply)
    assert completion == Completion("Paris")


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 12, "completion_tokens": 3}, (12, 3)),
        ({"prompt_tokens": 12.0, "completion_tokens": 3.0}, (12, 3)),
        ({"prompt_tokens": "12", "completion_tokens": " 3 "}, (12, 3)),
        ({"input_tokens": 12, "output_tokens": 3}, (12, 3)),
        ({"tokens": {"input_tokens": 12, "output_tokens": 3}}, (12, 3)),
        ([{"prompt_tokens": 12, "completion_tokens": 3}], (12, 3)),
        ({"prompt_tokens": 12, "completion_tokens": 3, "prompt_tokens_details": 5}, (12, 3)),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, (None, None)),
        ({"prompt_tokens": 12, "completion_tokens": 0}, (12, None)),
        ({"prompt_tokens": -1, "completion_tokens": 3}, (None, 3)),
        ({"prompt_tokens": 12.5, "completion_tokens": True}, (None, None)),
        ({"prompt_tokens": "many", "completion_tokens": None}, (None, None)),
        ({"prompt_tokens": 1e300, "completion_tokens": []}, (None, None)),
        ({"prompt_tokens": 12, "completion_tokens": 65}, (12, None)),  # 64 were requested
        ("none", (None, None)),
        (7, (None, None)),
        ({}, (None, None)),
    ],
)
def test_a_count_of_tokens_is_read_or_absent(
    usage: object, counts: tuple[int | None, int | None]
) -> None:
    [completion] = read(chat(content="Paris", usage=usage))
    assert completion.text == "Paris"
    assert (completion.prompt_tokens, completion.completion_tokens) == counts


@pytest.mark.parametrize(
    "message",
    [
        {"content": "Paris", "reasoning_content": "hm"},
        {"content": "Paris", "reasoning": "hm", "reasoning_content": None},
        {"content": "Paris", "reasoning": {"text": "hm", "tokens": 3}},
        {"content": "Paris", "reasoning": {"content": [{"type": "text", "text": "hm"}]}},
        {"content": "Paris", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"content": "Paris", "reasoning_details": [{"summary": "hm"}, {"data": "x9A="}]},
        {"content": "Paris", "thinking": "hm"},
        {"content": "Paris", "thinking_blocks": [{"thinking": "hm", "signature": "s"}]},
        {"content": "Paris", "reasoning_content": "<think>\nhm\n</think>"},
        {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Paris"}]},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                {"type": "text", "text": "Paris"},
            ]
        },
        {
            "content": [
                {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
                {"type": "output_text", "text": "Paris"},
            ]
        },
        {"content": [{"text": "hm", "thought": True}, {"text": "Paris"}]},
        {"content": "<think>\nhm\n</think>\n\nParis"},
        {"content": "<think>\nhm\n</think>\n\nParis", "reasoning_content": "hm"},
    ],
)
def test_reasoning_in_any_field_stands_once_before_the_text(message: dict[str, Any]) -> None:
    [completion] = read(chat(**message))
    assert completion == Completion("<think>\nhm\n</think>\n\nParis")


def test_a_thought_left_in_the_text_is_not_repeated() -> None:
    content = "hm, Paris it is</think>Paris"
    [completion] = read(chat(content=content, reasoning="hm, Paris it is"))
    assert completion.text == content


@pytest.mark.parametrize("content", [None, "", "\n\n", []])
@pytest.mark.parametrize("finish", ["length", "stop"])
def test_a_thought_without_a_text_after_it_stays_open(finish: str, content: object) -> None:
    [completion] = read(chat(finish, content=content, reasoning_content="Lyon, Paris"))
    assert completion == Completion("<think>\nLyon, Paris", finish)


EMPTY: dict[str, object] = {
    "null": chat(content=None),
    "null beside counts": chat(content=None, usage={"prompt_tokens": 9, "completion_tokens": 5}),
    "an empty text": chat(content=""),
    "an empty text of no tokens": chat(
        content="", usage={"prompt_tokens": 9, "completion_tokens": 0}
    ),
    "an empty text of many tokens": chat(
        content="", usage={"prompt_tokens": 9, "completion_tokens": 33}
    ),
    "white space": chat(content=" \n"),
    "no content": chat(),
    "no parts": chat(content=[]),
    "a part without text": chat(content=[{"type": "text", "text": ""}]),
    "no tool calls": chat(content=None, tool_calls=[], function_call=None),
    "no finish reason": chat(None, content=""),
    "an unknown finish reason": chat("OTHER", content=None),
    "no message": {"choices": [choice()]},
    "content of the wrong type": chat(content=7),
}


@pytest.mark.parametrize("reply", EMPTY.values(), ids=EMPTY)
def test_an_empty_reply_is_a_fault(reply: object) -> None:
    with pytest.raises(replies.EmptyReply):
        read(reply)


FAILED: dict[str, object] = {
    "a finish reason": chat("error", content=""),
    "a finish reason beside a text": chat("error", content="Par"),
    "an aborted text": {"choices": [choice("abort", text="Par")]},
    "SGLang's abort": {"choices": [choice({"type": "abort", "message": "x"}, text="Par")]},
    "an error in the choice": {
        "choices": [choice("stop", message={"content": ""}, error={"code": 502, "message": "down"})]
    },
    "an error in the choice beside a text": {
        "choices": [choice("stop", message={"content": "Par"}, error="overloaded")]
    },
    "an error beside choices": chat(content="Par") | {"error": {"message": "down"}},
    "an error in a list": [{"error": {"code": 503, "message": "down"}}],
    "no choices": {"choices": []},
    "choices of nothing": {"choices": ["Paris", 3, None]},
    "an error in a stream": b'data: {"choices":[{"delta":{"content":"Pa"}}]}\n\n'
    b'data: {"error":{"message":"down"},"choices":[{"delta":{},"finish_reason":"error"}]}\n',
    "a stream that breaks off": b'data: {"choices":[{"delta":{"content":"Pa"}}]}\n\n',
    "a page": b"<html>504</html>",
    "half a reply": b'{"choices": [{"message": {"content": "Pa',
    "bytes that are no text": b'{"choices": [{"message": {"content": "\xff"}}]}',
    "depth": b'{"choices": ' + b"[" * 100_000,
    "a text of JSON": b'"Paris"',
    "nothing": b"",
}


@pytest.mark.parametrize("reply", FAILED.values(), ids=FAILED)
def test_a_failed_reply_is_a_fault_that_is_tried_again(reply: object) -> None:
    with pytest.raises(BadReply):
        read(reply)


def test_the_fault_of_a_failed_completion_quotes_its_error() -> None:
    failed = choice("error", message={"content": ""}, error={"message": "no capacity"})
    with pytest.raises(BadReply, match=r"'error'.*no capacity"):
        read({"choices": [failed]})


ENDED_AT_ONCE: dict[str, tuple[str, object]] = {
    "the end of a new turn": (
        "chat",
        chat(content="", usage={"prompt_tokens": 9, "completion_tokens": 1}),
    ),
    "a named stop string": ("chat", {"choices": [choice(text="", stop_reason="</s>")]}),
    "SGLang's stop string": ("continue", {"choices": [choice(text="", matched_stop="</s>")]}),
    "ids": ("continue", {"choices": [choice(text="", token_ids=[2])]}),
    "nothing counted": ("completions", {"choices": [choice(text="")]}),
    "some tokens": (
        "completions",
        {"choices": [choice(text="")], "usage": {"prompt_tokens": 9, "completion_tokens": 1}},
    ),
    "no counts at all": (
        "completions",
        {"choices": [choice(text="")], "usage": {"prompt_tokens": 0, "completion_tokens": 0}},
    ),
    "llama.cpp": (
        "template",
        {"content": "", "stop_type": "word", "stopping_word": "</s>", "tokens_predicted": 1},
    ),
}


@pytest.mark.parametrize(("protocol", "reply"), ENDED_AT_ONCE.values(), ids=ENDED_AT_ONCE)
def test_a_turn_that_ends_at_once_is_an_empty_text(protocol: str, reply: object) -> None:
    [completion] = read(reply, protocol)
    assert (completion.text, completion.stop_reason) == ("", "stop")


def test_a_continued_turn_of_which_no_token_was_sampled_is_a_fault() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 0}
    with pytest.raises(replies.EmptyReply):
        read({"choices": [choice(text="")], "usage": usage}, "completions")


def test_several_completions_of_which_one_is_empty_are_kept() -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 5}
    choices = [choice(text="Paris"), {**choice(text=""), "index": 1}]
    texts = read({"choices": choices, "usage": usage}, "completions", n=2)
    assert [(c.text, c.prompt_tokens, c.completion_tokens) for c in texts] == [
        ("Paris", 9, None),
        ("", 9, None),
    ]


ENDINGS: dict[str, tuple[object, Completion]] = {
    "filtered": (chat("content_filter", content="Par"), Completion("Par", "filtered")),
    "filtered, no text": (chat("SAFETY", content=None), Completion("", "filtered")),
    "a refusal": (
        chat("stop", content=None, refusal="I cannot."),
        Completion("I cannot.", "filtered"),
    ),
    "a refusal as a part": (
        chat(content=[{"type": "refusal", "refusal": "I cannot."}]),
        Completion("I cannot.", "filtered"),
    ),
    "a tool call": (
        chat("tool_calls", content=None, tool_calls=[{"function": {"name": "search"}}]),
        Completion("", "tool-call"),
    ),
    "a tool call that says it has stopped": (
        chat("stop", content="", tool_calls=[{"function": {"name": "search"}}]),
        Completion("", "tool-call"),
    ),
    "an old function call": (
        chat("function_call", content=None, function_call={"name": "search"}),
        Completion("", "tool-call"),
    ),
    "a tool call as a part": (
        chat("end_turn", content=[{"type": "tool_use", "name": "search"}]),
        Completion("", "tool-call"),
    ),
    "a tool call beside a text": (
        chat("stop", content="Paris", tool_calls=[{"id": "1"}]),
        Completion("Paris"),
    ),
    "cut": (chat("max_tokens", content="Par"), Completion("Par", "length")),
    "cut by the context": (
        chat("model_context_window_exceeded", content="Par"),
        Completion("Par", "length"),
    ),
    "cut while thinking unseen": (chat("length", content=None), Completion("", "length")),
    "cut at the limit, said by the count alone": (
        chat(None, content="Par", usage={"completion_tokens": 64}),
        Completion("Par", "length", completion_tokens=64),
    ),
    "OpenRouter's native reason": (
        {"choices": [choice(None, native_finish_reason="MAX_TOKENS", message={"content": "Par"})]},
        Completion("Par", "length"),
    ),
    "lone surrogates": (
        b'{"choices": [{"message": {"content": "a\\ud83d \\ud83d\\ude00"}}]}',
        Completion("a\ufffd \U0001f600"),
    ),
    "NUL": (chat(content="a\0b"), Completion("a\0b")),
    "a stop string that was not requested": (
        {"choices": [choice("stop", text="Paris", stop_reason="end_turn")]},
        Completion("Paris"),
    ),
    "a stop string": (
        {"choices": [choice({"type": "stop", "matched": "</s>"}, text="Paris")]},
        Completion("Paris", stop_string="</s>"),
    ),
}


@pytest.mark.parametrize(("reply", "completion"), ENDINGS.values(), ids=ENDINGS)
def test_a_reply_says_how_it_ended(reply: object, completion: Completion) -> None:
    assert read(reply) == [completion]


@pytest.mark.parametrize(
    ("fields", "ending"),
    [
        ({"stop_type": "eos"}, "stop"),
        ({"stop_type": "limit"}, "length"),
        ({"stop_type": "none", "tokens": None, "tokens_predicted": "3"}, "stop"),
        ({"stopped_limit": True, "stopped_eos": False}, "length"),
        ({"stop_type": 3, "timings": [], "tokens": "?", "stopping_word": None}, "stop"),
    ],
)
def test_llama_cpps_own_reply_is_read_leniently(fields: dict[str, Any], ending: str) -> None:
    [completion] = read({"content": "Paris", **fields}, "template")
    assert (completion.text, completion.stop_reason) == ("Paris", ending)
    assert completion.token_ids is None


def test_choices_with_one_index_stay_in_their_order() -> None:
    choices = [choice(text=text) for text in "cab"]
    assert [completion.text for completion in read({"choices": choices}, n=3)] == ["c", "a", "b"]


def test_more_completions_than_requested_are_cut() -> None:
    choices = [{**choice(text=text), "index": i} for i, text in enumerate("ab")]
    assert [completion.text for completion in read({"choices": choices})] == ["a"]


def test_reasoning_taken_out_of_a_continued_text_cannot_be_put_back() -> None:
    with pytest.raises(EngineFault, match="reasoning parser"):
        read({"choices": [choice(text="", reasoning="hm")]}, "completions")
