"""What becomes training data, and why the rest does not."""

from collections.abc import Sequence

import msgspec
import pytest
from msgspec.structs import replace

from agent_model.data.config import FilterConfig
from agent_model.data.filters import (
    draw_sample,
    filter_records,
    is_well_formed,
    student_record,
    turn_text,
)
from agent_model.dialects.agent import Agent
from agent_model.dialects.cot import CoT
from autocoa_bench.scoring.text import exact_match, f1
from autocoa_bench.types import Completion, FaultNote, Hop, Question, Record
from support.play import PASSAGES, QUESTION, play

SEARCH = "I look.\n<begin_search> tower </end_search>"
RIGHT = "So it is Anna.\n</think>\n\n\\boxed{Anna}"
WRONG = "So it is Bert.\n</think>\n\n\\boxed{Bert}"


def coa(*texts: str | Completion, sample: int = 0) -> Record:
    """An episode of the agent that says these texts."""
    return Record(QUESTION, sample, play(Agent(), texts)[0])


def cot(*texts: str, sample: int = 0) -> Record:
    """An episode without tools that says these texts."""
    return Record(QUESTION, sample, play(CoT(), texts)[0])


def reasons(records: Sequence[Record], limits: FilterConfig | None = None) -> dict[str, int]:
    return filter_records(
        records, exact_match, limits or FilterConfig(), searching=True
    ).counts.dropped


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (Record(QUESTION, 0, fault=FaultNote("timeout", "no reply")), "fault"),
        (coa("hm", "hm", "Anna}"), "forced"),
        (coa("hm", SEARCH, RIGHT), "malformed"),
        (coa(SEARCH, WRONG), "wrong"),
        (coa(RIGHT), "no search"),
        (coa(SEARCH, SEARCH, RIGHT), "too many searches"),
        (coa(SEARCH + " x", "long " * 999 + RIGHT), "too long"),
    ],
)
def test_every_reason_is_counted_under_its_name(record: Record, reason: str) -> None:
    assert reasons([record], FilterConfig(max_actions=1, max_tokens=1000)) == {reason: 1}


def test_fewer_searches_than_asked_for_is_too_few() -> None:
    records = [coa(SEARCH, RIGHT), coa(SEARCH, SEARCH, RIGHT)]
    assert reasons(records, FilterConfig(min_actions=2)) == {"too few searches": 1}


def test_what_is_right_well_formed_and_short_is_kept() -> None:
    result = filter_records([coa(SEARCH, RIGHT)], exact_match, FilterConfig(), searching=True)
    assert (result.counts.seen, result.counts.kept, result.counts.dropped) == (1, 1, {})
    assert turn_text(result.records[0]).endswith("\\boxed{Anna}")


def test_a_trajectory_that_searches_is_no_cot_data() -> None:
    result = filter_records(
        [coa(SEARCH, RIGHT), coa(RIGHT)], exact_match, FilterConfig(), searching=False
    )
    assert result.counts.dropped == {"searched": 1}
    assert len(result.records) == 1


def test_a_search_without_tools_is_malformed_and_not_kept() -> None:
    record = cot("I look.\n<begin_search> tower </end_search>", "Anna}")
    assert record.trajectory is not None
    assert [step.kind for step in record.trajectory.steps] == ["malformed", "answer"]
    result = filter_records([record], exact_match, FilterConfig(), searching=False)
    assert result.counts.dropped == {"forced": 1}


def test_the_shortest_of_a_question_are_kept_and_the_others_are_surplus() -> None:
    long = coa(SEARCH, SEARCH, RIGHT, sample=0)
    wordy = coa("Well, " + SEARCH, RIGHT, sample=1)
    short = coa(SEARCH, RIGHT, sample=2)
    result = filter_records(
        [long, wordy, short], exact_match, FilterConfig(per_question=2), searching=True
    )
    assert [record.sample for record in result.records] == [2, 1]
    assert result.counts.dropped == {"surplus": 1}


def test_the_same_turn_is_kept_once() -> None:
    twice = [coa(SEARCH, RIGHT, sample=0), coa(SEARCH, RIGHT, sample=1)]
    result = filter_records(twice, exact_match, FilterConfig(per_question=2), searching=True)
    assert result.counts.dropped == {"duplicate": 1}


def guess(sample: int = 0, question: Question = QUESTION) -> Record:
    """A right answer after a search that did not show it."""
    trajectory, _ = play(Agent(), (SEARCH, RIGHT), passages=PASSAGES[1:], question=question)
    return Record(question, sample, trajectory)


def test_a_right_answer_that_no_passage_shows_is_dropped_where_evidence_is_asked_for() -> None:
    limits = FilterConfig(evidence=True)
    assert reasons([guess()]) == {}
    assert reasons([guess()], limits) == {"no evidence": 1}
    assert reasons([coa(SEARCH, RIGHT)], limits) == {}


def test_the_evidence_of_a_gold_chain_is_its_passages() -> None:
    limits = FilterConfig(evidence=True)
    for passage, dropped in (("p2", {}), ("p1", {"no evidence": 1})):
        hops = (Hop("Who built the tower?", "Anna", passage),)
        assert reasons([guess(question=replace(QUESTION, hops=hops))], limits) == dropped


def test_questions_that_are_always_answered_right_are_thinned() -> None:
    records = []
    for number in range(20):
        question = replace(QUESTION, id=f"q{number}", text=f"Who built tower {number}?")
        texts = (SEARCH, RIGHT), (SEARCH, "Well. " + RIGHT if number < 16 else WRONG)
        for sample, text in enumerate(texts):
            trajectory, _ = play(Agent(), text, question=question)
            records.append(Record(question, sample, trajectory))
    limits = FilterConfig(per_question=2, easy_share=0.25)
    result = filter_records(records, exact_match, limits, searching=True)
    assert result.counts.dropped == {"wrong": 4, "easy": 24}
    questions = {record.question.id for record in result.records}
    assert len(questions) == 8
    assert questions >= {"q16", "q17", "q18", "q19"}


def test_a_question_with_one_episode_is_not_easy() -> None:
    assert reasons([coa(SEARCH, RIGHT)], FilterConfig(easy_share=0.0)) == {}


def test_any_scorer_may_say_what_is_right() -> None:
    record = coa(SEARCH, "</think>\\boxed{Anna Berg}")
    assert reasons([record]) == {"wrong": 1}
    result = filter_records([record], f1, FilterConfig(min_score=0.6), searching=True)
    assert result.counts.kept == 1


@pytest.mark.parametrize(
    "last",
    [
        "It is Anna. \\boxed{Anna}",
        "</think> <think> </think> \\boxed{Anna}",
        "</think> \\boxed{Anna} Next question: who built the mill?",
        "</think> \\boxed{Anna",
    ],
)
def test_an_answer_that_leaves_the_form_is_malformed(last: str) -> None:
    trajectory = coa(SEARCH, last).trajectory
    assert trajectory is not None
    assert not is_well_formed(trajectory)


def test_data_is_written_in_the_prompt_that_the_trained_agent_is_asked_in() -> None:
    completion = Completion(
        RIGHT,
        token_ids=(1, 2),
        sampled_ids=(1, 2, 3),
        logps=(-1.0, -1.0, -1.0),
        prompt_tokens=9,
        completion_tokens=2,
        seconds=1.5,
    )
    taught = student_record(coa(SEARCH, completion))
    assert taught.trajectory is not None
    assert taught.trajectory.opening == Agent(shots=0).opening(QUESTION)
    last = taught.trajectory.steps[-1]
    assert (last.token_ids, last.sampled_ids, last.logps) == (None, None, None)
    assert (last.prompt_tokens, last.generate_seconds) == (None, 0.0)


def test_reasoning_that_the_model_opened_itself_is_not_opened_twice() -> None:
    record = cot("<think>\n" + RIGHT)
    [chosen] = filter_records([record], exact_match, FilterConfig(), searching=False).records
    assert turn_text(chosen) == "<think>\n" + RIGHT


def test_a_smaller_draw_is_part_of_a_larger_one_and_keeps_the_order() -> None:
    items = list(range(100))
    small, large = (draw_sample(items, str, count, seed=1) for count in (5, 20))
    assert len(small) == 5
    assert set(small) < set(large)
    assert large == sorted(large)
    assert draw_sample(items, str, 200, seed=1) == items


def test_equal_episodes_make_equal_data_whatever_their_times() -> None:
    slow = msgspec.structs.replace(coa(SEARCH, RIGHT), seconds=9.0)
    records = [
        filter_records([record], exact_match, FilterConfig(), searching=True).records
        for record in (coa(SEARCH, RIGHT), slow)
    ]
    assert msgspec.json.encode(records[0]) == msgspec.json.encode(records[1])
