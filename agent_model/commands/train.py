"""`autocoa-bench train sft1|sft2|sft3|grpo`: the training stages from a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autocoa_bench.errors import MissingExtra, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from agent_model.training.config import Stage

app = typer.Typer(
    help="Train the agent model: contrastive (sft1), observations masked (sft2) or not (sft3), "
    "reinforced (grpo).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

RecipeFile = Annotated[Path, typer.Option("--config", help="A recipe (TOML); see recipes/.")]
Out = Annotated[
    Path | None, typer.Option(help="Folder of the run; default: results/runs/training/<recipe>.")
]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="Change a recipe's key: key=value; repeatable.")
]


class Trainer(StrEnum):
    """Whose GRPO a recipe is handed over to."""

    TRL = "trl"
    VERL = "verl"


_EXTRA = ("accelerate", "matplotlib", "peft", "safetensors", "torch", "transformers")


@app.command()
def pretrain(config: RecipeFile, out: Out = None, changes: Changes = None) -> None:
    """Before all stages: texts, the parts of them that are marked. The same command resumes."""
    _train("pretrain", config, out, changes or [])


@app.command()
def sft1(config: RecipeFile, out: Out = None, changes: Changes = None) -> None:
    """Stage 1: contrastive, on pairs.jsonl. The same command resumes."""
    _train("sft1", config, out, changes or [])


@app.command()
def sft2(config: RecipeFile, out: Out = None, changes: Changes = None) -> None:
    """Stage 2: trajectories, observations masked. The same command resumes."""
    _train("sft2", config, out, changes or [])


@app.command()
def sft3(config: RecipeFile, out: Out = None, changes: Changes = None) -> None:
    """Stage 3: trajectories, observations learned as well. The same command resumes."""
    _train("sft3", config, out, changes or [])


@app.command()
def grpo(
    config: RecipeFile,
    out: Out = None,
    changes: Changes = None,
    hand_over: Annotated[
        Trainer | None,
        typer.Option(help="Train nothing: write what this other trainer starts from to --out."),
    ] = None,
) -> None:
    """Reinforcement learning in the real environment. The same command resumes."""
    from agent_model.training.config import load_grpo_config

    recipe = load_grpo_config(config, changes or [])
    if hand_over is not None:
        if out is None:
            raise UserError(f"--hand-over {hand_over.value} writes a folder; name it by --out")
        with training():
            from agent_model.trainer_export import write
        for file in write.export_recipe(recipe, hand_over.value, out):
            typer.echo(file)
        return
    with training():
        from agent_model.training.grpo import train as rl
    _run(partial(rl.train, recipe), config, out)


def _train(stage: Stage, config: Path, out: Path | None, changes: list[str]) -> None:
    from agent_model.training.config import load_sft_config

    recipe = load_sft_config(config, stage, changes)
    with training():
        from agent_model.training import sft
    _run(partial(sft.train, recipe), config, out)


@contextmanager
def training() -> Iterator[None]:
    """Name the extra where a library of it is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise MissingExtra("training", "train") from None


def _run(train: Callable[[Path, Console], object], config: Path, out: Path | None) -> None:
    from rich.console import Console

    console = Console(stderr=True)
    try:
        train(out or Path("results/runs/training") / config.stem, console)
    except KeyboardInterrupt:
        console.print("\nstopped; the same command goes on from the last checkpoint")
        raise typer.Exit(130) from None
