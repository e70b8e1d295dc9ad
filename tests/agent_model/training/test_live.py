"""Live episodes: in lock step, batched, and scored as the benchmark scores."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from agent_model.agent import Agent
from agent_model.search_r1 import SearchR1
from agent_model.tokens import encode, end_of_turn
from agent_model.training.config import Live, Recipe
from agent_model.training.live import Scene, complete, play, prepare, run_all, scores
from agent_model.training.policy import Policy, load_policy
from autocoa_bench.errors import UserError
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.types import (
    Budget,
    Completion,
    FaultNote,
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
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    _, corpus = write_task(tmp_path, 20)
    return Scene(QUESTIONS, Agent(shots=0), BM25(corpus, top_k=1), Budget())


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


def test_episodes_of_different_lengths_end_each_with_its_own_answer(scene: Scene) -> None:
    played = run_all(scene, reader)
    assert [each.answer for each in played] == ["Anna", "Bert", "Anna", "Hm."]
    assert [each.ending for each in played] == ["answered"] * 3 + ["forced-malformed"]


def test_scores_are_exact_match_form_and_searches(scene: Scene) -> None:
    records = [Record(q, 0, t) for q, t in zip(QUESTIONS, run_all(scene, reader), strict=True)]
    assert scores(records) == (0.5, 0.75, 0.75)


def test_reasoning_that_is_never_closed_is_not_well_formed_live_either(scene: Scene) -> None:
    def unclosed(requests: Sequence[Generate]) -> list[Completion]:
        return [Completion("I know it. \\boxed{Anna}") for _ in requests]

    records = [Record(q, 0, t) for q, t in zip(QUESTIONS, run_all(scene, unclosed), strict=True)]
    assert scores(records) == (1.0, 0.0, 0.0)


def test_a_form_is_judged_of_the_agent_alone(scene: Scene) -> None:
    other = scene._replace(dialect=SearchR1())

    def answering(requests: Sequence[Generate]) -> list[Completion]:
        return [Completion("<answer>Anna</answer>") for _ in requests]

    records = [Record(q, 0, t) for q, t in zip(QUESTIONS, run_all(other, answering), strict=True)]
    assert scores(records) == (1.0, None, 0.0)


def test_an_episode_without_a_score_is_no_silent_zero() -> None:
    record = Record(QUESTIONS[0], 0, fault=FaultNote("timeout", "no reply"))
    with pytest.raises(UserError, match=r"'q10' cannot be scored \(fault: timeout\)"):
        scores([record])


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


def scripted(tokenizer: Any, texts: Sequence[str]) -> Any:
    """`generate` of a model that says what is given, by row, and pads rows that end early."""
    end = end_of_turn(tokenizer)
    rows = [[*tokenizer(text, add_special_tokens=False).input_ids, end] for text in texts]

    def generate(input_ids: torch.Tensor, **_: Any) -> torch.Tensor:
        width = max(map(len, rows))
        made = [row + [end] * (width - len(row)) for row in rows]
        return torch.cat([input_ids, torch.tensor(made)], 1)

    return generate


def test_an_answer_keeps_its_end_of_turn_and_a_search_has_none(
    model: tuple[Policy, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, tokenizer = model
    texts = ["</think>\n\\boxed{Anna}", "So.\n<begin_search> Anna </end_search>"]
    monkeypatch.setattr(policy.model, "generate", scripted(tokenizer, texts))
    answer, search = complete(policy, tokenizer, [request("Who?", ("</end_search>",), 99)] * 2)
    end = end_of_turn(tokenizer)
    assert answer.token_ids is not None
    assert answer.token_ids[-1] == end
    assert answer.token_ids.count(end) == 1
    assert search.token_ids is not None
    assert end not in search.token_ids


def test_a_played_answer_is_encoded_as_it_was_sampled(
    model: tuple[Policy, Any], scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, tokenizer = model
    texts = ["I know it.\n</think>\n\n\\boxed{Anna}"] * len(QUESTIONS)
    monkeypatch.setattr(policy.model, "generate", scripted(tokenizer, texts))
    file = tmp_path / "live" / "step-000001.jsonl"
    assert play(scene, policy, tokenizer, file) == (1.0, 1.0, 0.0)
    assert policy.training
    records = msgspec.json.Decoder(Record).decode_lines(file.read_bytes())
    assert [record.question for record in records] == QUESTIONS
    for record in records:
        assert record.trajectory is not None
        [step] = record.trajectory.steps
        assert step.token_ids is not None
        assert encode(record.trajectory, tokenizer).ids[-len(step.token_ids) :] == step.token_ids
        assert step.token_ids[-1] == end_of_turn(tokenizer)


def test_no_tasks_no_episodes() -> None:
    assert prepare(Live()) is None


def test_a_solver_without_a_dialect_of_its_own_name_is_refused(scene: Scene) -> None:
    with pytest.raises(UserError, match="unknown solver"):
        prepare(Live(tasks="bamboogle", solver="agnet"))
