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
from autocoa_bench.report.entries import Catalogue, catalogue, deciding_scorer, entries
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
    "FORMATS",
    "TABLES",
    "USUAL",
    "Catalogue",
    "Report",
    "Table",
    "action_counts",
    "build",
    "catalogue",
    "claims",
    "compare",
    "compared",
    "costs",
    "evidence",
    "faults",
    "judge_agreement",
    "judge_probes",
    "kinds",
    "leaderboard",
    "paper",
    "print_terminal",
    "records_by_outcome",
    "render",
    "samples",
    "search_effect",
    "temporal",
    "usual",
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
USUAL = TABLES[:5]
"""Tables that every run has."""

_ALL_SCORERS = {"leaderboard", "kinds", "temporal", "paper", "corrected"}
"""Tables of every scorer; others are of the one that says which answers are correct."""


def usual(runs: Sequence[Run]) -> tuple[str, ...]:
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
    return (*USUAL, *(name for name, fit in fits.items() if fit))


Format = Literal["markdown", "latex", "csv", "json"]

FORMATS: dict[Format, Callable[[Report], str]] = {
    "markdown": markdown,
    "latex": latex,
    "csv": csv,
    "json": json,
}


def build(
    runs: Sequence[Run],
    by: Sequence[str] = USUAL,
    scorers: Sequence[str] | None = None,
    known: Catalogue | None = None,
    allow_differences: bool = False,
    beside: Mapping[str, str] | None = None,
    audits: Sequence[SavedAudit] = (),
    correcting: SavedAudit | None = None,
) -> Report:
    """The tables named in `by` over the runs, in that order.

    `scorers` are the leaderboard's metrics, the first of them (or `em`, where it is among them)
    the one that says which answers are correct by number of actions; by default all that the
    runs were scored by. `known` is looked up in the registry unless given. `beside` names, by run,
    the paper's rows for the tables `paper` and `claims` (`matching.matches`). The `audits` of the
    runs' judges stand under the tables; one `correcting` the judge's means adds a table of them
    (`corrected.corrected_means`). Raises UserError for
    a table or scorer that there is not, and for runs that are not comparable in one table
    (`guard.refuse_differences`) unless differences are allowed, which are then notes.
    """
    by = list(dict.fromkeys(by))
    if not by:
        raise UserError(f"no table was asked for (known: {', '.join(TABLES)})")
    if not runs:
        raise UserError("no runs to report on: give at least one run folder")
    for name in by:
        if name not in TABLES:
            raise unknown("table", name, list(TABLES))
    scored = list(dict.fromkeys(name for run in runs for name in run.info.scorers))
    metrics = list(scorers or scored)
    for name in metrics:
        _check_scorer(name, scored)
    if not metrics:
        raise UserError("the runs have no scorers: score them first, then report")
    if beside and not {"paper", "claims"} & set(by):
        raise UserError(f"--as names rows for --by paper or claims, not for {', '.join(by)}")
    known = catalogue(runs) if known is None else known
    found = entries(runs, known)
    if not allow_differences:
        check_comparable(found, metrics)
    correct = deciding_scorer(metrics)
    make: dict[str, Callable[[], Table]] = {
        "leaderboard": lambda: leaderboard(runs, metrics, known),
        "actions": lambda: action_counts(runs, correct, known),
        "evidence": lambda: evidence(runs, correct, known),
        "cost": lambda: costs(runs, known),
        "faults": lambda: faults(runs, known),
        "kinds": lambda: kinds(runs, metrics, known),
        "acting": lambda: when_to_act(runs, correct, known),
        "samples": lambda: samples(runs, correct, known),
        "temporal": lambda: temporal(runs, metrics, correct, known),
        "paper": lambda: paper(runs, known, beside),
        "claims": lambda: claims(runs, correct, known, beside),
    }
    tables = [make[name]() for name in by]
    if correcting is not None:
        tables.append(judge_correction(runs, correcting, known))
        audits = (correcting, *audits)
    if SCORER in metrics:
        judged = _ALL_SCORERS if correct != SCORER else {*TABLES, "corrected"} - {"cost", "faults"}
        notes = judge_notes(found, audits)
        tables = [_noted(each, notes) if each.name in judged else each for each in tables]
    return Report(tuple(tables), footer(found))


def compared(
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
    known = catalogue([first, second])
    found = entries([first, second], known)
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
