"""The layout of a table for a page of limited width: folded headings, turned round, or split."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from msgspec.structs import replace

from autocoa_bench.report.model import Cell, Column, Row, Section, Table

BAR = 12
"""The length of a full bar in characters."""

_LABEL = 20
_PROSE = 24
"""Least widths that the column of labels and `wide` columns are folded to."""

_HEADINGS = (1000, 28, 22, 18, 14, 10, 6)
"""Widths that headings are folded to, tried in turn; a heading's longest part may be wider."""

_BREAK = re.compile(r"(?<=[-_:, ])")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


class Widths(NamedTuple):
    """Widths of a table's parts in characters; columns in `barred` end in a bar.

    `gaps` are the spaces before each column: two before a new heading, one within.
    """

    label: int
    columns: tuple[int, ...]
    gaps: tuple[int, ...]
    barred: tuple[bool, ...]

    @property
    def total(self) -> int:
        """The width of a line."""
        return self.label + sum(self.columns) + sum(self.gaps)


class Span(NamedTuple):
    """Neighbouring columns [start, stop) under one heading."""

    title: str
    start: int
    stop: int

    def width(self, columns: Sequence[int], gaps: Sequence[int]) -> int:
        """The width of the columns and of the gaps between them."""
        return sum(columns[self.start : self.stop]) + sum(gaps[self.start + 1 : self.stop])


def fit(table: Table, width: int) -> list[Table]:
    """The table, or tables with the same content, each at most `width` wide where possible."""
    # Rows of runs are compared best in columns, so that the table is turned only if it must be, and
    # parted by metric before any dataset is torn from the others.
    if measure(table, width):
        return [table]
    turned = _turn(table)
    if turned and measure(turned, width):
        return [turned]
    metrics = _metrics(table)
    if len(metrics) > 1:
        return [part for metric in metrics for part in fit(_select_metric(table, metric), width)]
    return _split(table, width)


def measure(table: Table, width: int) -> Widths | None:
    """Widths that fit, folded as little as possible; None if the table cannot fit."""
    labels = [row.label for section in table.sections for row in section.rows]
    natural = max([len(table.stub), *(len(text) for c in labels for text in (c.text, c.detail))])
    n_wide = sum(column.wide for column in table.columns)
    for heading in _HEADINGS:
        # Headings are folded first; labels only together with them.
        least = natural if heading == _HEADINGS[0] else min(natural, _LABEL)
        room = width - _widths(table, least, _PROSE, heading).total
        if room >= 0:
            # What is left over goes to the labels, then in equal parts to the prose.
            label = min(natural, least + room)
            room -= label - least
            return _widths(table, label, _PROSE + room // max(n_wide, 1), heading)
    return None


def narrowest(table: Table) -> Widths:
    """The least widths of a table, whatever the page: everything is folded that can be."""
    return _widths(table, _LABEL, _PROSE, _HEADINGS[-1])


def spans(table: Table, level: int) -> list[Span]:
    """The headings of a level with the columns that each covers; innermost ones cover one."""
    paths = [column.headings[: level + 1] for column in table.columns]
    innermost = level == len(table.columns[0].headings) - 1
    spans: list[Span] = []
    for at, path in enumerate(paths):
        if at and path == paths[at - 1] and path[-1] and not innermost:
            spans[-1] = spans[-1]._replace(stop=at + 1)
        else:
            spans.append(Span(path[-1], at, at + 1))
    return spans


def fold(text: str, width: int) -> list[str]:
    """Text in lines of at most `width`, broken after spaces, hyphens and the like.

    A longer word is broken before a capital, and failing that anywhere.
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


def _widths(table: Table, label: int, prose: int, heading: int) -> Widths:
    """The widths with labels, prose and headings folded to the given widths."""
    barred, columns = [], []
    for at, column in enumerate(table.columns):
        cells = [row.cells[at] for section in table.sections for row in section.rows]
        text = max((len(t) for cell in cells for t in (cell.text, cell.detail)), default=0)
        barred.append(any(cell.bar is not None for cell in cells))
        columns.append((min(text, prose) if column.wide else text) + barred[-1] * (BAR + 1))
    paths = [column.headings[:-1] for column in table.columns]
    gaps = tuple(
        1 if at and path == paths[at - 1] and any(path) else 2 for at, path in enumerate(paths)
    )
    # A heading wider than its columns widens them evenly, from the innermost headings outwards.
    for level in reversed(range(len(table.columns[0].headings))):
        for span in spans(table, level):
            words = _BREAK.split(span.title)
            # Words are broken at their capitals in the last attempt only.
            if heading == _HEADINGS[-1]:
                words = [part for word in words for part in _CAMEL.split(word)]
            # The longest word may be wider than `heading`.
            lines = fold(span.title, max(heading, *(len(word.rstrip()) for word in words)))
            lack = max(map(len, lines)) - span.width(columns, gaps)
            for extra in range(lack):
                columns[span.start + extra % (span.stop - span.start)] += 1
    return Widths(label, tuple(columns), gaps, tuple(barred))


def _metrics(table: Table) -> list[str]:
    """The innermost headings if they are the same under each outer heading; else none."""
    inner = [
        tuple(column.headings[-1] for column in group)
        for _, group in groupby(table.columns[table.lead :], key=lambda c: c.headings[:-1])
    ]
    if len(table.columns[0].headings) < 3 or len(set(inner)) != 1:
        return []
    return list(inner[0])


def _select(table: Table, places: Sequence[int]) -> Table:
    sections = tuple(
        replace(
            section,
            rows=tuple(
                replace(row, cells=tuple(row.cells[at] for at in places)) for row in section.rows
            ),
        )
        for section in table.sections
    )
    return replace(table, columns=tuple(table.columns[at] for at in places), sections=sections)


def _select_metric(table: Table, metric: str) -> Table:
    """The table's columns of one metric, which moves from the headings to the title."""
    places = [
        at
        for at, column in enumerate(table.columns)
        if at < table.lead or column.headings[-1] == metric
    ]
    part = _select(table, places)
    columns = tuple(
        replace(c, headings=(*c.headings[:-2], c.headings[-1 if at < table.lead else -2]))
        for at, c in enumerate(part.columns)
    )
    return replace(part, columns=columns, title=f"{table.title}: {metric}")


def _split(table: Table, width: int) -> list[Table]:
    """The table cut between columns, with the label and the leading columns in each part.

    Columns under one outermost heading stay together if a page is wide enough for them.
    """
    lead = list(range(table.lead))
    nested = len(table.columns[0].headings) > 2
    places = range(table.lead, len(table.columns))
    pieces: list[list[int]] = []
    for _, group in groupby(places, key=lambda at: table.columns[at].headings[0]):
        columns = list(group)
        together = nested and measure(_select(table, [*lead, *columns]), width)
        pieces += [columns] if together else [[at] for at in columns]
    parts: list[list[int]] = []
    for piece in pieces:
        wider = [*(parts[-1] if parts else lead), *piece]
        if parts and measure(_select(table, wider), width):
            parts[-1] = wider
        else:
            parts.append([*lead, *piece])
    return [_select(table, part) for part in parts]


def _turn(table: Table) -> Table | None:
    """Rows and columns swapped, metrics still side by side; None for prose and bars."""
    rows = [(section.title, row) for section in table.sections for row in section.rows]
    bars = any(cell.bar is not None for _, row in rows for cell in row.cells)
    if bars or any(column.wide for column in table.columns) or not table.lead:
        return None
    # The path of a row (section, label, model) becomes the headings of a column.
    metrics = _metrics(table)
    columns = tuple(
        Column((title, row.label.text, row.label.detail, *([metric] if metrics else [])))
        for title, row in rows
        for metric in metrics or [""]
    )
    step = len(metrics) or 1
    starts = [*range(table.lead), *range(table.lead, len(table.columns), step)]

    def outer_heading(at: int) -> str:
        headings = table.columns[at].headings
        return headings[0] if len(headings) > 1 else ""

    sections = tuple(
        Section(title, tuple(_turned_row(table, rows, at, step) for at in group))
        for title, group in groupby(starts, key=outer_heading)
    )
    return replace(table, stub="", columns=columns, sections=sections, lead=0)


def _turned_row(table: Table, rows: Sequence[tuple[str, Row]], at: int, step: int) -> Row:
    """`step` columns from `at` on, one per metric, as a row; a leading one serves all metrics."""
    headings = table.columns[at].headings
    leads = at < table.lead
    inner = headings[1 : -1 if step > 1 and not leads else None] or headings
    cells = [row.cells[at if leads else at + offset] for _, row in rows for offset in range(step)]
    return Row(Cell(" ".join(part for part in inner if part)), tuple(cells))
