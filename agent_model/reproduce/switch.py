"""Real searches saved against accuracy lost, by the RL step that leaves the simulated environment.

The paper switches after five of six steps; the curve has points before and after that.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from rich.console import Console

from agent_model.reproduce import commands
from agent_model.reproduce.measures import SCORER, average_score, change_of_average
from agent_model.reproduce.scale import ScaleConfig
from agent_model.reproduce.training_cost import SearchCounts, search_counts, training_steps
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.comparison.claim_tests import Contrast
from autocoa_bench.report.entries import EMPTY_CATALOGUE, make_entries
from autocoa_bench.report.model import (
    Report,
    Table,
    columns,
    count,
    difference_cell,
    p_text,
    percent,
)
from autocoa_bench.runs import scores
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import Estimate

_SIMULATED_SHARES = ((0, 1), (1, 4), (1, 2), (3, 4), (5, 6), (1, 1))


class SwitchPoint(NamedTuple):
    """The trainings with one number of simulated steps, one a seed.

    `searches` and `real_searches` are means over the trainings; `average` is the score of their
    models, averaged over datasets; `change` compares it with trainings that simulate nothing (None
    for those themselves).
    """

    simulated_steps: int
    trainings: int
    searches: float
    real_searches: float
    average: Estimate
    change: Contrast | None


def reproduce_switch(
    scale: ScaleConfig, out: Path, base: Path, seed: int, jobs: int, console: Console
) -> None:
    """Run what has not finished, `jobs` commands at once; write `out/switch.md` and `switch.png`.

    `out` may hold Table 1, whose commands are then not run again. Raises UserError if a command
    fails or `out` holds another reproduction.
    """
    experiment = switch_experiment(scale, out, seed)
    duration = commands.run_experiment(experiment, out, base, jobs, console)
    points = switch_points(scale, [out])
    write_plot(points, scale.rl_steps, out / "switch.png")
    table = switch_table(points, scale.rl_steps)
    commands.save_report(Report((table,), ()), out / "switch.md", console)
    console.print(f"{duration}. Results: {out / 'switch.md'} and switch.png", highlight=False)


def switch_experiment(scale: ScaleConfig, out: Path, seed: int) -> commands.Experiment:
    """The variants of the curve. Table 1 has the same commands for those that are its rows."""
    curve = tuple(switch_variants(scale).values())
    return commands.experiment_after_sft(scale, out, seed, curve)


def switch_variants(scale: ScaleConfig) -> dict[int, commands.Variant]:
    """The variants by number of simulated steps; rows of Table 1 where it has them."""
    rows = {(variant.start, variant.changes): variant for variant in commands.variants(scale)}
    curve = {}
    for part, whole in _SIMULATED_SHARES:
        simulated = scale.rl_steps * part // whole
        row = f"{commands.FULL}+RL-simulated-{simulated}"
        variant = commands.simulated_variant(scale, row, simulated)
        curve[simulated] = rows.get((variant.start, variant.changes), variant)
    return curve


def switch_points(scale: ScaleConfig, folders: Sequence[Path]) -> list[SwitchPoint]:
    """The points of the curve over complete reproductions, one a seed."""
    points: list[SwitchPoint] = []
    real_runs: list[Run] = []
    for simulated_steps, variant in switch_variants(scale).items():
        runs = [scores.load_scored(folder / "runs" / variant.name) for folder in folders]
        trainings = [training_steps(folder / "train" / variant.name) for folder in folders]
        real_runs = real_runs or runs  # the first variant simulates nothing
        searches = list(map(search_counts, trainings))
        points.append(switch_point(simulated_steps, searches, runs, real_runs))
    return points


def switch_point(
    simulated_steps: int,
    searches: Sequence[SearchCounts],
    runs: Sequence[Run],
    real_runs: Sequence[Run],
) -> SwitchPoint:
    """A point from the searches of its trainings, the runs of their models, and the runs of models
    that were trained without simulation."""
    ours, baseline = make_entries(runs, EMPTY_CATALOGUE), make_entries(real_runs, EMPTY_CATALOGUE)
    return SwitchPoint(
        simulated_steps,
        len(runs),
        fmean(count.total for count in searches),
        fmean(count.real for count in searches),
        average_score(ours),
        change_of_average(ours, baseline) if simulated_steps else None,
    )


def switch_table(points: Sequence[SwitchPoint], rl_steps: int) -> Table:
    """The curve as a table, a row a point."""
    builder = TableBuilder("switch")
    most = max(point.real_searches for point in points)
    for point in points:
        steps, change = point.simulated_steps, point.change
        builder.add_row(
            f"{steps} of {rl_steps}",
            (
                point.trainings,
                count(point.searches),
                count(point.real_searches),
                percent(1 - point.real_searches / most) if most else None,
                point.average,
                difference_cell(change.difference if change else None),
                p_text(change.p) if change else None,
            ),
        )
        builder.add_point(None, f"real-calls:{steps}", total=point.real_searches)
        builder.add_estimate(None, f"{SCORER}:{steps}", point.average)
    notes = (
        f"simulated steps: of {rl_steps} RL steps after {commands.FULL}, those in the simulated "
        "environment; the real environment follows",
        "searches: in all rollouts of a training; real calls: searches sent to a search "
        "engine; saved: percent of the most real calls that a training made",
        "average EM: mean over datasets in percent, each averaged over the trainings, with its "
        "95 % interval over questions; less none simulated: the paired difference in points, "
        "with the uncorrected p of its test",
    )
    headings = columns(
        *("trainings", "searches", "real calls", "saved", "average EM"),
        *("less none simulated", "p"),
    )
    title = "Where the simulated environment ends"
    return builder.build(title, "Simulated steps", headings, notes, lead=0)


def write_plot(points: Sequence[SwitchPoint], rl_steps: int, file: Path) -> None:
    """Plot accuracy over real searches, a marker a point."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.subplots()
    for point in points:
        mean, low, high = point.average.mean, point.average.low, point.average.high
        if mean is None or low is None or high is None:
            continue
        position = point.real_searches, 100 * mean
        error = [[100 * (mean - low)], [100 * (high - mean)]]
        axes.errorbar(*position, yerr=error, fmt="o", color="#0072b2", capsize=3)
        label = str(point.simulated_steps)
        axes.annotate(label, position, (5, 5), textcoords="offset points", fontsize=8)
    axes.set(
        xlabel="real searches of a training",
        ylabel="average EM, %, with 95 % intervals",
        ylim=(0, 100),
    )
    axes.set_title(f"Simulated steps (beside each point) of {rl_steps}", loc="left", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.5)
    figure.savefig(file, dpi=150)
