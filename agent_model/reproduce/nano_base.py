"""Trains the base model of the scale nano, and writes the texts that keep what it knows."""

from pathlib import Path

from rich.console import Console

from agent_model.reproduce.commands import data_commands, data_folder, train_arguments
from agent_model.reproduce.runner import Command, make_folder, run_commands
from agent_model.reproduce.scale import load_scale
from autocoa_bench.util.json_lines import write_errors

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


def write_replay(base: Path, out: Path, seed: int) -> None:
    """Write the texts that the stages after pretraining replay, for the base's tokenizer.

    Raises UserError if `base` has none, or if the file cannot be written.
    """
    from agent_model.nano import base_text, untrained
    from autocoa_bench.engines.weights import huggingface

    tokenizer = huggingface.tokenizer_at(str(base))
    make_folder(out.parent)
    with write_errors(out):
        untrained.write_texts(out, base_text.replay_texts(tokenizer, seed))
