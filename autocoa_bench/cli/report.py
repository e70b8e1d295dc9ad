"""`autocoa-bench report` and `compare`: tables of runs, as text, plots or a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from msgspec import Struct

from autocoa_bench.cli.common import RunFolders, names_in
from autocoa_bench.cli.options_from_config import options_from
from autocoa_bench.cli.output import TableConfig, check_file, write_report, write_table
from autocoa_bench.errors import UserError
from autocoa_bench.types import Option

if TYPE_CHECKING:
    from autocoa_bench.report.model import Report
    from autocoa_bench.runs.run_folder import Run

Outcome = Literal["won", "lost", "tied"]


class ReportConfig(Struct, frozen=True, kw_only=True):
    """The tables of a report, and what they are made with."""

    by: Annotated[
        str | None,
        Option(
            help="Tables, separated by commas: leaderboard, actions, evidence, cost, faults, "
            "kinds, acting, samples, temporal, paper, claims; default: the first five, and acting, "
            "samples and temporal where they fit."
        ),
    ] = None
    allow_differences: Annotated[
        bool,
        Option(
            help="Put runs of different corpora, top-k, questions, scorers, judge, sampling or "
            "budgets in one table, and list the differences under it.",
            flags=("--allow-differences",),
        ),
    ] = False
    paper_rows: Annotated[
        tuple[str, ...],
        Option(
            help="The row of the paper that RUN is compared with in --by paper and claims. RUN is "
            "a run's name in the table, its solver or its folder; default: the row of the run's "
            "section and model. Repeatable.",
            flags=("--as",),
            metavar="RUN=ROW",
        ),
    ] = ()
    judge_audit: Annotated[
        Path | None,
        Option(
            help="An audit of the runs' judge, from judge audit --save; adds a table of the "
            "judge's means corrected by it."
        ),
    ] = None


@options_from(ReportConfig)
@options_from(TableConfig)
def report(
    runs: RunFolders,
    config: ReportConfig,
    tables: TableConfig,
    html: Annotated[
        Path | None,
        typer.Option(
            help="Write one page instead: tables, plots and a reader of all trajectories, which "
            "opens from disk in a browser."
        ),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(
            help="Write the tables' plots into this folder instead, as .svg, .pdf and .png."
        ),
    ] = None,
) -> None:
    """Print or write the tables of one or more runs."""
    from autocoa_bench.runs.scores import load_scored

    as_text = html is None and plots is None
    if not as_text and (tables.format or tables.out):
        option = "--plots" if html is None else "--html"
        raise UserError(f"{option} writes files of its own: leave out --format and --out")
    tables.chosen_format()
    if html is not None:
        check_file(html, "--html")
    loaded = [load_scored(folder) for folder in runs]
    report = build_report(loaded, config)
    if as_text:
        write_report(report, tables)
    if html is not None:
        from autocoa_bench.report.page import page

        write_table(html, page(report, loaded))
        typer.echo(f"written to {html}: open it in a browser")
    if plots is not None:
        from autocoa_bench.report.render.plot_figures import write_plots

        for file in write_plots(report, loaded, plots):
            typer.echo(file)


@options_from(ReportConfig, only=("allow_differences",))
@options_from(TableConfig)
def compare(
    first: Annotated[Path, typer.Argument(help="A run folder.", metavar="RUN")],
    second: Annotated[
        Path, typer.Argument(help="Another, with the same questions.", metavar="RUN")
    ],
    config: ReportConfig,
    tables: TableConfig,
    scorer: Annotated[str, typer.Option(help="The scorer that decides what is better.")] = "em",
    show: Annotated[
        Outcome | None,
        typer.Option(help="Print trajectories side by side, of questions that the first run ..."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of questions for --show.")] = 3,
) -> None:
    """Compare two runs question by question: won, lost, tied, a paired test, gained by search."""
    from autocoa_bench.cli.show import print_pair
    from autocoa_bench.report import compare_runs, records_by_outcome
    from autocoa_bench.runs.scores import load_scored, shipped_audits

    if tables.chosen_format() != "terminal" and show:
        raise UserError(f"--show {show} prints to the terminal: leave out --format and --out")
    if first.resolve() == second.resolve():
        raise UserError(f"'{first}' and '{second}' are one run: give two run folders")
    runs = load_scored(first), load_scored(second)
    audits = shipped_audits(runs)
    write_report(compare_runs(*runs, scorer, config.allow_differences, audits), tables)
    if not show:
        return
    pairs = records_by_outcome(*runs, scorer, show)
    for pair in pairs[:limit]:
        print_pair(runs, pair)
    if len(pairs) > limit:
        typer.echo(f"{limit} of {len(pairs)} {show} questions; more with --limit")
    elif not pairs:
        typer.echo(f"no question is {show}")


def build_report(runs: Sequence[Run], config: ReportConfig) -> Report:
    """The report of runs, with the tables that fit unless `by` names them. Raises UserError."""
    from autocoa_bench.judge.agreement import read_audit
    from autocoa_bench.report import build, default_tables
    from autocoa_bench.runs.scores import shipped_audits

    correction = read_audit(config.judge_audit) if config.judge_audit is not None else None
    return build(
        runs,
        default_tables(runs) if config.by is None else names_in(config.by),
        allow_differences=config.allow_differences,
        paper_rows=rows_by_run(config.paper_rows),
        audits=shipped_audits(runs),
        correction_audit=correction,
    )


def rows_by_run(texts: tuple[str, ...]) -> dict[str, str]:
    """The rows of the paper by run, from texts RUN=ROW. Raises UserError."""
    rows: dict[str, str] = {}
    for text in texts:
        # The name of a run may contain "=", that of a row does not.
        run, equals, row = text.rpartition("=")
        if not (run and equals and row):
            raise UserError(f"--as takes RUN=ROW, such as 'agent=SFT-stage2', not '{text}'")
        if run in rows:
            raise UserError(f"--as is given twice for '{run}'")
        rows[run] = row
    return rows
