"""A report's tables as HTML, with headings that a reader can sort by."""

import re

from autocoa_bench.report.model import Cell, Column, Section, Table
from autocoa_bench.report.page.markup import Html, joined, tag
from autocoa_bench.report.render.layout import spans

_NUMBER = re.compile(r"[+\-−]?[\d,]*\.?\d+")


def table_html(table: Table) -> Html:
    """The table in a region that scrolls by itself; it can be sorted if each row is a method.

    Each number carries its value in `data-value`, which the sorting reads.
    """
    grid = tag(
        "table",
        tag("thead", *_head(table)),
        *(_section(table, section) for section in table.sections),
        data_sortable="" if is_by_method(table) else None,
    )
    return tag("div", grid, class_="scroll", role="region", aria_label=table.title, tabindex="0")


def is_by_method(table: Table) -> bool:
    """Whether each row is a method, so that rows may come in any order."""
    return table.stub == "Method"


def _head(table: Table) -> list[Html]:
    rows = []
    for level in range(len(table.columns[0].headings) - 1):
        headings = spans(table, level)
        if any(span.title for span in headings):
            cells = [
                tag(
                    "th" if span.title else "td",
                    span.title,
                    scope="colgroup" if span.title else None,
                    colspan=span.stop - span.start,
                )
                for span in headings
            ]
            rows.append(tag("tr", tag("td", class_="label"), *cells, class_="group"))
    leaves = [
        tag("th", column.headings[-1], scope="col", class_=_class(column))
        for column in table.columns
    ]
    return [*rows, tag("tr", tag("th", table.stub, scope="col", class_="label"), *leaves)]


def _section(table: Table, section: Section) -> Html:
    rows = []
    for row in section.rows:
        label = tag("th", _content(row.label), scope="row", class_="label")
        cells = [
            tag("td", _content(cell), class_=_class(column), data_value=_value(cell.text))
            for column, cell in zip(table.columns, row.cells, strict=True)
        ]
        rows.append(tag("tr", label, *cells))
    if section.title:
        title = tag("th", section.title, scope="rowgroup", colspan=len(table.columns) + 1)
        rows.insert(0, tag("tr", title, class_="section"))
    return tag("tbody", *rows)


def _class(column: Column) -> str:
    return "prose" if column.wide else "number"


def _content(cell: Cell) -> Html:
    parts = [tag("strong" if cell.strong else "span", cell.text, class_="text")]
    if cell.bar is not None:
        bar = tag("rect", width=f"{100 * cell.bar:.1f}", height="6")
        size = {"viewBox": "0 0 100 6", "preserveAspectRatio": "none"}
        parts.append(tag("svg", bar, class_="bar", **size, aria_hidden="true"))
    if cell.detail:
        parts.append(tag("span", cell.detail, class_="detail"))
    return joined(*parts)


def _value(text: str) -> str | None:
    """The number that a cell shows, to sort by; None if it shows none."""
    match = _NUMBER.match(text)
    if match is None:
        return None
    number = float(match.group().replace(",", "").replace("−", "-"))
    return f"{number * 1e6 if text.endswith(' M') else number:g}"
