"""Replay: a step also learns what must not be forgotten."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from accelerate import Accelerator
from rich.console import Console

from agent_model.training import data, metrics
from agent_model.training.config import ReplayConfig, SFTConfig, load_sft_config
from agent_model.training.metrics import SFTStep
from agent_model.training.model import load_policy, trainable
from agent_model.training.optimiser import FP32Optimizer
from agent_model.training.replay import Replay
from agent_model.training.sft import train as train_sft
from autocoa_bench.errors import UserError
from support.tiny_llm import make_model, write_records

TEXTS = [["The mill is", " old"], ["The tower is", " new and tall"]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    make_model(folder / "model")
    write_records(folder / "records.jsonl", 24)
    lines = [msgspec.json.encode({"parts": parts}) for parts in TEXTS]
    (folder / "texts.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return folder


def recipe(place: Path, **replay: Any) -> SFTConfig:
    return SFTConfig(
        stage="sft2",
        model=str(place / "model"),
        data=(str(place / "records.jsonl"),),
        dtype="fp32",
        lora=None,
        lr=1e-2,
        batch=4,
        max_steps=6,
        replay=ReplayConfig(**{"data": (str(place / "texts.jsonl"),), "batch": 2, **replay}),
    )


def test_the_replayed_loss_is_the_mean_over_the_trained_tokens_of_a_steps_examples(
    place: Path,
) -> None:
    config = recipe(place, weight=0.5)
    policy, tokenizer = load_policy(config)
    optimizer = FP32Optimizer(policy)
    loss = Replay(config, tokenizer).accumulate(policy, optimizer, Accelerator(cpu=True), 0)
    total, count = torch.zeros(()), 0
    for read, learned in TEXTS:
        ids, start = tokenizer(read).input_ids, len(tokenizer(read).input_ids)
        ids = torch.tensor([*ids, *tokenizer(learned).input_ids])
        logps = policy.inner(ids[None]).logits[0].log_softmax(-1)
        picked = logps[start - 1 : -1].gather(1, ids[start:, None])
        total, count = total - picked.sum(), count + len(picked)
    assert loss == pytest.approx(float(total / count), rel=1e-5)
    expected = torch.autograd.grad(0.5 * total / count, [weight for _, weight in trainable(policy)])
    grads = [copy.grad for copy in optimizer._copies.values()]
    for ours, theirs in zip(grads, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_replayed_texts_are_remembered_while_other_data_is_learned(
    place: Path, tmp_path: Path
) -> None:
    losses = {}
    for weight in (0.0, 1.0):
        train_sft(recipe(place, weight=weight), tmp_path / str(weight), Console(file=io.StringIO()))
        rows = metrics.read_metrics(tmp_path / str(weight) / "metrics.csv", SFTStep)
        losses[weight] = [row.replay or 0.0 for row in rows]
    assert losses[1.0][0] == losses[0.0][0]
    assert losses[1.0][-1] < losses[0.0][-1]


def test_trajectories_are_replayed_without_their_observations(place: Path) -> None:
    config = recipe(place, data=(str(place / "records.jsonl"),))
    tokenizer = load_policy(config)[1]
    replayed = data.load_replay(config, tokenizer)
    learned = data.load_data(msgspec.structs.replace(config, held_out=0.0), tokenizer).train
    assert len(replayed) == len(learned) == 24
    assert all((a[0].mask == b[0].mask).all() for a, b in zip(replayed, learned, strict=True))


def test_a_step_without_replay_has_no_replayed_loss(place: Path, tmp_path: Path) -> None:
    train_sft(recipe(place, data=()), tmp_path / "out", Console(file=io.StringIO()))
    rows = metrics.read_metrics(tmp_path / "out" / "metrics.csv", SFTStep)
    assert {row.replay for row in rows} == {None}


def test_a_resumed_run_with_another_replay_file_is_refused(place: Path, tmp_path: Path) -> None:
    train_sft(recipe(place), tmp_path / "out", Console(file=io.StringIO()))
    other = recipe(place, data=(str(place / "records.jsonl"),))
    with pytest.raises(UserError, match="holds another training run"):
        train_sft(other, tmp_path / "out", Console(file=io.StringIO()))


def test_an_unknown_key_of_replay_is_refused_with_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text('model = "m"\ndata = ["d"]\n[replay]\nwieght = 2\n')
    with pytest.raises(UserError, match=r"\[replay\] 'wieght'; did you mean 'weight'"):
        load_sft_config(file, "sft2")


def test_a_missing_replay_file_is_refused(place: Path, tmp_path: Path) -> None:
    config = recipe(place, data=(str(tmp_path / "none.jsonl"),))
    with pytest.raises(UserError, match=r"cannot read '.*none\.jsonl'"):
        train_sft(config, tmp_path / "out", Console(file=io.StringIO()))
