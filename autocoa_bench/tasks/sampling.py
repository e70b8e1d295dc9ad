"""How `hotpotqa@paper` or `multihop@500:seed=3` is written: whose questions, and which of them."""

from __future__ import annotations

import re

from msgspec import Struct

from autocoa_bench.errors import UserError

ALL = "all"

WRITTEN = (
    f"write NAME@{ALL}, NAME@paper (the paper's own sample), NAME@500 or, drawn by another seed, "
    "NAME@500:seed=3"
)

_NAMED = re.compile(r"[a-z][a-z0-9-]*")
_SIZED = re.compile(r"([0-9]{1,9})(?::seed=(-?[0-9]{1,18}))?")


class SampleSpec(Struct, frozen=True):
    """The questions of a dataset that a name stands for (`all`: every one), or `size` by `seed`."""

    name: str = ""
    size: int = 0
    seed: int = 0

    @property
    def label(self) -> str:
        """What stands after the `@`, in one way only: seed 0 is not written."""
        if self.name:
            return self.name
        return f"{self.size}:seed={self.seed}" if self.seed else str(self.size)


def parse_sample(word: str) -> tuple[str, SampleSpec]:
    """The name before the `@`, and what is drawn. Raises UserError that says how it is written."""
    name, _, text = word.partition("@")
    if _NAMED.fullmatch(text):
        return name, SampleSpec(text)
    match = _SIZED.fullmatch(text)
    if not match or not int(match[1]):
        raise UserError(
            f"task '{word:.80}': what follows the @ is no sample's name and no number from 1 with "
            f"a seed; {WRITTEN}"
        )
    return name, SampleSpec(size=int(match[1]), seed=int(match[2] or 0))
