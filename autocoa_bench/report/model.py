"""What a report is made of: tables of text for readers, facts (raw numbers) for machines."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from autocoa_bench.stats import Estimate

NOTHING = "–"
"""Stands where there is no number."""

MARK = "†"
"""Marks a number that rests on fewer questions than planned."""


class Cell(Struct, frozen=True, omit_defaults=True):
    """A text, a lesser text that goes under it, and a share in [0, 1] to draw as a bar.

    A `strong` text is set bold: it differs from others by more than chance.
    """

    text: str
    detail: str = ""
    bar: float | None = None
    strong: bool = False


class Column(Struct, frozen=True):
    """A column by its headings, outermost first; equal neighbours are drawn as one heading.

    All columns of a table have as many headings; an empty one is a gap. `wide` columns hold
    prose: they are set left and may be folded.
    """

    headings: tuple[str, ...]
    wide: bool = False


class Row(Struct, frozen=True):
    """A row: its label and one cell a column."""

    label: Cell
    cells: tuple[Cell, ...]


class Section(Struct, frozen=True):
    """Rows under a title of their own (empty: no title)."""

    title: str
    rows: tuple[Row, ...]


class DataPoint(Struct, frozen=True):
    """One raw number behind a table: a line of the CSV. Shares are in [0, 1].

    `p` is a paired test's, `p_holm` the same corrected for the table's other tests.
    """

    table: str
    run: str
    folder: str
    solver: str
    model: str
    section: str
    metric: str
    task: str = ""
    edition: str = ""
    actions: int | None = None
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    planned: int | None = None
    coverage: float | None = None
    total: float | None = None
    p: float | None = None
    p_holm: float | None = None


def data_point(table: str, metric: str, **fields: Any) -> DataPoint:
    """A fact about something else than a run."""
    return DataPoint(table, "", "", "", "", "", metric, **fields)


class Table(Struct, frozen=True):
    """A table, whatever it is drawn with.

    `name` is a short word for labels and files; `stub` heads the column of row labels. The first
    `lead` columns belong to the label and go with it wherever a narrow page splits the table.
    """

    name: str
    title: str
    stub: str
    columns: tuple[Column, ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    data_points: tuple[DataPoint, ...] = ()
    lead: int = 0


class Report(Struct, frozen=True):
    """Tables over the same runs, and how these were made."""

    tables: tuple[Table, ...]
    footer: tuple[str, ...]


def printable(text: str, limit: int = 200) -> str:
    """Foreign text on one line, without control characters, cut to `limit` characters."""
    flat = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def percent(share: float) -> str:
    """A share in percent, one decimal."""
    return f"{100 * share:.1f}"


def score_cell(found: Estimate, marked: bool = False) -> Cell:
    """A mean in percent over its interval, the limits rounded to whole percents."""
    if found.mean is None or found.low is None or found.high is None:
        return Cell(NOTHING)
    return Cell(
        percent(found.mean) + (MARK if marked else ""),
        f"{100 * found.low:.0f}–{100 * found.high:.0f}",
    )


def count(number: float) -> str:
    """A whole number with thousands separated, in millions from a million on."""
    return f"{number:,.0f}" if number < 1e6 else f"{number / 1e6:,.2f} M"


def rate(number: float) -> str:
    """A number a question: two decimals below ten, one below a hundred, none above."""
    if number == 0:
        return "0"
    return f"{number:,.{2 if number < 10 else 1 if number < 100 else 0}f}"
