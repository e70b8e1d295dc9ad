"""From files to batches. Which examples a step sees depends on seed and step alone.

A step's examples are drawn from a shuffled order of all, and only inside the step are they put
next to others of their length: buckets that reach across steps would gather short trajectories
in batches of their own, and training jumps there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import Tensor

from agent_model.losses import TRAINS
from agent_model.pairs import Pair
from agent_model.tokens import Encoded, Kind, Tokenizer, audit, encode, encode_pair
from agent_model.training.config import Recipe
from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.types import Question, Record

Line = TypeVar("Line", Record, Pair)


class Row(NamedTuple):
    """One sequence: its ids (T,), and which of them are trained (T,)."""

    ids: NDArray[np.int32]
    keep: NDArray[np.bool_]


Example = tuple[Row, ...]
"""What a loss is computed of: a trajectory's one row, or a pair's two (chosen, rejected)."""


class Data(Struct, frozen=True):
    """Examples to train on and held out; `dropped` counts those left out, by reason."""

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    dropped: dict[str, int]
    sha256: dict[str, str]


class Batch(NamedTuple):
    """Rows of one forward pass, padded on the right.

    `ids` and `keep` are (B, T); `rows` (N,) says which row each trained token is of. Causal
    attention never looks right, so padding needs no mask.
    """

    ids: Tensor
    keep: Tensor
    rows: Tensor


def load_data(recipe: Recipe, tokenizer: Tokenizer) -> Data:
    """Read, encode, audit and split. Raises UserError (MaskLeak where a mask is wrong)."""
    dropped: dict[str, int] = {}
    files = [Path(name) for name in recipe.data]
    apart = [Path(recipe.held_out)] if isinstance(recipe.held_out, str) else []
    share = recipe.held_out if isinstance(recipe.held_out, float) else 0.0
    train: list[Example] = []
    held_out: list[Example] = []
    for file in files + apart:
        for question, example in _examples(file, recipe, tokenizer, dropped):
            held = file in apart or _lot(question) < share
            (held_out if held else train).append(example)
    if not train:
        raise UserError(
            f"{', '.join(recipe.data)}: nothing to train on ({len(held_out)} held out, "
            f"left out: {dropped or 'none'})"
        )
    hashes = {str(file): _sha256(file) for file in files + apart}
    return Data(tuple(train), tuple(held_out), dropped, hashes)


def draw(count: int, batch: int, seed: int, step: int) -> list[int]:
    """Which of `count` examples step `step` (from 0) trains on: `batch` of them.

    The examples pass in one endless line of shuffled epochs, so a batch may reach into the next.
    """
    chosen: list[int] = []
    position = step * batch
    while len(chosen) < batch:
        epoch, offset = divmod(position, count)
        order = np.random.default_rng([seed, epoch]).permutation(count)
        chosen += order[offset : offset + batch - len(chosen)].tolist()
        position = step * batch + len(chosen)
    return chosen


def micro_batches(examples: Sequence[Example], budget: int, parts: int) -> list[list[int]]:
    """Positions of the examples in groups of like length, longest first.

    A group has at most `budget` tokens with its padding, or one example; there is a multiple of
    `parts` groups, so that as many processes get the same number. The examples, too, must be a
    multiple of `parts`.
    """
    lengths = [max(len(row.ids) for row in example) for example in examples]
    order = sorted(range(len(examples)), key=lambda i: (-lengths[i], i))
    groups: list[list[int]] = []
    for i in order:
        width = lengths[groups[-1][0]] * len(examples[i]) if groups else 0
        if groups and (len(groups[-1]) + 1) * width <= budget:
            groups[-1].append(i)
        else:
            groups.append([i])
    while len(groups) % parts:
        at = max(range(len(groups)), key=lambda g: (len(groups[g]), -g))
        half = len(groups[at]) // 2
        groups[at : at + 1] = [groups[at][:half], groups[at][half:]]
    return groups


def collate(examples: Sequence[Example], device: torch.device | str = "cpu") -> Batch:
    """One batch of all rows of the examples, in order."""
    rows = [row for example in examples for row in example]
    longest = max(len(row.ids) for row in rows)
    ids = np.zeros((len(rows), longest), np.int64)
    keep = np.zeros((len(rows), longest), np.bool_)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = row.ids
        keep[i, : len(row.ids)] = row.keep
    kept = torch.from_numpy(keep)
    owners = kept.nonzero()[:, 0]
    return Batch(torch.from_numpy(ids).to(device), kept.to(device), owners.to(device))


def trained_tokens(examples: Iterable[Example]) -> int:
    """How many tokens enter the loss."""
    return sum(int(row.keep.sum()) for example in examples for row in example)


def all_tokens(examples: Iterable[Example]) -> int:
    """How many tokens are read, padding not counted."""
    return sum(len(row.ids) for example in examples for row in example)


def _examples(
    file: Path, recipe: Recipe, tokenizer: Tokenizer, dropped: dict[str, int]
) -> Iterable[tuple[Question, Example]]:
    read = _pairs if recipe.stage == "sft1" else _records
    for question, example in read(file, recipe, tokenizer):
        reason = ""
        if not example:
            reason = "faults"
        elif any(len(row.ids) > recipe.max_tokens for row in example):
            reason = f"over {recipe.max_tokens} tokens"
        elif not all(row.keep.any() for row in example):
            reason = "nothing to train"
        if reason:
            dropped[reason] = dropped.get(reason, 0) + 1
        else:
            yield question, example


def _records(
    file: Path, recipe: Recipe, tokenizer: Tokenizer
) -> Iterable[tuple[Question, Example]]:
    trains = TRAINS[recipe.stage]
    for record in _lines(file, Record):
        if record.trajectory is None:
            yield record.question, ()
            continue
        encoded = encode(record.trajectory, tokenizer)
        row = _row(encoded, trains)
        audit(encoded, row.keep.tolist(), trains, record.trajectory, tokenizer)
        yield record.question, (row,)


def _pairs(file: Path, recipe: Recipe, tokenizer: Tokenizer) -> Iterable[tuple[Question, Example]]:
    for pair in _lines(file, Pair):
        sides = encode_pair(pair, tokenizer)
        yield pair.question, tuple(_row(side, TRAINS[recipe.stage]) for side in sides)


def _row(encoded: Encoded, trains: frozenset[Kind]) -> Row:
    keep = np.array([kind in trains for kind in encoded.kinds], np.bool_)
    keep[:1] = False  # nothing stands before the first token to predict it from
    return Row(np.array(encoded.ids, np.int32), keep)


def _lines(file: Path, kind: type[Line]) -> Iterable[Line]:
    decoder = msgspec.json.Decoder(kind)
    try:
        with file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    yield decoder.decode(line)
                except UNREADABLE as error:
                    raise UserError(
                        f"'{file}' line {number} is no {kind.__name__.lower()} ({error}); "
                        "`autocoa-bench synth` writes such files"
                    ) from None
    except OSError as error:
        raise UserError(f"cannot read '{file}': {error.strerror}") from None


def _lot(question: Question) -> float:
    """A question's own number in [0, 1): all its trajectories fall on the same side, and on the
    same one in every stage and with every seed."""
    name = f"{question.task}:{question.id}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
