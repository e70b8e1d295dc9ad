"""Reports: from runs to tables (pure functions), from tables to a page (renderers)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec.structs import replace

from autocoa_bench.errors import UserError
from autocoa_bench.judge import SCORER
from autocoa_bench.judge.agreement import SavedAudit
from autocoa_bench.registry import unknown
from autocoa_bench.report.comparison.comparability import check_comparable
from autocoa_bench.report.entries import Catalogue, deciding_scorer, make_catalogue, make_entries
from autocoa_bench.report.model import Report, Table
from autocoa_bench.report.notes import footer, judge_notes
from autocoa_bench.report.render.csv_json import csv, json
from autocoa_bench.report.render.latex import latex
from autocoa_bench.report.render.markdown import markdown
from autocoa_bench.report.render.terminal import print_terminal
from autocoa_bench.report.tables.actions import action_counts
from autocoa_bench.report.tables.claims import claims
from autocoa_bench.report.tables.compare import compare, records_by_outcome
from autocoa_bench.report.tables.costs import costs
from autocoa_bench.report.tables.evidence import evidence
from autocoa_bench.report.tables.faults import faults
from autocoa_bench.report.tables.judge_agreement import judge_agreement
from autocoa_bench.report.tables.judge_correction import judge_correction
from autocoa_bench.report.tables.judge_probes import judge_probes
from autocoa_bench.report.tables.kinds import kinds
from autocoa_bench.report.tables.leaderboard import leaderboard
from autocoa_bench.report.tables.paper import paper
from autocoa_bench.report.tables.samples import samples
from autocoa_bench.report.tables.search_effect import search_effect
from autocoa_bench.report.tables.temporal import temporal
from autocoa_bench.report.tables.when_to_act import KINDS, when_to_act
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.tasks.subquestions import asks_subquestions

__all__ = [
    "DEFAULT_TABLES",
    "FORMATS",
    "TABLES",
    "Catalogue",
    "Report",
    "Table",
    "action_counts",
    "build",
    "claims",
    "compare",
    "compare_runs",
    "costs",
    "default_tables",
    "evidence",
    "faults",
    "judge_agreement",
    "judge_probes",
    "kinds",
    "leaderboard",
    "make_catalogue",
    "paper",
    "print_terminal",
    "records_by_outcome",
    "render",
    "samples",
    "search_effect",
    "temporal",
    "when_to_act",
]

TABLES = (
    "leaderboard",
    "actions",
    "evidence",
    "cost",
    "faults",
    "kinds",
    "acting",
    "samples",
    "temporal",
    "paper",
    "claims",
)
DEFAULT_TABLES = TABLES[:5]
"""Tables that every run has."""

_ALL_SCORERS = {"leaderboard", "kinds", "temporal", "paper", "corrected"}
"""Tables of every scorer; others are of the one that says which answers are correct."""


def default_tables(runs: Sequence[Run]) -> tuple[str, ...]:
    """The tables that fit the runs: those that every run has, `acting` where a run has questions
    of its kinds, `samples` where one has several a question, `temporal` where one asks
    sub-questions."""
    records = (record for run in runs for record in run.records)
    samples = (sample for run in runs for sample in run.info.spec.tasks)
    fits = {
        "acting": any(record.question.kind in KINDS for record in records),
        "samples": any(run.info.spec.samples > 1 for run in runs),
        "temporal": any(asks_subquestions(sample.task) for sample in samples),
    }
    return (*DEFAULT_TABLES, *(name for name, fit in fits.items() if fit))


Format = Literal["markdown", "latex", "csv", "json"]

FORMATS: dict[Format, Callable[[Report], str]] = {
    "markdown": markdown,
    "latex": latex,
    "csv": csv,
    "json": json,
}


def build(
    runs: Sequence[Run],
    tables: Sequence[str] = DEFAULT_TABLES,
    scorers: Sequence[str] | None = None,
    catalogue: Catalogue | None = None,
    allow_differences: bool = False,
    paper_rows: Mapping[str, str] | None = None,
    audits: Sequence[SavedAudit] = (),
    correction_audit: SavedAudit | None = None,
) -> Report:
    """The tables named in `tables` over the runs, in that order.

    `scorers` are the metrics of the tables (default: all scorers of the runs). `em`, if it is one
    of them, else the first decides which answers are correct. `catalogue` defaults to what the
    registry says of the runs. `paper_rows` names rows of the paper by run
    (`paper_rows.match_rows`). `audits` of the runs' judges are noted under the tables, and
    `correction_audit` adds a table of means corrected by it.

    Raises UserError for an unknown table or scorer and, unless `allow_differences`, for runs that
    are not comparable (`comparability.check_comparable`).
    """
    tables = list(dict.fromkeys(tables))
    if not tables:
        raise UserError(f"no table was asked for (known: {', '.join(TABLES)})")
    if not runs:
        raise UserError("no runs to report on: give at least one run folder")
    for name in tables:
        if name not in TABLES:
            raise unknown("table", name, list(TABLES))
    scored = list(dict.fromkeys(name for run in runs for name in run.info.scorers))
    metrics = list(scorers or scored)
    for name in metrics:
        _check_scorer(name, scored)
    if not metrics:
        raise UserError("the runs have no scorers: score them first, then report")
    if paper_rows and not {"paper", "claims"} & set(tables):
        raise UserError(f"--as names rows for --by paper or claims, not for {', '.join(tables)}")
    catalogue = make_catalogue(runs) if catalogue is None else catalogue
    found = make_entries(runs, catalogue)
    if not allow_differences:
        check_comparable(found, metrics)
    correct = deciding_scorer(metrics)
    make: dict[str, Callable[[], Table]] = {
        "leaderboard": lambda: leaderboard(runs, metrics, catalogue),
        "actions": lambda: action_counts(runs, correct, catalogue),
        "evidence": lambda: evidence(runs, correct, catalogue),
        "cost": lambda: costs(runs, catalogue),
        "faults": lambda: faults(runs, catalogue),
        "kinds": lambda: kinds(runs, metrics, catalogue),
        "acting": lambda: when_to_act(runs, correct, catalogue),
        "samples": lambda: samples(runs, correct, catalogue),
        "temporal": lambda: temporal(runs, metrics, correct, catalogue),
        "paper": lambda: paper(runs, catalogue, paper_rows),
        "claims": lambda: claims(runs, correct, catalogue, paper_rows),
    }
    made = [make[name]() for name in tables]
    if correction_audit is not None:
        made.append(judge_correction(runs, correction_audit, catalogue))
        audits = (correction_audit, *audits)
    if SCORER in metrics:
        judged = _ALL_SCORERS if correct != SCORER else {*TABLES, "corrected"} - {"cost", "faults"}
        notes = judge_notes(found, audits)
        made = [_noted(each, notes) if each.name in judged else each for each in made]
    return Report(tuple(made), footer(found))


def compare_runs(
    first: Run,
    second: Run,
    scorer: str = "em",
    allow_differences: bool = False,
    audits: Sequence[SavedAudit] = (),
) -> Report:
    """Two runs side by side, and what searching changes where one of them does not search.

    Raises UserError for a scorer that one does not have, and as `build` does for differences.
    """
    for run in (first, second):
        _check_scorer(scorer, run.info.scorers)
    known = make_catalogue([first, second])
    found = make_entries([first, second], known)
    if not allow_differences:
        check_comparable(found, [scorer])
    tables = (compare(first, second, scorer, known), search_effect(first, second, scorer, known))
    notes = judge_notes(found, audits) if scorer == SCORER else ()
    shown = tuple(_noted(table, notes) for table in tables if table is not None)
    return Report(shown, footer(found))


def _noted(table: Table, notes: tuple[str, ...]) -> Table:
    return replace(table, notes=(*table.notes, *notes))


def _check_scorer(name: str, scored: Sequence[str]) -> None:
    if name not in scored:
        raise unknown("scorer of these runs", name, list(scored))


def render(report: Report, format: str) -> str:  # noqa: A002 - the word users know
    """A report as `markdown`, `latex`, `csv` or `json`. Raises UserError for another format."""
    for name, renderer in FORMATS.items():
        if name == format:
            return renderer(report)
    raise unknown("format", format, list(FORMATS))
