"""`autocoa-bench reproduce table1`: every row of the paper's Table 1, from data to claims."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import typer

app = typer.Typer(
    help="Reproduce the paper's Table 1: train every variant, evaluate every row.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


class Size(StrEnum):
    """What size of model everything is done with."""

    NANO = "nano"


@app.command()
def table1(
    out: Annotated[Path, typer.Option(help="The folder of all that is made.")],
    scale: Annotated[Size, typer.Option(help="nano: a million weights, two cores.")] = Size.NANO,
    seed: Annotated[int, typer.Option(min=0, help="Seeds data, weights, and what is drawn.")] = 0,
    share: Annotated[
        float,
        typer.Option(min=0.01, max=1.0, help="Do this share of RL's steps and of the questions."),
    ] = 1.0,
    base: Annotated[
        Path | None,
        typer.Option(help="The model folder that all starts from; default: the one that ships."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Commands at once; default: one a core.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Print the commands, and run none.")] = False,
) -> None:
    """Run all commands that are not done yet, then print the tables. The same command resumes."""
    from rich.console import Console

    from agent_model.reproduction import nano, reproduce, table1

    size = {Size.NANO: nano.scale}[scale](share)
    if dry_run:
        for step in table1.steps(size, out, seed):
            typer.echo(step.line)
        return
    try:
        reproduce.reproduce(
            size, out, base or nano.BASE, seed, jobs or os.cpu_count() or 1, Console()
        )
    except KeyboardInterrupt:
        _stopped()


@app.command()
def nano_base(
    out: Annotated[Path, typer.Option(help="The folder of all that is made.")],
    seed: Annotated[int, typer.Option(min=0, help="Seeds weights and text.")] = 0,
) -> None:
    """Make the model that the scale nano starts from, anew. The same command resumes."""
    from rich.console import Console

    from agent_model.reproduction import nano

    try:
        made = nano.make_base(out, seed, Console())
    except KeyboardInterrupt:
        _stopped()
    typer.echo(f"made: {made}; start from it with `reproduce table1 --base {made}`")


def _stopped() -> NoReturn:
    typer.echo("\nstopped; the same command goes on from there", err=True)
    raise typer.Exit(130) from None
