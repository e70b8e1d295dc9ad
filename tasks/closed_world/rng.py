"""The random generator of the generated datasets: the same numbers on every machine."""

import random
from collections.abc import Sequence
from typing import TypeVar
from zlib import crc32

T = TypeVar("T")

SEED = 2025


class Rng:
    """Random numbers that depend on the seed and a label only.

    They come from `random.Random(int).random()`, whose sequence Python guarantees.
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
        """True with a probability of `percent` / 100."""
        return self.below(100) < percent

    def pick(self, items: Sequence[T]) -> T:
        """A random item."""
        return items[self.below(len(items))]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """The items in a random order (Fisher-Yates)."""
        out = list(items)
        for last in range(len(out) - 1, 0, -1):
            index = self.below(last + 1)
            out[last], out[index] = out[index], out[last]
        return out


def bucket(key: str, count: int) -> int:
    """The class of a key, in [0, count), which depends on the key alone."""
    return crc32(key.encode()) % count
