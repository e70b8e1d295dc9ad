"""Checkpoints: written aside and renamed, so that a kill leaves the one before whole."""

from __future__ import annotations

import pickle
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec import Struct

from agent_model.tokens import Tokenizer
from agent_model.training.files import first_line, writing
from agent_model.training.model import Policy
from agent_model.training.optimiser import FP32Optimizer
from agent_model.training.sharding import whole_weights
from autocoa_bench.errors import UserError

KEPT = 2

_NAME = re.compile(r"step-\d+")


class Progress(Struct, frozen=True):
    """How far a run is: steps done, and the tokens and seconds that they took.

    No random state and no data position are kept: both follow from seed and step.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0


class Trainable(Struct, frozen=True):
    """What is saved as the model: its weights, its tokenizer, and the name of its base.

    `keeps` is true of the one process that writes.
    """

    policy: Policy
    tokenizer: Tokenizer
    base: str
    keeps: bool

    def save(self, folder: Path) -> None:
        """Write `folder`. All processes must call it. Raises UserError where the disk refuses."""
        state = whole_weights(self.policy, keep=self.keeps)
        if self.keeps:
            with writing(folder):
                self.policy.save(folder, self.base, self.tokenizer, state)


def save(folder: Path, progress: Progress, masters: FP32Optimizer, model: Trainable) -> None:
    """Write `folder/step-N`: the optimiser's state, and the model as it would be published.

    All processes must call it. Raises UserError where the disk refuses.
    """
    made = folder / name_of(progress.step)
    part = folder / f"{made.name}.part"
    state = masters.state(keep=model.keeps)
    facts = {"step": progress.step, "tokens": progress.tokens, "seconds": progress.seconds}
    if model.keeps:
        with writing(part):
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            torch.save({"progress": facts, **state}, part / "state.pt")
    del state
    model.save(part / "model")
    if model.keeps:
        with writing(made):
            if made.exists():
                shutil.rmtree(made)
            part.rename(made)
            for old in _all(folder)[:-KEPT]:
                shutil.rmtree(old)


def restore(folder: Path, masters: FP32Optimizer) -> Progress:
    """Load the newest checkpoint, where there is one; says how far it was. Raises UserError."""
    found = _all(folder)
    if not found:
        return Progress()
    with _reading(found[-1]):
        state, progress = _read(found[-1])
        masters.restore(state)
    return progress


def name_of(step: int) -> str:
    """How what belongs to a step is named; names sort as steps do."""
    return f"step-{step:06d}"


def any_in(folder: Path) -> bool:
    """Whether a run has a checkpoint."""
    return bool(_all(folder))


def shared_step(folder: Path, last: int) -> int:
    """The newest step up to `last` that there is a checkpoint of, or 0."""
    found = [int(each.name.removeprefix("step-")) for each in _all(folder)]
    return max((step for step in found if step <= last), default=0)


def copy(source: Path, target: Path, step: int) -> None:
    """Put a step's checkpoint into another run's folder. Raises UserError, also where it is
    damaged."""
    made = target / name_of(step)
    with _reading(source / made.name):
        _read(source / made.name)
    part = target / f"{made.name}.part"
    with writing(made):
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(source / made.name, part)
        part.rename(made)


def _read(folder: Path) -> tuple[dict[str, Any], Progress]:
    state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True, mmap=True)
    return state, msgspec.convert(state["progress"], Progress)


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    try:
        yield
    except (
        OSError,
        EOFError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:
        raise UserError(
            f"the checkpoint '{folder}' is damaged ({first_line(error)}); delete that folder to "
            "go on from the one before it"
        ) from None


def _all(folder: Path) -> list[Path]:
    return sorted(each for each in folder.glob("step-*") if _NAME.fullmatch(each.name))
