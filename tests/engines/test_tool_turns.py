"""Tool calls by token ids: a turn reads as the chat template would write it, and only grows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from agent_model.dialects.tools import Tools
from agent_model.tokens import Kind, encode, encode_sampled
from autocoa_bench.engines import chat_template, tool_turns
from autocoa_bench.engines import tokenizer as turn_tokens
from autocoa_bench.episode.trajectory import turns_of_steps
from autocoa_bench.runs.solvers import Backends, drive
from autocoa_bench.types import Budget, Passage, Prompt, Question, Sampling, Trajectory
from support.templates import TEMPLATES, TOOL_TEMPLATES
from support.tiny_llm import make_tokenizer
from support.token_server import Kind as ServerKind
from support.token_server import TokenServer

QUESTION = Question("q", "Who built the tower of Où?", ("Anna",))
PASSAGES = (Passage("1", " The Tower\n", 'Anna built "it"; \u6771\u4eac.\n\n '),)
ODD = '東京 "x"'
BUDGET = Budget(max_actions=4, context_tokens=100_000, step_tokens=1000)


ENDS = {
    "Llama": "<|eot_id|>",
    "Mistral": "</s>",
    "DeepSeek": "<\uff5cend\u2581of\u2581sentence\uff5c>",
    "gpt-oss": "<|call|>",
}
"""The tokens that end a message with calls, by the starts of names; `<|im_end|>` in ChatML."""
SPECIALS = (
    *("[TOOL_CALLS]", "[ARGS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[INST]", "[/INST]"),
    *("<|start|>", "<|end|>", "<|channel|>", "<|message|>", "<|start_header_id|>"),
    *("<\uff5ctool\u2581call\u2581begin\uff5c>", "<\uff5ctool\u2581sep\uff5c>"),
    *ENDS.values(),
)


def tokenizer_with(template: str) -> Any:
    made = make_tokenizer()
    made.add_special_tokens({"additional_special_tokens": list(SPECIALS)})
    made.chat_template = template
    return made


class Search:
    """Finds the same passages always."""

    spec = None

    async def search(self, query: str) -> tuple[Passage, ...]:
        return PASSAGES

    async def close(self) -> None:
        pass


def played(
    tokenizer: Any, texts: Sequence[str], kind: ServerKind = "vllm", end: str = "<|im_end|>"
) -> tuple[Trajectory, list[tuple[str, tuple[int, ...]]]]:
    """An episode in which the model says the texts, and the prompts that its server received."""
    server = TokenServer(tokenizer, lambda prompt: "ok", kind)

    async def run() -> Trajectory:
        engine = server.engine(tools=True)
        await engine.start()
        said = iter(texts)
        server.received, server.end = [], end
        server.reply = lambda prompt: next(said)
        backends = Backends(engine, Search())  # type: ignore[arg-type]
        trajectory = await drive(QUESTION, Tools(), backends, Sampling(), BUDGET)
        await engine.close()
        return trajectory

    return asyncio.run(run()), server.received


def called(tokenizer: Any, content: str, calls: Sequence[dict[str, Any]]) -> str:
    """A message with calls as a model writes it: as the template does."""
    user = {"role": "user", "content": "?"}
    message = {"role": "assistant", "content": content, "tool_calls": calls}
    head = chat_template.render(tokenizer, [user], _tools(), open_turn=True)
    rendered = chat_template.render(tokenizer, [user, message], _tools())
    written = rendered.removeprefix(head.removesuffix("<think>\n"))
    assert written != rendered
    end = min(position for end in turn_tokens.ENDS_OF_TURN if (position := written.find(end)) >= 0)
    return written[:end]


def calls_of(name: str, *queries: str) -> list[dict[str, Any]]:
    """The calls of a message in the form that a template takes."""
    arguments = ({"query": query} for query in queries)
    return [
        {
            "id": f"call0000{number}",
            "type": "function",
            "function": {
                "name": "search",
                "arguments": json.dumps(each, ensure_ascii=False) if "Deep" in name else each,
            },
        }
        for number, each in enumerate(arguments, 1)
    ]


def _tools() -> Any:
    return tool_turns.split(Tools().opening(QUESTION))[0]


@pytest.mark.parametrize("kind", ["vllm", "sglang", "llamacpp"])
@pytest.mark.parametrize("name", TOOL_TEMPLATES)
def test_a_turn_with_calls_is_what_the_template_writes(name: str, kind: ServerKind) -> None:
    tokenizer = tokenizer_with(TOOL_TEMPLATES[name])
    thought = "</think>" if "Think" in name else ""
    content = "" if "Llama" in name else "I look."
    one, two = calls_of(name, "tower"), calls_of(name, "mill", ODD)
    if name in ("Llama 3.1", "gpt-oss"):  # one call a message
        two = calls_of(name, ODD)
    texts = [thought + called(tokenizer, content, calls) for calls in (one, two)]
    answer = "<|channel|>final<|message|>\\boxed{Anna}" if name == "gpt-oss" else "\\boxed{Anna}"
    end = next((end for start, end in ENDS.items() if name.startswith(start)), "<|im_end|>")
    trajectory, received = played(tokenizer, [*texts, thought + answer], kind, end)

    shown = Tools().show([Passage("1", "The Tower", 'Anna built "it"; \u6771\u4eac.')])
    user = trajectory.opening[1].content
    messages = [{"role": "user", "content": user}]
    head = chat_template.render(tokenizer, messages, _tools(), open_turn=True)
    for calls in (one, two):
        messages.append({"role": "assistant", "content": content, "tool_calls": calls})
        for call in calls:
            result = {"role": "tool", "name": "search", "tool_call_id": call["id"]}
            messages.append({**result, "content": shown})
    whole = chat_template.render(tokenizer, messages, _tools(), open_turn=True)
    # A template that opens thoughts drops those of earlier messages; the turn keeps them.
    sent = received[-1][0].replace("<think>\n</think>", "")
    assert sent == whole
    assert received[0][0] == head
    queries = ["tower", ODD] if len(two) == 1 else ["tower", "mill", ODD]
    assert [step.argument for step in trajectory.steps] == [*queries, "Anna"]
    assert trajectory.ending == "answered"


@pytest.mark.parametrize("kind", ["vllm", "sglang", "llamacpp"])
@pytest.mark.parametrize("name", [*TOOL_TEMPLATES, *TEMPLATES])
def test_prompts_repeat_the_sampled_ids(name: str, kind: ServerKind) -> None:
    tokenizer = tokenizer_with({**TOOL_TEMPLATES, **TEMPLATES}[name])
    call = '<tool_call>\n{"name": "search", "arguments": {"query": "tower"}}\n</tool_call>'
    thought = "hm</think>" if turn_tokens.traits(tokenizer).opens_thought else ""
    texts = [thought + call, "hm", f"{thought}{call}\n{call}", "hm", "Anna}"]
    trajectory, received = played(tokenizer, texts, kind)

    opening, head = turn_tokens.encode_opening(trajectory.opening, tokenizer)
    assert received[0][1] == head
    for (text, ids), count in zip(received, [0, 1, 2, 4, 5], strict=True):
        steps = trajectory.steps[:count]
        assert text == opening + "".join(step.text + step.observation for step in steps)
        assert ids == turn_tokens.prompt_ids(
            Prompt(trajectory.opening, turns_of_steps(steps)), tokenizer
        )
    if kind == "vllm" and "<|im_end|>" in trajectory.steps[0].text:
        sampled = trajectory.steps[0].token_ids
        assert sampled is not None
        assert received[1][1][len(head) : len(head) + len(sampled)] == sampled
        assert turn_tokens.decode(sampled, tokenizer).endswith("</tool_call><|im_end|>")
    last = received[-1][1]
    assert encode_sampled(trajectory, tokenizer)[0].ids[: len(last)] == last


def test_the_loss_learns_the_call_and_its_end_but_no_result() -> None:
    tokenizer = tokenizer_with(TOOL_TEMPLATES["Qwen2.5"])
    call = '<tool_call>\n{"name": "search", "arguments": {"query": "tower"}}\n</tool_call>'
    trajectory, _ = played(tokenizer, ["I look." + call, "\\boxed{Anna}"])
    encoded = encode(trajectory, tokenizer)

    def text_of(*kinds: Kind) -> str:
        pairs = zip(encoded.ids, encoded.kinds, strict=True)
        return turn_tokens.decode([id_ for id_, kind in pairs if kind in kinds], tokenizer)

    assert text_of(Kind.ACTION) == call + "<|im_end|>"
    assert text_of(Kind.OBSERVATION) == trajectory.steps[0].observation
    assert text_of(Kind.ANSWER) == "\\boxed{Anna}<|im_end|>"
