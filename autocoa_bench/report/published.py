"""What the paper printed, as data (`results/paper/` in the repository).

`paper/figure3.toml` is for readers: the paper prints no numbers of Figure 3, only its shape.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec
from msgspec import Struct

METRICS = ("em", "llm")
"""The paper's two metrics: exact match, and a language model as judge (section 4.1)."""


class Questions(Struct, frozen=True):
    """A set of questions: the dataset's title, how many, and the split they were drawn from."""

    title: str
    questions: int
    drawn_from: str = ""


class PaperRow(Struct, frozen=True):
    """A row: its figures by set, in the table's unit. A figure that is not printed is absent.

    `section` is the heading as reports have it, `models` the names that the row's model goes by,
    `also` other names of the row. `grid`: see table1.toml.
    """

    name: str
    section: str
    em: dict[str, float]
    llm: dict[str, float]
    average: dict[str, float] = {}
    printed_section: str = ""
    models: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    grid: Literal[1, 3] | None = None
    note: str = ""

    def figures(self, metric: str) -> dict[str, float]:
        """The figures of a metric by set, in the table's unit."""
        return {"em": self.em, "llm": self.llm}[metric]


class PaperTable(Struct, frozen=True):
    """A table of the paper, each figure as printed, with what this project notes of it.

    `protocol` says by metric and subject how the figures came about.
    """

    arxiv: str
    table: str
    unit: Literal["percent", "share"]
    sets: dict[str, Questions]
    protocol: dict[str, str]
    notes: dict[str, str]
    rows: tuple[PaperRow, ...]

    def share(self, row: PaperRow, metric: str, name: str) -> float | None:
        """A figure as a share in [0, 1]; None where it is not printed."""
        figure = row.figures(metric).get(name)
        if figure is None:
            return None
        return figure / 100 if self.unit == "percent" else figure


class Claim(Struct, frozen=True):
    """A claim of section 4.3 in this project's words, and what decides it: see claims.toml.

    `first` and `second` are rows of Table 1, `margin` is in points, and numbers of actions are two,
    or one for that many or more.
    """

    id: str
    claim: str
    section: str
    kind: Literal["better", "no-worse", "most", "success", "training"]
    first: tuple[str, ...]
    second: str = ""
    margin: float = 0.0
    from_actions: int = 0
    first_actions: tuple[int, ...] = ()
    second_actions: tuple[int, ...] = ()

    @property
    def rows(self) -> tuple[str, ...]:
        """All rows that it is about."""
        return tuple(dict.fromkeys((*self.first, *([self.second] if self.second else []))))


class _Claims(Struct, frozen=True):
    """The file of claims."""

    arxiv: str
    claims: tuple[Claim, ...]


@cache
def paper_claims() -> tuple[Claim, ...]:
    """What section 4.3 claims, in the file's order."""
    return msgspec.toml.decode(_read("claims"), type=_Claims).claims


@cache
def paper_tables() -> tuple[PaperTable, ...]:
    """Tables 1 and 2."""
    return tuple(msgspec.toml.decode(_read(name), type=PaperTable) for name in ("table1", "table2"))


def _read(name: str) -> bytes:
    return (files(__package__) / "paper" / f"{name}.toml").read_bytes()
