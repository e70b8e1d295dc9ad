"""How an episode takes completions that a limit, a filter or a tool call has ended."""

import pytest

from agent_model.dialects import Agent, CoT, R1Searcher, ReSearch, SearchO1, SearchR1
from autocoa_bench.episode import Dialect
from autocoa_bench.types import Budget, Completion, Step
from baselines.ircot import IRCoT
from baselines.model_only import ModelOnly
from baselines.rag import RAG
from baselines.react import ReAct
from baselines.self_ask import SelfAsk
from support.play import play

# Each with a text that acts or answers, and the same text without its end.
DIALECTS: dict[str, tuple[Dialect, str, str]] = {
    "agent": (Agent(), "Hm. <begin_search> mayor </end_search>", "Hm. <begin_search> mayor"),
    "search-r1": (SearchR1(), "Hm. <search> mayor </search>", "Hm. <search> mayor"),
    "search-r1, an answer": (SearchR1(), "<answer>Anna</answer>", "<answer>An"),
    "r1-searcher": (
        R1Searcher(),
        "Hm. <|begin_of_query|> mayor <|end_of_query|>",
        "Hm. <|begin_of_query|> mayor",
    ),
    "research": (ReSearch(), "Hm. <search> mayor </search>", "Hm. <search> mayor"),
    "react": (ReAct(), "Hm.\nAction: Search[mayor]", "Hm.\nAction: Search[mayor"),
    "react, an answer": (ReAct(), "Hm.\nAction: Finish[Anna]", "Hm.\nAction: Finish[An"),
    "cot": (CoT(), "</think>\\boxed{Anna}", "</think>\\boxed{An"),
    "model-only": (ModelOnly(), "So \\boxed{Anna}", "So \\boxed{An"),
    "search-o1": (
        SearchO1(),
        "Hm. <|begin_search_query|> mayor <|end_search_query|>",
        "Hm. <|begin_search_query|> mayor",
    ),
    "rag": (RAG(), "So \\boxed{Anna}", "So \\boxed{An"),
    "rag, no thinking": (RAG(thinking=False), "Anna\n", "An"),
    "ircot": (IRCoT(), "The mayor is Anna.", "The mayor is"),
    "ircot, an answer": (IRCoT(), "So the answer is: Anna\n", "So the answer is: Anna"),
    "self-ask": (SelfAsk(), " Yes.\nFollow up: Who?\n", " Yes.\nFollow up: Who"),
    "self-ask, an answer": (
        SelfAsk(),
        "No.\nSo the final answer is: Anna\n",
        "No.\nSo the final answer is: An",
    ),
}
CAUSES = {
    "length": "step tokens",
    "filtered": "content filter",
    "tool-call": "tool call, although no tools were offered",
}


def first_step(dialect: Dialect, reply: Completion) -> Step:
    """The step of the first completion."""
    steps = play(dialect, [reply, "", "", "", ""])[0].steps
    return next(step for step in steps if not step.is_retrieval)


@pytest.mark.parametrize("ending", CAUSES)
@pytest.mark.parametrize(("dialect", "action", "cut"), DIALECTS.values(), ids=DIALECTS)
def test_a_completion_that_is_cut_before_its_action_is_malformed_and_names_the_cause(
    dialect: Dialect, action: str, cut: str, ending: str
) -> None:
    for text in (cut, "Hm", ""):
        step = first_step(dialect, Completion(text, ending))
        assert (step.kind, step.stop_reason) == ("malformed", ending)
        assert CAUSES[ending] in step.problem
    step = first_step(dialect, Completion(action, ending))
    assert (step.kind != "malformed", step.stop_reason) == (True, ending)


@pytest.mark.parametrize("dialect", [row[0] for row in DIALECTS.values()], ids=DIALECTS)
def test_a_filtered_forced_answer_is_none_and_ends_the_episode(dialect: Dialect) -> None:
    replies = [""] * (1 if dialect.nudge is None else 2)
    trajectory, _ = play(dialect, [*replies, Completion("Ann", "filtered")])
    assert trajectory.answer is None
    assert trajectory.steps[-1].forced
    assert trajectory.steps[-1].stop_reason == "filtered"
    assert CAUSES["filtered"] in trajectory.steps[-1].problem


def test_a_tool_call_instead_of_a_forced_answer_is_named() -> None:
    trajectory, _ = play(Agent(), [Completion("", "tool-call")], budget=Budget(max_actions=0))
    assert trajectory.answer is None
    assert CAUSES["tool-call"] in trajectory.steps[-1].problem
