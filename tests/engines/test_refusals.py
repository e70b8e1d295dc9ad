"""What servers say when they refuse a request, and what is read from it."""

import json
from typing import Any

import pytest

from autocoa_bench.engines.openai import refusals
from autocoa_bench.engines.openai.request_limits import BLANK_STOPS, NO_LIMITS, RequestLimits
from autocoa_bench.types import Completion
from autocoa_bench.util.error_text import error_text, server_message

TOO_LONG: dict[str, tuple[str, tuple[int | None, int | None]]] = {
    "OpenAI, chat": (
        "This model's maximum context length is 8192 tokens. However, your messages resulted "
        "in 8227 tokens. Please reduce the length of the messages.",
        (8192, 8227),
    ),
    "OpenAI, newer": (
        "Your input exceeds the context window of this model.",
        (None, None),
    ),
    "OpenAI, newer, in a sentence": (
        "Your input exceeds the context window of this model. Please adjust your input and try "
        "again.",
        (None, None),
    ),
    "OpenAI, configured": (
        "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in "
        "284121 tokens. Please reduce the length of the messages.",
        (272000, 284121),
    ),
    "OpenAI, completions": (
        "This model's maximum context length is 2049 tokens, however you requested 3643 tokens "
        "(3643 in your prompt; 0 for the completion). Please reduce your prompt; or completion "
        "length.",
        (2049, 3643),
    ),
    "OpenAI, one string": (
        "Invalid 'messages[0].content': string too long. Expected a string with maximum length "
        "1048576, but got a string with length 1262433 instead. code: string_above_max_length",
        (None, None),
    ),
    "vLLM and DeepSeek": (
        "This model's maximum context length is 16384 tokens. However, you requested 19591 "
        "tokens (9591 in the messages, 10000 in the completion). Please reduce the length of "
        "the messages or completion.",
        (16384, 9591),
    ),
    "vLLM, max_tokens": (
        "'max_tokens' or 'max_completion_tokens' is too large: 2048. This model's maximum "
        "context length is 4096 tokens and your request has 2524 input tokens (2048 > 4096 - "
        "2524).",
        (4096, 2524),
    ),
    "vLLM, prompt": (
        "The decoder prompt (length 8357) is longer than the maximum model length of 8192.",
        (8192, 8357),
    ),
    "vLLM, prompt in total": (
        "The prompt (total length 9000) is too long to fit into the model (context length "
        "8192). Make sure that `max_model_len` is no smaller than the number of text tokens.",
        (8192, 9000),
    ),
    "vLLM, newer": (
        "This model's maximum context length is 2048 tokens. However, you requested 500 output "
        "tokens and your prompt contains 10000 input tokens, for a total of 10500 tokens. "
        "Please reduce the length of the input prompt or the number of requested output "
        "tokens.",
        (2048, 10000),
    ),
    "vLLM, not counted to the end": (
        "This model's maximum context length is 16384 tokens. However, you requested 8192 "
        "output tokens and your prompt contains at least 8193 input tokens, for a total of at "
        "least 16385 tokens. Please reduce the length of the input prompt.",
        (16384, None),
    ),
    "vLLM, only": (
        "You passed 131041 input tokens and requested 32 output tokens. However, the model's "
        "context length is only 131072 tokens, resulting in a maximum input length of 131040.",
        (131072, 131041),
    ),
    "vLLM, input length": (
        "Input length (9000) exceeds model's maximum context length (8192).",
        (8192, 9000),
    ),
    "SGLang": (
        "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
        (40960, 61709),
    ),
    "SGLang, in total": (
        "Requested token count exceeds the model's maximum context length of 262144 tokens. "
        "You requested a total of 271206 tokens: 9062 tokens from the input messages and "
        "262144 tokens for the completion.",
        (262144, 9062),
    ),
    "SGLang, allowed length": (
        "Input length (10000 tokens) exceeds the maximum allowed length (8186 tokens). Use a "
        "shorter input or enable --allow-auto-truncate.",
        (8186, 10000),
    ),
    "llama.cpp": (
        "request (9000 tokens) exceeds the available context size (8192 tokens), try increasing it",
        (8192, 9000),
    ),
    "llama.cpp, old": (
        "the request exceeds the available context size. try increasing the context size or "
        "enable context shift",
        (None, None),
    ),
    "llama.cpp, during the reply": (
        "Context size has been exceeded.",
        (None, None),
    ),
    "llama-cpp-python": (
        "Requested tokens (5000) exceed context window of 4096",
        (4096, 5000),
    ),
    "transformers engine": (
        "a prompt of 9000 tokens exceeds the available context of 8192",
        (8192, 9000),
    ),
    "TGI, both": (
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: "
        "4000 `inputs` tokens and 200 `max_new_tokens`",
        (4096, 4000),
    ),
    "TGI, prompt": (
        "Input validation error: `inputs` must have less than 4095 tokens. Given: 5021",
        (4095, 5021),
    ),
    "Ollama": (
        "prompt too long; exceeded max context length by 4 tokens",
        (None, None),
    ),
    "Ollama, input length": (
        "the input length exceeds the context length",
        (None, None),
    ),
    "Ollama, maximum": (
        "input length exceeds maximum context length",
        (None, None),
    ),
    "LM Studio": (
        "Trying to keep the first 5263 tokens when context the overflows. However, the model "
        "is loaded with context length of only 4096 tokens, which is not enough. Try to load "
        "the model with a larger context length, or provide a shorter input",
        (4096, 5263),
    ),
    "LM Studio, newer": (
        "The number of tokens to keep from the initial prompt is greater than the context "
        "length. Try to load the model with a larger context length, or provide a shorter "
        "input",
        (None, None),
    ),
    "Anthropic": (
        "prompt is too long: 213462 tokens > 200000 maximum",
        (200000, 213462),
    ),
    "Anthropic, with the answer": (
        "input length and `max_tokens` exceed context limit: 199759 + 8192 > 200000, decrease "
        "input length or `max_tokens` and try again",
        (200000, 199759),
    ),
    "Anthropic, separators": (
        "prompt is too long: 213,462 tokens > 200,000 maximum",
        (200000, 213462),
    ),
    "Bedrock": (
        "Input is too long for requested model.",
        (None, None),
    ),
    "Bedrock, tokens": (
        "Too many input tokens. Max input tokens: 8192, request input token count: 9513",
        (8192, 9513),
    ),
    "Bedrock, bare": (
        "Too many input tokens",
        (None, None),
    ),
    "Bedrock, messages": (
        "The model returned the following errors: input length and `max_tokens` exceed context "
        "limit: 188240 + 21333 > 200000, decrease input length or `max_tokens` and try again",
        (200000, 188240),
    ),
    "Gemini": (
        "The input token count (1207480) exceeds the maximum number of tokens allowed (1048576).",
        (1048576, 1207480),
    ),
    "Gemini, without the count": (
        "The input token count exceeds the maximum number of tokens allowed 1048576.",
        (1048576, None),
    ),
    "Gemini, is but": (
        "Unable to submit request because the input token count is 32770 but model only "
        "supports up to 32768. Reduce the input token count and try again.",
        (32768, 32770),
    ),
    "DashScope": (
        "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 129024]",
        (129024, None),
    ),
    "DashScope, separators": (
        "Range of input length should be [1, 30,720]",
        (30720, None),
    ),
    "Cohere": (
        "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received "
        "8700. Try using a shorter prompt, or enabling prompt truncating.",
        (4081, 8700),
    ),
    "Cohere, by": (
        "too many tokens: size limit exceeded by 11326 tokens. Try using shorter or fewer "
        "inputs. The limit for this model is 128000 tokens.",
        (128000, None),
    ),
    "Mistral": (
        "Prompt contains 40051 tokens and 0 draft tokens, too large for model with 32768 "
        "maximum context length",
        (32768, 40051),
    ),
    "Together": (
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: "
        "8100 `inputs` tokens and 512 `max_new_tokens`",
        (8193, 8100),
    ),
    "Groq": (
        "Please reduce the length of the messages or completion.",
        (None, None),
    ),
    "Cerebras": (
        "Please reduce the length of the messages or completion. Current length is 8273 while "
        "limit is 8192",
        (8192, 8273),
    ),
    "Fireworks": (
        "The prompt is too long: 140000, model maximum context length: 131071",
        (131071, 140000),
    ),
    "OpenRouter": (
        "This endpoint's maximum context length is 131072 tokens. However, you requested about "
        "150200 tokens (149000 of text input, 1200 in the output). Please reduce the length of "
        'either one, or use the "middle-out" transform to compress your prompt automatically.',
        (131072, 149000),
    ),
    "xAI": (
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        (131072, 537812),
    ),
    "Moonshot": (
        "Invalid request: Your request exceeded model token limit: 8192",
        (8192, None),
    ),
    "Zhipu": (
        "Prompt exceeds max length",
        (None, None),
    ),
    "Zhipu, in Chinese": (
        "Prompt 超长",
        (None, None),
    ),
    "in Chinese": (
        "输入内容过长，请缩短后重试",
        (None, None),
    ),
    "in Chinese, beyond": (
        "输入长度超过模型最大上下文长度 32768",
        (32768, None),
    ),
    "MiniMax": (
        "invalid params, context window exceeds limit (2013)",
        (None, None),
    ),
    "GitHub": (
        "Request body too large for gpt-4o-mini model. Max size: 8000 tokens.",
        (8000, None),
    ),
    "Copilot": (
        "prompt token count of 140211 exceeds the limit of 128000",
        (128000, 140211),
    ),
    "LMDeploy": (
        "length of prompt_tokens (163280) must be less than max_seq_len (32768)",
        (32768, 163280),
    ),
    "Triton": (
        "Prompt length (5003) exceeds maximum input length (4096). Set log level to info and "
        "check the log",
        (4096, 5003),
    ),
    "TensorRT-LLM": (
        "default_max_tokens (-123) should be greater than 0, default_max_tokens (-123) = "
        "max_seq_len (4096) - splited_prompt_len (4219) - query_token_len (0)",
        (4096, 4219),
    ),
    "watsonx": (
        "the number of input tokens 5000 cannot exceed the total tokens limit 4096 for this model",
        (4096, 5000),
    ),
    "DeepInfra": (
        "Requested input length 5000 exceeds maximum input length 4096",
        (4096, 5000),
    ),
    "DS4": (
        "Prompt has 32,769 tokens, but the configured context size is 32,768 tokens",
        (32768, 32769),
    ),
    "Azure": (
        "This model's maximum context length is 16385 tokens. However, you requested 17101 "
        "tokens (16101 in the messages, 1000 in the completion). Please reduce the length of "
        "the messages or completion.",
        (16385, 16101),
    ),
    "LiteLLM": (
        "litellm.ContextWindowExceededError: litellm.BadRequestError: AnthropicException - "
        "prompt is too long: 213462 tokens > 200000 maximum",
        (200000, 213462),
    ),
    "LiteLLM, code alone": (
        "ContextWindowExceededError",
        (None, None),
    ),
    "a code alone": (
        "code: context_length_exceeded",
        (None, None),
    ),
    "z.ai": (
        "model_context_window_exceeded",
        (None, None),
    ),
    "AI21": (
        "Prompt has too many tokens",
        (None, None),
    ),
    "Databricks": (
        "Exceeded maximum allowed input length of 131,072 tokens",
        (131072, None),
    ),
    "a limit a minute that one request exceeds": (
        "Request too large for model `x` in organization `y` service tier `on_demand` on "
        "tokens per minute (TPM): Limit 6000, Requested 6543, please reduce your message size "
        "and try again.",
        (6000, None),
    ),
    "the same at OpenAI": (
        "Request too large for gpt-5 in organization org-1 on tokens per min (TPM): Limit "
        "30000, Requested 36055. The input or output tokens must be reduced in order to run "
        "successfully.",
        (30000, None),
    ),
}
"""Messages with the sizes of the context and of the prompt that they name."""

TOO_LONG_IN_OTHER_WORDS: list[tuple[str, tuple[int | None, int | None]]] = [
    ("Input length 5000 exceeds the maximum length of 4096", (4096, 5000)),
    ("Message is longer than the model can handle", (None, None)),
    ("message length exceeds", (None, None)),
    ("Total length of prompt must not be larger than 4096", (None, None)),
    ("the input prompt is 5000 tokens but the context only has 4096", (None, None)),
    ("exceeds the token capacity of the model", (None, None)),
    ("This model can only process 4096 tokens", (None, None)),
    ("最大输入长度为30720", (30720, None)),
    ("The total number of tokens in the messages exceeds the limit of 32768", (32768, None)),
    ("This model supports a maximum of 8192 tokens, but 9000 were provided", (8192, 9000)),
    ("Prompt tokens (9000) exceed the model's limit (8192)", (8192, 9000)),
    ("tokens in request more than max tokens allowed", (None, None)),
    ("messages token length must be in (0, 126976], but got 130000", (126976, 130000)),
    ("request_too_large Request exceeds the maximum size", (None, None)),
    ("Your request exceeds the context limit of this model (8192 tokens).", (8192, None)),
    ("max_tokens + prompt length (9000) exceeds context (8192)", (8192, 9000)),
    (
        "Sequence length 9000 is longer than the specified maximum sequence length 8192",
        (8192, None),
    ),
    (
        "Token indices sequence length is longer than the specified maximum sequence length "
        "for this model (9000 > 8192)",
        (8192, 9000),
    ),
    (
        "This request would exceed the context window. Requested 9000 tokens, context window "
        "is 8192",
        (8192, None),
    ),
    ("context overflow", (None, None)),
    ("prompt is longer than the context window", (None, None)),
    ("The requested number of tokens, 9000, exceeds the max_model_len of 8192", (8192, None)),
    ("Input tokens limit exceeded", (None, None)),
    ("Token limit exceeded", (None, None)),
    ("Input exceeds token limit", (None, None)),
    ("Content length exceeds limit", (None, None)),
    ("the conversation is too long, please start a new chat", (None, None)),
    (
        "The message you submitted was too long, please reload the conversation and submit "
        "something shorter.",
        (None, None),
    ),
    ("Input token length is too long", (None, None)),
    ("prompt length exceeds max_input_tokens: 4096", (4096, None)),
    ("The input is longer than the model can handle", (None, None)),
    ("number of tokens in prompt (9000) exceeds limit (8192)", (8192, 9000)),
    ("Error: 9000 tokens is greater than the maximum of 8192", (8192, None)),
    ("Requested token count exceeds the model's maximum context length", (None, None)),
    (
        "This model only supports up to 8192 tokens of context; your prompt has 9001 tokens",
        (8192, 9001),
    ),
    ("input (9000 tokens) too large for context (8192 tokens)", (8192, 9000)),
    ("The context window of this model is 8192 tokens, you sent 9000", (8192, 9000)),
    ("Message too long: 9000 tokens, limit 8192", (8192, 9000)),
    ("Please shorten your input", (None, None)),
    ("total tokens 9000 > context size 8192", (8192, None)),
    ("Number of tokens (9000) exceeded maximum context length (8192).", (8192, None)),
    ("Context window full", (None, None)),
    ("输入token数量超过限制", (None, None)),
    ("请求的上下文长度超出模型限制 8192", (8192, None)),
    ("max_prompt_tokens exceeded: 9000 > 8192", (8192, 9000)),
    ("InternalError.Algo.InvalidParameter: Input length exceeds 30720", (30720, None)),
    (
        "This endpoint's maximum context length is 32,768 tokens. However, you requested about "
        "40,000 tokens",
        (32768, None),
    ),
]

OTHER_REFUSALS = [
    (500, "CUDA out of memory while the context length is 4096"),
    (429, "Rate limit reached for tokens per minute, reduce the length of the messages"),
    (400, "unknown field 'foo'"),
    (400, "max_tokens must be at least 1, got 0."),
    (
        400,
        "max_tokens is too large: 6000. This model supports at most 4096 completion tokens, "
        "whereas you provided 6000.",
    ),
    (
        400,
        "max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens for "
        "claude-3-5-sonnet-20241022",
    ),
    (400, "Range of max_tokens should be [1, 8192]"),
    (400, "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"),
    (
        400,
        "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` "
        "is less than the `context_window` for this model",
    ),
    (
        400,
        "too many tokens: max tokens must be less than or equal to 4096, the maximum output "
        "length for this model - received 5000.",
    ),
    (
        400,
        "Unable to submit request because it has a maxOutputTokens value of 100000 but the "
        "supported range is from 1 (inclusive) to 8193 (exclusive). Update the value and try "
        "again.",
    ),
    (
        400,
        "The maximum tokens you requested exceeds the model limit of 4096. Try again with a "
        "maximum tokens value that is lower than 4096.",
    ),
    (
        400,
        "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6100000 bytes > "
        "5242880 bytes",
    ),
    (413, "image too large: 12000 x 9000 pixels"),
    (400, "The image dimensions exceed max allowed size: 8000 pixels"),
    (429, "ThrottlingException: Too many tokens, please wait before trying again."),
    (400, "ThrottlingException: Too many tokens, please wait before trying again."),
    (503, "too many tokens per minute, slow down"),
    (400, "Rate limit exceeded: your request exceeds the limit of 20000 tokens per minute"),
    (
        400,
        "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an "
        "array with length 5 instead.",
    ),
    (
        400,
        "Invalid 'tools[0].function.name': string too long. Expected a string with maximum "
        "length 64",
    ),
    (400, "'user' is too long"),
    (400, "temperature must be less than 2"),
    (
        400,
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        "'max_completion_tokens' instead.",
    ),
    (400, "Invalid JSON payload"),
    (500, "Internal server error"),
    (504, "The request took too long to process"),
    (503, "Model is overloaded, request queue is too long"),
    (400, "continue_final_message is set but the final message does not appear in the chat"),
    (401, "prompt is too long"),
]


@pytest.mark.parametrize(("message", "sizes"), TOO_LONG.values(), ids=TOO_LONG)
def test_a_refusal_for_length_is_known_with_the_sizes_that_it_names(
    message: str, sizes: tuple[int | None, int | None]
) -> None:
    assert refusals.too_long(400, message)
    refused = refusals.refused(message)
    assert (refused.context_tokens, refused.prompt_tokens) == sizes


@pytest.mark.parametrize(("message", "sizes"), TOO_LONG_IN_OTHER_WORDS)
def test_a_refusal_for_length_is_known_in_words_that_no_server_is_known_for(
    message: str, sizes: tuple[int | None, int | None]
) -> None:
    assert refusals.too_long(400, message)
    refused = refusals.refused(message)
    assert (refused.context_tokens, refused.prompt_tokens) == sizes


@pytest.mark.parametrize("status", [200, 400, 413, 422, 500, 502])
def test_a_refusal_for_length_is_known_whatever_its_status(status: int) -> None:
    assert refusals.too_long(status, "ContextWindowExceededError: prompt is too long")


def test_a_body_that_is_too_large_is_a_prompt_that_is_too_long() -> None:
    assert refusals.too_long(413, "413 Request Entity Too Large nginx")


@pytest.mark.parametrize(("status", "message"), OTHER_REFUSALS)
def test_another_refusal_is_none_for_length(status: int, message: str) -> None:
    assert not refusals.too_long(status, message)


def test_sizes_may_stand_beside_the_message() -> None:
    error = {"message": "the request exceeds the available context size. try increasing it"}
    body = json.dumps({"error": error | {"n_prompt_tokens": 1407, "n_ctx": 256}}).encode()
    message = server_message(body)
    refused = refusals.refused(message + refusals.sizes(message, error_text(body)))
    assert (refused.context_tokens, refused.prompt_tokens) == (256, 1407)


SENT: dict[str, Any] = {
    "model": "m",
    "messages": [],
    "max_tokens": 2048,
    "temperature": 0.0,
    "top_p": 1.0,
    "seed": 7,
    "stop": ["</s>", "END"],
    "top_k": -1,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
    "return_token_ids": True,
    "n": 2,
}
REFUSED_FIELDS = [
    (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
        "'max_completion_tokens' instead.",
        "max_tokens",
    ),
    ("max_tokens is not supported, use max_completion_tokens", "max_tokens"),
    (
        "this model is not supported MaxTokens, please use MaxCompletionTokens. param: "
        "max_tokens code: unsupported_parameter",
        "max_tokens",
    ),
    (
        "Unsupported value: 'temperature' does not support 0 with this model. Only the default "
        "(1) value is supported.",
        "temperature",
    ),
    ("`temperature` is deprecated for this model.", "temperature"),
    ("invalid temperature: only 1 is allowed for this model", "temperature"),
    ("`temperature` may only be set to 1 when thinking is enabled.", "temperature"),
    ("temperature must be strictly positive", "temperature"),
    ("Temperature is fixed for this model: temperature cannot be changed", "temperature"),
    ("Unsupported parameter: 'stop' is not supported with this model.", "stop"),
    ("Argument not supported on this model: stop", "stop"),
    ("Unrecognized request argument supplied: seed", "seed"),
    ("Unrecognized request arguments supplied: min_p, top_k", "min_p top_k"),
    ("seed not supported", "seed"),
    ("Seed is not supported by this provider", "seed"),
    ("property 'seed' is unsupported", "seed"),
    (
        "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        "top_p",
    ),
    ("temperature and top_p cannot both be specified", "top_p"),
    ("Use either temperature or top_p, not both", "top_p"),
    ("`top_p` must be > 0.0 and < 1.0", "top_p"),
    (
        "litellm.UnsupportedParamsError: xai does not support parameters: ['stop', 'seed'], "
        "for model=grok-4. To drop these, set `litellm.drop_params=True`",
        "stop seed",
    ),
    (
        "UnsupportedParamsError: openai does not support parameters: {'top_k': -1, 'min_p': "
        "0.0}, for model=gpt-4o",
        "top_k min_p",
    ),
    ("n must be 1", "n"),
    ("Only n=1 is supported", "n"),
    ("'n' : number must be at most 1", "n"),
    ("Multiple completions are not supported", "n"),
    ('Invalid JSON payload received. Unknown name "min_p": Cannot find field.', "min_p"),
    (
        "Invalid JSON payload received. Unknown name \"seed\" at 'generation_config': Cannot "
        "find field.",
        "seed",
    ),
    ("Additional properties are not allowed ('top_k' was unexpected)", "top_k"),
    ("top_k: Extra inputs are not permitted", "top_k"),
    ("detail: type: extra_forbidden loc: body.seed msg: Extra inputs are not permitted", "seed"),
    (
        "[{'type': 'extra_forbidden', 'loc': ('body', 'return_token_ids'), 'msg': 'Extra "
        "inputs are not permitted'}]",
        "return_token_ids",
    ),
    (
        "body -> n Extra inputs are not permitted (type=extra_forbidden) body -> min_p Extra "
        "inputs are not permitted (type=extra_forbidden)",
        "n min_p",
    ),
    (
        "1 validation error for ChatCompletionRequest top_k Extra inputs are not permitted "
        "[type=extra_forbidden]",
        "top_k",
    ),
    (
        "message: Param Incorrect param: repetition_penalty is not supported code: 400",
        "repetition_penalty",
    ),
    ("Unsupported parameter(s): `return_token_ids`", "return_token_ids"),
    ("Validation: Unsupported parameter(s): top_k", "top_k"),
    ('json: unknown field "repetition_penalty"', "repetition_penalty"),
    ("unexpected keyword argument 'min_p'", "min_p"),
    ("Unknown parameter: 'repetition_penalty'.", "repetition_penalty"),
    ("repetition_penalty is not a valid parameter for this model", "repetition_penalty"),
    ("This model doesn't support the top_k parameter", "top_k"),
    ("参数 top_k 不支持", "top_k"),
    ("Unsupported parameter: 'messages' is not supported", ""),
    ("'temperature' must be at most 2", ""),
    ("Unknown model 'x'", ""),
    ("The model 'x' is not supported; stop using it", ""),
    ("This model is not allowed for your organization", ""),
    ("System messages are not supported by this model", ""),
    ("continue_final_message is not supported", ""),
    ("max_tokens must be at least 1", ""),
    ("Invalid value for 'messages': expected an array", ""),
    ("Function calling is not supported", ""),
    ("Missing required parameter: 'model'", ""),
    ("Conversation roles must alternate user/assistant; a model cannot stop here", ""),
    ("Unsupported parameter: temperature", "temperature"),
    ("temperature is not supported by o1 models", "temperature"),
    ("The parameter `seed` is currently not supported", "seed"),
    ("Unknown field: seed", "seed"),
    ("Field 'min_p' is not recognized", "min_p"),
    ("seed: property is not defined", "seed"),
    ("Parameter top_k not accepted", "top_k"),
    ("Invalid parameter: 'repetition_penalty'", "repetition_penalty"),
    ("object has unexpected property 'top_k'", "top_k"),
    ("logit_bias and top_k are not available", "top_k"),
    ("The temperature parameter cannot be set for reasoning models", "temperature"),
    ("this model requires temperature=1", "temperature"),
    ("temperature must be 1", "temperature"),
    ("`temperature` must be set to 1 when thinking is enabled", "temperature"),
    ("Only temperature=1 is supported", "temperature"),
    ("You may not specify both temperature and top_p", "top_p"),
    ("only one of temperature or top_p may be set", "top_p"),
    ("temperature and top_p are mutually exclusive", "top_p"),
    ("seed is not a permitted parameter", "seed"),
    ("Bad request: extra field seed", "seed"),
    ("extra keys: seed", "seed"),
    ("'stop' not supported for this model", "stop"),
    ("stop sequences are not supported", "stop"),
    ("The stop parameter is not supported with reasoning models", "stop"),
    ("Unrecognized key(s) in object: 'top_k', 'min_p'", "top_k min_p"),
    ("unsupported_parameter param: max_tokens", "max_tokens"),
    (
        "This model does not support the 'max_tokens' parameter. Please use "
        "'max_completion_tokens'",
        "max_tokens",
    ),
    (
        "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.",
        "max_tokens",
    ),
    ("Value error, top_k must be at least 1", "top_k"),
    ("top_k must be positive", "top_k"),
    ("min_p out of range", "min_p"),
    ("top_p must be less than 1", "top_p"),
    ("temperature: Input should be greater than 0", "temperature"),
    ("request body doesn't match schema: additional property seed", "seed"),
    ("Validation error: repetition_penalty: unsupported", "repetition_penalty"),
    ("temperature does not apply to this model", "temperature"),
    ("Model does not allow temperature", "temperature"),
    ("模型不支持 temperature 参数", "temperature"),
    ("repetition_penalty参数非法", "repetition_penalty"),
    ("unknown argument: seed", "seed"),
    ("ignored unsupported: seed", "seed"),
    ("error: message: Argument not supported on this model: stop type: invalid", "stop"),
    ("unknown field `seed`, expected one of `model`, `messages`, `max_tokens`", "seed"),
    ("Unknown parameter: 'seed'. Supported parameters: model, max_tokens, temperature", "seed"),
    ("top_p cannot be set when temperature is 0", "top_p"),
    ("got an unexpected keyword argument 'seed'", "seed"),
    ("The model does not support sampling parameters: temperature, top_p", "temperature top_p"),
    ("temperature, top_p and top_k are not supported", "temperature top_p top_k"),
]


@pytest.mark.parametrize(("message", "fields"), REFUSED_FIELDS)
def test_fields_that_a_model_does_not_take_are_known_by_their_names(
    message: str, fields: str
) -> None:
    assert refusals.refused_fields(message, SENT) == set(fields.split())


@pytest.mark.parametrize("message", [message for message, _ in TOO_LONG.values()])
def test_no_field_is_omitted_for_a_prompt_that_is_too_long(message: str) -> None:
    assert refusals.refused_fields(message, SENT) <= {"max_tokens"} or refusals.too_long(
        400, message
    )


@pytest.mark.parametrize(
    ("sampling", "omitted"),
    [
        ({"temperature": 0.0, "top_p": 1.0}, "top_p"),
        ({"temperature": 0.6, "top_p": 0.95}, "top_p"),
        ({"temperature": 1.0, "top_p": 0.9}, "temperature"),
    ],
)
def test_of_two_fields_that_exclude_each_other_the_weaker_is_omitted(
    sampling: dict[str, float], omitted: str
) -> None:
    message = "temperature and top_p cannot both be specified"
    assert refusals.refused_fields(message, SENT | sampling) == {omitted}


@pytest.mark.parametrize(
    ("message", "most"),
    [
        ("max_tokens is too large: 6000. This model supports at most 4096 completion tokens", 4096),
        ("max_tokens: 6000 > 4096, which is the maximum allowed number of output tokens", 4096),
        ("Range of max_tokens should be [1, 4096]", 4096),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 4096]", 4096),
        ("`max_tokens` must be less than or equal to `4096`, the maximum value for it", 4096),
        ("max tokens must be less than or equal to 4096, the maximum output length", 4096),
        ("The maximum tokens you requested exceeds the model limit of 4096.", 4096),
        ("`max_new_tokens` must be <= 512. Given: 6000", 512),
        ("max_completion_tokens is limited for this model", 3000),
    ],
)
def test_an_answer_longer_than_the_model_writes_is_requested_shorter(
    message: str, most: int
) -> None:
    sent = SENT | {"max_tokens": 6000}
    limits = NO_LIMITS.after(message, sent)
    assert limits is not None
    assert limits.most_tokens == most
    assert limits.body(sent)["max_tokens"] == most


BLANK = ["\n", "</s>"]
MANY = ["a", "b", "c", "d", "e", "f"]


@pytest.mark.parametrize(
    ("message", "stops", "sent"),
    [
        ("stop_sequences: each stop sequence must contain non-whitespace", BLANK, ["</s>"]),
        ("Invalid 'stop': must not be blank", BLANK, ["</s>"]),
        ("'stop' is invalid", BLANK, ["</s>"]),
        ("stop: too many (max 4)", MANY, MANY[:4]),
        ("Invalid 'stop': array too long. Expected an array with maximum length 4", MANY, MANY[:4]),
        ("The API supports at most 2 stop sequences", MANY, MANY[:2]),
        ("This model supports at most one stop sequence", MANY, MANY[:1]),
        ("Too many stop sequences", MANY, MANY[:4]),
        ("Unsupported parameter: 'stop' is not supported with this model.", MANY, None),
    ],
)
def test_of_the_stop_strings_only_those_that_are_refused_are_omitted(
    message: str, stops: list[str], sent: list[str] | None
) -> None:
    limits = NO_LIMITS.after(message, SENT | {"stop": stops})
    assert limits is not None
    assert limits.body({"stop": stops}).get("stop") == sent


@pytest.mark.parametrize(
    ("text", "cut"),
    [
        ("Paris\nis it", "Paris"),
        ("\n\nParis\nis it", "\n\nParis"),
        ("<think>\none\ntwo</think>\n\nParis\nis it", "<think>\none\ntwo</think>\n\nParis"),
        ("<think>\none\ntwo", "<think>\none\ntwo"),
        ("Paris</s> \n", "Paris</s> "),
    ],
)
def test_a_text_ends_at_a_stop_string_that_was_not_sent(text: str, cut: str) -> None:
    limits = RequestLimits(refused=frozenset({BLANK_STOPS}))
    assert limits.cut(Completion(text), BLANK).text == cut


def test_limits_are_recorded_by_their_names() -> None:
    limits = RequestLimits(frozenset({"seed", BLANK_STOPS}), most_stops=4, most_tokens=4096)
    assert limits.settings() == {
        "refused_fields": "blank stop strings, seed",
        "most_stops": 4,
        "most_tokens": 4096,
    }
