"""`autocoa-bench verdicts`: labelled answers as training data for a judge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autocoa_bench.cli.output import count_table, stdout

if TYPE_CHECKING:
    from rich.table import Table

    from autocoa_bench.judge.synthesis.build import VerdictDataInfo

app = typer.Typer(help="Make labelled answers, right and wrong, to train a judge on.")


@app.command()
def verdicts(
    out: Annotated[Path, typer.Option(help="The folder that the data is written to.")],
    tasks: Annotated[
        str,
        typer.Option(
            help="Tasks, groups or files, separated by commas; their train split is used."
        ),
    ] = "multihop,singlehop",
    count: Annotated[int, typer.Option(min=2, help="Most answers.")] = 10000,
    seed: Annotated[int, typer.Option(help="Seed that draws questions and answers.")] = 0,
    exclude: Annotated[
        list[Path], typer.Option(help="Leave out the questions in this file; repeatable.")
    ] = [],  # noqa: B006 - typer reads the default and never changes it
) -> None:
    """Make a right and a wrong answer to each question, as data for `train sft2`.

    The answers are made by rule, without a model.
    """
    from autocoa_bench.judge.synthesis.build import VerdictDataConfig, build

    config = VerdictDataConfig(tasks=tasks, count=count, seed=seed, exclude=tuple(exclude))
    info = build(config, out)
    stdout().print(_table(info))
    typer.echo(f"{sum(info.right.values()) + sum(info.wrong.values())} written to {out}")


def _table(info: VerdictDataInfo) -> Table:
    """The numbers of right and wrong answers, by the rule that made them."""
    table = count_table("labelled answers")
    table.add_row("questions", str(info.questions))
    table.add_row("excluded", str(info.excluded))
    for title, counts in (("right", info.right), ("wrong", info.wrong)):
        table.add_section()
        table.add_row(title, str(sum(counts.values())))
        for label, number in counts.items():
            table.add_row(f"  {label}", str(number))
    return table
