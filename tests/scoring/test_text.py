"""Text scores equal the official SQuAD v1.1 script; cover exact match equals FlashRAG's acc."""

from __future__ import annotations

import collections
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autocoa_bench.scoring.text import cover_exact_match, exact_match, f1, normalise


def defined_normalise(text: str) -> str:
    """SQuAD v1.1's normalisation, step by step as it is defined."""
    text = text.lower()
    text = "".join(character for character in text if character not in set(string.punctuation))
    text = re.sub(r"\b(a|an|the)\b", " ", text)
    return " ".join(text.split())


def defined_f1(prediction: str, gold: str) -> float:
    """SQuAD v1.1's F1 for one gold."""
    given_words = defined_normalise(prediction).split()
    gold_words = defined_normalise(gold).split()
    common = sum((collections.Counter(given_words) & collections.Counter(gold_words)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(given_words), common / len(gold_words)
    return 2 * precision * recall / (precision + recall)


# Few different characters, so that articles, repeats and odd word ends come up often.
TEXT = st.one_of(
    st.text(),
    st.text(alphabet="aA nthe.-'\t\n\x00\x0b\x1c\x1f\x7fé–’İK", max_size=30),
    st.lists(st.sampled_from(["a", "an", "the", "The", "cat", "Cat", "no,", "x."])).map(" ".join),
)


@given(TEXT)
def test_normalise_equals_its_definition(text: str) -> None:
    assert normalise(text) == defined_normalise(text)


@given(TEXT, TEXT)
def test_exact_match_equals_its_definition(prediction: str, gold: str) -> None:
    assert exact_match(prediction, [gold]) == float(
        defined_normalise(prediction) == defined_normalise(gold)
    )


@given(TEXT, TEXT)
def test_f1_equals_its_definition(prediction: str, gold: str) -> None:
    assert f1(prediction, [gold]) == defined_f1(prediction, gold)


@pytest.mark.parametrize(
    ("text", "normalised"),
    [
        ("The Beatles", "beatles"),
        ("Twenty-one", "twentyone"),
        ("U.S.A.", "usa"),
        ("an apple a day", "apple day"),
        ("theatre", "theatre"),
        ("1,234.5", "12345"),
        ("  The\tDa Vinci\n Code ", "da vinci code"),
        ("Beyoncé’s “Halo”", "beyoncé’s “halo”"),
        ("1914–1918", "1914–1918"),
        ("the", ""),
        ("", ""),
    ],
)
def test_normalise_on_cases_of_the_field(text: str, normalised: str) -> None:
    assert normalise(text) == normalised


@pytest.mark.parametrize(
    ("prediction", "golds", "em", "token_f1"),
    [
        ("The Beatles", ["beatles"], 1.0, 1.0),
        ("Denver Broncos", ["Denver Broncos", "the Denver Broncos"], 1.0, 1.0),
        ("Santa Clara, California", ["Santa Clara"], 0.0, 0.8),
        ("Levi's Stadium", ["Levi’s Stadium"], 0.0, 0.5),
        ("21", ["twenty-one", "21"], 1.0, 1.0),
        ("Paris", ["London"], 0.0, 0.0),
        ("a b b", ["b b c"], 0.0, 0.8),
        ("", ["the"], 1.0, 0.0),
        ("yes it is", ["yes"], 0.0, 0.5),
    ],
)
def test_exact_match_and_f1_on_known_cases(
    prediction: str, golds: list[str], em: float, token_f1: float
) -> None:
    assert exact_match(prediction, golds) == em
    assert f1(prediction, golds) == pytest.approx(token_f1)


def test_the_best_gold_counts() -> None:
    assert f1("Barack Obama", ["Obama", "Barack Hussein Obama", "Michelle"]) == pytest.approx(0.8)


def test_no_gold_matches_nothing() -> None:
    assert (exact_match("Anna", []), f1("Anna", []), cover_exact_match("Anna", [])) == (0, 0, 0)


@pytest.mark.parametrize(
    ("prediction", "golds", "covered"),
    [
        ("It was Marie Curie, in 1903.", ["Marie Curie"], 1.0),
        ("It was Curie, Marie.", ["Marie Curie"], 0.0),
        ("the north", ["no"], 1.0),
        ("nothing of it", ["x", "it"], 1.0),
        ("Marie", ["Marie Curie"], 0.0),
        ("anything", ["The"], 0.0),
        ("an", ["The"], 1.0),
    ],
)
def test_cover_exact_match_finds_a_gold_as_a_substring(
    prediction: str, golds: list[str], covered: float
) -> None:
    assert cover_exact_match(prediction, golds) == covered


@given(TEXT, TEXT)
def test_an_exact_match_is_also_covered(prediction: str, gold: str) -> None:
    assert cover_exact_match(prediction, [gold]) >= exact_match(prediction, [gold])
