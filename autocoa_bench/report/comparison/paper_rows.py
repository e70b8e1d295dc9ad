"""Which row of the paper a run stands beside, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from autocoa_bench.engines import model_name
from autocoa_bench.errors import UserError
from autocoa_bench.registry import unknown
from autocoa_bench.report.entries import Entry
from autocoa_bench.report.published import PaperRow, PaperTable, paper_tables
from autocoa_bench.types import TaskSample


class Match(NamedTuple):
    """A run, a table of the paper with some of the run's datasets, and the rows it stands beside.

    `row` is the one row that ours can be subtracted from; where there is none, `rows` are those
    of the run's section, if any. `why` says so in words. `samples` are by the table's names of
    datasets.
    """

    entry: Entry
    table: PaperTable
    samples: tuple[tuple[str, TaskSample], ...]
    rows: tuple[PaperRow, ...]
    row: PaperRow | None
    why: str


def matches(found: Sequence[Entry], beside: Mapping[str, str]) -> list[Match]:
    """Each run with each table of the paper that has one of its datasets.

    `beside` names rows for runs, these by name, solver, folder or path; otherwise a run stands
    beside the row of its section and model. Raises UserError for a run or row that there is not.
    """
    chosen = _chosen(found, beside)
    made = []
    for entry in found:
        for table in paper_tables():
            pairs = ((sample.task.partition("@")[0], sample) for sample in entry.spec.tasks)
            samples = tuple((name, sample) for name, sample in pairs if name in table.sets)
            if samples:
                made.append(_match(entry, table, samples, chosen.get(entry.name, "")))
    return made


def runs_of_rows(found: Sequence[Entry], beside: Mapping[str, str]) -> dict[str, list[Entry]]:
    """The runs that stand beside one row of Table 1, by its name; `beside`: see `matches`."""
    table, _ = paper_tables()
    rows: dict[str, list[Entry]] = {}
    for match in matches(found, beside):
        if match.row is not None and match.table is table:
            rows.setdefault(match.row.name, []).append(match.entry)
    return rows


def _chosen(found: Sequence[Entry], beside: Mapping[str, str]) -> dict[str, str]:
    """The rows that were named, by the names of the runs."""
    rows = [row.name for table in paper_tables() for row in table.rows]
    chosen = {}
    for run, row in beside.items():
        named = [each for each in found if run in _names(each)]
        if not named:
            raise unknown("run of this report", run, [entry.name for entry in found])
        if row not in rows:
            raise unknown("row of the paper", row, rows)
        if len(named) > 1 or named[0].name in chosen:
            folders = ", ".join(str(each.run.path) for each in named)
            raise UserError(f"--as '{run}={row}': give each run one row, by its folder ({folders})")
        chosen[named[0].name] = row
    return chosen


def _names(entry: Entry) -> tuple[str, ...]:
    """What a run may be called: its name in the table, its solver, its folder, the way there."""
    return (entry.name, entry.spec.solver, entry.run.path.name, str(entry.run.path))


def _match(
    entry: Entry, table: PaperTable, samples: tuple[tuple[str, TaskSample], ...], chosen: str
) -> Match:
    section = tuple(row for row in table.rows if row.section == entry.section)
    model = model_name(entry.spec.engine).rpartition("/")[2].casefold()
    if chosen:
        of, why = "as --as says", f"{table.table} has no row {chosen}"
        same = [row for row in table.rows if chosen in (row.name, *row.also)]
    else:
        of, why = "the row of its section and model", "no row is of its model"
        same = [row for row in section if model in (name.casefold() for name in row.models)]
    if same:
        return Match(entry, table, samples, (same[0],), same[0], f"beside {same[0].name}, {of}")
    names = f"--as '{entry.name}=ROW' names one"
    if not section:
        why = f"beside no row: {table.table} has no section '{entry.section}'; {names}"
    else:
        rows = ", ".join(row.name for row in section)
        why += (
            f": beside the range of the {len(section)} rows of its section ({rows}), from which "
            f"nothing is subtracted; {names}"
        )
    return Match(entry, table, samples, section, None, why)
