"""A report's facts as a tidy frame, as CSV and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from autocoa_bench import __version__
from autocoa_bench.report.model import DataPoint, Report

if TYPE_CHECKING:
    import pandas as pd


def frame(report: Report) -> pd.DataFrame:
    """One row a fact: run, task, metric, mean, low, high, n, planned, coverage; shares in [0, 1].

    `total` is the sum or number behind a mean, `actions` the bin of Figure 3's rows.
    """
    import pandas as pd

    facts = [msgspec.structs.asdict(fact) for table in report.tables for fact in table.data_points]
    data = pd.DataFrame(facts, columns=list(DataPoint.__struct_fields__))
    return data.astype(dict.fromkeys(("actions", "n", "planned"), "Int64"))


def csv(report: Report) -> str:
    """The facts as CSV; an empty field where there is no number."""
    text: str = frame(report).to_csv(index=False, lineterminator="\n")
    return text


def json(report: Report) -> str:
    """The facts by table with their notes, and how the runs were made, for publishing.

    Fields of a fact that say nothing are left out.
    """
    tables = [
        {
            "name": table.name,
            "title": table.title,
            "notes": list(table.notes),
            "facts": [
                {
                    name: value
                    for name, value in msgspec.structs.asdict(fact).items()
                    if value not in (None, "") and name != "table"
                }
                for fact in table.data_points
            ],
        }
        for table in report.tables
    ]
    made = {"autocoa_bench": __version__, "tables": tables, "runs_made": list(report.footer)}
    return msgspec.json.format(msgspec.json.encode(made), indent=2).decode() + "\n"
