"""Tables as LaTeX floats (booktabs)."""

from __future__ import annotations

from itertools import groupby

from autocoa_bench.report.model import Cell, Report, Row, Table

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "[": "{[}",  # else the argument of the line break before it
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "–": "--",
        "…": r"\ldots{}",
        "†": r"\textsuperscript{\textdagger}",
    }
)


def latex(report: Report) -> str:
    """The whole report: a table* a table; how the runs were made, as a paragraph at the end."""
    head = "% Needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}.\n"
    parts = [_table(table) for table in report.tables]
    if report.footer:
        body = "; ".join(escape(line) for line in report.footer)
        parts.append(f"{{\\footnotesize {body}.\\par}}\n")
    return head + "\n".join(parts)


def escape(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return text.translate(_ESCAPES)


def _table(table: Table) -> str:
    align = "l" + "".join("p{0.5\\textwidth}" if c.wide else "r" for c in table.columns)
    lines = [
        "\\begin{table*}[t]",
        "\\centering",
        "\\small",
        "\\setlength{\\tabcolsep}{3pt}",
        f"\\caption{{{escape(table.title)}.}}",
        f"\\label{{tab:{table.name}}}",
        f"\\begin{{tabular}}{{{align}}}",
        "\\toprule",
        *_head(table),
    ]
    for section in table.sections:
        lines.append("\\midrule")
        if section.title:
            title = f"\\textit{{{escape(section.title)}}}"
            lines.append(f"\\multicolumn{{{len(table.columns) + 1}}}{{l}}{{{title}}} \\\\")
        lines += [line for row in section.rows for line in _row(row)]
    lines += ["\\bottomrule", "\\end{tabular}"]
    notes = " ".join(f"{escape(note[:1].upper() + note[1:])}." for note in table.notes)
    lines += ["", "\\smallskip", f"{{\\footnotesize {notes}\\par}}", "\\end{table*}", ""]
    return "\n".join(lines)


def _head(table: Table) -> list[str]:
    """Heading lines, outermost first, with a rule under each heading that spans columns."""
    lines: list[str] = []
    depth = len(table.columns[0].headings)
    for level in range(depth):
        last = level == depth - 1
        cells, rules, at = [escape(table.stub) if last else ""], [], 2
        for path, group in groupby(table.columns, key=lambda c: c.headings[: level + 1]):
            width = len(list(group))
            if last or not path[-1]:
                cells += [escape(path[-1])] * width if last else [""] * width
            else:
                cells.append(f"\\multicolumn{{{width}}}{{c}}{{{escape(path[-1])}}}")
                rules.append(f"\\cmidrule(lr){{{at}-{at + width - 1}}}")
            at += width
        if any(cells):
            lines += [" & ".join(cells) + " \\\\", *([" ".join(rules)] if rules else [])]
    return lines


def _row(row: Row) -> list[str]:
    """The row, and its details as a second, smaller line."""
    cells = (row.label, *row.cells)
    lines = [" & ".join(_text(cell) for cell in cells) + " \\\\"]
    if any(cell.detail for cell in cells):
        lines.append(" & ".join(_small(cell) for cell in cells) + " \\\\")
    return lines


def _text(cell: Cell) -> str:
    return f"\\textbf{{{escape(cell.text)}}}" if cell.strong else escape(cell.text)


def _small(cell: Cell) -> str:
    return f"{{\\scriptsize {escape(cell.detail)}}}" if cell.detail else ""
