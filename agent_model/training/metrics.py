"""metrics.csv: one row per training step. Importable without the training libraries."""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from agent_model.training.files import writing
from autocoa_bench.errors import UserError

T = TypeVar("T")


class StepMetrics(Struct, frozen=True, kw_only=True):
    """A row of metrics.csv; `step` counts from 1."""

    step: int

    @property
    def evaluated(self) -> bool:
        """True if the model was evaluated after this step."""
        raise NotImplementedError

    def summary(self) -> str:
        """The row in one line."""
        raise NotImplementedError


Row = TypeVar("Row", bound=StepMetrics)


class SFTStep(StepMetrics, frozen=True, kw_only=True):
    """A row of a supervised stage. Tokens are counted without padding.

    `loss` is the stage's, as the recipe's `aggregate` says (stage 1: the mean over pairs);
    `ranked` is the share of held-out pairs whose chosen text is more likely; `replay` is the mean
    loss of the replayed examples per trained token. `live_em`, `live_formed` and `live_searches`
    are of the evaluation episodes; `live_known` is the exact match on known facts without a search
    engine, and `live_searched_known` and `live_searched_unknown` are the shares of questions on
    known and on unknown facts that the model searches for. Values that were not measured at a step
    are None.
    """

    epoch: float
    loss: float
    lr: float
    grad_norm: float
    tokens: int
    trained: int
    seconds: float
    tokens_per_second: float
    held_out: float | None = None
    ranked: float | None = None
    replay: float | None = None
    live_em: float | None = None
    live_formed: float | None = None
    live_searches: float | None = None
    live_known: float | None = None
    live_searched_known: float | None = None
    live_searched_unknown: float | None = None

    @property
    def evaluated(self) -> bool:
        return self.held_out is not None

    def summary(self) -> str:
        text = f"loss {self.loss:.4f} · {self.tokens_per_second:,.0f} tokens/s"
        if self.held_out is not None:
            text += f" · held out {self.held_out:.4f}"
        if self.live_em is not None:
            text += f" · live exact match {self.live_em:.2f}"
        return text


class MetricsFile(Generic[Row]):
    """metrics.csv, appended row by row. Rows after the last checkpoint are cut on resuming."""

    def __init__(self, path: Path, step: int, kind: type[Row]) -> None:
        """Keep the rows of the first `step` steps. Raises UserError if any is missing."""
        self._path = path
        rows = read_metrics(path, kind) if path.exists() else []
        self.rows = first_steps(rows, step, path, "restore it, or give another --out")
        part = path.with_suffix(".part")
        with writing(path), part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(kind.__struct_fields__)
            writer.writerows(map(msgspec.structs.astuple, self.rows))
        part.replace(path)

    def append(self, row: Row) -> None:
        """Append one row, which survives a kill of this process."""
        self.rows.append(row)
        with writing(self._path), self._path.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow(msgspec.structs.astuple(row))

    def sync(self) -> None:
        """Force all rows to disk, since a checkpoint is about to rely on them."""
        with writing(self._path), self._path.open("rb") as file:
            os.fsync(file.fileno())


def read_rows(file: Path, kind: type[T]) -> list[T]:
    """The complete lines as records; an empty cell is None.

    Raises OSError, ValueError and csv.Error.
    """
    with file.open(newline="", encoding="utf-8") as stream:
        complete = (line for line in stream if line.endswith("\n"))  # a kill may tear the last
        return [
            msgspec.convert({k: v for k, v in row.items() if v}, kind, strict=False)
            for row in csv.DictReader(complete)
        ]


def read_metrics(
    path: Path, kind: type[Row], advice: str = "correct that line, or give another --out"
) -> list[Row]:
    """The rows of a metrics.csv. Raises UserError, ending in the advice, if it is damaged."""
    try:
        return read_rows(path, kind)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"'{path}' is damaged ({error}); {advice}") from None


def first_steps(rows: Sequence[Row], step: int, path: Path, advice: str) -> list[Row]:
    """The rows of the first `step` steps. Raises UserError if `path` lacks any of them."""
    first = [row for row in rows if row.step <= step]
    if [row.step for row in first] != list(range(1, step + 1)):
        raise UserError(f"'{path}' does not contain the {step} steps of the checkpoint; {advice}")
    return first
