"""`autocoa-bench judge`: audit what decides that an answer is right, and try to mislead it."""

from pathlib import Path
from typing import Annotated

import typer

from autocoa_bench.cli.common import chosen_judge, judge_options, names_in
from autocoa_bench.cli.interrupts import stopped_safely
from autocoa_bench.cli.options_from_config import options_from
from autocoa_bench.cli.output import TableConfig, check_file, stderr, write_report
from autocoa_bench.errors import UserError
from autocoa_bench.judge import SCORER, JudgeConfig, judge_description

LabelsFile = Annotated[
    Path,
    typer.Argument(
        help="Labelled answers: rows (.jsonl, .json, .parquet) of question, golden_answers, "
        "prediction and verdict."
    ),
]
VerdictsFile = Annotated[
    Path | None,
    typer.Option(help="Store the judge's verdicts in this file, and ask for no stored one again."),
]

app = typer.Typer(help="Audit scorers on answers with known verdicts.", no_args_is_help=True)


@app.command()
@judge_options
@options_from(TableConfig)
def audit(
    context: typer.Context,
    labels: LabelsFile,
    judge: JudgeConfig,
    tables: TableConfig,
    scorers: Annotated[
        str, typer.Option("--scorers", "--scorer", help="Scorers, separated by commas.")
    ] = "em,f1,cover_em",
    verdicts: VerdictsFile = None,
    save: Annotated[
        Path | None,
        typer.Option(help="Write the judge's figures to this file, for report --judge-audit."),
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="Most differing answers to show per scorer.")
    ] = 5,
) -> None:
    """Measure how far scorers, and a judge, agree with labels, and show where they differ."""
    from autocoa_bench.judge.agreement import Audit, read_labels, save_audit
    from autocoa_bench.judge.agreement import audit as audit_scorer
    from autocoa_bench.report import judge_agreement
    from autocoa_bench.runs.scores import judge_labels, text_scorers

    chosen = chosen_judge(context, judge)
    _check_files(labels, verdicts, save, tables.out)
    if chosen is None:
        for option, file in (("--verdicts", verdicts), ("--save", save)):
            if file is not None:
                raise UserError(f"{option} '{file}' has no effect without a judge: give --judge")
        if SCORER in names_in(scorers):
            raise UserError(f"--scorers {SCORER} needs --judge MODEL, the model that judges")
    tables.chosen_format()
    if save is not None:
        check_file(save)
    loaded = text_scorers(names_in(scorers))
    answers = read_labels(labels)
    audits = {name: audit_scorer(answers, scorer) for name, scorer in loaded.items()}
    description = ""
    if chosen:
        with stopped_safely():
            spec, right = judge_labels(answers, chosen, verdicts, stderr())
        audits[SCORER] = Audit(answers, right)
        description = judge_description(spec)
        if save is not None:
            save_audit(save, spec, labels.name, audits[SCORER])
    write_report(judge_agreement(audits, labels.name, limit, description), tables)


@app.command()
@judge_options
@options_from(TableConfig)
def probe(
    context: typer.Context,
    labels: LabelsFile,
    judge: JudgeConfig,
    tables: TableConfig,
    verdicts: VerdictsFile = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use this many labelled answers, from the first.")
    ] = None,
) -> None:
    """Try to mislead a judge: wrong answers that say they are right, golds in another order."""
    from autocoa_bench.judge.agreement import read_labels
    from autocoa_bench.report import judge_probes
    from autocoa_bench.runs.scores import probe_judge

    chosen = chosen_judge(context, judge)
    if chosen is None:
        raise UserError("there is no judge to probe: give --judge MODEL")
    _check_files(labels, verdicts, tables.out)
    tables.chosen_format()
    answers = read_labels(labels)[:limit]
    with stopped_safely():
        spec, results = probe_judge(answers, chosen, verdicts, stderr())
    write_report(judge_probes(results, labels.name, judge_description(spec)), tables)


def _check_files(*files: Path | None) -> None:
    """Refuse one file for two purposes, which would overwrite the labels. Raises UserError."""
    paths = [file.resolve() for file in files if file is not None]
    for path in paths:
        if paths.count(path) > 1:
            raise UserError(f"'{path.name}' is given twice, to be read or written; name two files")
