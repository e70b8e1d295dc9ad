"""`autocoa-bench reproduce`: the paper's Table 1 from data to claims, and what belongs to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from msgspec import Struct
from msgspec.structs import force_setattr

from agent_model.cli.train import training_extra
from autocoa_bench.cli.interrupts import stopped_safely
from autocoa_bench.cli.options_from_config import options_from
from autocoa_bench.cli.output import stdout
from autocoa_bench.types import Option
from autocoa_bench.util.commands import command_line

if TYPE_CHECKING:
    from agent_model.reproduce.commands import Experiment
    from agent_model.reproduce.scale import ScaleConfig

app = typer.Typer(
    help="Reproduce the paper's Table 1: train every variant, evaluate every row.",
    no_args_is_help=True,
)

_ADVICE = "the same command continues where it stopped"


class ReproduceConfig(Struct, frozen=True, kw_only=True):
    """A reproduction: its folder, its scale, and the model that it starts from."""

    out: Annotated[Path, Option(help="The folder (nano-replay: the file) of all that is made.")]
    scale: Annotated[
        Literal["nano", "smollm2"],
        Option(
            help="nano: a million weights, minutes on two cores. smollm2: SmolLM2-135M-Instruct "
            "over the embedded world, hours."
        ),
    ] = "nano"
    seed: Annotated[
        int, Option(help="Seed of data, weights and every draw.", min=0, max=2**32 - 1)
    ] = 0
    share: Annotated[
        float,
        Option(
            help="Do this share of RL's steps (at least 6) and of the questions (nano: 30 per "
            "dataset).",
            min=0.01,
            max=1.0,
        ),
    ] = 1.0
    base: Annotated[
        Path | None, Option(help="The model folder to start from; default: the scale's own.")
    ] = None
    jobs: Annotated[int, Option(help="Commands at once; default: one per core.", min=1)] = 0
    dry_run: Annotated[bool, Option(help="Print the commands, and run none.")] = False

    def __post_init__(self) -> None:
        if not self.jobs:
            linux = hasattr(os, "sched_getaffinity")
            cores = len(os.sched_getaffinity(0)) if linux else os.cpu_count() or 1
            force_setattr(self, "jobs", cores)


@app.command()
@options_from(ReproduceConfig)
def table1(config: ReproduceConfig) -> None:
    """Run all commands that are not done yet, then print the tables. The same command resumes."""
    from agent_model.reproduce.table1 import reproduce_table1, table1_experiment

    _reproduce(config, table1_experiment, reproduce_table1)


@app.command()
@options_from(ReproduceConfig)
def switch(config: ReproduceConfig) -> None:
    """Real searches saved against accuracy lost, over the step at which RL leaves the simulated
    environment. A folder of Table 1 is continued. The same command resumes."""
    from agent_model.reproduce.switch import reproduce_switch, switch_experiment

    _reproduce(config, switch_experiment, reproduce_switch)


@app.command()
@options_from(ReproduceConfig)
def ablation(config: ReproduceConfig) -> None:
    """Short RL in the simulated environment after all SFT stages, with one setting or another. A
    folder of Table 1 is continued. The same command resumes."""
    from agent_model.reproduce.ablation import ablation_experiment, reproduce_ablation

    _reproduce(config, ablation_experiment, reproduce_ablation)


@app.command()
@options_from(ReproduceConfig, only=("out", "scale", "share"))
def seeds(
    folders: Annotated[list[Path], typer.Argument(help="Folders of Table 1, one per seed.")],
    config: ReproduceConfig,
) -> None:
    """Print the rows, the claims, the curve over the switch and the ablation of several seeds
    together."""
    from agent_model.reproduce.scale import load_scale
    from agent_model.reproduce.seeds import report_seeds

    report_seeds(load_scale(config.scale, config.share), folders, config.out, stdout())


@app.command()
@options_from(ReproduceConfig, only=("out", "seed"))
def nano_base(config: ReproduceConfig) -> None:
    """Make the base model of the scale nano again. The same command resumes."""
    with stopped_safely(_ADVICE), training_extra():
        from agent_model.reproduce.nano_base import make_nano_base

        folder = make_nano_base(config.out, config.seed, stdout())
    command = command_line("reproduce", "table1", "--base", folder)
    typer.echo(f"made: {folder}; start from it with `{command}`")


@app.command()
@options_from(ReproduceConfig, only=("out", "base", "seed"))
def nano_replay(config: ReproduceConfig) -> None:
    """Write the texts that keep what a nano base knows (`replay.data` of a recipe) to a file."""
    with training_extra():
        from agent_model.reproduce.nano_base import write_replay
        from agent_model.reproduce.scale import load_scale

        write_replay(config.base or load_scale("nano").base_folder(), config.out, config.seed)
    typer.echo(f"made: {config.out}")


def _reproduce(
    config: ReproduceConfig,
    experiment: Callable[[ScaleConfig, Path, int], Experiment],
    reproduce: Callable[..., None],
) -> None:
    """Run an experiment, or print its commands."""
    from agent_model.reproduce.commands import shell_script
    from agent_model.reproduce.scale import load_scale

    scale = load_scale(config.scale, config.share)
    with stopped_safely(_ADVICE), training_extra():
        base = config.base or scale.base_folder()
        if not config.dry_run:
            reproduce(scale, config.out, base, config.seed, config.jobs, stdout())
            return
        for line in shell_script(experiment(scale, config.out, config.seed), config.out, base):
            typer.echo(line)
