"""Episodes of a model that calls functions: several searches at once, corrections, budgets."""

from __future__ import annotations

import json

import pytest

from agent_model.dialects.tools import Tools
from autocoa_bench.episode import n_actions, turns_of
from autocoa_bench.types import (
    Budget,
    Completion,
    Generate,
    ModelTraits,
    Passage,
    Search,
    ToolTurns,
)
from support.play import play

TURNS = ToolTurns(
    end="<|im_end|>",
    before="\n<|im_start|>user\n<tool_response>\n",
    between="\n</tool_response>\n<tool_response>\n",
    after="\n</tool_response><|im_end|>\n<|im_start|>assistant\n",
    text_end="<|im_end|>",
    user=("\n<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"),
)
TRAITS = ModelTraits(special_tokens=("<|im_end|>", "<|im_start|>"), tool_turns=TURNS)


def call(query: object, name: str = "search") -> str:
    arguments = {"query": query}
    content = json.dumps({"name": name, "arguments": arguments})
    return f"<tool_call>\n{content}\n</tool_call>"


_DEEPSEEK = "<\uff5ctool\u2581{}\uff5c>"
_CALL, _SEP = _DEEPSEEK.format("call\u2581begin"), _DEEPSEEK.format("sep")
_CALL_END, _CALLS_END = _DEEPSEEK.format("call\u2581end"), _DEEPSEEK.format("calls\u2581end")
TWO_CALLS = {
    "Hermes": call("mill") + call("tower"),
    "Hermes without a closing tag": call("mill") + call("tower").removesuffix("</tool_call>"),
    "Hermes with a line break in a text": call("mill") + call("tow\\ner").replace("\\\\n", "\n"),
    "Hermes with arguments as a text": call("mill")
    + '<tool_call>{"name": "search", "arguments": "{\\"query\\": \\"tower\\"}"}</tool_call>',
    "Qwen3-Coder": "<tool_call>\n<function=search>\n<parameter=query>\nmill\n</parameter>\n"
    "</function>\n</tool_call>\n<tool_call>\n<function=search>\n<parameter=query>\ntower\n"
    "</parameter>\n</function>\n</tool_call>",
    "Qwen3-Coder without tool_call": "<function=search><parameter=query>mill</parameter></function>"
    "<function=search>\n<parameter=query>\ntower\n</parameter>\n</function>",
    "DeepSeek V3": "".join(
        f'{_CALL}function{_SEP}search\n```json\n{{"query": "{query}"}}\n```{_CALL_END}'
        for query in ("mill", "tower")
    )
    + _CALLS_END,
    "DeepSeek V3.1": "".join(
        f'{_CALL}search{_SEP}{{"query": "{query}"}}{_CALL_END}' for query in ("mill", "tower")
    )
    + _CALLS_END,
    "Mistral 7B v0.3": '[TOOL_CALLS] [{"name": "search", "arguments": {"query": "mill"}}, '
    '{"name": "search", "arguments": {"query": "tower"}}]',
    "Mistral Small 3.2": '[TOOL_CALLS]search[ARGS]{"query": "mill"}'
    '[TOOL_CALLS]search[CALL_ID]123456789[ARGS]{"query": "tower"}',
    "Llama 3": '<|python_tag|>{"name": "search", "parameters": {"query": "mill"}}; '
    '{"name": "search", "parameters": {"query": "tower"}}',
    "gpt-oss": "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary "
    'to=functions.search <|constrain|>json<|message|>{"query": "mill"}<|call|><|start|>assistant '
    'to=functions.search<|channel|>commentary json<|message|>{"query": "tower"}<|call|>',
}


@pytest.mark.parametrize("name", TWO_CALLS)
def test_calls_are_read_in_every_format(name: str) -> None:
    text = TWO_CALLS[name]
    action = Tools().parse(Completion(text))
    queries = [each.query.replace(" ", "") for each in action.calls]
    assert (action.kind, queries) == ("search", ["mill", "tower"])
    assert action.text.startswith(text)
    # The first call alone, as where the budget has no room for the second, is a whole message.
    again = Tools().parse(Completion(action.calls[0].text))
    assert (again.argument, again.text, again.calls) == ("mill", action.calls[0].text, ())


@pytest.mark.parametrize("name", TWO_CALLS)
def test_a_call_that_is_cut_anywhere_is_no_other_call(name: str) -> None:
    text = TWO_CALLS[name]
    for end in range(len(text)):
        action = Tools().parse(Completion(text[:end], "length"))
        queries = [each.query.replace(" ", "") for each in action.calls] or [action.argument]
        assert queries in ([""], ["mill"], ["mill", "tower"]), text[:end]


@pytest.mark.parametrize("text", ['{"answer": "Anna"}', '{"name": "Anna"}', "{", "[TOOL_CALLS]"])
def test_other_json_is_no_call(text: str) -> None:
    assert Tools().parse(Completion(text)).kind == "malformed"


def test_each_call_of_a_completion_is_a_step_with_its_own_observation() -> None:
    text = f"I look.\n{call('mill')}\n{call('tower')}"
    reply = Completion(text, token_ids=(7, 8, 9), completion_tokens=3, end="<|im_end|>")
    trajectory, events = play(Tools(), [reply, "\\boxed{Anna}"], traits=TRAITS)

    first, second, answer = trajectory.steps
    assert [event.query for event in events if isinstance(event, Search)] == ["mill", "tower"]
    assert (first.text, first.token_ids) == (f"{text}<|im_end|>", (7, 8, 9))
    assert (second.text, second.token_ids, second.completion_tokens) == ("", None, 0)
    assert (first.call, second.call, second.is_retrieval) == (0, 1, False)
    assert first.observation.startswith(TURNS.before)
    assert first.observation.endswith(TURNS.between)
    assert second.observation.endswith(TURNS.after)
    assert second.passages == first.passages != ()
    assert (answer.argument, n_actions(trajectory)) == ("Anna", 2)


def test_calls_beyond_the_budget_are_cut_and_the_answer_is_forced() -> None:
    text = "\n".join(call(query) for query in ("mill", "tower", "river"))
    trajectory, _ = play(Tools(), [text, "Anna}"], budget=Budget(max_actions=2), traits=TRAITS)
    assert trajectory.steps[0].text == f"{call('mill')}\n{call('tower')}<|im_end|>"
    assert [step.argument for step in trajectory.steps] == ["mill", "tower", "Anna"]
    assert (trajectory.ending, trajectory.answer) == ("forced-actions", "Anna")
    assert "".join(turn.text for turn in turns_of(trajectory)).endswith(
        "<|im_start|>assistant\nThe answer is \\boxed{Anna}"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('<tool_call>{"name": "search", "arguments": "{tower"}</tool_call>', "no JSON object"),
        ("<tool_call>search(tower)</tool_call>", "no JSON object"),
        (call("tower", name="python"), "not offered"),
        (call(["tower"]), "without a query"),
        (f"{call('tower')}{call('')}", "without a query"),
        ("Anna, I think.", "no call, no answer"),
        (f"<think>{call('tower')}", "inside a thought"),
    ],
)
def test_what_is_no_call_is_corrected_once_by_a_message_of_the_user(
    text: str, problem: str
) -> None:
    replies = [text, text, "Anna}"]
    trajectory, _ = play(Tools(), replies, traits=TRAITS)
    first, second, _ = trajectory.steps
    assert problem in first.problem
    before, after = TURNS.user
    assert first.observation == f"{before}{Tools.nudge}{after}"
    assert (trajectory.ending, trajectory.answer) == ("forced-malformed", "Anna")
    assert n_actions(trajectory) == 0
    assert not second.text.endswith("<|im_end|>"), "the forced answer continues the message"


def test_a_call_that_ran_out_of_tokens_is_none_but_the_ones_before_it_count() -> None:
    half = '<tool_call>\n{"name": "search", "arg'
    cut = Completion(f"{call('mill')}\n{half}", "length")
    trajectory, _ = play(Tools(), [cut, Completion(half, "length"), "\\boxed{Anna}"], traits=TRAITS)
    assert trajectory.steps[0].text == f"{call('mill')}<|im_end|>"
    assert trajectory.steps[1].kind == "malformed"
    assert "step tokens" in trajectory.steps[1].problem


def test_results_that_the_model_writes_itself_are_cut() -> None:
    text = f"{call('mill')}\n<tool_response>\nCarl built it.\n</tool_response>\n\\boxed{{Carl}}"
    trajectory, _ = play(Tools(), [text, "\\boxed{Anna}"], traits=TRAITS)
    assert trajectory.answer == "Anna"
    assert "Carl" not in "".join(turn.text for turn in turns_of(trajectory))


def test_a_model_that_opens_thoughts_thinks_again_after_each_result() -> None:
    traits = ModelTraits(opens_thought=True, tool_turns=TURNS)
    replies = [f"hm</think>{call('mill')}", f"hm {call('tower')}", "</think>\\boxed{Anna}"]
    trajectory, _ = play(Tools(), replies, traits=traits)
    assert [step.kind for step in trajectory.steps] == ["search", "malformed", "answer"]
    assert trajectory.steps[1].problem == "a call or an answer inside a thought"


def test_passages_that_do_not_fit_are_dropped_from_the_result() -> None:
    passages = [Passage(str(i), f"Tower {i}", "x " * 600) for i in range(3)]
    trajectory, events = play(
        Tools(),
        [call("mill"), "\\boxed{Anna}"],
        passages,
        Budget(context_tokens=2048, step_tokens=64),
        traits=TRAITS,
    )
    step = trajectory.steps[0]
    assert 0 < len(step.passages) < 3
    assert step.dropped_passages == 3 - len(step.passages)
    assert step.observation.endswith(TURNS.after)
    last = events[-1]
    assert isinstance(last, Generate)


def test_json_in_a_template_that_quotes_results_stays_json() -> None:
    quoted = ToolTurns(
        end="<|eot_id|>",
        before='<|start_header_id|>ipython<|end_header_id|>\n\n"',
        between='"<|eot_id|>',
        after='"<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n',
        text_end="<|eot_id|>",
        user=("", ""),
        quoted=True,
    )
    passages = [Passage("1", 'A "tower"', "line\nanother")]
    trajectory, _ = play(
        Tools(),
        [call("mill"), "\\boxed{Anna}"],
        passages,
        traits=ModelTraits(tool_turns=quoted),
    )
    shown = trajectory.steps[0].observation.removeprefix(quoted.before).removesuffix(quoted.after)
    assert json.loads(f'"{shown}"') == Tools().show([Passage("1", 'A "tower"', "line another")])
