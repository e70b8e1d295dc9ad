"""`autocoa-bench tasks build-temporal`: a temporal set from a user's own dated reports."""

from pathlib import Path
from typing import Annotated

import typer

from autocoa_bench.cli.interrupts import stopped_safely
from autocoa_bench.cli.options_from_config import options_from
from autocoa_bench.cli.output import count_table, stdout
from autocoa_bench.engines import ModelConfig
from autocoa_bench.errors import UserError
from autocoa_bench.util.json_lines import write_files

app = typer.Typer()

CONTEXT_TOKENS = 8192


@app.command()
@options_from(ModelConfig, environment=True)
def build_temporal(
    reports: Annotated[
        Path, typer.Argument(help="Rows of title, text and date (.jsonl, .json, .parquet).")
    ],
    config: ModelConfig,
    out: Annotated[Path, typer.Option(help="The folder to write to; its name names the task.")],
    count: Annotated[int, typer.Option(min=1, help="Most questions.")] = 192,
    facts: Annotated[int, typer.Option(min=1, help="Facts to ask for per report.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed that draws the chains.")] = 0,
) -> None:
    """Turn dated reports into three-hop questions with sub-questions (paper, Appendix A).

    A model writes the facts and the questions, and checks each hop: it must be answered with its
    report, not without, by a span of the report. The same command resumes a stopped one.
    """
    from autocoa_bench.engines import open_engine
    from tasks.temporal.build import build, read_reports, rejections, write_set

    loaded = read_reports(reports)
    name = out.resolve().name
    if not name or name.startswith(".") or "@" in name or "," in name:
        raise UserError(f"--out '{out}' names the task, so its name has no @, comma or leading dot")
    engine = open_engine(config.engine, config.engine_config(CONTEXT_TOKENS))
    write_files(out, {})
    with stopped_safely():
        built, spec = build(
            loaded, engine, out / "replies.jsonl", config.concurrency, (facts, count, seed, name)
        )
    table = count_table("temporal set")
    table.add_row("reports", f"{len(loaded):,}")
    for stage, reason, number in rejections(built):
        table.add_row(f"{stage} rejected: {reason}", f"{number:,}", style="dim")
    table.add_row("facts that can be hops", f"{len(built.facts):,}")
    table.add_row("questions of three hops", f"{len(built.questions):,}")
    stdout().print(table)
    if not built.questions:
        raise UserError("no question was made; the table says why")
    for file in write_set(out, loaded, built, spec):
        typer.echo(file)
