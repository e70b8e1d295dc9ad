"""`autocoa-bench train sft1|sft2|sft3|grpo`: the training stages from a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from autocoa_bench.cli.interrupts import stopped_safely
from autocoa_bench.cli.output import stderr
from autocoa_bench.errors import MissingExtra, UserError

if TYPE_CHECKING:
    from rich.console import Console

    from agent_model.training.config import Stage

app = typer.Typer(
    help="Train the agent model: contrastive (sft1), observations masked (sft2) or not (sft3), "
    "reinforced (grpo).",
    no_args_is_help=True,
)

RecipeFile = Annotated[Path, typer.Option("--config", help="A recipe (TOML); see recipes/.")]
Out = Annotated[
    Path | None, typer.Option(help="Folder of the run; default: results/runs/training/<recipe>.")
]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a key of the recipe: key=value; repeatable."),
]

_LIBRARIES = ("accelerate", "matplotlib", "peft", "safetensors", "torch", "transformers")


def _add_sft(stage: Stage, summary: str) -> None:
    """Add the command of a stage that trains on data alone."""

    @app.command(stage, help=f"{summary} The same command resumes.")
    def sft(config: RecipeFile, out: Out = None, changes: Changes = None) -> None:
        from agent_model.training.config import load_sft_config

        recipe = load_sft_config(config, stage, changes or [])
        with training_extra():
            from agent_model.training.sft import train
        _run(partial(train, recipe), config, out)


_add_sft("pretrain", "Before all stages: texts, with a loss on their marked parts.")
_add_sft("sft1", "Stage 1: contrastive, on pairs.jsonl.")
_add_sft("sft2", "Stage 2: trajectories, observations masked.")
_add_sft("sft3", "Stage 3: trajectories, observations learned as well.")


@app.command()
def grpo(
    config: RecipeFile,
    out: Out = None,
    changes: Changes = None,
    hand_over: Annotated[
        Literal["trl", "verl"] | None,
        typer.Option(help="Do not train; write the files that this other trainer needs to --out."),
    ] = None,
) -> None:
    """Reinforcement learning in the real environment. The same command resumes."""
    from agent_model.training.config import load_grpo_config

    recipe = load_grpo_config(config, changes or [])
    if hand_over is not None:
        if out is None:
            raise UserError(f"--hand-over {hand_over} writes a folder; name it by --out")
        with training_extra():
            from agent_model.trainer_export import write
        for file in write.export_recipe(recipe, hand_over, out):
            typer.echo(file)
        return
    with training_extra():
        from agent_model.training.grpo.train import train
    _run(partial(train, recipe), config, out)


@contextmanager
def training_extra() -> Iterator[None]:
    """Turn the absence of a training library into an error that names the extra to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _LIBRARIES:
            raise
        raise MissingExtra("training", "train") from None


def _run(train: Callable[[Path, Console], object], config: Path, out: Path | None) -> None:
    with stopped_safely("the same command continues from the last checkpoint"):
        train(out or Path("results/runs/training") / config.stem, stderr())
