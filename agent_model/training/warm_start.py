"""A run of GRPO that begins as another one did: what that has learned up to where they part is
taken over. Runs that leave the simulated environment at different steps are the same until the
first of them does.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec

from agent_model.training import checkpoints, metrics, run_folder
from agent_model.training.config import GRPOConfig
from agent_model.training.files import writing
from agent_model.training.grpo.metrics import GRPOStep
from agent_model.training.run_folder import TrainingRun
from autocoa_bench.errors import UserError

_ADVICE = "leave begins out, or give it the folder of a whole run of GRPO"
_LOGGED = ("rollouts", "live")  # folders of a file a step


def warm_start(out: Path, run: TrainingRun[GRPOConfig]) -> int:
    """Put the newest checkpoint that the run `run.recipe.begins` shares with this one, and what it
    logged up to there, into the new folder `out`; its step, 0 where it has none.

    Raises UserError where the other is no run of GRPO, or differs in more than where it ends and
    where it leaves the simulated environment.
    """
    recipe, folder = run.recipe, Path(run.recipe.begins)
    other = run_folder.read(folder / "run.json", GRPOConfig, _ADVICE)
    alike = msgspec.structs.replace(
        other.recipe, max_steps=recipe.max_steps, simulated_steps=recipe.simulated_steps
    )
    changes = run_folder.differences(msgspec.structs.replace(other, recipe=alike), run)
    last = first_difference(other.recipe, recipe)
    if changes or not last:
        reason = f"differs in {'; '.join(changes)}" if changes else "parts from it before step 1"
        raise UserError(
            f"this run does not begin as '{folder}' did, which {reason}. Leave begins out, or give "
            "a run of the same settings"
        )
    step = checkpoints.shared_step(folder / "checkpoints", last)
    if step:
        told = folder / "metrics.csv"
        metrics.first(metrics.read(told, GRPOStep, _ADVICE), step, told, _ADVICE)
        with writing(out):
            shutil.copyfile(told, out / told.name)
            for file in [each for name in _LOGGED for each in (folder / name).glob("step-*.jsonl")]:
                if file.stem <= checkpoints.name_of(step):
                    (out / file.parent.name).mkdir(exist_ok=True)
                    shutil.copyfile(file, out / file.parent.name / file.name)
        # Last, as it is what a run goes on from.
        checkpoints.copy(folder / "checkpoints", out / "checkpoints", step)
    return step


def first_difference(one: GRPOConfig, other: GRPOConfig) -> int:
    """After how many steps two runs part that differ in nothing but `max_steps` and
    `simulated_steps`."""
    ends = {one.max_steps, other.max_steps}
    if len(ends) > 1 and (one.schedule != "constant" or one.warmup):
        return 0
    switches = {one.simulated_steps, other.simulated_steps}
    return min(ends | switches) if len(switches) > 1 else min(ends)
