"""Answers in boxes and behind reasoning, as several dialects read them."""

import pytest

from autocoa_bench.episode.answer_text import after_reasoning, last_boxed


def test_an_unclosed_box_is_an_answer_unless_the_token_limit_cut_it() -> None:
    assert last_boxed(r"It is \boxed{Anna") == "Anna"
    assert last_boxed(r"It is \boxed{Anna", cut=True) is None


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{Anna}, no, \boxed{Bert}.", "Bert"),
        (r"\boxed{a {nested} answer}", "a {nested} answer"),
        (r"\boxed{\text{New York}}", "New York"),
        ("no box at all", None),
    ],
)
def test_the_last_box_counts_with_its_braces_balanced(text: str, answer: str | None) -> None:
    assert last_boxed(text) == answer


def test_reasoning_ends_at_its_last_closing_tag() -> None:
    assert after_reasoning("one </think> two </think> three") == " three"
    assert after_reasoning("no reasoning") == "no reasoning"
