"""A report as one self-contained page: tables, plots, and a reader of all trajectories.

Texts of models, passages and questions are untrusted. In the tables they are escaped
(`markup.tag`); for the reader they are base64, which no text can end, and become text nodes only.
The page's content security policy allows its own script and style alone, and no loading.

May import: `report.model`, `report.entries`, `report.render`, and everything below `report`.
"""

import zlib
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from string import Template

from autocoa_bench.report.entries import (
    Catalogue,
    deciding_scorer,
    make_catalogue,
    make_entries,
    task_titles,
)
from autocoa_bench.report.model import Report, Table
from autocoa_bench.report.page.data import TrajectoryIndex, encode_printable, trajectory_data
from autocoa_bench.report.page.figures import figures
from autocoa_bench.report.page.markup import Html, joined, tag
from autocoa_bench.report.page.tables import is_by_method, table_html
from autocoa_bench.report.render.plots import plots
from autocoa_bench.runs.run_folder import Run

__all__ = ["page"]

_SCRIPTS = ("dom.js", "data.js", "tables.js", "filters.js", "trajectory.js", "reader.js", "main.js")


def page(report: Report, runs: Sequence[Run], catalogue: Catalogue | None = None) -> str:
    """The report and the trajectories of its runs as one HTML file.

    The scorer that decides in the tables (`entries.deciding_scorer`) decides which answers are
    correct. `catalogue` is made from the registry by default.
    """
    catalogue = make_catalogue(runs) if catalogue is None else catalogue
    entries = make_entries(runs, catalogue)
    names = [entry.name for entry in entries]
    titles = task_titles(entries, catalogue)
    scorers = [name for entry in entries for name in entry.run.info.scorers]
    index, pieces = trajectory_data(entries, deciding_scorer(scorers), titles)
    table_names = [table.name for table in report.tables]
    style = _read("page.css")
    script = "\n".join(_read(name) for name in _SCRIPTS)
    # Hashes instead of 'unsafe-inline': even markup that slipped through could not run.
    return Template(_read("page.html")).substitute(
        policy=f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'",
        title=joined("autocoa-bench: ", ", ".join(names)),
        summary=_summary(index),
        links=joined(*(tag("a", name.capitalize(), href=f"#{name}") for name in table_names)),
        tables=joined(*(_section(table, names, titles) for table in report.tables)),
        footer=joined(*(tag("li", line) for line in report.footer)),
        style=style,
        script=script,
        index=_packed(encode_printable(index), "index"),
        pieces="\n".join(_packed(piece, f"piece-{at}") for at, piece in enumerate(pieces)),
    )


def _summary(index: TrajectoryIndex) -> Html:
    faults = sum(line.outcome == "fault" for line in index.lines)
    counts = [
        (len(index.runs), "run", "runs"),
        (len({question.task for question in index.questions}), "task", "tasks"),
        (len(index.questions), "question", "questions"),
        (len(index.lines) - faults, "trajectory", "trajectories"),
        (faults, "fault", "faults"),
    ]
    words = (
        f"{number:,} {singular if number == 1 else plural}"
        for number, singular, plural in counts
        if number
    )
    return joined(", ".join(words))


def _section(table: Table, runs: Sequence[str], titles: dict[str, str]) -> Html:
    """A table with its notes and plots; the plots come first unless the rows are methods."""
    notes = tag("ul", *(tag("li", note) for note in table.notes), class_="notes")
    parts = (table_html(table), notes)
    drawings = figures(plots(table, runs, titles))
    ordered = (*parts, drawings) if is_by_method(table) else (drawings, *parts)
    return tag("section", tag("h2", table.title), *ordered, id=table.name)


def _read(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8").strip()


def _hash(content: str) -> str:
    """An inline script or style as a content security policy names it."""
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


def _packed(content: bytes, name: str) -> Html:
    """Data in an element that does nothing: compressed, in letters that close no element."""
    text = b64encode(zlib.compress(content, 6)).decode()
    return Html(f'<script type="text/plain" id="{name}">{text}</script>')
