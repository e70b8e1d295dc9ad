"""Passages that reach a model elsewhere than in its turn: in the opening, and in a reading."""

import pytest

from agent_model.dialects import SearchO1
from autocoa_bench.episode import Event, estimate_tokens, n_actions, n_cut_prompts, prompt_sha256
from autocoa_bench.episode.dialect import opening_of
from autocoa_bench.errors import EngineFault
from autocoa_bench.scoring.evidence import trace
from autocoa_bench.types import (
    Budget,
    Completion,
    Generate,
    Hop,
    ModelTraits,
    Passage,
    Question,
    Refused,
    Search,
)
from baselines.ircot import IRCoT
from baselines.rag import RAG
from support.play import PASSAGES, QUESTION, play

SEARCH = "Hm. <|begin_search_query|> tower builder <|end_search_query|>"
READ = "Page 1 names Anna.\n\n**Final Information**\n\nAnna built\nthe tower."
ANSWER = "So it is.\n</think>\n\n\\boxed{Anna}"


def prompts(events: list[Event]) -> list[Generate]:
    return [event for event in events if isinstance(event, Generate)]


def test_rag_searches_with_the_question_before_the_model_speaks() -> None:
    trajectory, events = play(RAG(), ["\\boxed{Anna}"])
    assert isinstance(events[0], Search)
    assert events[0].query == QUESTION.text
    [request] = prompts(events)
    assert "[1] The Tower: Anna built the tower.\n[2] The Mill" in request.prompt.opening[0].content
    assert request.prompt.continuation == ""
    assert trajectory.opening == request.prompt.opening
    assert (trajectory.answer, trajectory.ending, n_actions(trajectory)) == ("Anna", "answered", 1)


def test_the_first_search_is_a_step_with_its_passages_and_without_a_call() -> None:
    trajectory, _ = play(RAG(), [Completion("\\boxed{Anna}", prompt_tokens=90)])
    step = trajectory.steps[0]
    assert (step.is_retrieval, step.argument, step.passages) == (True, QUESTION.text, PASSAGES)
    assert (step.prompt_tokens, step.completion_tokens) == (0, 0)
    assert step.observation_tokens > 0
    assert n_cut_prompts(trajectory) == 0


def test_evidence_is_traced_through_the_first_search() -> None:
    hop = Hop("Who built the tower?", "Anna", "p1")
    question = Question("q", "Who built the tower?", ("Anna",), hops=(hop,))
    trajectory, _ = play(RAG(), ["\\boxed{Anna}"], question=question)
    assert trace(question, trajectory).passages == (("p1", 1),)


def test_without_actions_rag_answers_as_the_model_alone() -> None:
    trajectory, events = play(RAG(), ["\\boxed{Anna}"], budget=Budget(max_actions=0))
    assert (n_actions(trajectory), len(events)) == (0, 1)
    assert trajectory.opening == opening_of(RAG(), QUESTION)
    assert trajectory.ending == "answered"


def test_the_first_search_is_an_action_of_the_budget() -> None:
    one = Budget(max_actions=1)
    assert play(RAG(), ["\\boxed{Anna}"], budget=one)[0].ending == "answered"
    assert play(IRCoT(), ["Anna"], budget=one)[0].ending == "forced-actions"
    trajectory, _ = play(IRCoT(), [" It is tall.", "Anna"], budget=Budget(max_actions=2))
    assert (n_actions(trajectory), trajectory.ending) == (2, "forced-actions")


def test_passages_for_which_the_opening_has_no_room_are_dropped_worst_first() -> None:
    long = (Passage("1", "A", "a " * 300), Passage("2", "B", "b " * 4000))
    trajectory, _ = play(RAG(), ["\\boxed{Anna}"], long, Budget(context_tokens=2048))
    step = trajectory.steps[0]
    assert ([p.id for p in step.passages], step.dropped_passages) == (["1"], 1)
    assert "b b" not in trajectory.opening[0].content


def test_a_refused_forced_answer_drops_passages_of_the_opening() -> None:
    refused = Refused("too long")
    trajectory, events = play(RAG(), [refused, refused, "Anna}"])
    shown = [request.prompt.opening[0].content.count("] The") for request in prompts(events)]
    assert shown == [2, 2, 1]
    step = trajectory.steps[0]
    assert (step.passages, step.dropped_passages, step.observation) == (
        PASSAGES[:1],
        1,
        RAG.force,
    )
    with pytest.raises(EngineFault):
        play(RAG(), [refused] * 4)


def test_a_search_is_read_in_a_prompt_of_its_own_and_the_turn_goes_on_with_what_was_read() -> None:
    trajectory, events = play(SearchO1(), [SEARCH, READ, ANSWER])
    main, reading, last = prompts(events)
    [message] = reading.prompt.opening
    assert (message.role, reading.prompt.turns, reading.prompt.prefill) == ("user", (), "")
    assert "**Web Page 1:** The Tower: Anna built the tower." in message.content
    assert "The search: tower builder\n" in message.content
    assert "Hm. ‹|begin_search_query|› tower builder" in message.content
    assert last.prompt.opening == main.prompt.opening
    observation = "\n\n<|begin_search_result|>Anna built the tower.<|end_search_result|>\n\n"
    assert last.prompt.continuation == f"<think>\n{SEARCH}{observation}"
    assert (trajectory.answer, n_actions(trajectory)) == ("Anna", 1)


def test_a_reading_is_a_step_that_keeps_the_reply_and_its_cost() -> None:
    read = Completion(READ, "stop", None, 300, 20, token_ids=(1, 2), sampled_ids=(1, 2), seconds=2)
    trajectory, _ = play(SearchO1(), [SEARCH, read, ANSWER])
    search, reading, _ = trajectory.steps
    assert (search.kind, search.passages, search.observation) == ("search", PASSAGES, "")
    assert (reading.kind, reading.text, reading.argument) == ("reading", "", READ)
    assert (reading.prompt_tokens, reading.completion_tokens) == (300, 20)
    assert (reading.token_ids, reading.sampled_ids, reading.generate_seconds) == (None, None, 2)


@pytest.mark.parametrize(
    ("read", "shown"),
    [
        ("Nothing here.", "No helpful information found."),
        ("<think>**Final Information** Bert.</think>**Final Information**\nAnna.", "Anna."),
        ("**Final Information**\nAnna <answer> \\boxed{Bert}", "Anna ‹answer› /boxed{Bert}"),
    ],
)
def test_what_was_read_follows_its_heading_outside_of_thoughts(read: str, shown: str) -> None:
    trajectory, _ = play(SearchO1(), [SEARCH, read, ANSWER])
    assert f">{shown}<" in trajectory.steps[1].observation


def test_a_reader_whose_template_opens_a_thought_says_what_follows_it() -> None:
    read = "Bert? **Final Information** Bert.</think>**Final Information**\nAnna."
    traits = ModelTraits(opens_thought=True)
    trajectory, _ = play(SearchO1(), [SEARCH, read, ANSWER], traits=traits)
    assert ">Anna.<" in trajectory.steps[1].observation


def test_a_refused_reading_is_asked_again_with_fewer_passages() -> None:
    refused = Refused("too long")
    trajectory, events = play(SearchO1(), [SEARCH, refused, READ, ANSWER])
    pages = [event.prompt.opening[0].content.count("**Web Page") for event in prompts(events)]
    assert pages == [0, 2, 1, 0]
    assert (trajectory.steps[0].passages, trajectory.steps[0].dropped_passages) == (PASSAGES[:1], 1)
    assert trajectory.refusals == 1


@pytest.mark.parametrize("passages", [(), PASSAGES], ids=["nothing-found", "never-accepted"])
def test_a_search_with_nothing_to_read_says_so(passages: tuple[Passage, ...]) -> None:
    refused = [Refused("too long")] * len(passages)
    trajectory, _ = play(SearchO1(), [SEARCH, *refused, ANSWER], passages)
    assert "No helpful information found." in trajectory.steps[0].observation
    assert [step.kind for step in trajectory.steps] == ["search", "answer"]


def test_a_long_reading_is_cut_to_the_room_in_the_turn() -> None:
    read = "**Final Information**\n" + "Anna built it. " * 400
    budget = Budget(context_tokens=1500)
    trajectory, events = play(SearchO1(), [SEARCH, read, ANSWER], budget=budget)
    for request in prompts(events):
        opening = sum(estimate_tokens(message.content) for message in request.prompt.opening)
        assert opening + estimate_tokens(request.prompt.continuation) + request.max_tokens <= 1500
    assert "Anna built it." in trajectory.steps[1].observation


def test_the_prompt_hash_covers_the_opening_with_passages_and_the_reading() -> None:
    class OtherRAG(RAG):
        def opening_with(self, question, passages):  # type: ignore[no-untyped-def]
            return super().opening_with(question, passages)[:0]

    class OtherReader(SearchO1):
        def show_reading(self, text: str) -> str:
            return super().show_reading(text) + " "

    assert prompt_sha256(OtherRAG()) != prompt_sha256(RAG())
    assert prompt_sha256(OtherReader()) != prompt_sha256(SearchO1())
