"""`autocoa-bench reproduce`: the paper's Table 1 from data to claims, and what belongs to it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console


app = typer.Typer(
    help="Reproduce the paper's Table 1: train every variant, evaluate every row.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


class Size(StrEnum):
    """What size of model everything is done with."""

    NANO = "nano"
    SMOLLM2 = "smollm2"


_Out = Annotated[Path, typer.Option(help="The folder of all that is made.")]
_Scale = Annotated[
    Size,
    typer.Option(
        help="nano: a million weights, minutes on two cores. smollm2: SmolLM2-135M-Instruct over "
        "the embedded world, hours."
    ),
]
_Seed = Annotated[
    int, typer.Option(min=0, max=2**32 - 1, help="Seeds data, weights, and what is drawn.")
]
_Share = Annotated[
    float,
    typer.Option(
        min=0.01,
        max=1.0,
        help="Do this share of RL's steps (at least 6) and of the questions (nano: 30 a dataset).",
    ),
]
_Base = Annotated[
    Path | None,
    typer.Option(help="The model folder that all starts from; default: the scale's own."),
]
_Jobs = Annotated[int | None, typer.Option(min=1, help="Commands at once; default: one a core.")]
_DryRun = Annotated[bool, typer.Option(help="Print the commands, and run none.")]


@app.command()
def table1(
    out: _Out,
    scale: _Scale = Size.NANO,
    seed: _Seed = 0,
    share: _Share = 1.0,
    base: _Base = None,
    jobs: _Jobs = None,
    dry_run: _DryRun = False,
) -> None:
    """Run all commands that are not done yet, then print the tables. The same command resumes."""
    from agent_model.reproduce.experiment import shell_script, table1_experiment
    from agent_model.reproduce.scale import load_scale
    from agent_model.reproduce.table1 import reproduce_table1

    size = load_scale(scale.value, share)
    with _resumable():
        start = base or size.base_folder()
        if dry_run:
            _print(shell_script(table1_experiment(size, out, seed), out, start))
            return
        reproduce_table1(size, out, start, seed, jobs or _cores(), _console())


@app.command()
def switch(
    out: _Out,
    scale: _Scale = Size.NANO,
    seed: _Seed = 0,
    share: _Share = 1.0,
    base: _Base = None,
    jobs: _Jobs = None,
    dry_run: _DryRun = False,
) -> None:
    """Real searches saved against accuracy lost, over the step at which RL leaves the simulated
    environment. A folder of Table 1 is gone on from. The same command resumes."""
    from agent_model.reproduce.experiment import shell_script
    from agent_model.reproduce.scale import load_scale
    from agent_model.reproduce.switch import reproduce_switch, switch_experiment

    size = load_scale(scale.value, share)
    with _resumable():
        start = base or size.base_folder()
        if dry_run:
            _print(shell_script(switch_experiment(size, out, seed), out, start))
            return
        reproduce_switch(size, out, start, seed, jobs or _cores(), _console())


@app.command()
def seeds(
    folders: Annotated[list[Path], typer.Argument(help="Folders of Table 1, one a seed.")],
    out: Annotated[Path, typer.Option(help="The folder of the tables.")],
    scale: _Scale = Size.NANO,
    share: _Share = 1.0,
) -> None:
    """Print the rows, the claims and the curve over the switch of several seeds together."""
    from agent_model.reproduce.scale import load_scale
    from agent_model.reproduce.seeds import report_seeds

    report_seeds(load_scale(scale.value, share), folders, out, _console())


@app.command()
def nano_base(
    out: Annotated[Path, typer.Option(help="The folder of all that is made.")],
    seed: _Seed = 0,
) -> None:
    """Make the model that the scale nano starts from, anew. The same command resumes."""
    with _resumable():
        from agent_model.reproduce.nano_base import make_nano_base

        folder = make_nano_base(out, seed, _console())
    typer.echo(f"made: {folder}; start from it with `reproduce table1 --base {folder}`")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _console() -> Console:
    from rich.console import Console

    return Console()


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        typer.echo(line)


@contextmanager
def _resumable() -> Iterator[None]:
    from agent_model.commands.train import training

    try:
        with training():
            yield
    except KeyboardInterrupt:
        typer.echo("\nstopped; the same command goes on from there", err=True)
        raise typer.Exit(130) from None
