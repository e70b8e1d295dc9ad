"""Completions as each dialect parses them."""

import re
from pathlib import Path

import pytest

from agent_model.dialects.agent import EXAMPLES, Agent
from agent_model.dialects.r1_searcher import R1Searcher
from agent_model.dialects.search_r1 import SearchR1
from autocoa_bench.episode import Dialect
from autocoa_bench.errors import UserError
from autocoa_bench.types import Completion
from baselines.model_only import ModelOnly
from baselines.react import ReAct
from support.play import QUESTION

A, S, R, M, X = Agent(), SearchR1(), R1Searcher(), ModelOnly(), ReAct()


@pytest.mark.parametrize(
    ("dialect", "text", "kind", "argument"),
    [
        (A, "so <begin_search> who built it </end_search>", "search", "who built it"),
        (A, "so <begin_search> who built it ", "search", "who built it"),
        (A, "so <begin_search>who\nbuilt it</end_search> more", "search", "who built it"),
        (A, "so <begin_search> who </begin_search>\n</end_search>", "search", "who"),
        (A, "done</think>\n\\boxed{Anna}", "answer", "Anna"),
        (A, "done</think>\n\\boxed{\\text{Anna}}", "answer", "Anna"),
        (A, "done</think>\n\\boxed{the set {1, 2}} ok", "answer", "the set {1, 2}"),
        (A, "done</think>\n\\boxed{Anna", "answer", "Anna"),
        (A, "not \\boxed{Bert} but </think>\\boxed{Anna}", "answer", "Anna"),
        (A, "never closed \\boxed{Anna}", "answer", "Anna"),
        (A, "x</think>\\boxed{Anna} <begin_search> y", "answer", "Anna"),
        (A, "maybe \\boxed{Bert}, but <begin_search> y", "search", "y"),
        (A, "</think>\\boxed{\\text{New} \\text{York}}", "answer", "New York"),
        (A, "<begin_search> y </end_search></think>\\boxed{Anna}", "search", "y"),
        (A, "just words", "malformed", ""),
        (A, "<begin_search>  </end_search>", "malformed", ""),
        (A, "<search_result> I made this up", "malformed", ""),
        (A, "</think>\\boxed{}", "malformed", ""),
        (S, "<think>hm</think><search> tower </search>", "search", "tower"),
        (S, "<think>hm</think><search> tower ", "search", "tower"),
        (S, "<answer> Anna </answer>", "answer", "Anna"),
        (S, "<answer> Anna ", "answer", "Anna"),
        (S, "<think>hm</think>", "malformed", ""),
        (R, 'query "<|begin_of_query|> tower<|end_of_query|>', "search", "tower"),
        (R, "ok </think>\n<answer>Anna</answer>", "answer", "Anna"),
        (R, "<answer></answer>", "malformed", ""),
        (M, "I recall \\boxed{Bert}, no: \\boxed{$Anna$}", "answer", "Anna"),
        (M, "Anna", "malformed", ""),
        (X, " I look.\nAction: Search[tower]", "search", "tower"),
        (X, " I look.\nAction: search[tower [old]]\nObservation: no", "search", "tower [old]"),
        (X, " I know.\nAction 2: Finish[Anna]", "answer", "Anna"),
        (X, " I know.\nAction: Finish[Anna", "answer", "Anna"),
        (X, " I know.\nAction: Finish[Anna] (see [1])", "answer", "Anna"),
        (X, "<think>Action: Finish[Bert]</think>\nAction: Finish[Anna]", "answer", "Anna"),
        (M, "<think>\\boxed{Bert}?</think> It is \\boxed{Anna}", "answer", "Anna"),
        (X, "\nAction: Finish[]", "malformed", ""),
        (X, " I say Action: Finish[Anna] in passing", "malformed", ""),
        (X, " I know.\nAction: Lookup[Anna]", "malformed", ""),
    ],
)
def test_a_completion_is_read_as(dialect: Dialect, text: str, kind: str, argument: str) -> None:
    action = dialect.parse(Completion(text))
    assert (action.kind, action.argument) == (kind, argument)


@pytest.mark.parametrize(
    "completion",
    [
        Completion("\\boxed{Anna}\n<search_result> Anna built it."),
        Completion("\\boxed{Anna}\n", stop_string="<search_result>"),
    ],
)
def test_results_that_follow_an_answer_are_cut_behind_their_opening(completion: Completion) -> None:
    assert A.parse(completion).text == "\\boxed{Anna}\n<search_result>"


@pytest.mark.parametrize(
    ("dialect", "without", "closing"),
    [
        (A, "so <begin_search> who", "</end_search>"),
        (S, "so <search> who", "</search>"),
        (R, "so <|begin_of_query|> who", "<|end_of_query|>"),
        (S, "so <answer> Anna ", "</answer>"),
    ],
)
def test_a_stop_string_is_put_back_whether_or_not_the_server_returned_it(
    dialect: Dialect, without: str, closing: str
) -> None:
    assert dialect.parse(Completion(without)).text == without + closing
    assert dialect.parse(Completion(without + closing)).text == without + closing


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        (A, "<begin_search> who built"),
        (A, "</think>\\boxed{the capital city of"),
        (S, "<answer> the capital city of"),
        (M, "\\boxed{the capital city of"),
        (X, "Action: Search[who built"),
    ],
)
def test_an_action_that_the_token_limit_cut_is_malformed(dialect: Dialect, text: str) -> None:
    assert dialect.parse(Completion(text, "length")).kind == "malformed"


@pytest.mark.parametrize(
    ("dialect", "text", "answer"),
    [
        (A, "Anna}", "Anna"),
        (A, "Anna", "Anna"),
        (A, "The answer: \\boxed{Anna}", "Anna"),
        (A, "}", None),
        (S, " Anna ", "Anna"),
        (R, "Anna</answer>", "Anna"),
        (M, "\\text{Anna}}", "Anna"),
        (X, "Anna]", "Anna"),
        (X, "Action: Finish[Anna]", "Anna"),
        (X, "\n", None),
    ],
)
def test_a_forced_answer_is_read_as(dialect: Dialect, text: str, answer: str | None) -> None:
    assert dialect.parse_forced(text) == answer


def test_react_shows_as_many_examples_as_asked() -> None:
    def examples(shots: int) -> int:
        return ReAct(shots).opening(QUESTION)[0].content.count("Finish[") - 1

    assert [examples(shots) for shots in (0, 1, 3)] == [0, 1, 3]


def test_react_refuses_more_examples_than_it_has() -> None:
    with pytest.raises(UserError, match="takes 0 to 3 shots, not 4"):
        ReAct(shots=4)


@pytest.mark.parametrize("shots", [0, 1, 2])
def test_the_agent_shows_its_examples_in_the_message_of_the_question(shots: int) -> None:
    [message] = Agent(shots).opening(QUESTION)
    assert message.role == "user"
    assert message.content.count("Question: ") == shots + 1
    assert message.content.endswith(QUESTION.text)


@pytest.mark.parametrize(("question", "turn"), EXAMPLES)
def test_the_agents_examples_are_turns_that_its_own_dialect_reads(question: str, turn: str) -> None:
    assert f"{question}\n\n{turn}" in Agent(2).opening(QUESTION)[0].content
    pieces = re.split(r"\n\n<search_result>.*?</search_result>\n\n", turn, flags=re.DOTALL)
    kinds = [Agent().parse(Completion(piece)).kind for piece in pieces]
    assert kinds == ["search", "search", "answer"]


def test_a_tag_dialect_accepts_the_users_prompt(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text("My own words. {question}")
    assert SearchR1(prompt=str(file)).opening(QUESTION)[0].content == (
        f"My own words. {QUESTION.text}"
    )


def test_a_prompt_without_a_place_for_the_question_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text("My own words.")
    with pytest.raises(UserError, match=r"does not contain \{question\}"):
        Agent(prompt=str(file))
