"""The head start: heads that look back and one that finds a word again, before any training."""

from typing import Any

import pytest
import torch

from agent_model.nano.untrained import random_model

WORDS = 300


@pytest.fixture(scope="module")
def model() -> Any:
    return random_model(WORDS, end=0, seed=1).eval()


def attentions(model: Any, ids: torch.Tensor) -> Any:
    model.set_attn_implementation("eager")
    with torch.no_grad():
        return model(ids, output_attentions=True).attentions


@pytest.mark.parametrize(("head", "back"), [(0, 1), (1, 2)])
def test_a_head_of_the_first_layer_looks_at_one_word_back(model: Any, head: int, back: int) -> None:
    ids = torch.arange(1, 101)[None]
    looked = attentions(model, ids)[0][0, head].diagonal(-back)
    assert looked.min() > 0.9


def test_a_head_of_the_second_layer_finds_what_followed_its_word_before(model: Any) -> None:
    words = torch.randperm(WORDS - 1, generator=torch.Generator().manual_seed(2))[:50] + 1
    looked = attentions(model, torch.cat([words, words])[None])[1][0, 0]
    found = looked[50:99].argmax(-1) == torch.arange(1, 50)
    assert found.float().mean() > 0.3  # by chance: 0.01
