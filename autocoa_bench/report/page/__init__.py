"""A report as one page that needs nothing else: tables, plots, and a reader of all trajectories.

What models, passages and questions say is untrusted. In the tables it is escaped (`markup.tag`);
in the reader it is base64, which no text can end, and becomes text nodes alone. The page's policy
lets nothing run but its own script, and nothing be loaded from anywhere.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from importlib.resources import files
from string import Template

import msgspec

from autocoa_bench.report.entries import (
    Catalogue,
    deciding_scorer,
    make_catalogue,
    make_entries,
    task_titles,
)
from autocoa_bench.report.model import Report, Table
from autocoa_bench.report.page.data import TrajectoryIndex, trajectory_data
from autocoa_bench.report.page.figures import figures
from autocoa_bench.report.page.markup import Html, joined, tag
from autocoa_bench.report.page.tables import by_method, notes, table_html
from autocoa_bench.report.render.plots import plots
from autocoa_bench.runs.run_folder import Run

_SCRIPTS = ("dom.js", "data.js", "tables.js", "filters.js", "trajectory.js", "reader.js", "main.js")

_TITLES = {
    "leaderboard": "Leaderboard",
    "actions": "Actions",
    "evidence": "Evidence",
    "cost": "Cost",
    "faults": "Faults",
    "kinds": "Kinds",
    "acting": "When to act",
    "temporal": "Temporal",
    "paper": "The paper",
    "corrected": "Corrected",
    "compare": "Compared",
}
"""Tables in the page's navigation."""


def page(report: Report, runs: Sequence[Run], known: Catalogue | None = None) -> str:
    """The report and the trajectories of its runs as one HTML file.

    An answer is correct by the scorer that decides in the tables (`reading.deciding`).
    `known` is looked up in the registry unless given.
    """
    known = make_catalogue(runs) if known is None else known
    found = make_entries(runs, known)
    names = [entry.name for entry in found]
    titles = task_titles(found, known)
    scorers = [name for entry in found for name in entry.run.info.scorers]
    index, pieces = trajectory_data(found, deciding_scorer(scorers), titles)
    style = _file("page.css")
    script = "\n".join(_file(name) for name in _SCRIPTS)
    return Template(_file("page.html")).substitute(
        policy=f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "base-uri 'none'; form-action 'none'",
        title=joined("autocoa-bench: ", ", ".join(names)),
        summary=_summary(index),
        links=joined(*(_link(table) for table in report.tables)),
        tables=joined(*(_section(table, names, titles) for table in report.tables)),
        made=joined(*(tag("li", line) for line in report.footer)),
        style=style,
        script=script,
        index=_packed(msgspec.json.encode(index), "index"),
        pieces="\n".join(_packed(piece, f"piece-{at}") for at, piece in enumerate(pieces)),
    )


def _summary(index: TrajectoryIndex) -> Html:
    faults = sum(line.outcome == "fault" for line in index.lines)
    counts = [
        (len(index.runs), "run"),
        (len({question.task for question in index.questions}), "task"),
        (len(index.questions), "question"),
        (len(index.lines) - faults, "trajectory"),
        (faults, "fault"),
    ]
    said = [
        f"{number:,} {word if number == 1 else _plural(word)}" for number, word in counts if number
    ]
    return joined(", ".join(said))


def _plural(word: str) -> str:
    return word[:-1] + "ies" if word.endswith("y") else word + "s"


def _link(table: Table) -> Html:
    return tag("a", _TITLES.get(table.name, table.title), href=f"#{table.name}")


def _section(table: Table, runs: Sequence[str], titles: dict[str, str]) -> Html:
    """A table and its plots. The plots come first, but not of methods by rows."""
    parts = (table_html(table), notes(table))
    drawings = figures(plots(table, runs, titles))
    ordered = (*parts, drawings) if by_method(table) else (drawings, *parts)
    return tag("section", tag("h2", table.title), *ordered, id=table.name)


def _file(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8").strip()


def _hash(content: str) -> str:
    """An inline script or style as a content security policy names it."""
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


def _packed(content: bytes, name: str) -> Html:
    """Data as an element that does nothing: compressed, in letters that close no element."""
    text = b64encode(zlib.compress(content, 6)).decode()
    return Html(f'<script type="text/plain" id="{name}">{text}</script>')
