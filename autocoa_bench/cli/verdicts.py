"""`autocoa-bench verdicts`: labelled answers as training data for a judge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from autocoa_bench.judge.synthesis.build import VerdictDataInfo

app = typer.Typer(
    help="Make labelled answers, right and wrong, to train a judge on.", rich_markup_mode=None
)


@app.command()
def verdicts(
    out: Annotated[Path, typer.Option(help="The folder that the data is written to.")],
    tasks: Annotated[
        str, typer.Option(help="Tasks, groups or files, by commas; the train split's questions.")
    ] = "multihop,singlehop",
    count: Annotated[int, typer.Option(min=2, help="At most so many answers.")] = 10000,
    seed: Annotated[int, typer.Option(help="Draws questions and answers.")] = 0,
    exclude: Annotated[
        list[Path] | None,
        typer.Option(help="Leave out questions that stand in this file; repeatable."),
    ] = None,
) -> None:
    """Make a right and a wrong answer to each question, as data for `train sft2`. No model is
    asked."""
    from rich.console import Console

    from autocoa_bench.judge.synthesis.build import VerdictDataConfig, build

    order = VerdictDataConfig(tasks=tasks, count=count, seed=seed, exclude=tuple(exclude or ()))
    info = build(order, out)
    Console().print(_table(info))
    typer.echo(f"{sum(info.right.values()) + sum(info.wrong.values())} written to {out}")


def _table(info: VerdictDataInfo) -> Table:
    """What was made, by what made it."""
    from rich.table import Table

    table = Table(title="labelled answers", title_justify="left")
    table.add_column("")
    table.add_column("number", justify="right")
    table.add_row("questions", str(info.questions))
    table.add_row("excluded", str(info.excluded))
    for title, counts in (("right", info.right), ("wrong", info.wrong)):
        table.add_section()
        table.add_row(title, str(sum(counts.values())))
        for label, number in counts.items():
            table.add_row(f"  {label}", str(number))
    return table
