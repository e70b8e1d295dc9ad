"""The paper's printed tables and its claims as data (`results/paper/` in the repository).

`paper/figure3.toml` is only for readers: the paper shows Figure 3's shape and prints no numbers.
"""

from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec
from msgspec import Struct

METRICS = ("em", "llm")
"""The paper's two metrics: exact match, and a language model as judge (section 4.1)."""


class Questions(Struct, frozen=True):
    """A set of questions: the dataset's title, their number, and the split they are taken from."""

    title: str
    questions: int
    drawn_from: str = ""


class PaperRow(Struct, frozen=True):
    """A row: its numbers by set, in the table's unit. A number that is not printed is absent.

    `section` is the heading that reports use, `models` the names of the row's model, `also` other
    names of the row. table1.toml explains `grid`.
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
        """The numbers of a metric by set, in the table's unit."""
        return {"em": self.em, "llm": self.llm}[metric]


class PaperTable(Struct, frozen=True):
    """A table of the paper, each number as printed, with this project's notes on it.

    `protocol` describes by metric and subject how the numbers were produced.
    """

    arxiv: str
    table: str
    unit: Literal["percent", "share"]
    sets: dict[str, Questions]
    protocol: dict[str, str]
    notes: dict[str, str]
    rows: tuple[PaperRow, ...]

    def share(self, row: PaperRow, metric: str, name: str) -> float | None:
        """A number as a share in [0, 1]; None if it is not printed."""
        number = row.figures(metric).get(name)
        if number is None:
            return None
        return number / 100 if self.unit == "percent" else number


class Claim(Struct, frozen=True):
    """A claim of section 4.3 in this project's words, and the test that decides it.

    `first` and `second` are rows of Table 1, and `margin` is in points. A range of actions is two
    numbers, or a single one for that many or more. claims.toml explains the kinds.
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
        """All rows that the claim is about."""
        return tuple(dict.fromkeys((*self.first, *([self.second] if self.second else []))))


@cache
def paper_claims() -> tuple[Claim, ...]:
    """The claims of section 4.3, in the file's order."""
    content = msgspec.toml.decode(_read("claims"))
    return msgspec.convert(content["claims"], tuple[Claim, ...])


@cache
def paper_tables() -> tuple[PaperTable, ...]:
    """Tables 1 and 2."""
    return tuple(msgspec.toml.decode(_read(name), type=PaperTable) for name in ("table1", "table2"))


def _read(name: str) -> bytes:
    return (files(__package__) / "paper" / f"{name}.toml").read_bytes()
