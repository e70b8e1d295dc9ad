"""R1-Searcher's published outputs, read by its dialect."""

import gzip
import json
import re
import string
from typing import Any

import pytest

from agent_model.dialects.r1_searcher import read_turn
from autocoa_bench.episode import n_actions
from autocoa_bench.scoring import load_scorers, score_record
from autocoa_bench.types import Question, Record
from support.shared_data import SHARED_DATA, needs_shared_data

pytestmark = [pytest.mark.real_data, needs_shared_data]


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    files = sorted((SHARED_DATA / "trajectories").glob("*.jsonl.gz"))
    return [json.loads(line) for file in files for line in gzip.open(file, "rt", encoding="utf-8")]


def read(row: dict[str, Any]) -> Record:
    question = Question("x", row["question"], tuple(row["golden_answers"]), "toy")
    return Record(question, 0, read_turn(question, row["text"]))


def squad_normal(text: str) -> str:
    """The SQuAD v1.1 definition, transcribed."""
    kept = "".join(char for char in text.lower() if char not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", kept).split())


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
