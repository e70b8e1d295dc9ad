"""Table 1 at nano size: a base of a million weights over the nano world."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from agent_model.reproduce.steps import Command, make_folder, run_steps
from agent_model.reproduce.table1 import RECIPES, ScaleConfig, data_folder, data_steps

_KNOWN = "nq@nano,triviaqa@nano"
_TOP_K = "1"
_PASSES = 60  # of a base's text over every known fact
_COUNTS = {"coa": 3000, "cot": 600, "cot+a": 1500}
_RL_STEPS = 48
_LIMIT = 100
_LEAST = 30  # questions a dataset: of fewer no difference would show


def scale(share: float) -> ScaleConfig:
    """The scale, with a share of the reinforcement learning and of the questions."""
    return ScaleConfig(
        name="nano",
        base=base,
        tasks="nano",
        known=_KNOWN,
        limit=max(_LEAST, round(_LIMIT * share)),
        counts=_COUNTS,
        rl_steps=max(6, round(_RL_STEPS * share)),
        synth=("--top-k", _TOP_K),
        run=(
            *("--engine", "transformers", "--top-k", _TOP_K, "--max-actions", "6"),
            *("--step-tokens", "96", "--context-tokens", "2048", "--concurrency", "32"),
        ),
    )


def base() -> Path:
    """The base that ships: what `make_base` made with seed 0."""
    return Path(__file__).parents[1] / "nano" / "base"


def make_base(out: Path, seed: int, console: Console) -> Path:
    """Make a base anew under `out`; returns its folder. Goes on where it was stopped.

    Raises UserError as `run_steps` does.
    """
    from agent_model.nano import untrained

    data = data_steps(scale(1.0), out, seed)
    run_steps(data, out, 1, console)
    if not (out / "blank" / "text.jsonl").exists():
        make_folder(out / "blank")
        untrained.make_untrained(
            out / "blank", [data_folder(out, kind) for kind in _COUNTS], _PASSES, seed
        )
    run_steps([*data, _pretraining(out, seed)], out, 1, console)
    return out / "train" / "base" / "model"


def _pretraining(out: Path, seed: int) -> Command:
    changes = (f"model={out / 'blank' / 'model'}", f"data={[str(out / 'blank' / 'text.jsonl')]}")
    words = (word for change in (*changes, f"seed={seed}") for word in ("--set", change))
    given = ("--config", str(RECIPES / "nano" / "pretrain.toml"), "--out", str(out / "train/base"))
    return Command("train base", ("train", "pretrain", *given, *words))
