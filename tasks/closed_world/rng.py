"""The only source of chance: the same rolls on every machine and Python version."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar
from zlib import crc32

T = TypeVar("T")

SEED = 2025


class Rng:
    """Rolls that depend on the seed and a label only.

    Uses nothing but `random.Random(int).random()`, whose sequence Python guarantees.
    """

    def __init__(self, label: str) -> None:
        self._next = random.Random(crc32(f"{SEED}/{label}".encode())).random

    def below(self, limit: int) -> int:
        """An integer in [0, limit)."""
        return int(self._next() * limit)

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + self.below(high - low + 1)

    def chance(self, percent: int) -> bool:
        """True in `percent` of 100 cases."""
        return self.below(100) < percent

    def pick(self, items: Sequence[T]) -> T:
        """One of the items."""
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in a random order (Fisher-Yates)."""
        out = list(items)
        for last in range(len(out) - 1, 0, -1):
            other = self.below(last + 1)
            out[last], out[other] = out[other], out[last]
        return out


def bucket(key: str, count: int) -> int:
    """Which of `count` classes a key belongs to, whatever else exists."""
    return crc32(key.encode()) % count
