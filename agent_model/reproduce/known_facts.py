"""What each row still knows without searching, beside what its agent searches for."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from agent_model.reproduce import commands
from agent_model.reproduce.measures import SCORER, right, searched
from agent_model.reproduce.scale import ScaleConfig
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.entries import EMPTY_CATALOGUE, Entry, make_entries
from autocoa_bench.report.model import Cell, Table, Value, columns, percent
from autocoa_bench.runs import scores
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import Estimate

_BASE_LABEL = "the base (ReAct)"
_KINDS = ("known", "unknown")


class RowRuns(NamedTuple):
    """The runs of a row, one a seed: of its model without a search engine, and of its agent."""

    closed_book: Sequence[Run]
    acting: Sequence[Run]


def runs_of_rows(scale: ScaleConfig, folders: Sequence[Path]) -> dict[str, RowRuns]:
    """The runs of each row that may search, from complete reproductions. Raises UserError."""
    names = commands.table_rows(scale)
    return {
        _BASE_LABEL if name in commands.UNTRAINED_ROWS else row: RowRuns(
            _load(folders, commands.closed_book_run(name)), _load(folders, name)
        )
        for name, row in names.items()
        if name != commands.MODEL_ONLY
    }


def _load(folders: Sequence[Path], name: str) -> list[Run]:
    return [scores.load_scored(folder / "runs" / name) for folder in folders]


def known_facts(rows: Mapping[str, RowRuns]) -> Table:
    """The share of single facts that each row has right closed book, and that it searches for."""
    builder = TableBuilder("known-facts")
    for row, runs in rows.items():
        closed = make_entries(runs.closed_book, EMPTY_CATALOGUE)
        acting = make_entries(runs.acting, EMPTY_CATALOGUE)
        cells: list[Value] = []
        for entries, share, metric in (
            (closed, right, f"{SCORER}:closed-book"),
            (acting, searched, "searched"),
        ):
            for kind in _KINDS:
                cells.append(share_cell(entries, share, kind))
                builder.add_estimate(None, f"{metric}:{kind}:{row}", share(entries, kind))
        builder.add_row(row, cells)
    seeds = max(len(runs.acting) for runs in rows.values())
    notes = (
        "closed book: asked for a single fact without a search engine (exact match); known facts "
        "are those that the base was trained on, unknown ones stand in the corpus alone",
        "searched: the share of these facts that the row's agent searches for, with a search "
        "engine; in brackets "
        + ("the range over the seeds" if seeds > 1 else "the 95 % interval over questions"),
    )
    headings = columns(
        *(("Closed book, right %", kind) for kind in _KINDS),
        *(("Searched %", kind) for kind in _KINDS),
    )
    return builder.build("Known facts, asked closed book", "Row", headings, notes, lead=0)


def share_cell(
    entries: Sequence[Entry], share: Callable[[Sequence[Entry], str], Estimate], kind: str
) -> Value:
    """A share of the questions of a kind in percent: of one run with its interval over questions,
    of several with the range of the runs' own shares."""
    overall = share(entries, kind)
    means = [mean for entry in entries if (mean := share([entry], kind).mean) is not None]
    if len(entries) == 1 or overall.mean is None:
        return overall
    return Cell(percent(overall.mean), f"{100 * min(means):.0f}–{100 * max(means):.0f}")
