"""Tool calls that the server reads: what requests carry, and how calls and results go back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_model.dialects.tools import Tools
from autocoa_bench.engines.openai import native_calls
from autocoa_bench.engines.openai.client import OpenAIEngine
from autocoa_bench.errors import UserError
from autocoa_bench.runs.solvers import Backends, drive
from autocoa_bench.types import (
    Budget,
    Completion,
    Generate,
    Passage,
    Prompt,
    Question,
    Sampling,
    Trajectory,
    Turn,
)
from support.mock_server import Body, MockServer, calls, tool_agent

QUESTION = Question("q", "Who built the tower?", ("Anna",))


class Search:
    """Finds the query itself."""

    spec = None

    async def search(self, query: str) -> tuple[Passage, ...]:
        return (Passage("1", query, "Anna built it."),)

    async def close(self) -> None:
        pass


def played(
    reply: Callable[[Body], str | Body], budget: Budget | None = None, **settings: Any
) -> tuple[Trajectory, list[Body]]:
    """An episode at a server that reads tool calls, and the bodies of its requests."""
    with MockServer(reply) as server:
        for name, value in settings.items():
            setattr(server, name, value)

        async def run() -> Trajectory:
            engine = OpenAIEngine("mock", server.url, protocol="chat", tools=True, retries=0)
            await engine.start()
            try:
                backends = Backends(engine, Search())  # type: ignore[arg-type]
                return await drive(QUESTION, Tools(), backends, Sampling(), budget or Budget())
            finally:
                await engine.close()

        return asyncio.run(run()), server.generations()


def in_order(*replies: str | Body) -> Callable[[Body], str | Body]:
    waiting = iter(replies)
    return lambda body: next(waiting)


def test_requests_offer_the_tools_and_the_episode_ends_with_an_answer() -> None:
    trajectory, bodies = played(tool_agent)
    assert [step.kind for step in trajectory.steps] == ["search"] * 3 + ["answer"]
    assert (trajectory.answer, trajectory.ending) == ("yes", "answered")
    offered = json.loads(Tools().opening(QUESTION)[0].content)
    assert all(body["tools"] == offered for body in bodies)
    assert not any("tool_choice" in body or "stop" in body for body in bodies)
    assert bodies[0]["messages"] == [
        {"role": "user", "content": Tools().opening(QUESTION)[1].content}
    ]


def test_parallel_calls_are_answered_in_order_with_their_own_ids() -> None:
    reply = in_order(calls({"query": "mill"}, {"query": "tower"}, content="Both."), "\\boxed{Anna}")
    trajectory, bodies = played(reply)
    assert [step.argument for step in trajectory.steps] == ["mill", "tower", "Anna"]
    assistant, first, second = bodies[1]["messages"][1:]
    assert assistant["content"] == "Both."
    assert [call["id"] for call in assistant["tool_calls"]] == ["mock-0", "mock-1"]
    arguments = [call["function"]["arguments"] for call in assistant["tool_calls"]]
    assert [json.loads(each) for each in arguments] == [{"query": "mill"}, {"query": "tower"}]
    assert (first["tool_call_id"], second["tool_call_id"]) == ("mock-0", "mock-1")
    assert first["content"] == 'result 1: "mill"\nAnna built it.'
    assert second["content"] == 'result 1: "tower"\nAnna built it.'


def test_a_forced_answer_may_call_no_tool() -> None:
    reply = in_order(calls({"query": "mill"}, {"query": "tower"}), "It is \\boxed{Anna}")
    trajectory, bodies = played(reply, Budget(max_actions=1))
    assert (trajectory.ending, trajectory.answer) == ("forced-actions", "Anna")
    assert bodies[1]["tool_choice"] == "none"
    roles = [message["role"] for message in bodies[1]["messages"]]
    assert roles == ["user", "assistant", "tool", "user"], "the second call is cut"
    assert bodies[1]["messages"][-1]["content"] == Tools.force


def test_arguments_that_are_no_json_are_corrected_once() -> None:
    reply = in_order(calls("{tower"), calls("[tower]"), "\\boxed{Anna}")
    trajectory, bodies = played(reply)
    assert [step.kind for step in trajectory.steps] == ["malformed", "malformed", "answer"]
    assert "no JSON object" in trajectory.steps[0].problem
    assert (trajectory.ending, trajectory.answer) == ("forced-malformed", "Anna")
    # The broken call goes back as text: servers refuse arguments that are no JSON.
    assistant, user = bodies[1]["messages"][1:]
    assert "{tower" in assistant["content"]
    assert "tool_calls" not in assistant
    assert user == {"role": "user", "content": Tools.nudge}


def test_thoughts_and_a_providers_own_fields_go_back_with_their_call() -> None:
    message = calls({"query": "mill"})
    message["reasoning_content"] = "I need the mill."
    message["tool_calls"][0]["extra_content"] = {"google": {"thought_signature": "x<y"}}
    trajectory, bodies = played(in_order(message, "\\boxed{Anna}"))
    assert trajectory.steps[0].text.startswith("<think>\nI need the mill.\n</think>")
    assistant = bodies[1]["messages"][1]
    assert assistant["reasoning_content"] == "I need the mill."
    assert assistant["content"] is None
    [sent], [own] = assistant["tool_calls"], message["tool_calls"]
    assert (sent["id"], sent["extra_content"]) == (own["id"], own["extra_content"])


def test_a_server_that_reads_no_calls_is_named_with_what_to_do() -> None:
    words = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
    with pytest.raises(UserError, match=r"does not read tool calls.*--protocol template"):
        played(tool_agent, refusal=lambda body: words if "tools" in body else None)


def test_a_call_that_the_server_has_left_in_the_text_counts() -> None:
    text = '<tool_call>\n{"name": "search", "arguments": {"query": "mill"}}\n</tool_call>'
    trajectory, bodies = played(in_order(text, "\\boxed{Anna}"))
    assert trajectory.answer == "Anna"
    [call] = bodies[1]["messages"][1]["tool_calls"]
    assert call["id"] == bodies[1]["messages"][2]["tool_call_id"]


def test_half_a_character_is_replaced() -> None:
    text = native_calls.as_text("", calls('{"query": "\\ud800 mill"}')["tool_calls"])
    assert Tools().parse(Completion(text)).argument == "? mill"


@pytest.mark.parametrize("arguments", ["[" * 100_000, '{"a": ' * 900 + "1"])
def test_arguments_that_nobody_can_read_are_malformed(arguments: str) -> None:
    text = native_calls.as_text("", calls(arguments)["tool_calls"])
    assert Tools().parse(Completion(text)).kind == "malformed"


_TEXTS = st.text(max_size=20) | st.sampled_from(["</tool_call>", "<tool_call>", '"}}', "</think>"])


@given(queries=st.lists(_TEXTS, min_size=1, max_size=3), content=st.sampled_from(["", "I look."]))
def test_no_argument_forges_a_call(queries: list[str], content: str) -> None:
    arguments = [{"query": query} for query in queries]
    text = native_calls.as_text(content, calls(*arguments)["tool_calls"])
    opening = Tools().opening(QUESTION)
    turns = (Turn("model", text), *(Turn("environment", query) for query in queries))
    fields = native_calls.request_fields(Generate(Prompt(opening, turns), (), 1))
    assistant, *results = fields["messages"][1:]
    assert [json.loads(c["function"]["arguments"]) for c in assistant["tool_calls"]] == arguments
    assert [result["content"] for result in results] == queries
    action = Tools().parse(Completion(text))
    assert action.kind in ("search", "malformed")
    assert len(action.calls or (1,)) == len(queries) or action.kind == "malformed"
