"""Live episodes: played by the model in training, and scored as the benchmark scores."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from agent_model.dialects.agent import Agent
from agent_model.dialects.search_r1 import SearchR1
from agent_model.rollout import sampler as sampling
from agent_model.tokens import encode, end_of_turn
from agent_model.training.checkpoints import ModelWriter
from agent_model.training.config import EvalConfig, SFTConfig
from agent_model.training.distributed import create_accelerator
from agent_model.training.evaluation import (
    EpisodeSetup,
    closed_book,
    evaluate,
    load_evaluation,
    mean_scores,
)
from agent_model.training.live import LiveEvaluation
from agent_model.training.model import Policy, load_policy
from autocoa_bench.episode import Dialect
from autocoa_bench.errors import SearchFault, UserError
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.types import Budget, FaultNote, Question, Record
from support.play import QUESTION
from support.play import play as play_texts
from support.tiny_llm import make_model, saying
from support.towns import write_task

QUESTIONS = [Question(f"q{i}", f"Who is the mayor of town {i}?", ("Anna",)) for i in range(10, 14)]
SEARCH = "<begin_search> tower </end_search>"


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EpisodeSetup:
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path / "cache"))
    _, corpus = write_task(tmp_path, 20)
    return EpisodeSetup(QUESTIONS, Agent(shots=0), BM25(corpus, top_k=1), Budget())


def said(*texts: str, dialect: Dialect | None = None) -> Record:
    """An episode that says these texts."""
    return Record(QUESTION, 0, play_texts(dialect or Agent(shots=0), texts)[0])


def scores(em: float, formed: float | None, searches: float) -> dict[str, float | None]:
    """The columns of questions of which none is marked as known or unknown."""
    return {
        "live_em": em,
        "live_formed": formed,
        "live_searches": searches,
        "live_searched_known": None,
        "live_searched_unknown": None,
    }


def test_scores_are_exact_match_form_and_searches() -> None:
    right = said(SEARCH, "</think>\n\\boxed{Anna}")
    wrong = said("</think>\n\\boxed{Bert}")
    lost = said("Hm.", "Hm.", "Hm.")
    assert mean_scores([right, right, wrong, lost]) == scores(0.5, 0.75, 0.5)


def test_searches_for_known_and_for_unknown_facts_are_counted_apart() -> None:
    def about(kind: str, record: Record) -> Record:
        question = msgspec.structs.replace(record.question, kind=kind)
        return msgspec.structs.replace(record, question=question)

    searched, answered = said(SEARCH, "</think>\n\\boxed{Anna}"), said("</think>\n\\boxed{Anna}")
    records = [about("known", r) for r in (answered, answered, searched, answered)]
    records += [about("unknown", searched), about("2hop", answered)]
    columns = mean_scores(records)
    assert (columns["live_searched_known"], columns["live_searched_unknown"]) == (0.25, 1.0)


def test_reasoning_that_is_never_closed_is_not_well_formed_live_either() -> None:
    assert mean_scores([said("I know it. \\boxed{Anna}")]) == scores(1.0, 0.0, 0.0)


def test_a_form_is_judged_of_the_agent_alone() -> None:
    record = said("<answer>Anna</answer>", dialect=SearchR1())
    assert mean_scores([record]) == scores(1.0, None, 0.0)


def test_an_episode_without_a_score_is_no_silent_zero() -> None:
    record = Record(QUESTIONS[0], 0, fault=FaultNote("timeout", "no reply"))
    with pytest.raises(UserError, match=r"'q10' of .* cannot be scored \(fault: timeout\)"):
        mean_scores([record])


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Policy, Any]:
    folder = make_model(tmp_path_factory.mktemp("tiny"))
    given = {"stage": "sft2", "model": str(folder), "data": ["-"], "dtype": "fp32"}
    return load_policy(msgspec.convert(given, SFTConfig))


def test_an_answer_is_encoded_as_it_was_sampled(
    model: tuple[Policy, Any], scene: EpisodeSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, tokenizer = model
    text = "I know it.\n</think>\n\n\\boxed{Anna}"
    monkeypatch.setattr(sampling, "sample_token", saying(tokenizer, text))
    records = evaluate(scene, policy, tokenizer, create_accelerator(0))
    assert mean_scores(records) == scores(1.0, 1.0, 0.0)
    assert policy.training
    assert [record.question for record in records] == QUESTIONS
    for record in records:
        assert record.trajectory is not None
        [step] = record.trajectory.steps
        assert step.token_ids is not None
        assert encode(record.trajectory, tokenizer).ids[-len(step.token_ids) :] == step.token_ids
        assert step.token_ids[-1] == end_of_turn(tokenizer)


def test_a_failed_search_ends_the_run_with_its_reason(
    model: tuple[Policy, Any], scene: EpisodeSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(_: str) -> None:
        raise SearchFault("connection", "the server is gone")

    monkeypatch.setattr(sampling, "sample_token", saying(model[1], SEARCH))
    monkeypatch.setattr(scene.search, "search", fails)
    with pytest.raises(UserError, match=r"a search of the evaluation failed: .*the server is gone"):
        evaluate(scene, *model, create_accelerator(0))


def test_known_facts_are_asked_without_a_search_engine_too(
    model: tuple[Policy, Any], scene: EpisodeSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of four questions; what a session has asked is read again by the next one."""
    policy, tokenizer = model
    monkeypatch.setattr(sampling, "sample_token", saying(tokenizer, "I know: \\boxed{Anna}"))
    kinds = ("known", "unknown", "known", "2hop")
    questions = [
        msgspec.structs.replace(question, kind=kind)
        for question, kind in zip(QUESTIONS, kinds, strict=True)
    ]
    config = EvalConfig(tasks="towns", closed_book=True)
    writer = ModelWriter(policy, tokenizer, "base", writes=True)
    setup = scene._replace(questions=questions)
    first, second = (
        LiveEvaluation(config, setup, mean_scores, writer, tmp_path, create_accelerator(0))
        for _ in range(2)
    )
    evaluation = first.resume(0)
    assert evaluation is not None
    assert evaluation.columns["live_known"] == 1.0
    records = msgspec.json.Decoder(Record).decode_lines(
        (tmp_path / "closed_book" / "step-000000.jsonl").read_bytes()
    )
    assert [record.question for record in records] == [questions[0], questions[2]]
    assert {record.trajectory.solver for record in records if record.trajectory} == {"model-only"}
    assert second.resume(0) is None
    assert second.evaluations == [evaluation]


def test_closed_book_needs_questions_on_known_facts(scene: EpisodeSetup) -> None:
    with pytest.raises(UserError, match=r"none of the 4 questions is marked as one; give other"):
        closed_book(scene)


def test_no_tasks_no_episodes() -> None:
    assert load_evaluation(EvalConfig()) is None


def test_a_solver_without_a_dialect_of_its_own_name_is_refused(scene: EpisodeSetup) -> None:
    with pytest.raises(UserError, match="unknown solver"):
        load_evaluation(EvalConfig(tasks="bamboogle", solver="agnet"))
