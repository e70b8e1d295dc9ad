"""Tables as LaTeX floats (booktabs)."""

from autocoa_bench.report.model import Report, Row, Table
from autocoa_bench.report.render.layout import spans

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        # After a line break, these would be its star and its optional argument.
        "*": "{*}",
        "[": "{[}",
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
    """The report: a `table*` per table, and a paragraph on how the runs were made."""
    head = "% Needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}.\n"
    parts = [_table(table) for table in report.tables]
    if report.footer:
        body = "; ".join(escape(line) for line in report.footer)
        parts.append(f"{{\\footnotesize {body}.\\par}}\n")
    return head + "\n".join(parts)


def escape(text: str) -> str:
    """Text with LaTeX's special characters escaped."""
    return text.translate(_ESCAPES)


def _table(table: Table) -> str:
    widths = ["p{0.5\\textwidth}" if column.wide else "r" for column in table.columns]
    lines = [
        "\\begin{table*}[t]",
        "\\centering",
        "\\small",
        "\\setlength{\\tabcolsep}{3pt}",
        f"\\caption{{{escape(table.title)}.}}",
        f"\\label{{tab:{table.name}}}",
        f"\\begin{{tabular}}{{l{''.join(widths)}}}",
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
    """The lines of headings, outermost first, with a rule under each that spans columns."""
    lines: list[str] = []
    depth = len(table.columns[0].headings)
    for level in range(depth):
        innermost = level == depth - 1
        cells, rules = [escape(table.stub) if innermost else ""], []
        for span in spans(table, level):
            text = escape(span.title)
            if text and not innermost:
                # The label is the first column of the tabular.
                rules.append(f"\\cmidrule(lr){{{span.start + 2}-{span.stop + 1}}}")
                text = f"\\multicolumn{{{span.stop - span.start}}}{{c}}{{{text}}}"
            cells.append(text)
        if any(cells):
            lines += [" & ".join(cells) + " \\\\", *([" ".join(rules)] if rules else [])]
    return lines


def _row(row: Row) -> list[str]:
    """The row, with its details on a second, smaller line."""
    cells = (row.label, *row.cells)
    texts, details = [escape(cell.text) for cell in cells], [escape(cell.detail) for cell in cells]
    bold = [
        f"\\textbf{{{text}}}" if cell.strong else text
        for cell, text in zip(cells, texts, strict=True)
    ]
    lines = [" & ".join(bold) + " \\\\"]
    if any(details):
        small = [f"{{\\scriptsize {detail}}}" if detail else "" for detail in details]
        lines.append(" & ".join(small) + " \\\\")
    return lines
