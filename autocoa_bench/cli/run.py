"""`autocoa-bench run` and `score`: record episodes, score them, and have a model judge them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from autocoa_bench.cli.common import (
    NO_JUDGE,
    RunFolders,
    check_budget,
    chosen_judge,
    judge_options,
    names_in,
    solver_option,
)
from autocoa_bench.cli.config_file import ConfigFile, SavedConfig, save_config
from autocoa_bench.cli.interrupts import stopped_safely
from autocoa_bench.cli.options_from_config import options_from
from autocoa_bench.cli.output import stderr, write_report
from autocoa_bench.cli.report import ReportConfig, build_report
from autocoa_bench.engines import EMBEDDED
from autocoa_bench.errors import Incomparable, UserError
from autocoa_bench.judge import SCORER, JudgeConfig
from autocoa_bench.runs.config import RunConfig
from autocoa_bench.util.commands import command_line

if TYPE_CHECKING:
    from autocoa_bench.runs.run_folder import Run

_DEFAULT_SCORERS = ",".join(RunConfig().scorers)
_DEFAULT_SOLVERS = [RunConfig().solver]


@options_from(RunConfig, environment=True)
@judge_options
def run(
    context: typer.Context,
    config: RunConfig,
    judge: JudgeConfig,
    solver: Annotated[list[str], solver_option("; repeat it for several")] = _DEFAULT_SOLVERS,
    config_file: ConfigFile = None,  # noqa: ARG001 - read before the other options
    saved_config: SavedConfig = None,
) -> None:
    """Run solvers over tasks, then print the tables. The same command resumes a stopped run.

    An option that is not given comes from AUTOCOA_BENCH_NAME in the environment (--base-url from
    AUTOCOA_BENCH_BASE_URL), or else from --config.
    """
    from autocoa_bench.runs import run as runner
    from autocoa_bench.runs import scores

    chosen = chosen_judge(context, judge)
    embedded = config.engine.partition(":")[0] == EMBEDDED
    shipped = embedded and not chosen and judge.model != NO_JUDGE and config.replay is None
    _check(config, solver, has_judge=bool(chosen) or shipped)
    if saved_config is not None:
        addresses = {
            "base-url": config.base_url,
            "judge-base-url": chosen.base_url if chosen else "",
        }
        save_config(context, saved_config, addresses)
    if chosen:
        scores.check_judge(chosen)
    text_scorers = tuple(scores.text_scorers(config.scorers))
    runs: list[Run] = []
    with stopped_safely():
        for name in solver:
            run_config = replace(config, solver=name, scorers=text_scorers)
            runs.append(runner.run(run_config, stderr()))
        if chosen:
            runs = scores.judge_runs(runs, chosen, stderr())
        elif shipped:
            runs = scores.judge_embedded(runs, config.concurrency, stderr())
    tables = ReportConfig(by="leaderboard,actions,cost,faults", allow_differences=True)
    write_report(build_report(runs, tables))
    for path in (run.path for run in runs):
        shown = command_line("show", path)
        typer.echo(f"recorded in {path}; read its trajectories: {shown}")


def _check(config: RunConfig, solvers: list[str], has_judge: bool) -> None:
    """Refuse options that contradict one another, before anything is loaded."""
    if SCORER in config.scorers and not has_judge:
        raise UserError(f"--scorers {SCORER} needs --judge MODEL, the model that judges")
    if config.out is not None and len(solvers) > 1:
        raise UserError(f"--out holds one run, and {len(solvers)} solvers were given; leave it out")
    check_budget(config.budget)
    if config.record is not None and config.replay is not None:
        raise UserError("--record and --replay exclude one another: a replay is recorded already")


@judge_options
@options_from(ReportConfig, only=("judge_audit",))
def score(
    context: typer.Context,
    runs: RunFolders,
    judge: JudgeConfig,
    report: ReportConfig,
    scorers: Annotated[
        str | None,
        typer.Option(
            help="Scorers, separated by commas; judge scores by the verdicts that a run has; "
            f"default: {_DEFAULT_SCORERS}, and judge where a run has verdicts.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Score recorded runs anew without generating. With --judge, a model judges them as well."""
    from autocoa_bench.runs import scores
    from autocoa_bench.runs.run_folder import load_run

    chosen = chosen_judge(context, judge)
    names = names_in(_DEFAULT_SCORERS if scorers is None else scorers)
    text_scorers = scores.text_scorers(names)
    # Without --scorers, a run that has verdicts keeps them.
    judged = None if scorers is None and chosen is None else SCORER in names or bool(chosen)
    with stopped_safely():
        recorded = [load_run(folder) for folder in runs]
        if chosen:
            recorded = scores.judge_runs(recorded, chosen, stderr())
        scored = [scores.score_run(run, text_scorers, judged) for run in recorded]
    try:
        write_report(build_report(scored, replace(report, by="leaderboard,faults")))
    except Incomparable as error:
        typer.echo(
            f"All runs are scored. A table of them is for report to print: {error}", err=True
        )
