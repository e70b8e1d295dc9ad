"""The released code's two scorers: the cases in which they differ from the paper's exact match."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocoa_bench.scoring import score_record
from autocoa_bench.scoring.autocoa import evaluation, reward
from autocoa_bench.scoring.text import exact_match
from autocoa_bench.types import Question, Record, Step, Trajectory

BOTH = {"autocoa-reward": reward, "autocoa-eval": evaluation, "em": exact_match}


def scores(gold: str, *steps: Step) -> list[float | None]:
    """Reward, evaluation and strict exact match of an episode whose harness's answer is right."""
    trajectory = Trajectory("agent", (), "<think>\n", steps, gold, "answered")
    record = Record(Question("1", "?", (gold,)), 0, trajectory)
    return [score.value for score in score_record(record, BOTH).values()]


def answer(text: str, forced: bool = False) -> Step:
    return Step("answer", text, "x", forced=forced)


@pytest.mark.parametrize(
    ("prediction", "gold", "rewarded"),
    [
        ("Paris", "paris", 1.0),
        ("University of South Carolina", "University of North Carolina", 1.0),
        ("New York", "New York City", 0.0),  # a part of the gold is worth nothing
        ("New York City, USA", "New York City", 0.0),  # nor is the gold with more
        ("two", "2", 1.0),
        ("well, basically nine", "9", 1.0),
        ("twenty one", "twenty 1", 1.0),
        ("red green", "red green blue", 0.0),
        ("blue red green yellow", "red green blue", 1.0),
        ("blue red pink", "red green blue", 0.0),
        ("「Paris」", "Paris", 1.0),
        ("Rome", "Paris", 0.0),
        ("Rome", "", 0.0),
    ],
)
def test_the_reward_asks_for_seventy_percent_of_the_golds_words(
    prediction: str, gold: str, rewarded: float
) -> None:
    assert reward(prediction, [gold]) == rewarded


def test_the_reward_takes_the_best_gold() -> None:
    assert reward("Paris", ["Rome", "Paris"]) == 1.0


def test_the_evaluation_is_exact_match() -> None:
    assert evaluation("the Paris.", ["Rome", "paris"]) == 1.0
    assert evaluation("University of South Carolina", ["University of North Carolina"]) == 0.0


def test_a_command_in_the_box_breaks_the_reward_alone() -> None:
    assert scores("Paris", answer("Found.\n</think>\n\n\\boxed{\\text{Paris}}")) == [0.0, 1.0, 1.0]


def test_of_two_boxes_the_reward_takes_the_last_and_the_evaluation_the_first() -> None:
    text = "It is \\boxed{Rome}.\n</think>\n\n\\boxed{Paris}"
    assert scores("Paris", answer(text)) == [1.0, 0.0, 1.0]
    assert scores("Rome", answer(text)) == [0.0, 1.0, 1.0]


def test_the_evaluations_box_ends_at_the_last_brace_of_its_line() -> None:
    assert scores("Paris", answer("</think> \\boxed{Paris} {sure}\n}")) == [1.0, 0.0, 1.0]


def test_a_box_over_two_lines_is_none_to_the_evaluation() -> None:
    assert scores("New York", answer("</think> \\boxed{New\nYork}")) == [1.0, 0.0, 1.0]


def test_a_box_before_the_last_search_is_none_to_the_evaluation() -> None:
    search = Step("search", "\\boxed{Rome} <begin_search> q </end_search>", "q")
    assert scores("Paris", search, answer("</think> \\boxed{Paris}")) == [1.0, 1.0, 1.0]


def test_a_search_after_the_reasoning_costs_the_reward() -> None:
    search = Step("search", "<begin_search> q </end_search>", "q")
    assert scores("Paris", search, answer("\\boxed{Paris}")) == [0.0, 1.0, 1.0]


def test_a_forced_answer_counts_as_boxed() -> None:
    assert scores("Paris", answer("Paris}", forced=True)) == [1.0, 1.0, 1.0]


def test_an_answer_in_other_tags_counts_as_boxed() -> None:
    assert scores("Paris", answer("<answer>Paris</answer>")) == [1.0, 1.0, 1.0]


def test_no_answer_is_worth_nothing_to_either() -> None:
    trajectory = Trajectory("agent", (), "", (answer("\\boxed{}", forced=True),), None, "answered")
    search = score_record(Record(Question("1", "?", ("Paris",)), 0, trajectory), BOTH)
    assert [score.value for score in search.values()] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "response",
    [
        "</think> I looked. The answer is: Paris. Good.",
        "</think> I looked. Therefore, Paris. Good.",
        "</think> I looked. Paris. Good",
        "</think> Paris",
    ],
)
def test_the_reward_reads_an_unboxed_response_by_its_sentences(response: str) -> None:
    assert reward.read(response, ["Paris"]) == 1.0
    assert evaluation.read(response, ["Paris"]) == 0.0


@pytest.mark.parametrize("response", ["Paris", "", "\n</think>\n"])
def test_without_box_and_reasoning_the_reward_finds_no_answer(response: str) -> None:
    assert reward.read(response, ["Paris"]) == 0.0


def defined_words(text: str) -> list[str]:
    """The reward's normalisation, step by step."""
    text = "".join(char for char in text.lower() if char not in set(string.punctuation))
    text = re.sub(r"\b(a|an|the)\b", " ", text)
    text = re.sub("[「」『』]", "", text)
    words = "zero one two three four five six seven eight nine"
    for digit, word in enumerate(words.split()):
        text = re.sub(rf"\b{word}\b", str(digit), text)
    return re.sub(
        r"\b(well|so|basically|actually|literally|simply|just|um|uh)\b", " ", text
    ).split()


@given(
    st.one_of(
        st.text(alphabet="aA nthe.-'「』\n\x1cé’İ", max_size=30),
        st.lists(st.sampled_from(["one", "Two", "so", "Well,", "the", "cat", "a「so"])).map(
            " ".join
        ),
    )
)
def test_the_rewards_normalisation_equals_its_definition(text: str) -> None:
    bare = re.sub(r"[{}]", "", text)
    words = " ".join(defined_words(bare))
    # A "the" that is left was "t「he"; as a gold it would be an article, and removed.
    gold = re.sub(r"\bthe\b", "t「he", words)
    assert reward(bare, [gold or "the"]) == 1.0
