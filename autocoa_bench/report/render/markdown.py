"""Tables as Markdown (GitHub's tables)."""

import re

from autocoa_bench.report.model import Cell, Report, Table
from autocoa_bench.report.render.layout import spans

_SPECIAL = re.compile(r"([\\`*_|<>\[\]])")
_WORD_UNDERSCORE = re.compile(r"(?<=\w)\\_(?=\w)")


def markdown(report: Report) -> str:
    """The report: each table under a heading, with its notes as a list under it."""
    parts = [_table(table) for table in report.tables]
    if report.footer:
        lines = "\n".join(f"- {escape(line)}" for line in report.footer)
        parts.append(f"## How the runs were made\n\n{lines}\n")
    return "\n".join(parts)


def escape(text: str) -> str:
    """Text with Markdown's special characters escaped, so that it cannot end a table's cell."""
    # An underscore within a word is literal in GitHub's Markdown; names stay legible in the source.
    return _WORD_UNDERSCORE.sub("_", _SPECIAL.sub(r"\\\1", text))


def _table(table: Table) -> str:
    from tabulate import tabulate

    nested = len(table.columns[0].headings) > 2
    paths = [column.headings[1:] if nested else column.headings for column in table.columns]
    names = [table.stub, *(" ".join(part for part in path if part) for path in paths)]
    head = [escape(name) for name in names]
    rows: list[list[str]] = []
    # A Markdown table has one line of headings: the outermost take it, the others the first row.
    groups = spans(table, 0) if nested else []
    if any(span.title for span in groups):
        rows.append([f"**{name}**" for name in head])
        head = [""] * len(head)
        for span in groups:
            head[span.start + 1] = escape(span.title)
    for section in table.sections:
        if section.title:
            rows.append([f"*{escape(section.title)}*", *[""] * len(table.columns)])
        rows += [[_cell(cell) for cell in (row.label, *row.cells)] for row in section.rows]
    align = ["left", *("left" if column.wide else "right" for column in table.columns)]
    grid = tabulate(rows, headers=head, tablefmt="pipe", disable_numparse=True, colalign=align)
    notes = "".join(f"- {escape(note)}\n" for note in table.notes)
    return f"## {escape(table.title)}\n\n{grid}\n\n{notes}"


def _cell(cell: Cell) -> str:
    text = f"**{escape(cell.text)}**" if cell.strong else escape(cell.text)
    return f"{text} ({escape(cell.detail)})" if cell.detail else text
