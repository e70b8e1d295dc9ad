"""A report's data points as a data frame, as CSV and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from autocoa_bench import __version__
from autocoa_bench.report.model import DataPoint, Report
from autocoa_bench.util.text import spreadsheet_text

if TYPE_CHECKING:
    import pandas as pd


def frame(report: Report) -> pd.DataFrame:
    """One row per data point: run, task, metric, mean, low, high, n, planned, coverage.

    Shares are in [0, 1]. `total` is the sum or number behind a mean, `actions` the bin of the rows
    of Figure 3.
    """
    import pandas as pd

    points = [point for table in report.tables for point in table.data_points]
    columns = list(DataPoint.__struct_fields__)
    data = pd.DataFrame([msgspec.structs.asdict(point) for point in points], columns=columns)
    # Columns of counts with gaps would become floats: 100.0 questions.
    return data.astype(dict.fromkeys(("actions", "n", "planned"), "Int64"))


def csv(report: Report) -> str:
    """The data points as CSV; a field without a number is empty.

    No text is a formula to a spreadsheet: an apostrophe comes before one.
    """
    data = frame(report)
    texts = data.select_dtypes(exclude="number").columns
    data[texts] = data[texts].map(
        lambda value: spreadsheet_text(value) if isinstance(value, str) else value
    )
    text: str = data.to_csv(index=False, lineterminator="\n")
    return text


def json(report: Report) -> str:
    """The data points by table with their notes, and how the runs were made, for publishing.

    Empty fields of a data point are left out.
    """
    tables = [
        {
            "name": table.name,
            "title": table.title,
            "notes": table.notes,
            "facts": [
                {
                    name: value
                    for name, value in msgspec.to_builtins(point).items()
                    if name != "table"
                }
                for point in table.data_points
            ],
        }
        for table in report.tables
    ]
    content = {"autocoa_bench": __version__, "tables": tables, "runs_made": report.footer}
    return msgspec.json.format(msgspec.json.encode(content), indent=2).decode() + "\n"
