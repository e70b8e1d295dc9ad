"""Where the simulated environment ends: real searches saved against accuracy lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from agent_model.reproduce.seeds import SCORER, average
from agent_model.reproduce.steps import Command
from agent_model.reproduce.table1 import (
    FULL,
    ScaleConfig,
    Variant,
    data_steps,
    mixed,
    row_steps,
    trained,
    variants,
)
from agent_model.reproduce.training_cost import curve, searches
from autocoa_bench.report.comparison.claim_tests import Contrast, contrast
from autocoa_bench.report.entries import EMPTY_CATALOGUE, Entry, make_entries
from autocoa_bench.report.model import (
    NOTHING,
    Cell,
    Column,
    DataPoint,
    Row,
    Section,
    Table,
    count,
    data_point,
    percent,
    score_cell,
)
from autocoa_bench.report.published import Claim
from autocoa_bench.report.tables.compare import p_text
from autocoa_bench.runs import scores
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import Estimate

_SHARES = ((0, 1), (1, 4), (1, 2), (3, 4), (5, 6), (1, 1))
"""Of RL's steps, those in the simulated environment; the paper has 5 of 6."""

_COLUMNS = (
    *("trainings", "searches", "real calls", "saved", "average EM"),
    *("less none simulated", "p"),
)


class SwitchPoint(NamedTuple):
    """A switch after so many simulated steps: what its trainings, one a seed, searched on average,
    and how their policies score, average of the datasets."""

    simulated: int
    trainings: int
    searches: float
    calls: float
    average: Estimate
    change: Contrast | None


def variants_by_switch(scale: ScaleConfig) -> dict[int, Variant]:
    """The variants by simulated steps; those that Table 1 has are its rows."""
    known = {(each.start, each.changes): each for each in variants(scale)}
    found = {}
    for simulated in dict.fromkeys(scale.rl_steps * part // of for part, of in _SHARES):
        each = mixed(scale, f"{FULL}+RL-simulated-{simulated}", simulated)
        found[simulated] = known.get((each.start, each.changes), each)
    return found


def rows(scale: ScaleConfig) -> tuple[Variant, ...]:
    """Every variant that has a folder: Table 1's, and the curve's own."""
    return tuple(dict.fromkeys((*variants(scale), *variants_by_switch(scale).values())))


def steps(scale: ScaleConfig, out: Path, seed: int) -> list[Command]:
    """Every command that the curve needs; those that Table 1 has are the same there."""
    known = {each.row: each for each in variants(scale)}
    chain = [known[row] for row in ("SFT-stage1", "SFT-stage1&2", FULL)]
    found = [*data_steps(scale, out, seed), *(trained(scale, out, seed, each) for each in chain)]
    # A row that begins as another stands behind it, for those who type the commands.
    made = sorted(variants_by_switch(scale).values(), key=lambda each: bool(each.begins))
    return found + [step for each in made for step in row_steps(scale, out, seed, each)]


def points(scale: ScaleConfig, outs: Sequence[Path]) -> list[SwitchPoint]:
    """The curve's points over folders of several seeds, all with all of its runs."""
    of = variants_by_switch(scale)
    played = {
        simulated: [scores.load_scored(out / "runs" / each.name) for out in outs]
        for simulated, each in of.items()
    }
    spent = {
        simulated: [searches(curve(out / "train" / each.name)) for out in outs]
        for simulated, each in of.items()
    }
    return [point(simulated, spent[simulated], played[simulated], played[0]) for simulated in of]


def point(
    simulated: int, spent: Sequence[tuple[int, int]], runs: Sequence[Run], without: Sequence[Run]
) -> SwitchPoint:
    """A point from each training's searches and real calls, the runs of its policies, and those
    of policies that were trained without simulation."""
    ours, theirs = (make_entries(several, EMPTY_CATALOGUE) for several in (runs, without))
    return SwitchPoint(
        simulated,
        len(runs),
        fmean(total for total, _ in spent),
        fmean(calls for _, calls in spent),
        average(ours),
        _change(ours, theirs) if simulated else None,
    )


def _change(ours: Sequence[Entry], theirs: Sequence[Entry]) -> Contrast | None:
    claim = Claim("switch", "", "", "better", ("ours",), "theirs")
    found = contrast(claim, {"ours": ours, "theirs": theirs}, SCORER)
    return found if isinstance(found, Contrast) else None


def table(found: Sequence[SwitchPoint], rl_steps: int) -> Table:
    """A row a point."""
    most = max(point.calls for point in found)
    return Table(
        name="switch",
        title="Where the simulated environment ends",
        stub="Simulated steps",
        columns=tuple(Column((heading,)) for heading in _COLUMNS),
        sections=(Section("", tuple(_row(point, most, rl_steps) for point in found)),),
        notes=(
            f"of {rl_steps} steps of RL after {FULL} those in the simulated environment, before "
            "the others in the real one",
            "searches: in all rollouts of a training; real calls: of them, those that a search "
            "engine was asked; saved: of the most real calls that a training made, %",
            "average EM: of the datasets, in percent, with its 95 % interval over questions, each "
            "averaged over the trainings; less none simulated: the paired difference in points, "
            "with the p of its test, uncorrected",
        ),
        data_points=tuple(fact for point in found for fact in _facts(point)),
    )


def _row(point: SwitchPoint, most: float, rl_steps: int) -> Row:
    change = point.change
    cells = (
        Cell(str(point.trainings)),
        Cell(count(point.searches)),
        Cell(count(point.calls)),
        Cell(percent(1 - point.calls / most) if most else NOTHING),
        score_cell(point.average),
        Cell(NOTHING) if change is None else _difference(change),
        Cell(NOTHING if change is None else p_text(change.p)),
    )
    return Row(Cell(f"{point.simulated} of {rl_steps}"), cells)


def _difference(change: Contrast) -> Cell:
    return Cell(
        f"{100 * change.mean:+z.1f}", f"{100 * change.low:+z.0f} to {100 * change.high:+z.0f}"
    )


def _facts(point: SwitchPoint) -> list[DataPoint]:
    found = point.average
    calls = data_point("switch", f"real-calls:{point.simulated}", total=point.calls)
    score = data_point(
        "switch",
        f"{SCORER}:{point.simulated}",
        mean=found.mean,
        low=found.low,
        high=found.high,
        n=found.n,
    )
    return [calls, score]


def write_plot(found: Sequence[SwitchPoint], rl_steps: int, file: Path) -> None:
    """Draw accuracy over real searches, a point a switch."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes = figure.subplots()
    for point in found:
        mean, low, high = point.average.mean, point.average.low, point.average.high
        if mean is None or low is None or high is None:
            continue
        bounds = [[100 * (mean - low)], [100 * (high - mean)]]
        axes.errorbar(point.calls, 100 * mean, yerr=bounds, fmt="o", color="#0072b2", capsize=3)
        place = point.calls, 100 * mean
        axes.annotate(str(point.simulated), place, (5, 5), textcoords="offset points", fontsize=8)
    axes.set(
        xlabel="real searches of a training",
        ylabel="average EM, %, with 95 % intervals",
        ylim=(0, 100),
    )
    axes.set_title(f"Simulated steps (beside each point) of {rl_steps}", loc="left", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.5)
    figure.savefig(file, dpi=150)
