"""`autocoa-bench judge`: how far what says that an answer is right can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autocoa_bench.options import TableFile, TableFormat, format_of, write_report

judge_app = typer.Typer(help="Audit scorers on answers with known verdicts.", no_args_is_help=True)


@judge_app.callback()
def judge() -> None:
    """Audit scorers on answers with known verdicts."""


@judge_app.command()
def audit(
    labels: Annotated[
        Path,
        typer.Argument(
            help="Labelled answers: rows (.jsonl, .json, .parquet) of question, golden_answers, "
            "prediction and verdict."
        ),
    ],
    scorers: Annotated[
        str, typer.Option("--scorers", "--scorer", help="Scorers, comma-separated.")
    ] = "em,f1,cover_em",
    limit: Annotated[
        int, typer.Option(min=0, help="Differing answers to show of each scorer.")
    ] = 5,
    format: TableFormat = None,  # noqa: A002 - the option's name
    out: TableFile = None,
) -> None:
    """Say how far scorers agree with labels, and where they differ; nothing is generated."""
    from autocoa_bench import report, scoring
    from autocoa_bench.audit import audit as audit_one
    from autocoa_bench.audit import read_labels

    loaded = scoring.load_scorers(name.strip() for name in scorers.split(",") if name.strip())
    found = read_labels(labels)
    audits = {name: audit_one(found, scorer) for name, scorer in loaded.items()}
    write_report(report.audited(audits, labels.name, limit), format or format_of(out), out)
