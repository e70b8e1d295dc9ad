"""Tables in a terminal, laid out for its width.

The tables are not rich's: those have no headings over several columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from textwrap import TextWrapper
from typing import TYPE_CHECKING

from autocoa_bench.report.model import Cell, Report, Row, Table
from autocoa_bench.report.render.layout import (
    BAR,
    Span,
    Widths,
    fit,
    fold,
    measure,
    narrowest,
    spans,
)

if TYPE_CHECKING:
    from rich.console import Console

_EIGHTHS = " ▏▎▍▌▋▊▉"

Piece = tuple[str, str]
"""A part of a line and its style."""


def print_terminal(report: Report, console: Console) -> None:
    """Print the report, laid out for the console's width. A note of several tables comes once."""
    printed: set[str] = set()
    for table in report.tables:
        for part in fit(table, console.width):
            for line in _lines(part, console.width):
                _print(line, console)
            console.print()
        for note in table.notes:
            if note not in printed:
                _print_note(note, console)
        printed.update(table.notes)
        console.print()
    for note in report.footer:
        _print_note(note, console)


def _print(line: Sequence[Piece], console: Console) -> None:
    from rich.text import Text

    # `Text` keeps rich from reading names such as "[red]" as its markup.
    text = Text.assemble(*line)
    text.rstrip()
    console.print(text, soft_wrap=True)


def _print_note(note: str, console: Console) -> None:
    wrapper = TextWrapper(
        max(console.width, 20),
        initial_indent="  ",
        subsequent_indent=" " * 4,
        break_on_hyphens=False,
    )
    for line in wrapper.wrap(note):
        _print([(line, "dim")], console)


def _lines(table: Table, width: int) -> Iterator[list[Piece]]:
    widths = measure(table, width) or narrowest(table)
    yield [(table.title, "bold")]
    yield [("━" * widths.total, "dim")]
    depth = len(table.columns[0].headings)
    for level in range(depth):
        headings = spans(table, level)
        if any(span.title for span in headings):
            yield from _heading_lines(table, headings, widths, innermost=level == depth - 1)
            # Levels between would fill the page with rules: the groups and the datasets have them.
            if level in (0, depth - 2):
                yield from _heading_rules(headings, widths)
    for section in table.sections:
        yield [("─" * widths.total, "dim")]
        if section.title:
            yield [(section.title, "italic")]
        for row in section.rows:
            yield from _row_lines(table, row, widths)


def _heading_lines(
    table: Table, headings: Sequence[Span], widths: Widths, *, innermost: bool
) -> Iterator[list[Piece]]:
    """The headings of a level, set at the bottom: innermost ones as their columns, else centred."""
    sizes = [span.width(widths.columns, widths.gaps) for span in headings]
    titles = [fold(span.title, size) for span, size in zip(headings, sizes, strict=True)]
    height = max(map(len, titles))
    for at in range(height):
        stub = table.stub if innermost and at == height - 1 else ""
        line: list[Piece] = [(stub.ljust(widths.label), "bold")]
        for span, size, title in zip(headings, sizes, titles, strict=True):
            text = ([""] * (height - len(title)) + title)[at]
            if not innermost:
                text = text.center(size)
            elif not table.columns[span.start].wide:
                text = text.rjust(size - widths.barred[span.start] * (BAR + 1))
            line += [(" " * widths.gaps[span.start], ""), (text.ljust(size), "bold")]
        yield line


def _heading_rules(headings: Sequence[Span], widths: Widths) -> Iterator[list[Piece]]:
    """A rule under each heading, if any heading covers several columns."""
    if not any(span.title and span.stop - span.start > 1 for span in headings):
        return
    line: list[Piece] = [(" " * widths.label, "")]
    for span in headings:
        rule = ("─" if span.title else " ") * span.width(widths.columns, widths.gaps)
        line += [(" " * widths.gaps[span.start], ""), (rule, "dim")]
    yield line


def _row_lines(table: Table, row: Row, widths: Widths) -> Iterator[list[Piece]]:
    label = [(line, "") for line in fold(row.label.text, widths.label)]
    if row.label.detail:
        label += [(line, "dim") for line in fold(row.label.detail, widths.label)]
    cells = [
        _cell_lines(cell, width, barred=barred, wide=column.wide)
        for cell, width, barred, column in zip(
            row.cells, widths.columns, widths.barred, table.columns, strict=True
        )
    ]
    for (text, style), *pieces in zip_longest(label, *cells, fillvalue=("", "")):
        line: list[Piece] = [(text.ljust(widths.label), style)]
        for (content, look), gap, width in zip(pieces, widths.gaps, widths.columns, strict=True):
            line += [(" " * gap, ""), (content.ljust(width), look)]
        yield line


def _cell_lines(cell: Cell, width: int, *, barred: bool, wide: bool) -> list[Piece]:
    """The lines of a cell, each as wide as its column."""
    if wide:
        return [(line.ljust(width), "") for line in fold(cell.text, width)]
    text = cell.text
    if barred:
        eighths = round((cell.bar or 0) * BAR * 8)
        bar = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
        text = f"{text.rjust(width - BAR - 1)} {bar.ljust(BAR)}"
    lines = [(text.rjust(width), "bold" if cell.strong else "")]
    if cell.detail:
        lines.append((cell.detail.rjust(width), "dim"))
    return lines
