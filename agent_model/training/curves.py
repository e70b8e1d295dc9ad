"""A training's metrics.csv as records, for the trainer itself and for tables that have no need of
its libraries."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")


def read_rows(file: Path, kind: type[T]) -> list[T]:
    """The lines as records, an empty cell being none; a torn last line is left out.

    Raises OSError, ValueError and csv.Error.
    """
    with file.open(newline="", encoding="utf-8") as stream:
        whole = (line for line in stream if line.endswith("\n"))
        return [
            msgspec.convert({k: v for k, v in row.items() if v}, kind, strict=False)
            for row in csv.DictReader(whole)
        ]
