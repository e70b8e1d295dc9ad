"""Checkpoints: written aside and renamed, so that a kill leaves the previous one intact."""

import pickle
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec import Struct

from agent_model.training.distributed import gather_weights
from agent_model.training.files import first_line, writing
from agent_model.training.model import Policy
from agent_model.training.optimiser import FP32Optimizer
from autocoa_bench.engines.tokenizer import Tokenizer
from autocoa_bench.errors import UserError

_RETAINED = 2  # checkpoints of a run
_DAMAGE = (
    *(OSError, EOFError, LookupError, RuntimeError, TypeError, ValueError),
    pickle.UnpicklingError,
)
_NAME = re.compile(r"step-\d+")


class QuestionHistory(Struct, frozen=True):
    """What GRPO with `[groups] informative` draws its questions by.

    `n_new` questions were drawn in the order of the epochs so far. `variances` are those of the
    scores in the last group of each question, by its index.
    """

    n_new: int = 0
    variances: dict[int, float] = {}


class Progress(Struct, frozen=True):
    """The steps done so far, and the tokens and seconds that they took.

    Random state and data position are not stored: both follow from seed and step, and where GRPO
    draws informative questions again, from their `history`.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    history: QuestionHistory = QuestionHistory()


class ModelWriter(Struct, frozen=True):
    """Saves the policy as a model folder; `base` is the name of its base model.

    `writes` is true in the main process only.
    """

    policy: Policy
    tokenizer: Tokenizer
    base: str
    writes: bool

    def save(self, folder: Path) -> None:
        """Replace `folder` whole. All processes must call this.

        Raises UserError if the disk refuses.
        """
        state = gather_weights(self.policy, keep=self.writes)
        if self.writes:
            part = folder.with_name(f"{folder.name}.part")
            with writing(folder):
                shutil.rmtree(part, ignore_errors=True)
                self.policy.save(part, self.base, self.tokenizer, state)
                if folder.exists():
                    shutil.rmtree(folder)
                part.rename(folder)


def save(folder: Path, progress: Progress, optimizer: FP32Optimizer, model: ModelWriter) -> None:
    """Write `folder/step-N`: the optimiser's state, and a model that can be served as it is.

    All processes must call this. Raises UserError if the disk refuses.
    """
    target = folder / step_name(progress.step)
    part = folder / f"{target.name}.part"
    state = optimizer.state(keep=model.writes)
    if model.writes:
        with writing(part):
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            progress_values = msgspec.to_builtins(progress)
            torch.save({"progress": progress_values, **state}, part / "state.pt")
    del state  # a full copy of the weights and moments, which `model.save` needs the memory for
    model.save(part / "model")
    if model.writes:
        with writing(target):
            if target.exists():
                shutil.rmtree(target)
            part.rename(target)
            remove_old(folder)


def remove_old(folder: Path) -> None:
    """Remove all checkpoints but the newest, and what a kill left of others. Raises OSError."""
    for old in _checkpoints(folder)[:-_RETAINED]:
        # Half of a checkpoint must not have the name of a whole one.
        old.rename(old.with_suffix(".part"))
    for part in folder.glob("step-*.part"):
        shutil.rmtree(part)


def restore(folder: Path, optimizer: FP32Optimizer) -> Progress:
    """Load the newest checkpoint, if there is one; returns its progress. Raises UserError."""
    checkpoints = _checkpoints(folder)
    if not checkpoints:
        return Progress()
    with _reading(checkpoints[-1]):
        state, progress = _read(checkpoints[-1])
        optimizer.restore(state)
    return progress


def step_name(step: int) -> str:
    """The name of a step's files; names sort as steps do."""
    return f"step-{step:06d}"


def newest_step(folder: Path, last: int = sys.maxsize) -> int:
    """The newest step up to `last` that has a checkpoint, or 0."""
    return max((step for step in steps(folder) if step <= last), default=0)


def steps(folder: Path) -> list[int]:
    """The steps that have a checkpoint, in order."""
    return [int(checkpoint.name.removeprefix("step-")) for checkpoint in _checkpoints(folder)]


def copy(source: Path, target: Path, step: int) -> None:
    """Copy a step's checkpoint to another run. Raises UserError, also if it is damaged."""
    name = step_name(step)
    with _reading(source / name):
        _read(source / name)
    part = target / f"{name}.part"
    with writing(target / name):
        shutil.rmtree(part, ignore_errors=True)
        shutil.copytree(source / name, part)
        part.rename(target / name)


def _read(folder: Path) -> tuple[dict[str, Any], Progress]:
    state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True, mmap=True)
    return state, msgspec.convert(state["progress"], Progress)


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        raise UserError(
            f"the checkpoint '{folder}' is damaged ({first_line(error)}); delete that folder to "
            "resume from the previous one"
        ) from None


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if _NAME.fullmatch(path.name))
