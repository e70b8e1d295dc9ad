"""`autocoa-bench verdicts`: labelled answers as training data for a judge."""

from pathlib import Path
from typing import Annotated

import typer

from autocoa_bench.cli.options_from_config import options_from
from autocoa_bench.cli.output import count_table, stdout
from autocoa_bench.judge.synthesis.config import VerdictDataConfig

app = typer.Typer(help="Make labelled answers, right and wrong, to train or audit a judge.")


@app.command()
@options_from(VerdictDataConfig)
def verdicts(
    out: Annotated[Path, typer.Option(help="The folder that the data is written to.")],
    config: VerdictDataConfig,
) -> None:
    """Make a right and a wrong answer to each question, as data for `train sft2`.

    With --near-misses they are labels for `judge audit`. The answers are made by rule, without a
    model.
    """
    from autocoa_bench.judge.synthesis.build import build

    info = build(config, out)
    table = count_table("labelled answers")
    table.add_row("questions", str(info.questions))
    table.add_row("excluded", str(info.excluded))
    for title, counts in (("right", info.right), ("wrong", info.wrong)):
        table.add_section()
        table.add_row(title, str(sum(counts.values())))
        for label, number in counts.items():
            table.add_row(f"  {label}", str(number))
    stdout().print(table)
    typer.echo(f"{sum(info.right.values()) + sum(info.wrong.values())} written to {out}")
