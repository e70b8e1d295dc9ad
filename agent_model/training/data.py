"""Training examples: read from files, encoded, and put together in batches.

The examples of a step depend on seed and step alone. They are taken from a shuffled order of all
examples and grouped by length only within the step: buckets across steps would gather short
trajectories in batches of their own, at which the loss jumps.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
import torch
from msgspec import Struct
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from agent_model.data.pairs import Pair
from agent_model.tokens import Encoded, Kind, retokenisation_drift
from agent_model.training.config import SFTConfig, Stage, TrainingConfig
from agent_model.training.masks import (
    TRAINED_KINDS,
    TokenRow,
    masked,
    pair_rows,
    trained_kinds,
    trajectory_row,
)
from agent_model.training.packing import packed_tokens
from autocoa_bench.engines.tokenizer import Tokenizer
from autocoa_bench.engines.weights.models import sha256_of
from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.types import Question, Record
from autocoa_bench.util.json_lines import checked

Line = TypeVar("Line")

_MAX_REPLAY_TOKENS = 4096  # longer examples are left out
_DRIFT_SAMPLE = 10  # trajectories per file whose drift is measured


Example = tuple[TokenRow, ...]
"""The unit of a loss: one row of a trajectory, or two rows (chosen, rejected) of a pair."""


class TextExample(Struct, frozen=True):
    """A text for pretraining, special tokens included, in parts that are read and trained in turn.

    The first part is read; it may be empty.
    """

    parts: tuple[str, ...]


_WRITTEN_BY: dict[type[object], str] = {
    Record: "`autocoa-bench synth coa` and `run` write such files",
    Pair: "`autocoa-bench synth cot+a` writes such files",
    TextExample: 'a line is {"parts": [read, trained, read, ...]}',
}


class DriftCounts(Struct, frozen=True):
    """Counts over a sample of trajectories: their tokens, and the `others` among them that would
    differ if the whole text were tokenised at once."""

    trajectories: int = 0
    tokens: int = 0
    others: int = 0


class Data(Struct, frozen=True):
    """Examples to train on and held-out ones; `dropped` counts excluded ones by reason."""

    train: tuple[Example, ...]
    held_out: tuple[Example, ...]
    dropped: dict[str, int]
    sha256: dict[str, str]
    drift: DriftCounts = DriftCounts()


class Batch(NamedTuple):
    """The rows of one forward pass, padded on the right.

    `ids` and `mask` are (B, T); `rows` (N,) is the row of each trained token. `sampled` (N,) are
    the log-probabilities with which these tokens were sampled, NaN where they are unknown. Causal
    attention never looks right, so padding needs no attention mask.
    """

    ids: Tensor
    mask: Tensor
    rows: Tensor
    sampled: Tensor


def load_data(config: SFTConfig, tokenizer: Tokenizer) -> Data:
    """Read, encode, audit and split the data. Raises UserError (MaskLeak if a mask is wrong).

    Questions of a held-out file are not trained on, whichever other file contains them.
    """
    reader = _Reader(config.stage, trained_kinds(config), config.max_tokens, tokenizer)
    observer = _Reader(config.stage, frozenset({Kind.OBSERVATION}), config.max_tokens, tokenizer)
    files = [Path(name) for name in config.data]
    observed = [Path(name) for name in config.observations]
    held_out_files = [Path(config.held_out)] if isinstance(config.held_out, str) else []
    share = config.held_out if isinstance(config.held_out, float) else 0.0
    if both := {file.resolve() for file in files} & {file.resolve() for file in held_out_files}:
        raise UserError(
            f"'{min(both)}' is both trained on and held out; remove it from data, or set held_out "
            "to a share"
        )
    held_out_keys: set[str] = set()
    train: list[Example] = []
    held_out: list[Example] = []
    for file in held_out_files:
        for question, example in reader.examples(file):
            held_out_keys |= _identities(question)
            held_out.append(example)
    for file in files:
        for question, example in reader.examples(file):
            if held_out_keys & _identities(question):
                reader.dropped["in the held-out file"] += 1
            else:
                (held_out if _fraction(question) < share else train).append(example)
    if not train:
        raise UserError(
            f"no examples to train on in {', '.join(config.data)} ({len(held_out)} held out, "
            f"dropped: {dict(reader.dropped) or 'none'})"
        )
    train += [example for file in observed for _, example in observer.examples(file)]
    dropped = reader.dropped + observer.dropped
    hashes = {str(file): sha256_of(file) for file in files + held_out_files + observed}
    return Data(tuple(train), tuple(held_out), dict(dropped), hashes, reader.drift)


def load_replay(config: TrainingConfig, tokenizer: Tokenizer) -> tuple[Example, ...]:
    """The examples of `[replay]`, in whose loss is what the model wrote, or a text's trained parts.

    Raises UserError (MaskLeak if a mask is wrong).
    """
    examples: list[Example] = []
    for file in map(Path, config.replay.data):
        stage: Stage = "pretrain" if _contains_texts(file) else "sft2"
        reader = _Reader(stage, TRAINED_KINDS[stage], _MAX_REPLAY_TOKENS, tokenizer)
        examples += [example for _, example in reader.examples(file)]
    return tuple(examples)


def examples_of_step(count: int, batch: int, seed: int, step: int) -> list[int]:
    """The indices, of `count` examples, of the `batch` that step `step` (from 0) trains on.

    Shuffled epochs follow one another without a gap, so a batch may reach into the next epoch.
    """
    indices: list[int] = []
    position = step * batch
    while len(indices) < batch:
        epoch, offset = divmod(position, count)
        order = np.random.default_rng([seed, epoch]).permutation(count)
        indices += order[offset : offset + batch - len(indices)].tolist()
        position = step * batch + len(indices)
    return indices


def micro_batches(
    examples: Sequence[Example], budget: int, parts: int = 1, *, packed: bool = False
) -> list[list[list[int]]]:
    """For each of `parts` processes, the indices of its examples in groups, each for one pass.

    Processes get equally many examples and groups and about equally many tokens, so that none waits
    long for another. A group has examples of similar length, and at most `budget` tokens, padding
    included, or one example; the longest come first. If rows are `packed` (`training.packing`), a
    group has examples that begin alike, and a shared prefix counts once. The number of examples
    must be a multiple of `parts`.
    """
    lengths = [max(len(row.ids) for row in example) for example in examples]
    # Longest first, each example goes to the process that has the fewest tokens so far.
    assigned: list[list[int]] = [[] for _ in range(parts)]
    for i in sorted(range(len(examples)), key=lambda i: (-lengths[i], i)):
        open_ = [part for part in assigned if len(part) < len(examples) // parts]
        min(open_, key=lambda part: sum(lengths[j] for j in part)).append(i)
    if packed:
        assigned = [sorted(part, key=lambda i: examples[i][0].ids.tolist()) for part in assigned]
    size = _packed_size if packed else _padded_size
    groups = [_group(part, examples, budget, size) for part in assigned]
    # Halve the largest groups of processes that have fewer than others.
    most = max(map(len, groups))
    for part in groups:
        while len(part) < most:
            largest = max(range(len(part)), key=lambda g: (len(part[g]), -g))
            half = len(part[largest]) // 2
            part[largest : largest + 1] = [part[largest][:half], part[largest][half:]]
    return groups


def _group(
    order: Sequence[int],
    examples: Sequence[Example],
    budget: int,
    size: Callable[[Sequence[Example]], int],
) -> list[list[int]]:
    """Groups of examples in their order, each of a size within the budget."""
    groups: list[list[int]] = []
    for i in order:
        if groups and size([examples[j] for j in (*groups[-1], i)]) <= budget:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups


def _padded_size(examples: Sequence[Example]) -> int:
    rows = [row for example in examples for row in example]
    return len(rows) * max(len(row.ids) for row in rows)


def _packed_size(examples: Sequence[Example]) -> int:
    return packed_tokens([row.ids for example in examples for row in example])


def collate(examples: Sequence[Example], device: torch.device | str = "cpu") -> Batch:
    """One batch of all rows of the examples, in order."""
    rows = [row for example in examples for row in example]
    ids = pad_sequence([torch.as_tensor(row.ids) for row in rows], batch_first=True).long()
    mask = pad_sequence([torch.as_tensor(row.mask) for row in rows], batch_first=True)
    sampled = [
        torch.full((int(row.mask.sum()),), torch.nan)
        if row.logps is None
        else torch.as_tensor(row.logps[row.mask])
        for row in rows
    ]
    where = mask.nonzero()[:, 0]
    return Batch(*(part.to(device) for part in (ids, mask, where, torch.cat(sampled))))


def trained_tokens(examples: Iterable[Example]) -> int:
    """The number of tokens that enter the loss."""
    return sum(int(row.mask.sum()) for example in examples for row in example)


class _Reader:
    """Reads examples from files; counts those it drops, and the drift of a sample."""

    def __init__(
        self, stage: Stage, kinds: frozenset[Kind], max_tokens: int, tokenizer: Tokenizer
    ) -> None:
        self._stage = stage
        self._kinds = kinds
        self._max_tokens = max_tokens
        self._tokenizer = tokenizer
        self.dropped: Counter[str] = Counter()
        self.drift = DriftCounts()

    def examples(self, file: Path) -> Iterator[tuple[Question, Example]]:
        """The examples of a file. Raises UserError naming the wrong line, or if there are none."""
        count, longest = 0, self._max_tokens
        read = {"sft1": self._pairs, "pretrain": self._texts}.get(self._stage, self._records)
        for question, example in read(file):
            if not example:
                self.dropped["faults"] += 1
            elif any(len(row.ids) > longest for row in example):
                self.dropped[f"over {longest} tokens"] += 1
            elif not all(row.mask.any() for row in example):
                self.dropped["nothing to train"] += 1
            else:
                count += 1
                yield question, example
        if not count:
            raise UserError(
                f"'{file}' yields no example (dropped so far: {dict(self.dropped) or 'none'}); "
                "remove it from the recipe, or correct it"
            )

    def _records(self, file: Path) -> Iterator[tuple[Question, Example]]:
        latest: dict[tuple[str, str, int], tuple[int, Record]] = {}
        for number, record in self._lines(file, Record):
            if record.key in latest:
                self.dropped["recorded again"] += 1
            latest[record.key] = (number, record)
        for i, (number, record) in enumerate(latest.values()):
            trajectory = record.trajectory
            if trajectory is None:
                yield record.question, ()
                continue
            with _line_in_errors(file, number):
                row = trajectory_row(trajectory, self._kinds, self._tokenizer)
            if i < _DRIFT_SAMPLE:
                others, tokens = retokenisation_drift(trajectory, self._tokenizer)
                total = self.drift
                self.drift = DriftCounts(
                    total.trajectories + 1, total.tokens + tokens, total.others + others
                )
            yield record.question, (row,)

    def _texts(self, file: Path) -> Iterator[tuple[Question, Example]]:
        for number, line in self._lines(file, TextExample):
            ids: list[int] = []
            kinds: list[Kind] = []
            for part, kind in zip(line.parts, cycle((Kind.PROMPT, Kind.THOUGHT)), strict=False):
                ids += self._tokenizer(part, add_special_tokens=False).input_ids
                kinds += [kind] * (len(ids) - len(kinds))
            name = f"{file.name}:{number}"
            row = masked(Encoded(tuple(ids), tuple(kinds)), self._kinds)
            yield Question(name, name, ()), (row,)

    def _pairs(self, file: Path) -> Iterator[tuple[Question, Example]]:
        for number, pair in self._lines(file, Pair):
            with _line_in_errors(file, number):
                rows = pair_rows(pair, self._kinds, self._tokenizer)
            yield pair.question, rows

    def _lines(self, file: Path, kind: type[Line]) -> Iterator[tuple[int, Line]]:
        """The lines of a file by number; a last one that a kill tore is dropped."""
        decoder = msgspec.json.Decoder(kind)
        try:
            with file.open("rb") as stream:
                for number, line in enumerate(stream, 1):
                    try:
                        yield number, decoder.decode(checked(line))
                    except UNREADABLE as error:
                        if not line.endswith(b"\n"):
                            self.dropped["torn"] += 1
                            return
                        raise UserError(
                            f"'{file}' line {number} is not a {kind.__name__.lower()} ({error}); "
                            f"{_WRITTEN_BY[kind]}"
                        ) from None
        except OSError as error:
            raise UserError(f"cannot read '{file}': {error.strerror}") from None


def _contains_texts(file: Path) -> bool:
    """True if the first line of a file is a text rather than a record. Raises UserError."""
    try:
        with file.open("rb") as stream:
            first = checked(stream.readline())
        return "parts" in msgspec.json.decode(first, type=dict[str, msgspec.Raw])
    except OSError as error:
        raise UserError(f"cannot read '{file}': {error.strerror}") from None
    except UNREADABLE:
        return False  # the reader of records says what is wrong


@contextmanager
def _line_in_errors(file: Path, number: int) -> Iterator[None]:
    """Put the number of the line into any error."""
    try:
        yield
    except UserError as error:
        raise type(error)(f"'{file}' line {number}: {error}") from None


def _identities(question: Question) -> set[str]:
    """A question's id and text, by either of which it is recognised in another file."""
    return {f"{question.task}:{question.id}", question.text.strip()}


def _fraction(question: Question) -> float:
    """A number in [0, 1) from the question's id: all its trajectories fall on the same side of the
    split, which is the same in every stage and with every seed."""
    name = f"{question.task}:{question.id}"
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") / 2**64
