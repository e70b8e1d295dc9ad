"""Tables in a terminal, laid out for its width."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

from autocoa_bench.report.model import Cell, Report, Row, Table
from autocoa_bench.report.render.layout import (
    BAR,
    Span,
    Widths,
    fit,
    fold,
    gaps,
    measure,
    narrowest,
    span_width,
    spans,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_EIGHTHS = " ▏▎▍▌▋▊▉"

_Run = tuple[str, str]
"""A piece of a line and its style."""


def print_terminal(report: Report, console: Console) -> None:
    """Print the report, made to fit the console's width. A note is printed once."""
    said: set[str] = set()
    for table in report.tables:
        for part in fit(table, console.width):
            for pieces in _lines(part, console.width):
                console.print(_text(pieces), soft_wrap=True)
            console.print()
        for note in table.notes:
            if note not in said:
                _print_note(note, console)
        said.update(table.notes)
        console.print()
    for line in report.footer:
        _print_note(line, console)


def _print_note(note: str, console: Console) -> None:
    lines = wrap(
        note,
        max(console.width, 20),
        initial_indent="  ",
        subsequent_indent="    ",
        break_on_hyphens=False,
    )
    for line in lines:
        console.print(_text([(line, "dim")]), soft_wrap=True)


def _text(line: Sequence[_Run]) -> Text:
    from rich.text import Text

    text = Text.assemble(*line)
    text.rstrip()
    return text


def _lines(table: Table, width: int) -> list[list[_Run]]:
    widths = measure(table, width) or narrowest(table)
    total = widths.label + sum(widths.columns) + sum(gaps(table))
    lines: list[list[_Run]] = [[(table.title, "bold")], [("━" * total, "dim")]]
    lines += _head(table, widths)
    for section in table.sections:
        lines.append([("─" * total, "dim")])
        if section.title:
            lines.append([(section.title, "italic")])
        lines += [line for row in section.rows for line in _row(table, row, widths)]
    return lines


def _head(table: Table, widths: Widths) -> list[list[_Run]]:
    before = gaps(table)
    lines: list[list[_Run]] = []
    depth = len(table.columns[0].headings)
    for level in range(depth):
        found = spans(table, level)
        if not any(span.title for span in found):
            continue
        sizes = [span_width(span, widths.columns, before) for span in found]
        titles = [fold(span.title, size) for span, size in zip(found, sizes, strict=True)]
        height = max(len(title) for title in titles)
        last = level == depth - 1
        for at in range(height):
            stub = table.stub if last and at == height - 1 else ""
            line: list[_Run] = [(stub.ljust(widths.label), "bold")]
            for span, size, title in zip(found, sizes, titles, strict=True):
                shown = ([""] * (height - len(title)) + title)[at]
                if table.columns[span.start].wide:
                    placed = shown.ljust(size)
                else:
                    bar = BAR + 1 if widths.barred[span.start] else 0
                    placed = shown.rjust(size - bar).ljust(size)
                line.append((" " * before[span.start], ""))
                line.append((placed if last else shown.center(size), "bold"))
            lines.append(line)
        if level in (0, depth - 2) and any(
            span.title and span.stop - span.start > 1 for span in found
        ):
            lines.append(_rules(found, sizes, widths.label, before))
    return lines


def _rules(
    found: Sequence[Span], sizes: Sequence[int], label: int, before: Sequence[int]
) -> list[_Run]:
    """A rule under each heading of a level that has such over several columns."""
    line: list[_Run] = [(" " * label, "")]
    for span, size in zip(found, sizes, strict=True):
        rule = ("─" if span.title else " ") * size
        line += [(" " * before[span.start], ""), (rule, "dim")]
    return line


def _row(table: Table, row: Row, widths: Widths) -> list[list[_Run]]:
    label = [(line, "") for line in fold(row.label.text, widths.label)]
    if row.label.detail:
        label += [(line, "dim") for line in fold(row.label.detail, widths.label)]
    cells = [
        _cell_lines(cell, width, barred, column.wide)
        for cell, width, barred, column in zip(
            row.cells, widths.columns, widths.barred, table.columns, strict=True
        )
    ]
    lines: list[list[_Run]] = []
    for at in range(max(len(label), *(len(cell) for cell in cells))):
        text, style = label[at] if at < len(label) else ("", "")
        line: list[_Run] = [(text.ljust(widths.label), style)]
        for cell, gap, width in zip(cells, gaps(table), widths.columns, strict=True):
            line.append((" " * gap, ""))
            line.append(cell[at] if at < len(cell) else (" " * width, ""))
        lines.append(line)
    return lines


def _cell_lines(cell: Cell, width: int, barred: bool, wide: bool) -> list[_Run]:
    """A cell's lines, each padded to the column's width."""
    if wide:
        return [(line.ljust(width), "") for line in fold(cell.text, width)]
    text = f"{cell.text.rjust(width - BAR - 1)} {_bar(cell.bar or 0)}" if barred else cell.text
    lines = [(text.rjust(width), "bold" if cell.strong else "")]
    if cell.detail:
        lines.append((cell.detail.rjust(width), "dim"))
    return lines


def _bar(share: float) -> str:
    eighths = round(share * BAR * 8)
    return ("█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()).ljust(BAR)
