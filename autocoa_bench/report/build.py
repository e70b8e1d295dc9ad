"""Reports over runs: the tables by name, with the checks and notes that all of them share."""

from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from autocoa_bench.errors import UserError
from autocoa_bench.judge import SCORER
from autocoa_bench.judge.agreement import SavedAudit
from autocoa_bench.registry import unknown
from autocoa_bench.report.comparison.comparability import check_comparable
from autocoa_bench.report.entries import (
    Catalogue,
    Inputs,
    make_catalogue,
    make_entries,
    make_inputs,
)
from autocoa_bench.report.model import Report, Table
from autocoa_bench.report.notes import footer, judge_notes
from autocoa_bench.report.render.csv_json import csv, json
from autocoa_bench.report.render.latex import latex
from autocoa_bench.report.render.markdown import markdown
from autocoa_bench.report.tables.actions import action_counts
from autocoa_bench.report.tables.claims import claims
from autocoa_bench.report.tables.compare import compare, search_effect
from autocoa_bench.report.tables.costs import costs
from autocoa_bench.report.tables.evidence import evidence
from autocoa_bench.report.tables.faults import faults
from autocoa_bench.report.tables.judge_correction import judge_correction
from autocoa_bench.report.tables.kinds import kinds
from autocoa_bench.report.tables.leaderboard import leaderboard
from autocoa_bench.report.tables.paper import paper
from autocoa_bench.report.tables.samples import samples
from autocoa_bench.report.tables.temporal import temporal
from autocoa_bench.report.tables.when_to_act import KINDS, when_to_act
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.tasks.subquestions import asks_subquestions

_MAKERS: dict[str, Callable[[Inputs], Table]] = {
    "leaderboard": leaderboard,
    "actions": action_counts,
    "evidence": evidence,
    "cost": costs,
    "faults": faults,
    "kinds": kinds,
    "acting": when_to_act,
    "samples": samples,
    "temporal": temporal,
    "paper": paper,
    "claims": claims,
}

TABLES = tuple(_MAKERS)
DEFAULT_TABLES = TABLES[:5]
"""The tables that fit every run."""

_UNSCORED = {"cost", "faults"}
_ALL_SCORERS = {"leaderboard", "kinds", "temporal", "paper", "corrected"}
"""Tables of every scorer; those in neither set are of the scorer that decides."""


def default_tables(runs: Sequence[Run]) -> tuple[str, ...]:
    """The tables that fit the runs.

    These are DEFAULT_TABLES, `acting` if a run has questions of its kinds, `samples` if one has
    several samples per question, and `temporal` if one asks sub-questions.
    """
    records = (record for run in runs for record in run.records)
    tasks = (sample.task for run in runs for sample in run.info.spec.tasks)
    optional = {
        "acting": any(record.question.kind in KINDS for record in records),
        "samples": any(run.info.spec.samples > 1 for run in runs),
        "temporal": any(map(asks_subquestions, tasks)),
    }
    return (*DEFAULT_TABLES, *(name for name, fits in optional.items() if fits))


FORMATS: dict[str, Callable[[Report], str]] = {
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
    names = list(dict.fromkeys(tables))
    if not names:
        raise UserError(f"no table was requested (known: {', '.join(TABLES)})")
    for name in names:
        if name not in TABLES:
            raise unknown("table", name, list(TABLES))
    if paper_rows and not {"paper", "claims"} & set(names):
        raise UserError(f"--as names rows for --by paper or claims, not for {', '.join(names)}")
    if not runs:
        raise UserError("no runs to report on: give at least one run folder")
    scored = list(dict.fromkeys(name for run in runs for name in run.info.scorers))
    metrics = list(scorers or scored)
    for name in metrics:
        _check_scorer(name, scored)
    if not metrics:
        raise UserError("the runs have no scorers: score them first, then report")
    catalogue = make_catalogue(runs) if catalogue is None else catalogue
    inputs = make_inputs(runs, metrics, catalogue, paper_rows)
    if not allow_differences:
        check_comparable(inputs.entries, metrics)
    results = [_MAKERS[name](inputs) for name in names]
    if correction_audit is not None:
        results.append(judge_correction(inputs, correction_audit))
        audits = (correction_audit, *audits)
    # Tables that show a judge's scores say who judged, and how well.
    if SCORER in metrics:
        judged = {*TABLES, "corrected"} - _UNSCORED if inputs.scorer == SCORER else _ALL_SCORERS
        notes = judge_notes(inputs.entries, audits)
        results = [_add_notes(table, notes) if table.name in judged else table for table in results]
    return Report(tuple(results), footer(inputs.entries))


def compare_runs(
    first: Run,
    second: Run,
    scorer: str = "em",
    allow_differences: bool = False,
    audits: Sequence[SavedAudit] = (),
) -> Report:
    """Two runs side by side, and the effect of searching if one of them does not search.

    Raises UserError for a scorer that one of them lacks and, like `build`, for runs that are not
    comparable.
    """
    for run in (first, second):
        _check_scorer(scorer, run.info.scorers)
    catalogue = make_catalogue([first, second])
    entries = make_entries([first, second], catalogue)
    if not allow_differences:
        check_comparable(entries, [scorer])
    tables = (
        compare(first, second, scorer, catalogue),
        search_effect(first, second, scorer, catalogue),
    )
    notes = judge_notes(entries, audits) if scorer == SCORER else ()
    results = tuple(_add_notes(table, notes) for table in tables if table is not None)
    return Report(results, footer(entries))


def _add_notes(table: Table, notes: tuple[str, ...]) -> Table:
    return replace(table, notes=(*table.notes, *notes))


def _check_scorer(name: str, scored: Sequence[str]) -> None:
    if name not in scored:
        raise unknown("scorer of these runs", name, list(scored))


def render(report: Report, format: str) -> str:  # noqa: A002 - the word users know
    """A report as `markdown`, `latex`, `csv` or `json`. Raises UserError for another format."""
    if format not in FORMATS:
        raise unknown("format", format, list(FORMATS))
    return FORMATS[format](report)
