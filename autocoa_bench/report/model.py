"""The parts of a report: tables of text for readers, data points (raw numbers) for programs."""

from msgspec import Struct
from msgspec.structs import force_setattr

from autocoa_bench.stats import Difference, Estimate, Paired
from autocoa_bench.util.text import one_line

NOTHING = "–"
"""Stands where there is no number."""

MARK = "†"
"""Marks a number that rests on fewer answers than planned."""


class _Printable(Struct, frozen=True):
    """A part of a report. Whoever made it, its texts are printable, each on one line."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if isinstance(value, str):
                force_setattr(self, name, one_line(value))
            elif isinstance(value, tuple) and value and isinstance(value[0], str):
                force_setattr(self, name, tuple(map(one_line, value)))


class Cell(_Printable, frozen=True, omit_defaults=True):
    """A text, a smaller text under it, and a share in [0, 1] to draw as a bar.

    A `strong` text is set bold: its difference from others is significant.
    """

    text: str
    detail: str = ""
    bar: float | None = None
    strong: bool = False


class Column(_Printable, frozen=True):
    """A column by its headings, outermost first; equal neighbours are drawn as one heading.

    All columns of a table have the same number of headings; an empty one is a gap. `wide` columns
    hold prose: they are aligned left and may be folded.
    """

    headings: tuple[str, ...]
    wide: bool = False


class Row(Struct, frozen=True):
    """A row: its label and one cell per column."""

    label: Cell
    cells: tuple[Cell, ...]


class Section(_Printable, frozen=True):
    """Rows under a common title (empty: no title)."""

    title: str
    rows: tuple[Row, ...]


class DataPoint(_Printable, frozen=True, omit_defaults=True):
    """One raw number behind a table: a line of the CSV. Shares are in [0, 1].

    `p` is the p-value of a paired test, `p_holm` the same corrected for the table's other tests.
    """

    table: str
    run: str = ""
    folder: str = ""
    solver: str = ""
    model: str = ""
    section: str = ""
    metric: str = ""
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


class Table(_Printable, frozen=True):
    """A table, independent of the format that it is written in.

    `name` is a short word for labels and files; `stub` heads the column of row labels. The first
    `lead` columns belong to the label and stay with it where a narrow page splits the table.
    """

    name: str
    title: str
    stub: str
    columns: tuple[Column, ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
    data_points: tuple[DataPoint, ...] = ()
    lead: int = 0


class Report(_Printable, frozen=True):
    """Tables over the same runs, and a footer that says how the runs were made."""

    tables: tuple[Table, ...]
    footer: tuple[str, ...]


def columns(*headings: str | tuple[str, ...]) -> tuple[Column, ...]:
    """Columns by their headings; a plain string is a single heading."""
    return tuple(
        Column((heading,) if isinstance(heading, str) else heading) for heading in headings
    )


def cell_text(text: str, limit: int = 200) -> str:
    """Untrusted text on one line, without control characters, cut to `limit` characters."""
    return one_line(text, limit)


def metric_title(name: str) -> str:
    """A scorer's name as a heading."""
    return name.upper() if len(name) <= 3 else name.replace("_", " ")


def percent(share: float) -> str:
    """A share in percent, one decimal."""
    return f"{100 * share:.1f}"


def p_text(p: float) -> str:
    """A p-value with three decimals."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def count(number: float) -> str:
    """A whole number with thousands separated, in millions from a million on."""
    return f"{number:,.0f}" if number < 1e6 else f"{number / 1e6:,.2f} M"


def rate(number: float) -> str:
    """A number per question: two decimals below ten, one below a hundred, none above."""
    if number == 0:
        return "0"
    return f"{number:,.{2 if number < 10 else 1 if number < 100 else 0}f}"


Value = Cell | Estimate | str | int | None
"""The content of a cell: a cell, a score, a text, a whole number, or nothing."""


def as_cell(value: Value) -> Cell:
    """A value as a cell: a score as `score_cell` has it, thousands separated, None as NOTHING."""
    match value:
        case None:
            return Cell(NOTHING)
        case int():
            return Cell(f"{value:,}")
        case str():
            return Cell(value)
        case Estimate():
            return score_cell(value)
    return value


def score_cell(score: Estimate, marked: bool = False, strong: bool = False) -> Cell:
    """A mean in percent over its interval, whose limits are rounded to whole percents."""
    if score.mean is None or score.low is None or score.high is None:
        return Cell(NOTHING)
    interval = f"{100 * score.low:.0f}–{100 * score.high:.0f}"
    return Cell(percent(score.mean) + (MARK if marked else ""), interval, strong=strong)


def difference_cell(
    change: Difference | Paired | None, strong: bool = False, interval_digits: int = 0
) -> Cell:
    """A signed difference in points over its interval."""
    if change is None:
        return Cell(NOTHING)
    low, high = (f"{100 * limit:+z.{interval_digits}f}" for limit in (change.low, change.high))
    return Cell(f"{100 * change.mean:+z.1f}", f"{low} to {high}", strong=strong)
