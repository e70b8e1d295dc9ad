"""The cache of many sequences: a model says through it what it says of each sequence as a whole."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from autocoa_bench.engines.transformers.kv_cache import KVCache
from autocoa_bench.errors import UserError
from support.tiny import tiny_model

WINDOW = 6
IDS = [list(range(3, 25)), list(range(60, 71))]


def windowed_model(folder: Path, kind: str) -> Any:
    """A tiny model, whose layers look through a window where its kind has one."""
    config = transformers.AutoConfig.from_pretrained(tiny_model(folder, kind))
    if hasattr(config, "sliding_window"):
        config.sliding_window = WINDOW
    torch.manual_seed(0)
    return transformers.AutoModelForCausalLM.from_config(config).eval()


@torch.no_grad()
@pytest.mark.parametrize("kind", ["llama", "mistral", "gemma2", "gemma3_text", "cohere"])
def test_logits_are_those_of_the_whole_sequence(tmp_path: Path, kind: str) -> None:
    model = windowed_model(tmp_path, kind)
    cache = KVCache(model, 3)
    for row, ids in enumerate(IDS):
        cache.extend(row, 0, ids[:5])
        cache.extend(row, 5, ids[5:-2])
    cache.copy(0, 2, len(IDS[0]) - 2)
    rows = [*IDS, IDS[0]]
    for behind in (2, 1):
        tokens = [ids[-behind] for ids in rows]
        logits = cache.logits(tokens, [len(ids) - behind for ids in rows])
        for ids, row in zip(rows, logits, strict=True):
            read = ids[: len(ids) - behind + 1]
            whole = model(input_ids=torch.tensor([read]), use_cache=False).logits[0, -1]
            torch.testing.assert_close(row, whole, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_a_window_hides_what_lies_before_it(tmp_path: Path) -> None:
    outputs = []
    for first in (3, 4):
        cache = KVCache(windowed_model(tmp_path, "mistral"), 1)
        cache.extend(0, 0, [first, *range(5, 5 + 2 * WINDOW)])  # two layers of windows
        outputs.append(cache.logits([30], [1 + 2 * WINDOW]))
    torch.testing.assert_close(*outputs, rtol=0, atol=0)


@torch.no_grad()
def test_a_row_that_was_saved_is_gone_on_from(tmp_path: Path) -> None:
    cache = KVCache(windowed_model(tmp_path, "llama"), 2)
    cache.extend(0, 0, IDS[0])
    expected = cache.logits([9], [len(IDS[0])])
    saved = cache.save(0, len(IDS[0]))
    cache.extend(0, 0, IDS[1])
    cache.load(0, saved, 7)
    cache.extend(0, 7, IDS[0][7:])
    torch.testing.assert_close(cache.logits([9], [len(IDS[0])]), expected)


@torch.no_grad()
def test_memory_that_runs_out_as_it_grows_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = KVCache(windowed_model(tmp_path, "llama"), 1)
    cache.extend(0, 0, IDS[0])
    expected = cache.logits([9], [len(IDS[0])])
    zeros_like, lengths = cache._zeros_like, []

    def short(like: torch.Tensor, length: int) -> torch.Tensor:
        lengths.append(length)
        if len(lengths) == 3:
            raise RuntimeError("out of memory")
        return zeros_like(like, length)

    monkeypatch.setattr(cache, "_zeros_like", short)
    with pytest.raises(RuntimeError, match="out of memory"):
        cache.logits([9], [400])
    cache.logits([9], [300])  # less than what was asked for before, more than what there was
    torch.testing.assert_close(cache.logits([9], [len(IDS[0])]), expected)


def test_a_window_of_no_size_is_refused(tmp_path: Path) -> None:
    model = windowed_model(tmp_path, "llama")
    model.config.layer_types = ["sliding_attention", "full_attention"]
    with pytest.raises(UserError, match="full_attention, sliding_attention"):
        KVCache(model, 1)


def test_a_model_that_does_not_attend_is_refused(tmp_path: Path) -> None:
    model = windowed_model(tmp_path, "llama")
    model.config.layer_types = ["linear_attention", "full_attention"]
    with pytest.raises(UserError, match="full_attention, linear_attention; take another model"):
        KVCache(model, 1)
