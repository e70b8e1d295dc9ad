"""Trains the base model of the scale nano."""

from pathlib import Path

from rich.console import Console

from agent_model.reproduce.commands import data_commands, data_folder, train_arguments
from agent_model.reproduce.runner import Command, make_folder, run_commands
from agent_model.reproduce.scale import load_scale

_PASSES = 60  # over every known fact, in the pretraining text


def make_nano_base(out: Path, seed: int, console: Console) -> Path:
    """Train a base under `out`, resuming what was stopped; return its folder.

    The vocabulary has the words of the data of all later stages, so that data is made first.
    Raises UserError as `run_commands` does.
    """
    from agent_model.nano import untrained

    scale = load_scale("nano")
    commands = data_commands(scale, out, seed)
    run_commands(commands, out, 1, console)
    text = out / "blank" / "text.jsonl"
    if not text.exists():
        make_folder(text.parent)
        folders = [data_folder(out, kind) for kind in scale.counts]
        untrained.make_untrained(text.parent, folders, _PASSES, seed)
    changes = (f"model={text.parent / 'model'}", f"data={[str(text)]}", f"seed={seed}")
    recipe = scale.recipes / "pretrain.toml"
    arguments = train_arguments("pretrain", recipe, out / "train" / "base", changes)
    run_commands([*commands, Command("train base", arguments)], out, 1, console)
    return out / "train" / "base" / "model"
