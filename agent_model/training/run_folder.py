"""A training run's folder: who holds it, and run.json, which says all that decided the result."""

from __future__ import annotations

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic

import msgspec
from msgspec import Struct

from agent_model.training.checkpoints import Progress, any_in
from agent_model.training.config import AnyConfig, TrainingConfig, as_resumed
from agent_model.training.data import DriftCounts
from agent_model.training.files import writing
from agent_model.training.model import Policy, base_identity
from autocoa_bench.engines.weights.huggingface import fingerprint
from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.runs import provenance
from autocoa_bench.runs.run_folder import differing
from autocoa_bench.util.json_lines import replace_file

_PACKAGES = ("accelerate", "autocoa-bench", "peft", "torch", "transformers")


class Session(Struct, frozen=True):
    """One start of a run."""

    started: str
    processes: int
    git_revision: str
    versions: dict[str, str]
    device: str = ""


class Start(Struct, frozen=True):
    """What a run started from and computes in: the type of the weights, and which these were.

    `base` and `adapter` are SHA-256 of the weights (of a Hub model its revision); empty where
    there is none or, in a run of an earlier version, none was recorded.
    """

    dtype: str = ""
    base: str = ""
    adapter: str = ""


class TrainingRun(Struct, Generic[AnyConfig], frozen=True):
    """run.json. `data_sha256` is by file, or by task and corpus; hours are of training steps alone,
    over all sessions. `last` is the last row of metrics.csv.

    `retokenised` says of a sample of the data how its tokens would differ if it were not encoded
    by pieces.
    """

    recipe: AnyConfig
    data_sha256: dict[str, str]
    examples: int
    held_out: int = 0
    left_out: dict[str, int] = {}
    sessions: tuple[Session, ...] = ()
    start: Start = Start()
    retokenised: DriftCounts = DriftCounts()
    steps: int = 0
    tokens: int = 0
    hours: float = 0.0
    last: dict[str, Any] | None = None


def start(recipe: TrainingConfig, policy: Policy) -> Start:
    """What a loaded policy is."""
    return Start(
        dtype=str(next(policy.parameters()).dtype).removeprefix("torch."),
        base=base_identity(recipe.model, policy),
        adapter=fingerprint(recipe.adapter) if recipe.adapter else "",
    )


@contextmanager
def lock_folder(out: Path, *, alone: bool) -> Iterator[None]:
    """Hold a run's folder against other runs; of many processes, one (`alone`) does."""
    if not alone:
        yield
        return
    try:
        out.mkdir(parents=True, exist_ok=True)
        file = os.open(out / "run.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise UserError(f"cannot write to '{out}': {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise UserError(
            f"'{out}' is being trained in by another process; wait for it, or give another --out"
        ) from None
    finally:
        os.close(file)


def open_run(out: Path, run: TrainingRun[AnyConfig], processes: int, device: str) -> None:
    """Write run.json, or add this session to it. Raises UserError where it is another run's, or
    gone from a run that was begun."""
    versions = {name: version(name) for name in _PACKAGES}
    session = Session(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        processes=processes,
        git_revision=provenance.current_session("", 0).git_revision,
        versions={"python": platform.python_version(), **versions},
        device=device,
    )
    file = out / "run.json"
    sessions: tuple[Session, ...] = (session,)
    if not file.exists() and any_in(out / "checkpoints"):
        raise UserError(
            f"'{out}' has checkpoints and no run.json, which says what they learned from; put it "
            "back, or give another --out"
        )
    if file.exists():
        found: TrainingRun[AnyConfig] = read(file, type(run.recipe))
        _refuse_other(out, found, run)
        sessions = (*found.sessions, session)
        run = msgspec.structs.replace(
            run, steps=found.steps, tokens=found.tokens, hours=found.hours, last=found.last
        )
    _write(file, msgspec.structs.replace(run, sessions=sessions))


def close_run(out: Path, kind: type[AnyConfig], progress: Progress, last: Struct | None) -> None:
    """Add to run.json how the run ended."""
    file = out / "run.json"
    run = msgspec.structs.replace(
        read(file, kind),
        steps=progress.step,
        tokens=progress.tokens,
        hours=progress.seconds / 3600,
        last=None if last is None else msgspec.to_builtins(last),
    )
    _write(file, run)


def _refuse_other(out: Path, found: TrainingRun[AnyConfig], run: TrainingRun[AnyConfig]) -> None:
    if changes := differences(found, run):
        raise UserError(
            f"'{out}' holds another training run, which differs in {'; '.join(changes)}. Give "
            "another --out, or the same settings to resume it."
        )


def differences(found: TrainingRun[AnyConfig], run: TrainingRun[AnyConfig]) -> list[str]:
    """What a run differs in from another one, of that which decides what is learned."""
    changes = list(differing(as_resumed(found.recipe, run.recipe), run.recipe))
    if not changes and found.data_sha256 != run.data_sha256:
        others = dict(found.data_sha256.items() ^ run.data_sha256.items())
        changes = [f"the content of {name}" for name in sorted(others)]
    if found.start != Start():
        changes += differing(found.start, run.start)
    return changes


def read(
    file: Path, kind: type[AnyConfig], advice: str = "give another --out"
) -> TrainingRun[AnyConfig]:
    """A run's run.json. Raises UserError, which ends in the advice."""
    try:
        run: TrainingRun[AnyConfig] = msgspec.json.decode(
            file.read_bytes(),
            type=TrainingRun[kind],  # type: ignore[valid-type]
        )
        return run
    except (OSError, *UNREADABLE) as error:
        raise UserError(f"cannot read '{file}' ({error}); {advice}") from None


def _write(file: Path, run: TrainingRun[AnyConfig]) -> None:
    with writing(file):
        replace_file(file, msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n")
