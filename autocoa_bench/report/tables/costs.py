"""What answers cost: calls, tokens, searches, seconds, and how often the harness had to step in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean, median

from autocoa_bench.episode import n_actions, n_malformed
from autocoa_bench.report.entries import EMPTY_CATALOGUE, Catalogue, Entry, make_entries
from autocoa_bench.report.model import (
    NOTHING,
    Cell,
    Column,
    DataPoint,
    Row,
    Section,
    Table,
    count,
    percent,
    rate,
)
from autocoa_bench.report.notes import shared_notes, title_with_model
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.types import Ending, Step, Trajectory

_FORCED: dict[Ending, str] = {
    "forced-actions": "actions",
    "forced-context": "context",
    "forced-malformed": "malformed",
}
_QUANTITIES: dict[str, tuple[tuple[str, str], Callable[[Trajectory], int | None]]] = {
    "model_calls": (("", "model calls"), lambda t: len(t.steps)),
    "prompt_tokens": (("Tokens", "prompt"), lambda t: _reported(t, lambda s: s.prompt_tokens)),
    "completion_tokens": (
        ("Tokens", "completion"),
        lambda t: _reported(t, lambda s: s.completion_tokens),
    ),
    "observation_tokens": (
        ("Tokens", "observation"),
        lambda t: sum(step.observation_tokens for step in t.steps),
    ),
    "searches": (("", "searches"), n_actions),
    "malformed": (("", "malformed"), n_malformed),
    "dropped_passages": (
        ("", "dropped passages"),
        lambda t: sum(step.dropped_passages for step in t.steps),
    ),
}


def _reported(trajectory: Trajectory, tokens: Callable[[Step], int | None]) -> int | None:
    """A trajectory's tokens, or None where the server did not report each call's."""
    numbers = [tokens(step) for step in trajectory.steps]
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def _well_formed(trajectory: Trajectory) -> bool:
    """Whether a model kept the form by itself: it answered unforced, with nothing malformed."""
    return trajectory.ending == "answered" and not n_malformed(trajectory)


def costs(runs: Sequence[Run], catalogue: Catalogue = EMPTY_CATALOGUE) -> Table:
    """Costs a trajectory (one question, one sample), with the run's totals under them."""
    found = make_entries(runs, catalogue)
    columns = [Column(("", "trajectories"))]
    columns += [Column(headings) for headings, _ in _QUANTITIES.values()]
    columns += [Column(("Forced answers %", word)) for word in _FORCED.values()]
    columns.append(Column(("", "well-formed %")))
    columns += [Column(("Seconds", word)) for word in ("median", "mean")]
    return Table(
        name="cost",
        title=title_with_model("Cost a question", found),
        stub="Method",
        columns=tuple(columns),
        sections=(Section("", tuple(_row(entry) for entry in found)),),
        notes=(
            "numbers a trajectory (one question, one sample), each with the run's total",
            "prompt tokens count the whole prompt of each call, also what a server had cached; "
            "observation tokens are estimates; seconds are an episode's own, with others in flight",
            "well-formed: answered unforced, and no completion malformed",
            *_notes(found),
            *shared_notes(found),
        ),
        data_points=tuple(fact for entry in found for fact in _facts(entry)),
        lead=1,
    )


def _amounts(entry: Entry) -> dict[str, list[int]]:
    """Each quantity's known amounts, one a trajectory."""
    trajectories = [r.trajectory for r in entry.trajectories() if r.trajectory is not None]
    return {
        name: [amount for t in trajectories if (amount := of(t)) is not None]
        for name, (_, of) in _QUANTITIES.items()
    }


def _shares(entry: Entry) -> dict[str, int]:
    """How many trajectories ended each way by force, and how many were well-formed."""
    trajectories = [r.trajectory for r in entry.trajectories() if r.trajectory is not None]
    endings = [trajectory.ending for trajectory in trajectories]
    forced: dict[str, int] = {ending: endings.count(ending) for ending in _FORCED}
    return forced | {"well_formed": sum(map(_well_formed, trajectories))}


def _row(entry: Entry) -> Row:
    seconds = [record.seconds for record in entry.trajectories()]
    cells = [Cell(f"{len(seconds):,}")]
    cells += [
        Cell(rate(fmean(amounts)), _total(sum(amounts))) if amounts else Cell(NOTHING)
        for amounts in _amounts(entry).values()
    ]
    cells += [
        Cell(percent(number / len(seconds)), _total(number)) if seconds else Cell(NOTHING)
        for number in _shares(entry).values()
    ]
    cells += [Cell(rate(of(seconds)) if seconds else NOTHING) for of in (median, fmean)]
    return Row(Cell(entry.label, entry.model), tuple(cells))


def _total(number: int) -> str:
    return count(number) if number else ""


def _notes(found: Sequence[Entry]) -> list[str]:
    notes = []
    for entry in found:
        trajectories = sum(1 for _ in entry.trajectories())
        amounts = _amounts(entry)
        for name in ("prompt_tokens", "completion_tokens"):
            silent = trajectories - len(amounts[name])
            if silent:
                words = name.replace("_", " ")
                notes.append(
                    f"{entry.name}: trajectories left out of {words}, not reported: {silent:,}"
                )
        shortened = sum(bool(r.trajectory and r.trajectory.refusals) for r in entry.trajectories())
        if shortened:
            notes.append(
                f"{entry.name}: trajectories shortened, as the server refused a prompt for its "
                f"length: {shortened:,}"
            )
        faulted = sum(record.fault is not None for record in entry.run.records)
        if faulted:
            notes.append(f"{entry.name}: faults left out, see their table: {faulted:,}")
    return notes


def _facts(entry: Entry) -> list[DataPoint]:
    amounts: dict[str, Sequence[float]] = dict(_amounts(entry))
    seconds = [record.seconds for record in entry.trajectories()]
    for name, number in _shares(entry).items():
        amounts[name] = [1] * number + [0] * (len(seconds) - number)
    amounts["seconds"] = seconds
    facts = [
        entry.fact("cost", name, mean=fmean(each), n=len(each), total=sum(each))
        for name, each in amounts.items()
        if each
    ]
    if seconds:
        facts.append(entry.fact("cost", "seconds_median", mean=median(seconds), n=len(seconds)))
    return facts
