"""R1-Searcher's published outputs, read by its dialect."""

import gzip
import json
import re
import string
from typing import Any

import pytest

from agent_model.dialects.r1_searcher import R1Searcher
from autocoa_bench.episode import episode, n_actions
from autocoa_bench.scoring import load_scorers, score_record
from autocoa_bench.types import (
    Budget,
    Completion,
    Generate,
    Observation,
    Passage,
    Question,
    Record,
    Trajectory,
)
from support.shared_data import SHARED_DATA, needs_shared_data

pytestmark = [pytest.mark.real_data, needs_shared_data]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    files = sorted((SHARED_DATA / "trajectories").glob("*.jsonl.gz"))
    return [json.loads(line) for file in files for line in gzip.open(file, "rt", encoding="utf-8")]


def read(row: dict[str, Any]) -> Record:
    question = Question("x", row["question"], tuple(row["golden_answers"]), "toy")
    return Record(question, 0, replay(question, row["text"]))


def replay(question: Question, turn: str) -> Trajectory:
    """A trajectory from the text of a finished turn, by running the episode over it."""
    opening, closing = map(re.escape, R1Searcher.result_tags)
    pieces = re.split(rf"{opening}(.*?)(?:{closing}|\Z)", turn, flags=re.DOTALL)
    completions, results = iter(pieces[0::2]), iter(pieces[1::2])
    budget = Budget(max_actions=len(pieces), context_tokens=10**9)
    events = episode(question, R1Searcher(), budget)
    event = next(events)
    while True:
        reply: Completion | Observation
        if isinstance(event, Generate):
            reply = Completion(next(completions, ""))  # empty after the end, so nothing is forced
        else:
            lines = [line for line in next(results, "").splitlines() if line.strip()]
            texts = [re.sub(r"^\(\d+\)\s*", "", line) for line in lines]
            reply = Observation(tuple(Passage(id="", title="", text=text) for text in texts))
        try:
            event = events.send(reply)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def squad_normal(text: str) -> str:
    """The SQuAD v1.1 definition, transcribed."""
    bare = "".join(char for char in text.lower() if char not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def test_exact_match_over_all_904_equals_an_independent_computation(
    rows: list[dict[str, Any]],
) -> None:
    independent = sum(
        any(squad_normal(row["prediction"]) == squad_normal(gold) for gold in row["golden_answers"])
        for row in rows
    )
    exact = load_scorers(("em",))
    ours = sum(score_record(read(row), exact)["em"].value or 0.0 for row in rows)
    assert (len(rows), ours) == (904, independent)


def test_every_trajectory_has_as_many_actions_as_it_has_queries(
    rows: list[dict[str, Any]],
) -> None:
    for row in rows:
        trajectory = read(row).trajectory
        assert trajectory is not None
        assert n_actions(trajectory) == row["text"].count("<|begin_of_query|>")


def test_every_published_prediction_is_the_answer_read(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        trajectory = read(row).trajectory
        assert trajectory is not None
        assert trajectory.answer == row["prediction"].strip()
