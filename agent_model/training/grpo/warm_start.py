"""Starts a run from the first steps of another one that is the same up to some step.

Runs that leave the simulated environment at different steps are the same until the first of them
does, so they need to compute those steps only once.
"""

import shutil
from pathlib import Path

import msgspec

from agent_model.training import checkpoints, live, run_folder
from agent_model.training.config import GRPOConfig
from agent_model.training.files import writing
from agent_model.training.grpo import world_model
from agent_model.training.grpo.metrics import GRPOStep
from agent_model.training.metrics import first_steps, read_metrics
from agent_model.training.run_folder import TrainingRun
from autocoa_bench.errors import UserError

_ADVICE = "leave begins out, or set it to the folder of a complete run of GRPO"
_LOGS = ("rollouts", live.LIVE, live.CLOSED_BOOK)  # folders with a file per step


def warm_start(out: Path, run: TrainingRun[GRPOConfig]) -> int:
    """Copy the newest checkpoint that the run `run.recipe.begins` shares with this one, and its
    logs and best models up to that step, to the new folder `out`; returns the step, or 0 if there
    is none.

    Raises UserError if the other run is not one of GRPO, or differs in more than its length and the
    step at which it leaves the simulated environment.
    """
    config, folder = run.recipe, Path(run.recipe.begins)
    source = run_folder.read_run(folder / "run.json", GRPOConfig, _ADVICE)
    shared = msgspec.structs.replace(
        source.recipe, max_steps=config.max_steps, simulated_steps=config.simulated_steps
    )
    changes = run_folder.differences(msgspec.structs.replace(source, recipe=shared), run)
    if config.live.best and not source.recipe.live.best:
        changes.append("live.best: its best models were not kept")
    last = last_shared_step(source.recipe, config)
    if changes or not last:
        reason = f"differs in {'; '.join(changes)}" if changes else "differs from step 1 on"
        raise UserError(
            f"this run cannot start from '{folder}', which {reason}. Leave begins out, or set it "
            "to a run of the same settings"
        )
    step = checkpoints.newest_step(folder / "checkpoints", last)
    if step:
        metrics = folder / "metrics.csv"
        first_steps(read_metrics(metrics, GRPOStep, _ADVICE), step, metrics, _ADVICE)
        with writing(out):
            shutil.copyfile(metrics, out / metrics.name)
            for log in (file for name in _LOGS for file in (folder / name).glob("step-*.jsonl")):
                if log.stem <= checkpoints.step_name(step):
                    (out / log.parent.name).mkdir(exist_ok=True)
                    shutil.copyfile(log, out / log.parent.name / log.name)
            if (folder / world_model.FILE).exists():
                shutil.copyfile(folder / world_model.FILE, out / world_model.FILE)
            for model in (folder / live.BEST).glob("step-*"):
                if config.live.best and model.name <= checkpoints.step_name(step):
                    shutil.copytree(model, out / live.BEST / model.name, dirs_exist_ok=True)
        # The checkpoint comes last: a run that has one is resumed, with all its logs expected.
        checkpoints.copy(folder / "checkpoints", out / "checkpoints", step)
    return step


def last_shared_step(first: GRPOConfig, second: GRPOConfig) -> int:
    """The last step that two runs share if they differ only in `max_steps` and `simulated_steps`,
    or 0."""
    ends = {first.max_steps, second.max_steps}
    if len(ends) > 1 and (first.schedule != "constant" or first.warmup):
        return 0
    switches = {first.simulated_steps, second.simulated_steps}
    return min(ends | switches) if len(switches) > 1 else min(ends)
