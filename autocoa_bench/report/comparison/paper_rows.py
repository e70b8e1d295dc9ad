"""The rows of the paper's tables that runs are compared with."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from autocoa_bench.engines import model_name
from autocoa_bench.errors import UserError
from autocoa_bench.registry import unknown
from autocoa_bench.report.entries import Entry, grouped
from autocoa_bench.report.published import PaperRow, PaperTable, paper_tables
from autocoa_bench.types import TaskSample

Samples = tuple[tuple[str, TaskSample], ...]
"""Samples of a run's tasks, each with the paper's name of the dataset."""


class Match(NamedTuple):
    """A run with the rows of one of the paper's tables that has some of its datasets.

    `row` is the one row that is subtracted from ours; without it, `rows` are those of the run's
    section, if any. `reason` explains the choice.
    """

    entry: Entry
    table: PaperTable
    samples: Samples
    rows: tuple[PaperRow, ...]
    row: PaperRow | None
    reason: str


def match_rows(entries: Sequence[Entry], paper_rows: Mapping[str, str]) -> list[Match]:
    """Match each run with each table of the paper that has one of its datasets.

    `paper_rows` names rows by run (its name, solver, folder or path); other runs get the row of
    their section and model. Raises UserError for an unknown run or row.
    """
    chosen = _chosen_rows(entries, paper_rows)
    matches = []
    for entry in entries:
        for table in paper_tables():
            pairs = ((sample.task.partition("@")[0], sample) for sample in entry.spec.tasks)
            samples = tuple((name, sample) for name, sample in pairs if name in table.sets)
            if samples:
                matches.append(_match(entry, table, samples, chosen.get(entry.name, "")))
    return matches


def runs_by_row(entries: Sequence[Entry], paper_rows: Mapping[str, str]) -> dict[str, list[Entry]]:
    """The runs that match a single row of Table 1, by its name; `paper_rows` as in `match_rows`."""
    table, _ = paper_tables()
    return grouped(
        (match.row.name, match.entry)
        for match in match_rows(entries, paper_rows)
        if match.row is not None and match.table is table
    )


def _chosen_rows(entries: Sequence[Entry], paper_rows: Mapping[str, str]) -> dict[str, str]:
    """The rows given by the user, by the unique names of the entries."""
    rows = [row.name for table in paper_tables() for row in table.rows]
    chosen = {}
    for run, row in paper_rows.items():
        named = [
            entry
            for entry in entries
            if run in (entry.name, entry.spec.solver, entry.run.path.name, str(entry.run.path))
        ]
        if not named:
            raise unknown("run of this report", run, [entry.name for entry in entries])
        if row not in rows:
            raise unknown("row of the paper", row, rows)
        # An ambiguous name, or a second row for one run, must not be resolved silently.
        if len(named) > 1 or named[0].name in chosen:
            folders = ", ".join(str(entry.run.path) for entry in named)
            raise UserError(f"--as '{run}={row}': give each run one row, by its folder ({folders})")
        chosen[named[0].name] = row
    return chosen


def _match(entry: Entry, table: PaperTable, samples: Samples, chosen: str) -> Match:
    section = tuple(row for row in table.rows if row.section == entry.section)
    model = model_name(entry.spec.engine).rpartition("/")[2].casefold()
    if chosen:
        source, problem = "as --as says", f"{table.table} has no row {chosen}"
        candidates = [row for row in table.rows if chosen in (row.name, *row.also)]
    else:
        source, problem = "the row of its section and model", "no row is of its model"
        candidates = [row for row in section if model in (name.casefold() for name in row.models)]
    if candidates:
        row = candidates[0]
        return Match(entry, table, samples, (row,), row, f"beside {row.name}, {source}")
    remedy = f"--as '{entry.name}=ROW' names one"
    if not section:
        reason = f"beside no row: {table.table} has no section '{entry.section}'; {remedy}"
    else:
        names = ", ".join(row.name for row in section)
        reason = (
            f"{problem}: beside the range of the {len(section)} rows of its section ({names}), "
            f"from which nothing is subtracted; {remedy}"
        )
    return Match(entry, table, samples, section, None, reason)
