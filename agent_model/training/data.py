"""From files to batches. Which examples a step sees depends on seed and step alone.

A step's examples are drawn from a shuffled order of all, and only inside the step are they put
next to others of their length: buckets that reach across steps would gather short trajectories
in batches of their own, and training jumps there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import Tensor

from agent_model.data.pairs import Pair
from agent_model.tokens import (
    Encoded,
    Kind,
    Tokenizer,
    audit,
    audit_pair,
    encode,
    encode_pair,
    retokenisation_drift,
)
from agent_model.training.config import SFTConfig
from agent_model.training.losses import TRAINS
from agent_model.training.model import WORTH_SHARING, common_beginning
from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.types import Question, Record, Trajectory

Line = TypeVar("Line")
Made = TypeVar("Made")

_SAMPLED = 10  # trajectories a file whose drift is measured


class TokenRow(NamedTuple):
    """One sequence: its ids (T,), and which of them are trained (T,)."""

    ids: NDArray[np.int32]
    keep: NDArray[np.bool_]


Example = tuple[TokenRow, ...]
"""What a loss is computed of: a trajectory's one row, or a pair's two (chosen, rejected)."""


class TextExample(Struct, frozen=True):
    """One text to pretrain on, special tokens written out: parts read and learned in turn, of
    which the first is read (it may be empty)."""

    parts: tuple[str, ...]


_WRITTEN_BY: dict[type[object], str] = {
    Record: "`autocoa-bench synth coa` and `run` write such files",
    Pair: "`autocoa-bench synth cot+a` writes such files",
    TextExample: 'it takes {"parts": [read, learned, read, ...]}',
}


class DriftCounts(Struct, frozen=True):
    """Of a sample of trajectories: their tokens, and how many of those would be others if the whole
    text were tokenised at once, which encoding by pieces avoids."""

    trajectories: int = 0
    tokens: int = 0
    others: int = 0


class Data(Struct, frozen=True):
    """Examples to train on and held out; `dropped` counts those left out, by reason."""

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    dropped: dict[str, int]
    sha256: dict[str, str]
    drift: DriftCounts = DriftCounts()


class Batch(NamedTuple):
    """Rows of one forward pass, padded on the right.

    `ids` and `keep` are (B, T); `rows` (N,) says which row each trained token is of. Causal
    attention never looks right, so padding needs no mask.
    """

    ids: Tensor
    keep: Tensor
    rows: Tensor


def load_data(recipe: SFTConfig, tokenizer: Tokenizer) -> Data:
    """Read, encode, audit and split. Raises UserError (MaskLeak where a mask is wrong).

    Questions of a held-out file are not trained on, whatever else holds them.
    """
    reading = _Reading(recipe, tokenizer)
    files = [Path(name) for name in recipe.data]
    apart = [Path(recipe.held_out)] if isinstance(recipe.held_out, str) else []
    share = recipe.held_out if isinstance(recipe.held_out, float) else 0.0
    _refuse_shared(files, apart)
    asked: set[str] = set()
    train: list[Example] = []
    held_out: list[Example] = []
    for file in apart:
        for question, example in reading.examples(file):
            asked |= _marks(question)
            held_out.append(example)
    for file in files:
        for question, example in reading.examples(file):
            if asked & _marks(question):
                reading.drop("in the held-out file")
            else:
                (held_out if _lot(question) < share else train).append(example)
    if not train:
        raise UserError(
            f"{', '.join(recipe.data)}: nothing to train on ({len(held_out)} held out, "
            f"left out: {reading.dropped or 'none'})"
        )
    hashes = {str(file): _sha256(file) for file in files + apart}
    return Data(tuple(train), tuple(held_out), reading.dropped, hashes, reading.drift)


def examples_of_step(count: int, batch: int, seed: int, step: int) -> list[int]:
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


def shared_tokens(examples: Sequence[Example]) -> int:
    """How many tokens the rows of all examples begin with in common, of each row at most all but
    one; 0 where so few are not computed once."""
    rows = [row.ids for example in examples for row in example]
    shortest = min(map(len, rows))
    shared = common_beginning(torch.from_numpy(np.stack([ids[:shortest] for ids in rows])))
    return shared if shared >= WORTH_SHARING else 0


def micro_batches(
    examples: Sequence[Example], budget: int, parts: int = 1, shared: int = 0
) -> list[list[list[int]]]:
    """For each of `parts` processes, positions of its examples in groups of like length.

    Processes get as many examples, as many groups and about as many tokens each: none waits long
    for another. A group has at most `budget` tokens with its padding, or one example; the longest
    come first. Of the first `shared` tokens of all rows, which are computed once for a group, those
    of one row count. The number of examples must be a multiple of `parts`.
    """
    lengths = [max(len(row.ids) for row in example) for example in examples]
    dealt: list[list[int]] = [[] for _ in range(parts)]
    for i in sorted(range(len(examples)), key=lambda i: (-lengths[i], i)):
        open_ = [part for part in dealt if len(part) < len(examples) // parts]
        min(open_, key=lambda part: sum(lengths[j] for j in part)).append(i)
    groups = [_grouped(part, examples, budget - shared, shared) for part in dealt]
    most = max(map(len, groups))
    for part in groups:
        while len(part) < most:
            at = max(range(len(part)), key=lambda g: (len(part[g]), -g))
            half = len(part[at]) // 2
            part[at : at + 1] = [part[at][:half], part[at][half:]]
    return groups


def _grouped(
    order: Sequence[int], examples: Sequence[Example], budget: int, shared: int
) -> list[list[int]]:
    """Examples, the longest first, in groups that keep to the budget behind what is shared."""
    groups: list[list[int]] = []
    for i in order:
        longest = max(len(row.ids) for row in examples[groups[-1][0]]) - shared if groups else 0
        if groups and (len(groups[-1]) + 1) * longest * len(examples[i]) <= budget:
            groups[-1].append(i)
        else:
            groups.append([i])
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


class _Reading:
    """Files as examples, with counts of what is left out and of the drift of a sample."""

    def __init__(self, recipe: SFTConfig, tokenizer: Tokenizer) -> None:
        self._recipe = recipe
        self._trains = TRAINS[recipe.stage]
        self._tokenizer = tokenizer
        self.dropped: dict[str, int] = {}
        self.drift = DriftCounts()

    def drop(self, reason: str) -> None:
        """Count an example that is left out."""
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def examples(self, file: Path) -> Iterable[tuple[Question, Example]]:
        """A file's examples. Raises UserError where it has none, naming the line that is wrong."""
        count = 0
        read = {"sft1": self._pairs, "pretrain": self._texts}.get(self._recipe.stage, self._records)
        for question, example in read(file):
            if reason := self._unfit(example):
                self.drop(reason)
            else:
                count += 1
                yield question, example
        if not count:
            raise UserError(
                f"'{file}' gives no example (left out so far: {self.dropped or 'none'}); name it "
                "no more, or mend it"
            )

    def _unfit(self, example: Example) -> str:
        longest = self._recipe.max_tokens
        if not example:
            return "faults"
        if any(len(row.ids) > longest for row in example):
            return f"over {longest} tokens"
        return "" if all(row.keep.any() for row in example) else "nothing to train"

    def _records(self, file: Path) -> Iterable[tuple[Question, Example]]:
        latest: dict[tuple[str, str, int], tuple[int, Record]] = {}
        for number, record in self._lines(file, Record):
            if record.key in latest:
                self.drop("recorded again")
            latest[record.key] = (number, record)
        for place, (number, record) in enumerate(latest.values()):
            trajectory = record.trajectory
            if trajectory is None:
                yield record.question, ()
                continue
            row = _at(file, number, self._trajectory, trajectory)
            if place < _SAMPLED:
                self._measure(trajectory)
            yield record.question, (row,)

    def _trajectory(self, trajectory: Trajectory) -> TokenRow:
        encoded = encode(trajectory, self._tokenizer)
        row = _row(encoded, self._trains)
        audit(encoded, row.keep.tolist(), self._trains, trajectory, self._tokenizer)
        return row

    def _texts(self, file: Path) -> Iterable[tuple[Question, Example]]:
        for number, line in self._lines(file, TextExample):
            ids: list[int] = []
            kinds: list[Kind] = []
            for part, kind in zip(line.parts, cycle((Kind.PROMPT, Kind.THOUGHT)), strict=False):
                ids += self._tokenizer(part, add_special_tokens=False).input_ids
                kinds += [kind] * (len(ids) - len(kinds))
            name = f"{file.name}:{number}"
            row = _row(Encoded(tuple(ids), tuple(kinds)), self._trains)
            yield Question(name, name, ()), (row,)

    def _pairs(self, file: Path) -> Iterable[tuple[Question, Example]]:
        for number, pair in self._lines(file, Pair):
            yield pair.question, _at(file, number, self._pair, pair)

    def _pair(self, pair: Pair) -> Example:
        chosen, rejected = sides = encode_pair(pair, self._tokenizer)
        rows = _row(chosen, self._trains), _row(rejected, self._trains)
        kept = rows[0].keep.tolist(), rows[1].keep.tolist()
        audit_pair(sides, kept, pair, self._tokenizer)
        return rows

    def _measure(self, trajectory: Trajectory) -> None:
        found, so_far = retokenisation_drift(trajectory, self._tokenizer), self.drift
        self.drift = DriftCounts(
            so_far.trajectories + 1, so_far.tokens + found.total, so_far.others + found.count
        )

    def _lines(self, file: Path, kind: type[Line]) -> Iterable[tuple[int, Line]]:
        """A file's lines by number; a last one that a kill tore is counted and left out."""
        decoder = msgspec.json.Decoder(kind)
        try:
            with file.open("rb") as stream:
                for number, line in enumerate(stream, 1):
                    try:
                        yield number, decoder.decode(line)
                    except UNREADABLE as error:
                        if not line.endswith(b"\n"):
                            self.drop("torn")
                            return
                        raise UserError(
                            f"'{file}' line {number} is no {kind.__name__.lower()} ({error}); "
                            f"{_WRITTEN_BY[kind]}"
                        ) from None
        except OSError as error:
            raise UserError(f"cannot read '{file}': {error.strerror}") from None


def _at(file: Path, number: int, encoded: Callable[[Line], Made], line: Line) -> Made:
    """What a line is encoded as; what is wrong with it is said with its place."""
    try:
        return encoded(line)
    except UserError as error:
        raise type(error)(f"'{file}' line {number}: {error}") from None


def _refuse_shared(files: Sequence[Path], apart: Sequence[Path]) -> None:
    if shared := {file.resolve() for file in files} & {file.resolve() for file in apart}:
        raise UserError(
            f"'{min(shared)}' is both trained on and held out; take it from data, or give held_out "
            "a share"
        )


def _marks(question: Question) -> set[str]:
    """By what a question is known again: its name, and its words."""
    return {f"{question.task}:{question.id}", question.text.strip()}


def _row(encoded: Encoded, trains: frozenset[Kind]) -> TokenRow:
    keep = np.array([kind in trains for kind in encoded.kinds], np.bool_)
    keep[:1] = False  # nothing stands before the first token to predict it from
    return TokenRow(np.array(encoded.ids, np.int32), keep)


def _lot(question: Question) -> float:
    """A question's own number in [0, 1): all its trajectories fall on the same side, and on the
    same one in every stage and with every seed."""
    name = f"{question.task}:{question.id}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
