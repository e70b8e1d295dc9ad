"""The builder of tables: collects rows by section, the numbers behind them, and notes."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
from msgspec import Struct

from autocoa_bench.engines import model_name
from autocoa_bench.report.comparison.claim_tests import Contrast
from autocoa_bench.report.entries import Entry
from autocoa_bench.report.model import Cell, Column, DataPoint, Row, Section, Table, Value, as_cell
from autocoa_bench.report.notes import shared_notes, title_with_edition
from autocoa_bench.stats import Estimate, Paired


class TableBuilder:
    """A table under construction. `entries` is empty for a table that is not about runs."""

    def __init__(self, name: str, entries: Sequence[Entry] = ()) -> None:
        self.entries = entries
        self._name = name
        self._sections: list[tuple[str, list[Row]]] = []
        self._notes: list[str] = []
        self._data_points: list[DataPoint] = []

    def start_section(self, title: str) -> None:
        """Begin a section; the rows added from now on belong to it."""
        self._sections.append((title, []))

    def add_method(self, entry: Entry, values: Iterable[Value]) -> None:
        """Add a run as a row, under the heading of its section of Table 1."""
        if not self._sections or self._sections[-1][0] != entry.section:
            self.start_section(entry.section)
        self.add_row(Cell(entry.label, entry.model), values)

    def add_row(self, label: Cell | str, values: Iterable[Value]) -> None:
        """Add a row to the current section, which has no title unless one was started."""
        if not self._sections:
            self.start_section("")
        self._sections[-1][1].append(Row(as_cell(label), tuple(map(as_cell, values))))

    def add_point(self, entry: Entry | None, metric: str, **fields: Any) -> None:
        """Add a data point of a run, or of none."""
        if entry is not None:
            fields |= {
                "run": entry.name,
                "folder": entry.run.path.name,
                "solver": entry.spec.solver,
                "model": model_name(entry.spec.engine),
                "section": entry.section,
            }
        self._data_points.append(DataPoint(self._name, metric=metric, **fields))

    def add_estimate(
        self,
        entry: Entry | None,
        metric: str,
        estimate: Estimate | Paired | Contrast,
        **fields: Any,
    ) -> None:
        """Add a mean with its interval as a data point."""
        interval = {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}
        self.add_point(entry, metric, **interval, n=estimate.n, **fields)

    def add_covered(
        self, entry: Entry | None, metric: str, estimate: Estimate, **fields: Any
    ) -> None:
        """Add a mean with its interval and its coverage of the planned questions."""
        coverage = {"planned": estimate.planned, "coverage": estimate.coverage}
        self.add_estimate(entry, metric, estimate, **coverage, **fields)

    def add_total(self, entry: Entry, metric: str, values: Sequence[float]) -> None:
        """Add the mean, the number and the sum of a run's values (at least one)."""
        self.add_point(entry, metric, mean=fmean(values), n=len(values), total=sum(values))

    def add_note(self, note: str) -> None:
        """Add a note that goes below the table's general notes."""
        self._notes.append(note)

    def text(self, name: str, **slots: object) -> str:
        """A text of the table's legend, filled with `slots`."""
        return _legends()[self._name].texts[name].format(**slots)

    def add_text(self, name: str, **slots: object) -> None:
        """Add a text of the table's legend as a note."""
        self.add_note(self.text(name, **slots))

    def build(
        self,
        title: str,
        stub: str,
        columns: Sequence[Column],
        notes: Sequence[str] = (),
        lead: int = 1,
        last_notes: Sequence[str] | None = None,
    ) -> Table:
        """The table, with its general `notes` first, those added next and the runs' own last.

        `last_notes` replaces the notes that tables of runs share.
        """
        last_notes = shared_notes(self.entries) if last_notes is None else last_notes
        return Table(
            name=self._name,
            title=title_with_edition(title, self.entries),
            stub=stub,
            columns=tuple(columns),
            sections=tuple(Section(title, tuple(rows)) for title, rows in self._sections),
            notes=(*notes, *self._notes, *last_notes),
            data_points=tuple(self._data_points),
            lead=lead,
        )

    def build_with_legend(
        self,
        columns: Sequence[Column],
        notes: Sequence[str] = (),
        last_notes: Sequence[str] | None = None,
        legend: str = "",
        **slots: object,
    ) -> Table:
        """The table with its title and general notes from `legends.toml`, filled with `slots`.

        `legend` names one that is not of the table's name; `notes` go below its own.
        """
        words = _legends()[legend or self._name]
        title = words.title.format(**slots)
        general = [*(note.format(**slots) for note in words.notes), *notes]
        return self.build(title, words.stub, columns, general, words.lead, last_notes)


class _Legend(Struct, frozen=True):
    title: str
    stub: str
    lead: int = 1
    notes: tuple[str, ...] = ()
    texts: dict[str, str] = {}


@cache
def _legends() -> dict[str, _Legend]:
    """What is written above and below each table, by its name."""
    content = Path(__file__).with_name("legends.toml").read_bytes()
    return msgspec.toml.decode(content, type=dict[str, _Legend])
