"""Live episodes: in lock step, batched, and scored as the benchmark scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_model.agent import Agent
from agent_model.training.config import Live, Recipe
from agent_model.training.live import Stage, complete, prepare, run_all, scores
from agent_model.training.policy import Policy, load_policy
from autocoa_bench.errors import UserError
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.types import (
    Budget,
    Completion,
    Generate,
    Message,
    Prompt,
    Question,
    Record,
    Turn,
)
from support.tiny_llm import make_model
from support.towns import write_task

QUESTIONS = [Question(f"q{i}", f"Who is the mayor of town {i}?", ("Anna",)) for i in range(10, 14)]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    _, corpus = write_task(tmp_path, 20)
    return Stage(QUESTIONS, Agent(shots=0), BM25(corpus, top_k=1), Budget())


def reader(requests: Sequence[Generate]) -> list[Completion]:
    """Searches once for its town, then answers what it found; town 13 never makes sense."""
    made = []
    for request in requests:
        question = request.prompt.opening[-1].content.rpartition("Question: ")[2]
        turn = request.prompt.continuation
        if "town 13" in question:
            made.append(Completion("Hm."))
        elif "<search_result>" in turn:
            name = "Bert" if "is Bert" in turn else "Anna"
            made.append(Completion(f"</think>\n\\boxed{{{name}}}"))
        else:
            made.append(Completion(f"<begin_search> {question} </end_search>"))
    return made


def test_episodes_of_different_lengths_end_each_with_its_own_answer(stage: Stage) -> None:
    played = run_all(stage, reader)
    assert [each.answer for each in played] == ["Anna", "Bert", "Anna", "Hm."]
    assert [each.ending for each in played] == ["answered"] * 3 + ["forced-malformed"]


def test_scores_are_exact_match_form_and_searches(stage: Stage) -> None:
    records = [Record(q, 0, t) for q, t in zip(QUESTIONS, run_all(stage, reader), strict=True)]
    assert scores(records) == (0.5, 0.75, 0.75)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Policy, Any]:
    folder = make_model(tmp_path_factory.mktemp("tiny"))
    given = {"stage": "sft2", "model": str(folder), "data": ["-"], "dtype": "fp32"}
    return load_policy(msgspec.convert(given, Recipe))


def request(text: str, stop: tuple[str, ...] = (), tokens: int = 12) -> Generate:
    prompt = Prompt((Message("user", text),), (Turn("environment", "So:"),), "<think>\n")
    return Generate(prompt, stop, tokens)


def test_a_batch_completes_as_each_request_alone_does(model: tuple[Policy, Any]) -> None:
    requests = [request("Who?"), request("What is a river, and where does it end?", tokens=5)]
    together = complete(*model, requests)
    alone = [complete(*model, [each])[0] for each in requests]
    assert [each.text for each in together] == [each.text for each in alone]
    assert together[1].completion_tokens == 5
    assert together[1].stop_reason == "length"


def test_a_stop_string_ends_a_completion_and_is_named(model: tuple[Policy, Any]) -> None:
    [free] = complete(*model, [request("Who?")])
    stop = free.text[4:6]
    [stopped] = complete(*model, [request("Who?", (stop,))])
    assert stopped.stop_string == stop
    assert stopped.stop_reason == "stop"
    assert free.text.startswith(stopped.text)
    assert stopped.text.index(stop) + len(stop) <= len(stopped.text) < len(free.text)


def test_no_tasks_no_episodes() -> None:
    assert prepare(Live()) is None


def test_a_solver_without_a_dialect_of_its_own_name_is_refused(stage: Stage) -> None:
    with pytest.raises(UserError, match="unknown solver"):
        prepare(Live(tasks="bamboogle", solver="agnet"))
