"""Checkpoints: written aside and renamed, so that a kill leaves the one before whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from msgspec import Struct

from agent_model.tokens import Tokenizer
from agent_model.training.optimiser import Masters
from agent_model.training.policy import Policy

KEPT = 2


class Progress(Struct, frozen=True):
    """How far a run is: steps done, and the tokens and seconds that they took.

    No random state and no data position are kept: both follow from seed and step.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0


def save(
    folder: Path, progress: Progress, masters: Masters, policy: Policy, base: str, tok: Tokenizer
) -> None:
    """Write `folder/step-N`: the optimiser's state, and the model as it would be published."""
    made = folder / f"step-{progress.step:06d}"
    part = folder / f"{made.name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    facts = {"step": progress.step, "tokens": progress.tokens, "seconds": progress.seconds}
    torch.save({"progress": facts, **masters.state()}, part / "state.pt")
    policy.save(part / "model", base, tok)
    if made.exists():
        shutil.rmtree(made)
    part.rename(made)
    for old in _all(folder)[:-KEPT]:
        shutil.rmtree(old)


def restore(folder: Path, masters: Masters) -> Progress:
    """Load the newest checkpoint, where there is one; says how far it was."""
    found = _all(folder)
    if not found:
        return Progress()
    state: dict[str, Any] = torch.load(
        found[-1] / "state.pt", map_location="cpu", weights_only=True
    )
    masters.restore(state)
    return Progress(**state["progress"])


def _all(folder: Path) -> list[Path]:
    return sorted(each for each in folder.glob("step-*") if each.suffix != ".part")
