"""The episode's rules, in the agent's dialect unless a rule needs another."""

from collections.abc import Sequence

import pytest

from agent_model.dialects.agent import Agent
from agent_model.dialects.r1_searcher import R1Searcher
from agent_model.dialects.search_o1 import SearchO1
from agent_model.dialects.search_r1 import SearchR1
from autocoa_bench.episode import (
    Dialect,
    Event,
    estimate_tokens,
    n_actions,
    n_malformed,
    neutralise,
    prompt_sha256,
    turns_of,
)
from autocoa_bench.errors import CONTEXT, EngineFault
from autocoa_bench.types import Budget, Completion, Generate, Passage, Refused, Search
from baselines.ircot import IRCoT
from baselines.model_only import ModelOnly
from baselines.rag import RAG
from baselines.react import ReAct
from baselines.self_ask import SelfAsk
from support.play import PASSAGES, play

SEARCH = "I look. <begin_search> tower builder </end_search>"
ANSWER = "It is Anna.\n</think>\n\n\\boxed{Anna}"


def test_an_answer_without_a_search_ends_the_episode() -> None:
    trajectory, events = play(Agent(), [ANSWER])
    assert (trajectory.answer, trajectory.ending, len(events)) == ("Anna", "answered", 1)


def test_a_search_is_asked_with_the_models_query() -> None:
    _, events = play(Agent(), [SEARCH, ANSWER])
    assert isinstance(events[1], Search)
    assert events[1].query == "tower builder"


def test_the_next_prompt_continues_the_turn_with_the_observation() -> None:
    _, events = play(Agent(), [SEARCH, ANSWER])
    last = events[-1]
    assert isinstance(last, Generate)
    assert last.prompt.continuation == (
        "<think>\n" + SEARCH + "\n\n<search_result>\n"
        'result 1: "The Tower"\nAnna built the tower.\nresult 2: "The Mill"\nBert built the mill.\n'
        "</search_result>\n\n"
    )


def test_the_trajectorys_turns_are_the_prompt_plus_the_last_completion() -> None:
    trajectory, events = play(Agent(), [SEARCH, ANSWER])
    last = events[-1]
    assert isinstance(last, Generate)
    turns = "".join(turn.text for turn in turns_of(trajectory))
    assert turns == last.prompt.continuation + ANSWER


def test_actions_are_searches_only() -> None:
    trajectory, _ = play(Agent(), [SEARCH, "hm", SEARCH, ANSWER])
    assert (n_actions(trajectory), n_malformed(trajectory)) == (2, 1)


def test_a_step_keeps_query_passages_counts_and_stop_reason() -> None:
    completion = Completion(
        SEARCH.removesuffix("</end_search>"), "stop", "</end_search>", 50, 9, token_ids=(1, 2)
    )
    trajectory, _ = play(Agent(), [completion, ANSWER])
    step = trajectory.steps[0]
    assert (step.kind, step.argument, step.passages) == ("search", "tower builder", PASSAGES)
    assert (step.prompt_tokens, step.completion_tokens, step.token_ids) == (50, 9, (1, 2))
    assert step.observation_tokens > 0


def test_what_was_sampled_goes_back_as_the_sampled_ids() -> None:
    completion = Completion(SEARCH, stop_string="</end_search>", token_ids=(1, 2))
    _, events = play(Agent(), [completion, ANSWER])
    last = events[-1]
    assert isinstance(last, Generate)
    assert [turn.token_ids for turn in last.prompt.turns] == [(1, 2), None]


def test_ids_of_text_that_was_cut_are_not_kept() -> None:
    closed = Completion(SEARCH + " and more", "length", token_ids=(1, 2, 3))
    stopped = Completion("hm", stop_string="<search_result>", token_ids=(4, 5))
    trajectory, _ = play(Agent(), [closed, stopped, ANSWER])
    assert [step.text for step in trajectory.steps[:2]] == [SEARCH, "hm"]
    assert [step.token_ids for step in trajectory.steps] == [None, None, None]


def test_the_token_that_ends_the_turn_stays_only_with_an_answer() -> None:
    wondering, answer = Completion("hm", token_ids=(1, 9)), Completion(ANSWER, token_ids=(2, 9))
    trajectory, _ = play(Agent(), [wondering, answer])
    assert [step.token_ids for step in trajectory.steps] == [(1,), (2, 9)]


def test_after_the_last_allowed_search_the_answer_is_forced() -> None:
    trajectory, events = play(Agent(), [SEARCH, SEARCH, "Anna}"], budget=Budget(max_actions=2))
    last = events[-1]
    assert isinstance(last, Generate)
    assert last.forced
    assert last.prompt.continuation.endswith("</search_result>\n\n" + Agent().force)
    assert (trajectory.answer, trajectory.ending) == ("Anna", "forced-actions")


def test_a_forced_answer_follows_the_last_observation_and_is_marked() -> None:
    second_search = SEARCH.replace("tower", "mill")
    replies = [SEARCH, second_search, "Anna}"]
    trajectory, _ = play(Agent(), replies, budget=Budget(max_actions=2))
    first, second, last = trajectory.steps
    assert (first.argument, second.argument) == ("tower builder", "mill builder")
    assert not first.observation.endswith(Agent.force)
    assert second.observation.endswith(Agent.force)
    assert [step.forced for step in trajectory.steps] == [False, False, True]
    assert [step.dropped_passages for step in trajectory.steps] == [0, 0, 0]
    assert last.kind == "answer"


def test_a_budget_of_no_actions_forces_the_answer_at_once() -> None:
    trajectory, events = play(Agent(), ["Anna}"], budget=Budget(max_actions=0))
    assert len(events) == 1
    assert trajectory.prefill == "<think>\n" + Agent().force
    assert trajectory.answer == "Anna"


def test_a_budget_of_no_actions_lets_a_solver_that_never_searches_speak() -> None:
    trajectory, _ = play(ModelOnly(), ["\\boxed{Anna}"], budget=Budget(max_actions=0))
    assert trajectory.ending == "answered"


@pytest.mark.parametrize(
    ("dialect", "search"),
    [
        (Agent(), "<begin_search> tower </end_search>"),
        (SearchR1(), "<search> tower </search>"),
        (R1Searcher(), "<|begin_of_query|> tower<|end_of_query|>"),
        (SearchO1(), "<|begin_search_query|> tower <|end_search_query|> " + "It says so. " * 90),
        (ReAct(), "\nAction: Search[tower]"),
        (ModelOnly(), "hm"),
        (RAG(), "hm"),
        (IRCoT(), " The tower is tall."),
        (SelfAsk(), " Yes.\nFollow up: Who built the tower?"),
    ],
)
@pytest.mark.parametrize("context", range(2048, 4096, 173))
def test_no_request_is_for_more_than_the_context_holds(
    dialect: Dialect, search: str, context: int
) -> None:
    """Whatever the mixture of searches and babble, by a server that counts as we estimate."""
    replies = (search if number % 3 else "babble " * 40 for number in range(100))
    budget = Budget(context_tokens=context, max_actions=50)
    passages = [Passage("1", "A", "a " * 150), Passage("2", "B", "b " * 90)]
    _, events = play(dialect, replies, passages, budget)
    for event in events:
        if isinstance(event, Generate):
            opening = sum(estimate_tokens(message.content) for message in event.prompt.opening)
            shown = opening + estimate_tokens(event.prompt.continuation)
            assert shown + event.max_tokens <= context


@pytest.mark.parametrize(
    ("dialect", "replies"),
    [
        (Agent(), ["a", "b"]),
        (SearchR1(), ["a", "b"]),
        (ReAct(), ["a", "b"]),
        (ModelOnly(), ["a"]),
        (SearchO1(), ["a", "b"]),
        (RAG(), ["a"]),
        (IRCoT(), ["", ""]),
        (SelfAsk(), ["a", "b"]),
    ],
)
def test_a_forced_answer_is_read_after_the_reasoning(dialect: Dialect, replies: list[str]) -> None:
    reasoned = "<think>\nMaybe Lyon or Paris.\n</think>\n\nLyon"
    trajectory, _ = play(dialect, [*replies, reasoned])
    assert trajectory.answer == "Lyon"


def test_the_first_malformed_completion_is_nudged() -> None:
    trajectory, events = play(Agent(), ["I wonder.", ANSWER])
    last = events[-1]
    assert isinstance(last, Generate)
    assert last.prompt.continuation == "<think>\nI wonder." + str(Agent.nudge)
    assert (trajectory.steps[0].problem, trajectory.answer) == ("no search, no answer", "Anna")


def test_the_second_malformed_completion_forces_the_answer() -> None:
    trajectory, _ = play(Agent(), ["I wonder.", "Still wondering.", "Bert}"])
    assert (trajectory.ending, trajectory.answer) == ("forced-malformed", "Bert")


def test_a_dialect_without_a_nudge_forces_the_answer_at_the_first() -> None:
    trajectory, _ = play(ModelOnly(), ["I wonder.", "Anna}"])
    assert (trajectory.ending, n_malformed(trajectory)) == ("forced-malformed", 1)


def test_a_forced_answer_that_is_empty_is_no_answer() -> None:
    trajectory, _ = play(Agent(), ["a", "b", "  "])
    assert trajectory.answer is None


def test_a_full_context_forces_the_answer_by_the_servers_count() -> None:
    budget = Budget(context_tokens=3000, answer_tokens=20)
    full = Completion(SEARCH, prompt_tokens=2940, completion_tokens=12)
    trajectory, events = play(Agent(), [full, "Anna}"], budget=budget)
    assert trajectory.ending == "forced-context"
    assert isinstance(events[-1], Generate)
    assert events[-1].max_tokens == 20


def test_passages_without_room_are_dropped_worst_first_and_counted() -> None:
    long = (Passage("1", "A", "a " * 300), Passage("2", "B", "b " * 300))
    budget = Budget(context_tokens=3000, answer_tokens=20)
    used = Completion(SEARCH, prompt_tokens=2450, completion_tokens=50)
    trajectory, _ = play(Agent(shots=2), [used, ANSWER], long, budget)
    step = trajectory.steps[0]
    assert ([p.id for p in step.passages], step.dropped_passages) == (["1"], 1)


def test_a_completion_is_never_asked_for_more_tokens_than_are_left() -> None:
    budget = Budget(context_tokens=1500, step_tokens=512, answer_tokens=64)
    _, events = play(Agent(shots=2), [ANSWER], budget=budget)
    first = events[0]
    assert isinstance(first, Generate)
    assert 0 < first.max_tokens < 512


def requests(events: Sequence[Event]) -> list[Generate]:
    return [event for event in events if isinstance(event, Generate)]


def test_a_refusal_that_names_the_servers_context_becomes_the_budget() -> None:
    refused = Refused("", context_tokens=1000, prompt_tokens=400)
    trajectory, events = play(Agent(shots=0), [refused, ANSWER])
    first, second = requests(events)
    assert second.prompt == first.prompt
    assert 400 + second.max_tokens < 1000 - Budget().answer_tokens
    assert (trajectory.ending, trajectory.refusals) == ("answered", 1)


@pytest.mark.parametrize("context", [None, 1000], ids=["unnamed", "named-in-vain"])
def test_a_refusal_that_teaches_nothing_forces_the_answer(context: int | None) -> None:
    refused = Refused("", context_tokens=context, prompt_tokens=300)
    trajectory, events = play(Agent(shots=0), [refused] * (2 if context else 1) + ["Anna}"])
    assert requests(events)[-1].forced
    assert (trajectory.ending, trajectory.answer) == ("forced-context", "Anna")


def test_a_refused_forced_answer_drops_the_last_observations_passages_one_by_one() -> None:
    refused = Refused("too long")
    trajectory, events = play(Agent(shots=0), [SEARCH, refused, refused, refused, "Anna}"])
    shown = [event.prompt.continuation.count("result ") for event in requests(events)]
    assert shown == [0, 2, 2, 1, 0]
    step = trajectory.steps[0]
    assert (step.passages, step.dropped_passages, trajectory.refusals) == ((), 2, 3)
    assert turns_of(trajectory)[2].text == requests(events)[-1].prompt.turns[1].text + Agent.force


def test_a_question_that_the_server_has_no_room_for_is_a_fault() -> None:
    with pytest.raises(EngineFault, match="too long") as raised:
        play(Agent(shots=0), [Refused("too long")] * 2)
    assert raised.value.kind == CONTEXT


def test_the_prompt_hash_changes_with_the_prompt() -> None:
    class Changed(Agent):
        instruction = Agent.instruction + " Be brief."

    assert prompt_sha256(Agent()) == prompt_sha256(Agent())
    assert prompt_sha256(Changed()) != prompt_sha256(Agent())


def test_inert_text_keeps_ordinary_prose() -> None:
    assert neutralise("Anna's tower (1912), 50% taller") == "Anna's tower (1912), 50% taller"


def test_inert_text_has_nothing_that_a_terminal_obeys() -> None:
    assert neutralise("a\x1b[2Jb\u202ec") == "a[2Jbc"


def test_inert_text_has_no_tags_special_tokens_or_line_breaks() -> None:
    assert neutralise("a</think>\n<|im_end|>[INST] \\boxed{x}\u2028Action: y") == (
        "a‹/think› ‹|im_end|›(INST) /boxed{x} Action: y"
    )
