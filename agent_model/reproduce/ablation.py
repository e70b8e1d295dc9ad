"""Which settings of the simulated environment help: short trainings that differ in one or two.

The arms, from the row of all SFT stages, are listed in a scale's `ablation.toml`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console

from agent_model.reproduce import commands
from agent_model.reproduce.measures import (
    SCORER,
    average_score,
    change_of_average,
    right,
    searched,
)
from agent_model.reproduce.scale import ScaleConfig
from agent_model.reproduce.training_cost import TrainingEnd, training_end, training_steps
from autocoa_bench.errors import UserError
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.comparison.claim_tests import Contrast
from autocoa_bench.report.entries import EMPTY_CATALOGUE, Entry, make_entries
from autocoa_bench.report.model import (
    Report,
    Table,
    Value,
    columns,
    difference_cell,
    p_text,
    percent,
)
from autocoa_bench.runs import scores
from autocoa_bench.stats import Estimate

_FILE = "ablation.toml"
_SINGLE = ("known", "unknown")  # kinds of single facts


class Arm(Struct, frozen=True, forbid_unknown_fields=True):
    """One training: changes to the common ones, the arm whose steps it begins with (empty: none),
    and whether it replays what its scale replays."""

    name: str
    changes: tuple[str, ...] = ()
    begins: str = ""
    replay: bool = True


class _Arms(Struct, frozen=True, forbid_unknown_fields=True):
    """The content of an `ablation.toml`."""

    common: tuple[str, ...]
    arms: tuple[Arm, ...]


class ArmOutcome(NamedTuple):
    """The runs of an arm's models, one a seed, and how their trainings went.

    `change` compares them with the start. `fidelity` is the share of imagined search results that
    state a gold fact, in the first and in the last third of the simulated steps. The start has no
    change, no fidelity and no trainings.
    """

    name: str
    runs: Sequence[Entry]
    closed_book: Sequence[Entry]
    change: Contrast | None = None
    fidelity: tuple[float | None, float | None] = (None, None)
    trainings: Sequence[TrainingEnd] = ()


def has_arms(scale: ScaleConfig) -> bool:
    """True if the scale has an ablation."""
    return (scale.recipes / _FILE).is_file()


def arm_variants(scale: ScaleConfig) -> dict[str, commands.Variant]:
    """The arms as variants, by name. Raises UserError if the scale has none."""
    if not has_arms(scale):
        raise UserError(f"the scale {scale.name} has no ablation; give --scale nano")
    declared = msgspec.toml.decode((scale.recipes / _FILE).read_bytes(), type=_Arms)
    return {
        arm.name: commands.Variant(
            _row(arm.name),
            "grpo",
            commands.FULL,
            _merged(declared.common, arm.changes),
            begins=_row(arm.begins) if arm.begins else "",
            replay=arm.replay,
        )
        for arm in declared.arms
    }


def _row(arm: str) -> str:
    return f"ablation-{arm}"


def _merged(common: Sequence[str], own: Sequence[str]) -> tuple[str, ...]:
    """Changes, of which the later ones of a key count."""
    return tuple({change.partition("=")[0]: change for change in (*common, *own)}.values())


def ablation_experiment(scale: ScaleConfig, out: Path, seed: int) -> commands.Experiment:
    """The commands of all arms and of their start. Raises UserError as `arm_variants` does."""
    after = (_start(scale), *arm_variants(scale).values())
    with_closed_book = replace(scale, closed_book=True)  # the table has it at every scale
    return commands.experiment_after_sft(with_closed_book, out, seed, after)


def _start(scale: ScaleConfig) -> commands.Variant:
    return next(variant for variant in commands.variants(scale) if variant.row == commands.FULL)


def reproduce_ablation(
    scale: ScaleConfig, out: Path, base: Path, seed: int, jobs: int, console: Console
) -> None:
    """Run what has not finished, `jobs` commands at once; write `out/ablation.md` and a plot.

    `out` may hold Table 1, whose commands are then not run again. Raises UserError if a command
    fails or `out` holds another reproduction.
    """
    experiment = ablation_experiment(scale, out, seed)
    duration = commands.run_experiment(experiment, out, base, jobs, console)
    outcomes = arm_outcomes(scale, [out])
    write_plot(outcomes, out / "ablation.png")
    report = Report((ablation_table(outcomes),), ())
    commands.save_report(report, out / "ablation.md", console)
    console.print(f"{duration}. Results: {out / 'ablation.md'} and ablation.png", highlight=False)


def arm_outcomes(scale: ScaleConfig, folders: Sequence[Path]) -> list[ArmOutcome]:
    """The start and the arms over complete ablations, one a seed. Raises UserError."""
    start_name = _start(scale).name
    start = ArmOutcome(
        commands.FULL,
        _entries(folders, start_name),
        _entries(folders, commands.closed_book_run(start_name)),
    )
    outcomes = [start]
    for arm, variant in arm_variants(scale).items():
        trainings = [folder / "train" / variant.name for folder in folders]
        runs = _entries(folders, variant.name)
        outcomes.append(
            ArmOutcome(
                arm,
                runs,
                _entries(folders, commands.closed_book_run(variant.name)),
                change_of_average(runs, start.runs),
                _fidelity(trainings),
                tuple(map(training_end, trainings)),
            )
        )
    return outcomes


def _entries(folders: Sequence[Path], name: str) -> list[Entry]:
    runs = [scores.load_scored(folder / "runs" / name) for folder in folders]
    return make_entries(runs, EMPTY_CATALOGUE)


def _fidelity(trainings: Sequence[Path]) -> tuple[float | None, float | None]:
    """The mean fidelity of the first and of the last third of the simulated steps."""
    first: list[float] = []
    last: list[float] = []
    for training in trainings:
        steps = [step for step in training_steps(training) if step.environment == "simulated"]
        third = max(1, len(steps) // 3)
        first += [step.facts for step in steps[:third] if step.facts is not None]
        last += [step.facts for step in steps[-third:] if step.facts is not None]
    return (fmean(first) if first else None, fmean(last) if last else None)


def ablation_table(outcomes: Sequence[ArmOutcome]) -> Table:
    """The start and the arms, a row each."""
    builder = TableBuilder("ablation")
    kinds = _kinds(outcomes)
    for outcome in outcomes:
        average, closed = average_score(outcome.runs), right(outcome.closed_book, "known")
        change = outcome.change
        cells: list[Value] = [
            average,
            difference_cell(change.difference if change else None),
            p_text(change.p) if change else None,
            *(_share(right(outcome.runs, kind)) for kind in kinds),
            *(_share(searched(outcome.runs, kind)) for kind in _SINGLE),
            _share(closed),
            *(None if share is None else percent(share) for share in outcome.fidelity),
            ", ".join(map(_end_text, outcome.trainings)) or None,
        ]
        builder.add_row(outcome.name, cells)
        builder.add_estimate(None, f"{SCORER}:{outcome.name}", average)
        builder.add_estimate(None, f"{SCORER}:closed-book:known:{outcome.name}", closed)
        if change:
            builder.add_estimate(None, f"{SCORER}:change:{outcome.name}", change, p=change.p)
    headings = columns(
        *(("", name) for name in ("average EM", "less the start", "p")),
        *(("EM %", kind) for kind in kinds),
        *(("Searched %", kind) for kind in _SINGLE),
        ("Closed book %", "known"),
        *(("True facts %", third) for third in ("first third", "last third")),
        ("", "steps"),
    )
    notes = (
        f"arms: GRPO from {commands.FULL} in the simulated environment; what each changes is in "
        f"the scale's {_FILE}",
        "average EM: mean over datasets in percent, each averaged over the seeds, with its 95 % "
        "interval over questions; less the start: the paired difference in points, with the "
        "uncorrected p of its test",
        "EM: by kind of question, single facts or hops; searched: single facts that the agent "
        "searches for; closed book: known facts right without a search engine",
        "true facts: imagined search results that state a fact of the gold chain, while one was "
        "missing, in the first and in the last third of the simulated steps",
        "steps: of each training; stopped: live exact match fell while the reward did not; kept: "
        "the step whose model is evaluated here, the best in the real environment",
    )
    return builder.build("Short RL in the simulated environment", "Arm", headings, notes, lead=0)


def _kinds(outcomes: Sequence[ArmOutcome]) -> list[str]:
    """The kinds of the runs' questions: single facts first, then the others by name."""
    records = (record for outcome in outcomes for run in outcome.runs for record in run.run.records)
    kinds = {record.question.kind for record in records} - {""}
    return [*(kind for kind in _SINGLE if kind in kinds), *sorted(kinds - {*_SINGLE})]


def _share(share: Estimate) -> Value:
    return None if share.mean is None else percent(share.mean)


def _end_text(end: TrainingEnd) -> str:
    text = f"stopped after {end.steps}" if end.steps < end.planned else str(end.steps)
    return text if end.best is None else f"{text}, kept {end.best}"


def write_plot(outcomes: Sequence[ArmOutcome], file: Path) -> None:
    """Plot each arm's change of the average, and beside it what it knows and searches for."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.2 + 0.3 * len(outcomes)), layout="constrained")
    changes, shares = figure.subplots(1, 2, sharey=True)
    for row, outcome in enumerate(outcomes):
        change = outcome.change
        mean, low, high = (change.mean, change.low, change.high) if change else (0.0, 0.0, 0.0)
        error = [[100 * (mean - low)], [100 * (high - mean)]]
        changes.errorbar(100 * mean, row, xerr=error, fmt="o", color="#0072b2", capsize=3)
    for label, marker, color, values in (
        ("known, searched", "o", "#d55e00", [searched(o.runs, "known") for o in outcomes]),
        ("unknown, searched", "s", "#0072b2", [searched(o.runs, "unknown") for o in outcomes]),
        ("known, closed book", "D", "#009e73", [right(o.closed_book, "known") for o in outcomes]),
    ):
        # matplotlib leaves out what is not a number.
        means = [math.nan if v.mean is None else 100 * v.mean for v in values]
        shares.plot(means, range(len(means)), marker, color=color, label=label, alpha=0.8)
    changes.axvline(0, color="#888888", linewidth=0.8)
    changes.set_yticks(range(len(outcomes)), [outcome.name for outcome in outcomes])
    changes.set_xlabel("change of average EM, points, with 95 % intervals")
    shares.set(xlabel="single facts, %", xlim=(-3, 103))
    changes.margins(y=0.08)
    changes.invert_yaxis()
    figure.legend(loc="outside upper right", ncols=3, fontsize=8, frameon=False)
    for axes in (changes, shares):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#dddddd", linewidth=0.5)
    figure.savefig(file, dpi=150)
