"""How a table is made to fit a page: folded headings, turned round, or split into several."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from msgspec.structs import replace

from autocoa_bench.report.model import Cell, Column, Row, Section, Table

BAR = 12
"""Cells of a full bar."""

_LABEL = 20
"""A label column is folded to no less than this."""

_PROSE = 24
"""A wide column is folded to no less than this."""

_HEADINGS = (1000, 28, 22, 18, 14, 10, 6)
"""Widths that headings are folded to, tried in turn; a heading's longest part may be wider."""

_BREAK = re.compile(r"(?<=[-_:, ])")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Widths(NamedTuple):
    """Widths of the label column and of the columns, and which of these end in a bar."""

    label: int
    columns: tuple[int, ...]
    barred: tuple[bool, ...]


class Span(NamedTuple):
    """Neighbouring columns under one heading: [start, stop)."""

    title: str
    start: int
    stop: int


def fit(table: Table, width: int) -> list[Table]:
    """The table, or tables that show the same, each at most `width` wide where that can be."""
    if measure(table, width):
        return [table]
    turned = _turned(table)
    if turned and measure(turned, width):
        return [turned]
    metrics = _metrics(table)
    if len(metrics) > 1:
        return [part for m in metrics for part in fit(_only(table, m), width)]
    return _chunks(table, width)


def measure(table: Table, width: int) -> Widths | None:
    """Widths that fit, unfolded where there is room; None where the table can't fit."""
    tries = (_measure(table, width, heading) for heading in _HEADINGS)
    return next((found for found in tries if found), None)


def narrowest(table: Table) -> Widths:
    """The least widths, whatever the page: all that can be folded is."""
    return _widths(table, _LABEL, _PROSE, _HEADINGS[-1])


def gaps(table: Table) -> list[int]:
    """Spaces before each column: two before a new heading, one within."""
    paths = [column.headings[:-1] for column in table.columns]
    alone = len(table.columns[0].headings) == 1
    return [
        1 if at > 0 and path == paths[at - 1] and any(path) and not alone else 2
        for at, path in enumerate(paths)
    ]


def spans(table: Table, level: int) -> list[Span]:
    """The headings of a level with the columns that each stands over."""
    found, at = [], 0
    for path, group in groupby(table.columns, key=lambda c: c.headings[: level + 1]):
        width = len(list(group))
        last = level == len(table.columns[0].headings) - 1
        for start in range(at, at + width, 1 if last or not path[-1] else width):
            stop = start + 1 if last or not path[-1] else at + width
            found.append(Span(path[-1], start, stop))
        at += width
    return found


def span_width(span: Span, columns: Sequence[int], before: Sequence[int]) -> int:
    """Cells from the first column of a span to its last."""
    return sum(columns[span.start : span.stop]) + sum(before[span.start + 1 : span.stop])


def fold(text: str, width: int) -> list[str]:
    """Text in lines of at most `width`, broken after spaces, hyphens and the like.

    A longer word is broken before a capital, and failing that by force.
    """
    pieces = [
        part
        for piece in _BREAK.split(text)
        for part in (_CAMEL.split(piece) if len(piece.rstrip()) > width else [piece])
    ]
    lines = [""]
    for piece in pieces:
        rest = piece
        if len(lines[-1]) + len(rest.rstrip()) > width and lines[-1]:
            lines.append("")
        while len(rest.rstrip()) > width:
            lines[-1], rest = rest[:width], rest[width:]
            lines.append("")
        lines[-1] += rest
    return [line.rstrip() for line in lines]


def _measure(table: Table, width: int, heading: int) -> Widths | None:
    labels = [row.label for section in table.sections for row in section.rows]
    natural = max(len(table.stub), *(len(t) for c in labels for t in (c.text, c.detail)), 0)
    least = natural if heading == _HEADINGS[0] else min(natural, _LABEL)
    wide = [at for at, column in enumerate(table.columns) if column.wide]
    found = _widths(table, least, _PROSE, heading)
    room = width - _total(table, found)
    if room < 0:
        return None
    label = min(natural, least + room)
    if not wide:
        return found._replace(label=label)
    room = (room - (label - least)) // len(wide)
    return _widths(table, label, _PROSE + room, heading)


def _total(table: Table, found: Widths) -> int:
    return found.label + sum(found.columns) + sum(gaps(table))


def _widths(table: Table, label: int, prose: int, heading: int) -> Widths:
    barred, columns = [], []
    for at, column in enumerate(table.columns):
        cells = [row.cells[at] for section in table.sections for row in section.rows]
        text = max((len(t) for cell in cells for t in (cell.text, cell.detail)), default=0)
        if column.wide:
            text = min(text, prose)
        barred.append(any(cell.bar is not None for cell in cells))
        columns.append(text + (BAR + 1 if barred[-1] else 0))
    before = gaps(table)
    for level in reversed(range(len(table.columns[0].headings))):
        for span in spans(table, level):
            need = max(len(line) for line in fold(span.title, _least(span.title, heading)))
            lack = need - span_width(span, columns, before)
            for extra in range(max(0, lack)):
                columns[span.start + extra % (span.stop - span.start)] += 1
    return Widths(label, tuple(columns), tuple(barred))


def _least(title: str, heading: int) -> int:
    """The width to fold a heading to: its longest word's, if that is wider than `heading`."""
    pieces = _BREAK.split(title)
    if heading == _HEADINGS[-1]:
        pieces = [part for piece in pieces for part in _CAMEL.split(piece)]
    return max(heading, *(len(piece.rstrip()) for piece in pieces))


def _metrics(table: Table) -> list[str]:
    """The innermost headings, where each outer heading has the same ones; else none."""
    inner = [
        tuple(column.headings[-1] for column in group)
        for _, group in groupby(table.columns[table.lead :], key=lambda c: c.headings[:-1])
    ]
    if len(table.columns[0].headings) < 3 or len(set(inner)) != 1:
        return []
    return list(inner[0])


def _only(table: Table, metric: str) -> Table:
    """The table's columns of one metric, which moves from the headings to the title."""
    kept = [
        at
        for at, column in enumerate(table.columns)
        if at < table.lead or column.headings[-1] == metric
    ]
    found = _columns(table, kept)
    columns = tuple(
        replace(
            c, headings=(*c.headings[:-2], c.headings[-1] if at < table.lead else c.headings[-2])
        )
        for at, c in enumerate(found.columns)
    )
    return replace(found, columns=columns, title=f"{table.title}: {metric}")


def _columns(table: Table, kept: Sequence[int]) -> Table:
    sections = tuple(
        replace(
            section,
            rows=tuple(
                replace(row, cells=tuple(row.cells[at] for at in kept)) for row in section.rows
            ),
        )
        for section in table.sections
    )
    return replace(table, columns=tuple(table.columns[at] for at in kept), sections=sections)


def _chunks(table: Table, width: int) -> list[Table]:
    """The table cut between columns, the label and leading columns in each part.

    What stands under one outermost heading stays together where a page is wide enough for it.
    """
    lead = list(range(table.lead))
    parts: list[list[int]] = []
    for piece in _pieces(table, width):
        wider = [*(parts[-1] if parts else lead), *piece]
        if parts and measure(_columns(table, wider), width):
            parts[-1] = wider
        else:
            parts.append([*lead, *piece])
    return [_columns(table, part) for part in parts]


def _pieces(table: Table, width: int) -> list[list[int]]:
    """Columns that are not to be parted: all under an outermost heading, else each by itself."""
    lead = list(range(table.lead))
    found: list[list[int]] = []
    free = range(table.lead, len(table.columns))
    for _, group in groupby(free, key=lambda at: table.columns[at].headings[:1]):
        together = list(group)
        fits = len(table.columns[0].headings) > 2 and measure(
            _columns(table, [*lead, *together]), width
        )
        found += [together] if fits else [[at] for at in together]
    return found


def _turned(table: Table) -> Table | None:
    """Rows and columns swapped, metrics still side by side; None for prose and bars."""
    rows = [(section.title, row) for section in table.sections for row in section.rows]
    bars = any(cell.bar is not None for _, row in rows for cell in row.cells)
    if bars or any(column.wide for column in table.columns) or not table.lead:
        return None
    metrics = _metrics(table)
    columns = tuple(
        Column((title, row.label.text, row.label.detail, *([metric] if metrics else [])))
        for title, row in rows
        for metric in metrics or [""]
    )
    step = len(metrics) or 1
    starts = [*range(table.lead), *range(table.lead, len(table.columns), step)]
    sections = tuple(
        Section(title, tuple(_turned_row(table, rows, at, step) for at in group))
        for title, group in groupby(starts, key=lambda at: _group(table, at))
    )
    return replace(table, stub="", columns=columns, sections=sections, lead=0)


def _group(table: Table, at: int) -> str:
    """The outermost heading over a column, where there are others under it."""
    headings = table.columns[at].headings
    return headings[0] if len(headings) > 1 else ""


def _turned_row(table: Table, rows: Sequence[tuple[str, Row]], at: int, step: int) -> Row:
    """The columns from `at`, one a metric, as a row; a leading column stands for all metrics."""
    headings = table.columns[at].headings
    leads = at < table.lead
    inner = headings[1 : -1 if step > 1 and not leads else None] or headings
    cells = [row.cells[at if leads else at + offset] for _, row in rows for offset in range(step)]
    return Row(Cell(" ".join(part for part in inner if part)), tuple(cells))
