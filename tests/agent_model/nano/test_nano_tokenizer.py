"""The nano tokenizer: a word a token, and decoding that is read as the same tokens again."""

from typing import Any

import pytest

from agent_model.nano.tokenizer import make_tokenizer
from agent_model.tokens import end_of_turn

TEXT = (
    "First I need Bexan.\n<begin_search> Bexan </end_search>\n\n"
    'result 1: "Bexan"\nBexan (x), [y].\n\\boxed{Melk}'
)
LONG = "Answer the question, briefly.\n\nQuestion:"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return make_tokenizer([TEXT], [LONG, "<begin_search>", "</end_search>", "\\boxed{"])


def ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def test_decoding_gives_the_same_tokens_again(tokenizer: Any) -> None:
    once = ids(tokenizer, TEXT)
    assert ids(tokenizer, tokenizer.decode(once)) == once


def test_decoding_gives_the_text_again(tokenizer: Any) -> None:
    assert tokenizer.decode(ids(tokenizer, TEXT)) == TEXT


def test_line_breaks_are_kept_and_no_space_stands_beside_them(tokenizer: Any) -> None:
    said = tokenizer.decode(ids(tokenizer, TEXT))
    assert "need Bexan.\n<begin_search> Bexan </end_search>\n\nresult 1:" in said


def test_a_long_prompt_is_one_token(tokenizer: Any) -> None:
    assert len(ids(tokenizer, f"{LONG} Melk")) == 2


def test_a_word_that_it_does_not_know_is_one_unknown_token(tokenizer: Any) -> None:
    assert ids(tokenizer, "Timbuktu") == [tokenizer.unk_token_id]


def test_a_turn_ends_as_the_template_says(tokenizer: Any) -> None:
    assert end_of_turn(tokenizer) == tokenizer.eos_token_id
