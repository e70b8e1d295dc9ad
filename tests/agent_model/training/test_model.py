"""The model in training: its forward pass, its optimizer, and what it is saved as."""

import contextlib
import math
import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from agent_model.training import model as module
from agent_model.training.config import SFTConfig
from agent_model.training.data import Batch, collate
from agent_model.training.masks import TokenRow
from agent_model.training.model import (
    Policy,
    checkpoint_of,
    load_policy,
    trainable,
)
from agent_model.training.optimiser import FP32Optimizer
from autocoa_bench.engines.transformers.attention import causal, forward, register
from autocoa_bench.engines.weights import models
from autocoa_bench.errors import MissingExtra, UserError
from support.tiny import edit_json, tiny_model
from support.tiny_llm import make_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("tiny"))


def loaded(model: Path, **changes: Any) -> Policy:
    given = {"stage": "sft2", "model": str(model), "data": ["-"], "dtype": "fp32", **changes}
    return load_policy(msgspec.convert(given, SFTConfig))[0]


def rows(*lengths: int) -> list[tuple[TokenRow]]:
    chance = np.random.default_rng(0)
    made = [chance.integers(3, 250, n).astype(np.int32) for n in lengths]
    return [(TokenRow(ids, np.arange(len(ids)) > 0),) for ids in made]


def test_a_row_scores_the_same_alone_and_padded_beside_a_longer_one(model: Path) -> None:
    policy = loaded(model)
    both = collate(rows(30, 70))
    alone = collate(rows(30, 70)[:1])
    with torch.no_grad():
        together = policy(both.ids, both.mask)[both.rows == 0]
        expected = policy(alone.ids, alone.mask)
    torch.testing.assert_close(together, expected)


@pytest.mark.parametrize("before", [0, 5])
@pytest.mark.parametrize(("length", "block"), [(1, 4), (4, 4), (37, 8), (20, 64)])
def test_attention_by_blocks_is_pytorchs_causal_attention(
    length: int, block: int, before: int
) -> None:
    torch.manual_seed(0)
    query = torch.randn(2, 6, before + length, 8)
    key, value = torch.randn(2, 2, 2, before + length, 8)
    expected = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, enable_gqa=True
    )
    found = causal(query[:, :, before:] * 8**-0.5, key, value, block)
    torch.testing.assert_close(found, expected[:, :, before:])


@pytest.mark.parametrize("length", [40, 2100])  # by blocks, and by PyTorch's kernel
def test_queries_without_a_mask_are_those_of_the_last_positions(length: int) -> None:
    torch.manual_seed(0)
    query = torch.randn(1, 6, length, 8)
    key, value = torch.randn(2, 1, 2, length, 8)
    expected = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, enable_gqa=True
    )
    layer = torch.nn.Identity()
    layer.num_key_value_groups = 3  # what PyTorch's kernel is told by transformers' layers
    found, _ = forward(layer, query[:, :, 9:], key, value, None, scaling=8**-0.5)
    torch.testing.assert_close(found, expected.transpose(1, 2)[:, 9:])


def tree(numbers: str, trained: int = 1) -> Batch:
    """Rows that branch: each digit stands for 40 tokens, which other rows with the same digit at
    the same place have too. All tokens from `trained` on are scored."""
    chance = np.random.default_rng(0)
    tokens = chance.integers(3, 250, (10, 40)).astype(np.int32)
    texts = [np.concatenate([tokens[int(digit)] for digit in row]) for row in numbers.split()]
    return collate([(TokenRow(ids, np.arange(len(ids)) >= trained),) for ids in texts])


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("lora", [{"rank": 4}, None])
def test_packed_rows_have_the_same_gradients(
    model: Path, lora: dict[str, int] | None, checkpointing: bool
) -> None:
    batch, found = tree("123 045 1247 12 0451 1247 8"), []
    for packs in (False, True):
        policy = loaded(model, lora=lora, gradient_checkpointing=checkpointing)
        assert policy.packs_rows
        policy.packs_rows = packs
        for name, weight in trainable(policy):
            if "lora_B" in name:
                torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(0))
        logps = policy(batch.ids, batch.mask)
        (logps * torch.linspace(1, 2, len(logps))).sum().backward()
        found.append((logps, [each.grad for _, each in trainable(policy)]))
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-4)


def test_a_prefix_that_some_rows_share_is_computed_once_and_padding_never(model: Path) -> None:
    policy, read = loaded(model), []
    embed = policy.inner.get_input_embeddings()
    embed.register_forward_hook(lambda *given: read.append(tuple(given[1][0].shape)))
    batch = tree("123 124 5")
    policy(batch.ids, batch.mask)
    # 12 and 3, 4 and 5 but their last tokens, whose states nothing is predicted from.
    assert read == [(1, 80 + 39 + 39 + 39)]


def test_nothing_after_the_last_scored_token_is_computed(model: Path) -> None:
    policy, read = loaded(model), []
    embed = policy.inner.get_input_embeddings()
    embed.register_forward_hook(lambda *given: read.append(given[1][0].numel()))
    batch = tree("12 34")
    mask = batch.mask.clone()
    mask[:, 60:] = False
    some = policy(batch.ids, mask)
    assert read == [2 * 59]
    expected = policy(batch.ids, batch.mask).view(2, -1)[:, :59].flatten()
    torch.testing.assert_close(some, expected)


def test_a_batch_in_which_nothing_is_scored_has_no_log_probabilities(model: Path) -> None:
    batch = tree("12 34", trained=80)
    assert loaded(model)(batch.ids, batch.mask).shape == (0,)


@pytest.mark.parametrize("kind", ["lfm2", "openai-gpt", "mistral"])
def test_rows_are_not_packed_for_a_model_with_windows_or_with_more_state_than_keys_and_values(
    tmp_path: Path, kind: str
) -> None:
    layers = {"layer_types": ["conv", "full_attention"]} if kind == "lfm2" else {}
    folder = tiny_model(tmp_path, kind, **layers)
    if kind == "mistral":
        edit_json(folder / "config.json", sliding_window=9)
    policy = loaded(folder, lora=None)
    assert not policy.packs_rows
    batch = tree("12 134")
    assert policy(batch.ids, batch.mask).isfinite().all()


def test_a_layer_with_a_window_sees_as_far_as_with_pytorchs_attention(tmp_path: Path) -> None:
    folder = tiny_model(tmp_path, "mistral")
    edit_json(folder / "config.json", sliding_window=9)
    batch, scores = tree("12 134"), []
    for kernel in ("sdpa", register()):
        policy = loaded(folder)
        policy.inner.set_attn_implementation(kernel)
        scores.append(policy(batch.ids, batch.mask))
    torch.testing.assert_close(*scores, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("masked", [True, False])
def test_attention_of_one_query_a_row_is_pytorchs(masked: bool) -> None:
    torch.manual_seed(0)
    query = torch.randn(3, 6, 1, 8)
    key, value = torch.randn(2, 3, 2, 9, 8)
    mask = torch.arange(9) <= torch.tensor([4, 8, 0])[:, None, None, None] if masked else None
    expected = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, scale=0.5, enable_gqa=True
    )
    found, _ = forward(torch.nn.Identity(), query, key, value, mask, scaling=0.5)
    torch.testing.assert_close(found, expected.transpose(1, 2))


def test_bf16_training_scores_as_fp32_does_within_its_precision(model: Path) -> None:
    batch = collate(rows(40, 200))
    with torch.no_grad():
        exact = loaded(model)(batch.ids, batch.mask)
        rounded = loaded(model, dtype="bf16")(batch.ids, batch.mask)
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.05)


def test_a_small_step_moves_fp32_copies_that_bf16_weights_could_not_show(model: Path) -> None:
    policy = loaded(model, dtype="bf16", lora=None)
    optimizer = FP32Optimizer(policy)
    before = {k: v.clone() for k, v in optimizer.state()["weights"].items()}
    live = {k: v.detach().clone() for k, v in trainable(policy)}
    batch = collate(rows(60))
    (-policy(batch.ids, batch.mask).mean()).backward()
    optimizer.accumulate()
    optimizer.step(lr=7e-7)
    name = "model.model.layers.0.mlp.up_proj.weight"
    moved = (optimizer.state()["weights"][name] != before[name]).float().mean().item()
    shown = (dict(trainable(policy))[name] != live[name]).float().mean().item()
    assert moved > 0.95
    assert shown < 0.1


def test_gradients_of_micro_batches_add_up_to_those_of_the_whole(model: Path) -> None:
    norms = []
    for groups in ([rows(30, 50)], [rows(30, 50)[:1], rows(30, 50)[1:]]):
        policy = loaded(model)
        optimizer = FP32Optimizer(policy)
        for group in groups:
            batch = collate(group)
            (-policy(batch.ids, batch.mask).sum() / 78).backward()
            optimizer.accumulate()
        norms.append(optimizer.step(lr=0.0))
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)


def test_an_adapter_is_saved_in_pefts_format_and_loaded_again(model: Path, tmp_path: Path) -> None:
    policy = loaded(model)
    with torch.no_grad():
        for _, weight in trainable(policy):
            weight.add_(0.05)
    policy.save(tmp_path / "adapter", str(model), None)
    found = {file.name for file in (tmp_path / "adapter").iterdir()}
    assert found == {"adapter_model.safetensors", "adapter_config.json"}
    again = loaded(model, adapter=str(tmp_path / "adapter"))
    batch = collate(rows(30))
    with torch.no_grad():
        torch.testing.assert_close(
            again(batch.ids, batch.mask), policy(batch.ids, batch.mask), rtol=0, atol=0
        )
    assert [name for name, _ in trainable(again)] == [name for name, _ in trainable(policy)]


def test_dropout_of_model_and_adapter_is_disabled(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "model"))
    edit_json(folder / "config.json", attention_dropout=0.5)
    adapter = an_adapter(folder, tmp_path / "adapter")
    edit_json(adapter / "adapter_config.json", lora_dropout=0.5)
    policy, batch = loaded(folder, adapter=str(adapter)), collate(rows(30))
    with torch.no_grad():
        for _, weight in trainable(policy):
            weight.add_(0.05)
        assert policy(batch.ids, batch.mask).equal(policy(batch.ids, batch.mask))


def an_adapter(model: Path, folder: Path) -> Path:
    loaded(model).save(folder, str(model), None)
    return folder


@pytest.mark.parametrize(
    ("lora", "problem"),
    [
        ({"rank": 8}, "has rank 16, alpha 32"),
        ({"alpha": 16}, "has rank 16, alpha 32"),
        ({"targets": ["q_proj"]}, "recipe's lora has rank 16, alpha 32 and targets q_proj"),
    ],
)
def test_an_adapter_of_another_form_is_refused(
    model: Path, tmp_path: Path, lora: dict[str, Any], problem: str
) -> None:
    folder = an_adapter(model, tmp_path / "adapter")
    with pytest.raises(UserError, match=problem):
        loaded(model, adapter=str(folder), lora=lora)


def test_an_adapter_of_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    folder = an_adapter(model, tmp_path / "adapter")
    edit_json(folder / "adapter_config.json", base_model_name_or_path="smollm2-135m-instruct")
    with pytest.raises(UserError, match="was trained on the model 'smollm2-135m-instruct'"):
        loaded(model, adapter=str(folder))


def test_another_way_to_write_a_models_folder_is_the_same_model(
    model: Path, tmp_path: Path
) -> None:
    folder = an_adapter(model, tmp_path / "adapter")
    edit_json(folder / "adapter_config.json", base_model_name_or_path=f"{model}/../{model.name}")
    assert loaded(model, adapter=str(folder))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda weights: weights.pop(min(weights)), "lacks 1 of its weights and has 0 others"),
        (lambda weights: weights.update(extra=torch.ones(1)), "lacks 0 of its weights and has 1"),
    ],
)
def test_an_adapter_with_other_weights_than_its_own_is_refused(
    model: Path, tmp_path: Path, change: Any, problem: str
) -> None:
    folder = an_adapter(model, tmp_path / "adapter")
    weights = load_file(folder / "adapter_model.safetensors")
    change(weights)
    save_file(weights, folder / "adapter_model.safetensors")
    with pytest.raises(UserError, match=problem):
        loaded(model, adapter=str(folder))


def test_junk_for_weights_is_refused(model: Path, tmp_path: Path) -> None:
    folder = an_adapter(model, tmp_path / "adapter")
    (folder / "adapter_model.safetensors").write_bytes(b"junk" * 100)
    with pytest.raises(UserError, match="cannot load the adapter"):
        loaded(model, adapter=str(folder))
    broken = make_model(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"junk" * 100)
    with pytest.raises(UserError, match="cannot load the model"):
        loaded(broken)


class Converted:
    """Stands for a loaded GGUF file; its first saving waits until it may continue."""

    def __init__(self) -> None:
        self.saved = 0
        self.started = threading.Event()
        self.may_continue = threading.Event()

    def save_pretrained(self, folder: Path) -> None:
        self.started.set()
        assert self.may_continue.wait(60)
        folder.mkdir(exist_ok=True)
        (folder / f"file-{self.saved}").touch()
        self.saved += 1


def pull_tiny(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Converted:
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(cache))
    known = SimpleNamespace(name="tiny")
    monkeypatch.setattr(models, "known_models", lambda: [known])
    file = models.ModelFile(cache / "tiny.gguf", "0" * 64, 0)
    monkeypatch.setattr(models, "resolve", lambda name: file)
    converted = Converted()
    for kind in (transformers.AutoModelForCausalLM, transformers.AutoTokenizer):
        monkeypatch.setattr(kind, "from_pretrained", lambda *_, **__: converted)
    return converted


def test_two_processes_convert_a_pulled_model_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted = pull_tiny(monkeypatch, tmp_path)
    lock, arrivals = module.locked, []

    @contextlib.contextmanager
    def locked(path: Path) -> Iterator[None]:
        arrivals.append(path)
        if len(arrivals) == 2:  # the second is at the lock while the first converts
            converted.may_continue.set()
        with lock(path):
            yield

    monkeypatch.setattr(module, "locked", locked)
    leftover = tmp_path / "checkpoints" / ".tiny-00000000-0123abcd"
    leftover.mkdir(parents=True)  # of a process that was killed
    leftover.with_name(f"{leftover.name}.lock").touch()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(checkpoint_of, "tiny")
        assert converted.started.wait(60)
        second = pool.submit(checkpoint_of, "tiny")
        assert first.result() == second.result()
    assert converted.saved == 2, "model and tokenizer, once"
    assert len(list(Path(first.result()).iterdir())) == 2
    assert not leftover.exists()


def test_a_gguf_without_its_reader_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull_tiny(monkeypatch, tmp_path)
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingExtra, match="embedded"):
        checkpoint_of("tiny")


def test_a_step_on_a_gradient_that_is_not_finite_changes_nothing(model: Path) -> None:
    policy = loaded(model)
    optimizer = FP32Optimizer(policy)
    before = {name: weight.clone() for name, weight in optimizer.state()["weights"].items()}
    batch = collate(rows(30))
    (policy(batch.ids, batch.mask).sum() * float("inf")).backward()
    optimizer.accumulate()
    assert not math.isfinite(optimizer.step(lr=1e-2))
    for name, weight in optimizer.state()["weights"].items():
        assert torch.equal(weight, before[name])


def test_attention_sinks_are_refused_where_they_would_be_lost(model: Path) -> None:
    query, key, value = torch.randn(3, 1, 2, 5, 8)
    with pytest.raises(ValueError, match="sinks"):
        forward(torch.nn.Identity(), query, key, value, None, s_aux=torch.zeros(2))


def test_adapters_have_the_models_own_type(model: Path) -> None:
    assert {each.dtype for _, each in trainable(loaded(model, dtype="bf16"))} == {torch.bfloat16}


def test_checkpointed_activations_change_no_gradient(model: Path) -> None:
    batch = collate(rows(40))
    found = []
    for checkpointing in (False, True):
        policy = loaded(model, gradient_checkpointing=checkpointing)
        policy(batch.ids, batch.mask).sum().backward()
        found.append([each.grad for _, each in trainable(policy)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_a_model_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    folder = make_model(tmp_path)
    edit_json(folder / "config.json", num_hidden_layers=3, layer_types=["full_attention"] * 3)
    with pytest.raises(UserError, match=r"lacks \d+ of its weights, the first of them .*layers.2"):
        loaded(folder)


def test_a_missing_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot load the model"):
        loaded(tmp_path / "nothing")


def test_an_adapter_for_missing_layers_is_refused(model: Path) -> None:
    with pytest.raises(UserError, match="cannot add an adapter to this model"):
        loaded(model, lora={"targets": ["c_attn"]})
