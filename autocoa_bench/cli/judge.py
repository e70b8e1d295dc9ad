"""`autocoa-bench judge`: how far what says that an answer is right can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autocoa_bench.cli.options import (
    JudgeBaseUrl,
    JudgeEngine,
    JudgeKeyFile,
    JudgeModel,
    JudgePrompt,
    JudgeVotes,
    TableFile,
    TableFormat,
    check_file,
    format_of,
    judge_plan,
    names_in,
    stderr,
    stopped_safely,
    write_report,
)
from autocoa_bench.errors import UserError

if TYPE_CHECKING:
    from autocoa_bench.judge import JudgeConfig

Labels = Annotated[
    Path,
    typer.Argument(
        help="Labelled answers: rows (.jsonl, .json, .parquet) of question, golden_answers, "
        "prediction and verdict."
    ),
]

Verdicts = Annotated[
    Path | None,
    typer.Option(help="Keep the judge's verdicts in this file: what is in it is not asked again."),
]

judge_app = typer.Typer(help="Audit scorers on answers with known verdicts.", no_args_is_help=True)


@judge_app.callback()
def judge() -> None:
    """Audit scorers on answers with known verdicts."""


@judge_app.command()
def audit(
    labels: Labels,
    scorers: Annotated[
        str, typer.Option("--scorers", "--scorer", help="Scorers, comma-separated.")
    ] = "em,f1,cover_em",
    judge: JudgeModel = "",
    judge_base_url: JudgeBaseUrl = [],  # noqa: B006 - typer reads the default and never changes it
    judge_key_file: JudgeKeyFile = "",
    judge_engine: JudgeEngine = "",
    judge_prompt: JudgePrompt = "",
    judge_votes: JudgeVotes = None,
    verdicts: Verdicts = None,
    save: Annotated[
        Path | None,
        typer.Option(help="Write the judge's figures to this file, for report --judge-audit."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="Differing answers to show of each scorer.")
    ] = 5,
    format: TableFormat = None,  # noqa: A002 - the option's name
    out: TableFile = None,
) -> None:
    """Say how far scorers, and a judge, agree with labels, and where they differ."""
    from autocoa_bench import report
    from autocoa_bench.judge import SCORER, judge_description
    from autocoa_bench.judge import agreement as audits
    from autocoa_bench.runs import scores

    plan = judge_plan(
        judge, judge_base_url, judge_key_file, judge_engine, judge_prompt, judge_votes
    )
    _need_judge(plan, verdicts=verdicts, save=save)
    _check_apart(labels, verdicts, save, out)
    if plan is None and SCORER in names_in(scorers):
        raise UserError(f"--scorers {SCORER} needs --judge MODEL, which says who judges")
    form = format or format_of(out)
    for file in (save, out):
        if file is not None:
            check_file(file)
    loaded = scores.text_scorers(names_in(scorers))
    found = audits.read_labels(labels)
    made = {name: audits.audit(found, scorer) for name, scorer in loaded.items()}
    said = ""
    if plan:
        with stopped_safely():
            spec, right = scores.judge_labels(found, plan, verdicts, stderr())
        made[SCORER] = audits.Audit(found, right)
        said = judge_description(spec)
        if save is not None:
            audits.save_audit(save, spec, labels.name, made[SCORER])
    write_report(report.judge_agreement(made, labels.name, limit, said), form, out)


@judge_app.command()
def probe(
    labels: Labels,
    judge: JudgeModel = "",
    judge_base_url: JudgeBaseUrl = [],  # noqa: B006 - as above
    judge_key_file: JudgeKeyFile = "",
    judge_engine: JudgeEngine = "",
    judge_prompt: JudgePrompt = "",
    judge_votes: JudgeVotes = None,
    verdicts: Verdicts = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Take so many of the labelled answers, the first.")
    ] = None,
    format: TableFormat = None,  # noqa: A002 - the option's name
    out: TableFile = None,
) -> None:
    """Try to mislead a judge: wrong answers that say they are right, golds in another order."""
    from autocoa_bench import report
    from autocoa_bench.judge import judge_description
    from autocoa_bench.judge.agreement import read_labels
    from autocoa_bench.runs import scores

    plan = judge_plan(
        judge, judge_base_url, judge_key_file, judge_engine, judge_prompt, judge_votes
    )
    if plan is None:
        raise UserError("a probe is of a judge: give --judge MODEL")
    _check_apart(labels, verdicts, out)
    form = format or format_of(out)
    if out is not None:
        check_file(out)
    found = read_labels(labels)[:limit]
    with stopped_safely():
        spec, made = scores.probe_judge(found, plan, verdicts, stderr())
    write_report(report.judge_probes(made, labels.name, judge_description(spec)), form, out)


def _check_apart(*files: Path | None) -> None:
    """Refuse one file for two purposes: the labels would be written over."""
    given = [file.resolve() for file in files if file is not None]
    for file in given:
        if given.count(file) > 1:
            raise UserError(f"'{file.name}' is given twice, to be read or written; name two files")


def _need_judge(plan: JudgeConfig | None, **given: Path | None) -> None:
    for name, value in given.items():
        if value is not None and plan is None:
            raise UserError(f"--{name} '{value}' is of a judge: give --judge too")
