"""What servers say when they refuse a request, and what is read from it."""

import json

import pytest

from autocoa_bench.engines.openai import context_errors

TOO_LONG = {
    "OpenAI, chat": (
        "This model's maximum context length is 8192 tokens. However, your messages resulted in "
        "8227 tokens. Please reduce the length of the messages.",
        (8192, 8227),
    ),
    "OpenAI, newer": ("Your input exceeds the context window of this model.", (None, None)),
    "OpenAI, completions": (
        "This model's maximum context length is 2049 tokens, however you requested 3643 tokens "
        "(3643 in your prompt; 0 for the completion). Please reduce your prompt; or completion "
        "length.",
        (2049, 3643),
    ),
    "vLLM and DeepSeek": (
        "This model's maximum context length is 16384 tokens. However, you requested 19591 tokens "
        "(9591 in the messages, 10000 in the completion). Please reduce the length of the messages "
        "or completion.",
        (16384, 9591),
    ),
    "vLLM, max_tokens": (
        "'max_tokens' or 'max_completion_tokens' is too large: 2048. This model's maximum context "
        "length is 4096 tokens and your request has 2524 input tokens (2048 > 4096 - 2524).",
        (4096, 2524),
    ),
    "vLLM, prompt": (
        "The decoder prompt (length 8357) is longer than the maximum model length of 8192.",
        (8192, 8357),
    ),
    "vLLM, newer": (
        "This model's maximum context length is 2048 tokens. However, you requested 500 output "
        "tokens and your prompt contains 10000 input tokens, for a total of 10500 tokens. Please "
        "reduce the length of the input prompt or the number of requested output tokens.",
        (2048, 10000),
    ),
    "vLLM, not counted to the end": (
        "This model's maximum context length is 16384 tokens. However, you requested 8192 output "
        "tokens and your prompt contains at least 8193 input tokens, for a total of at least 16385 "
        "tokens. Please reduce the length of the input prompt.",
        (16384, None),
    ),
    "vLLM, only": (
        "You passed 131041 input tokens and requested 32 output tokens. However, the model's "
        "context length is only 131072 tokens, resulting in a maximum input length of 131040.",
        (131072, 131041),
    ),
    "SGLang": (
        "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
        (40960, 61709),
    ),
    "SGLang, in total": (
        "Requested token count exceeds the model's maximum context length of 262144 tokens. You "
        "requested a total of 271206 tokens: 9062 tokens from the input messages and 262144 "
        "tokens for the completion.",
        (262144, 9062),
    ),
    "llama.cpp": (
        "request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it",
        (8192, 9000),
    ),
    "transformers engine": (
        "a prompt of 9000 tokens exceeds the available context of 8192",
        (8192, 9000),
    ),
}


@pytest.mark.parametrize(("message", "sizes"), TOO_LONG.values(), ids=TOO_LONG)
def test_a_refusal_for_length_is_known_with_the_sizes_that_it_names(
    message: str, sizes: tuple[int | None, int | None]
) -> None:
    assert context_errors.too_long(400, message)
    refused = context_errors.refused(message)
    assert (refused.context_tokens, refused.prompt_tokens) == sizes


def test_llama_cpp_may_put_the_sizes_beside_its_message() -> None:
    error = {"message": "the request exceeds the available context size. try increasing it"}
    body = json.dumps({"error": error | {"n_prompt_tokens": 1407, "n_ctx": 256}}).encode()
    refused = context_errors.refused(error["message"] + context_errors.counts(body))
    assert (refused.context_tokens, refused.prompt_tokens) == (256, 1407)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (500, "CUDA out of memory while the context length is 4096"),
        (429, "Rate limit reached for tokens per minute, reduce the length of the messages"),
        (400, "unknown field 'foo'"),
    ],
)
def test_another_error_is_no_refusal_for_length(status: int, message: str) -> None:
    assert not context_errors.too_long(status, message)


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            "max_tokens",
        ),
        (
            "Unsupported value: 'temperature' does not support 0 with this model. Only the default "
            "(1) value is supported.",
            "temperature",
        ),
        ("Unsupported parameter: 'stop' is not supported with this model.", "stop"),
        ("Unrecognized request argument supplied: seed", "seed"),
        ("Unsupported parameter: 'messages' is not supported", None),
        ("'temperature' must be at most 2", None),
        ("Unknown model 'x'", None),
    ],
)
def test_a_field_that_a_model_does_not_take_is_known_by_its_name(
    message: str, field: str | None
) -> None:
    assert context_errors.unsupported_field(message) == field
