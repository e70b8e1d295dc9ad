"""A training run's folder: its lock, and run.json with everything that determines the result."""

import platform
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Generic

import msgspec
from msgspec import Struct

from agent_model.training.checkpoints import Progress, newest_step
from agent_model.training.config import AnyConfig, TrainingConfig, as_resumed
from agent_model.training.data import DriftCounts
from agent_model.training.files import locked, read_json, writing
from agent_model.training.live import LiveEvaluation
from agent_model.training.model import Policy, base_identity
from autocoa_bench.engines.weights.huggingface import fingerprint
from autocoa_bench.errors import UserError
from autocoa_bench.runs import provenance
from autocoa_bench.runs.run_folder import differing
from autocoa_bench.util.json_lines import indented_json, replace_file

_PACKAGES = ("accelerate", "autocoa-bench", "peft", "torch", "transformers")


class Session(Struct, frozen=True):
    """One start of the training command for a run."""

    started: str
    processes: int
    git_revision: str
    versions: dict[str, str]
    device: str = ""


class Start(Struct, frozen=True):
    """The weights that a run started from, and their dtype.

    `base` and `adapter` are SHA-256 of the weights (the revision of a Hub model); empty if there
    are none, or if an earlier version recorded none.
    """

    dtype: str = ""
    base: str = ""
    adapter: str = ""


class TrainingRun(Struct, Generic[AnyConfig], frozen=True):
    """The content of run.json.

    `data_sha256` is by file, or by task and corpus. `retokenised` counts the tokens of a sample
    that would differ if the text were encoded at once. `hours` covers the training steps of all
    sessions, and `last` is the last row of metrics.csv. `initial` is the live evaluation before the
    first step, and `best` that of the model that the run resulted in, if `live.best` chose it.
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
    initial: dict[str, float | None] | None = None
    best: dict[str, float | None] | None = None


def starting_point(config: TrainingConfig, policy: Policy) -> Start:
    """The identity of a loaded policy."""
    return Start(
        dtype=str(next(policy.parameters()).dtype).removeprefix("torch."),
        base=base_identity(config.model, policy),
        adapter=fingerprint(config.adapter) if config.adapter else "",
    )


def lock_folder(out: Path) -> AbstractContextManager[None]:
    """Lock a run's folder. Raises UserError if another run has it, or it cannot be written."""
    problem = f"another process is training in '{out}'; wait for it, or give another --out"
    return locked(out / "run.lock", problem)


def open_run(out: Path, run: TrainingRun[AnyConfig], processes: int, device: str) -> None:
    """Write run.json, or add a session to it.

    Raises UserError if it belongs to another run, or is missing although there are checkpoints.
    """
    versions = {name: version(name) for name in _PACKAGES}
    session = Session(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        processes=processes,
        git_revision=provenance.current_session("", 0).git_revision,
        versions={"python": platform.python_version(), **versions},
        device=device,
    )
    file = out / "run.json"
    if file.exists():
        old: TrainingRun[AnyConfig] = read_run(file, type(run.recipe))
        if changes := differences(old, run):
            raise UserError(
                f"'{out}' holds another training run, which differs in {'; '.join(changes)}. Give "
                "another --out, or the same settings to resume it."
            )
        run = msgspec.structs.replace(
            run,
            steps=old.steps,
            tokens=old.tokens,
            hours=old.hours,
            last=old.last,
            initial=old.initial,
            best=old.best,
        )
        sessions = (*old.sessions, session)
    elif newest_step(out / "checkpoints"):
        raise UserError(
            f"'{out}' has checkpoints but no run.json, which records what they were trained on; "
            "restore it, or give another --out"
        )
    else:
        sessions = (session,)
    _write(file, msgspec.structs.replace(run, sessions=sessions))


def close_run(
    out: Path,
    kind: type[AnyConfig],
    progress: Progress,
    last: Struct | None,
    live: LiveEvaluation | None,
) -> None:
    """Record the end of a run in run.json."""
    first = live.evaluations[0] if live and live.evaluations else None
    best = live.best if live else None
    file = out / "run.json"
    run = msgspec.structs.replace(
        read_run(file, kind),
        steps=progress.step,
        tokens=progress.tokens,
        hours=progress.seconds / 3600,
        last=None if last is None else msgspec.to_builtins(last),
        initial=first.row if first and not first.step else None,
        best=best.row if best else None,
    )
    _write(file, run)


def differences(old: TrainingRun[AnyConfig], new: TrainingRun[AnyConfig]) -> list[str]:
    """The differences between two runs that affect what is learned."""
    changes = list(differing(as_resumed(old.recipe, new.recipe), new.recipe))
    if not changes and old.data_sha256 != new.data_sha256:
        changed = dict(old.data_sha256.items() ^ new.data_sha256.items())
        changes = [f"the content of {name}" for name in sorted(changed)]
    if old.start != Start():
        changes += differing(old.start, new.start)
    return changes


def read_run(
    file: Path, kind: type[AnyConfig], advice: str = "give another --out"
) -> TrainingRun[AnyConfig]:
    """Read a run.json. Raises UserError, ending in the advice."""
    run: TrainingRun[AnyConfig] = read_json(file, TrainingRun[kind], advice)  # type: ignore[valid-type]
    return run


def _write(file: Path, run: TrainingRun[AnyConfig]) -> None:
    with writing(file):
        replace_file(file, indented_json(run))
