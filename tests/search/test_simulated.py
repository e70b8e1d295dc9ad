"""A model in a search engine's place: what it is asked, and what is read from its reply."""

import asyncio

import pytest

from agent_model.dialects.agent import Agent
from agent_model.dialects.search_r1 import SearchR1
from agent_model.dialects.tags import TagDialect
from autocoa_bench.engines.scripted import ScriptedEngine
from autocoa_bench.search.simulated import ResultFormat, SimulatedResults, prompt_after
from autocoa_bench.types import Completion, Message, Passage, Prompt, Sampling, Turn

PASSAGES = (
    Passage("simulated-1", "The Tower", "Anna built it.\nIn 1900."),
    Passage("simulated-2", "The Mill", 'Bert called it "result 9".'),
)
BEFORE = prompt_after(
    Prompt((Message("user", "Who built it?"),), (), "<think>\n"),
    "I look.\n<begin_search> tower builder </end_search>",
)
FORM = ResultFormat(Agent(shots=0))
CLOSED = "</search_result>"


def reply(text: str, stop_string: str | None = CLOSED) -> Completion:
    return Completion(text, stop_string=stop_string)


def observed(*texts: str) -> SimulatedResults:
    engine = ScriptedEngine(texts, keep_stop=True)
    [completion] = asyncio.run(engine.generate(FORM.request(BEFORE), Sampling()))
    return FORM.read(completion, 3)


@pytest.mark.parametrize("dialect", [Agent(shots=0), SearchR1()], ids=lambda dialect: dialect.name)
def test_what_a_dialect_shows_is_read_back_as_it_was(dialect: TagDialect) -> None:
    form = ResultFormat(dialect)
    observation = dialect.show(PASSAGES)
    opening = form.request(BEFORE).prompt.turns[-1].text
    assert observation.startswith(opening)
    results = form.read(reply(observation.removeprefix(opening), None))
    assert (results.passages, results.problem) == (PASSAGES, "")


def test_the_model_goes_on_with_the_whole_turn_behind_the_opened_results() -> None:
    request = FORM.request(BEFORE, max_tokens=77)
    assert request.prompt.opening == BEFORE.opening
    assert request.prompt.continuation == BEFORE.continuation + "\n\n<search_result>\n"
    assert request.prompt.turns[-1] == Turn("environment", "\n\n<search_result>\n")
    assert (request.stop, request.max_tokens) == ((CLOSED,), 77)


@pytest.mark.parametrize(
    ("text", "stop", "problem"),
    [
        ('result 1: "A"\nText.\n', None, "the results are not closed"),
        ("I do not know.\n", CLOSED, "no result can be read"),
        ('Well.\nresult 1: "A"\nText.\n', CLOSED, "text before the first result"),
        ('result 1: "A"\n<begin_search> x\n', CLOSED, "a tag inside the results"),
        ('result 1: "A"\n\n', CLOSED, "a result without title or text"),
        ('result 4: "A"\nText.\n', CLOSED, "results not numbered from 1"),
        ('result 1: "A"\nText.\n', CLOSED, ""),
    ],
)
def test_a_reply_that_is_not_well_formed_says_why(text: str, stop: str, problem: str) -> None:
    assert FORM.read(reply(text, stop)).problem == problem


def test_passages_are_read_from_a_reply_that_was_cut() -> None:
    results = FORM.read(Completion('result 1: "A"\nText.\nresult 2: "B"\nMo', "length"))
    assert [(p.title, p.text) for p in results.passages] == [("A", "Text."), ("B", "Mo")]


def test_observing_gives_no_more_than_top_k_passages() -> None:
    text = "".join(f'result {n}: "T{n}"\nText {n}.\n' for n in range(1, 6)) + CLOSED
    results = observed(text)
    assert [passage.title for passage in results.passages] == ["T1", "T2", "T3"]
    assert results.problem == ""
