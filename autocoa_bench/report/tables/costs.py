"""The cost of answers: calls, tokens, searches, seconds, and how often an answer was forced."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median

from autocoa_bench.episode import n_actions, n_cut, n_cut_prompts, n_malformed
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.entries import Entry, Inputs
from autocoa_bench.report.model import Cell, Table, Value, columns, count, percent, rate
from autocoa_bench.types import Ending, Step, Trajectory

_FORCED: dict[Ending, str] = {
    "forced-actions": "actions",
    "forced-context": "context",
    "forced-malformed": "malformed",
}


def _reported(trajectory: Trajectory, tokens: Callable[[Step], int | None]) -> int | None:
    """A trajectory's tokens, or None if the server did not report those of every call."""
    # A partial sum would look like a cheap answer.
    reported = [number for step in trajectory.steps if (number := tokens(step)) is not None]
    return sum(reported) if len(reported) == len(trajectory.steps) else None


_QUANTITIES: dict[str, tuple[tuple[str, str], Callable[[Trajectory], int | None]]] = {
    "model_calls": (
        ("", "model calls"),
        lambda t: sum(not (step.is_retrieval or step.call) for step in t.steps),
    ),
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
"""Each quantity's headings and its amount in a trajectory."""


def costs(inputs: Inputs) -> Table:
    """Costs per trajectory (one question, one sample), over the run's totals."""
    builder = TableBuilder("cost", inputs.entries)
    for entry in builder.entries:
        _add_run(builder, entry)
    return builder.build_with_legend(
        columns=columns(
            ("", "trajectories"),
            *(headings for headings, _ in _QUANTITIES.values()),
            *(("Forced answers %", limit) for limit in (*_FORCED.values(), "cut")),
            ("", "well-formed %"),
            ("Seconds", "median"),
            ("Seconds", "mean"),
        ),
    )


def _add_run(builder: TableBuilder, entry: Entry) -> None:
    trajectories = [trajectory for _, trajectory in entry.trajectories()]
    amounts = {
        name: [number for t in trajectories if (number := amount(t)) is not None]
        for name, (_, amount) in _QUANTITIES.items()
    }
    endings = Counter(trajectory.ending for trajectory in trajectories)
    well_formed = sum(t.ending == "answered" and not n_malformed(t) for t in trajectories)
    forced: dict[str, int] = {ending: endings[ending] for ending in _FORCED}
    forced["forced-cut"] = sum(map(n_cut, trajectories))
    shares = forced | {"well_formed": well_formed}
    seconds = [record.seconds for record, _ in entry.trajectories()]
    cells: list[Value] = [len(seconds)]
    for numbers in amounts.values():
        cells.append(Cell(rate(fmean(numbers)), _total(sum(numbers))) if numbers else None)
    for number in shares.values():
        cells.append(Cell(percent(number / len(seconds)), _total(number)) if seconds else None)
    cells += [rate(mean(seconds)) if seconds else None for mean in (median, fmean)]
    builder.add_row(Cell(entry.label, entry.model), cells)
    _add_notes(builder, entry, {name: len(numbers) for name, numbers in amounts.items()})

    numbers_by_metric: dict[str, Sequence[float]] = {
        **amounts,
        **{name: [1] * number + [0] * (len(seconds) - number) for name, number in shares.items()},
        "seconds": seconds,
    }
    for metric, values in numbers_by_metric.items():
        if values:
            builder.add_total(entry, metric, values)
    if seconds:
        builder.add_point(entry, "seconds_median", mean=median(seconds), n=len(seconds))


def _add_notes(builder: TableBuilder, entry: Entry, reported: Mapping[str, int]) -> None:
    """What the numbers of a run leave out, and what its server has done to its prompts and texts.

    `reported` are the trajectories with an amount, by quantity.
    """
    trajectories = [trajectory for _, trajectory in entry.trajectories()]
    for metric in ("prompt_tokens", "completion_tokens"):
        unreported = len(trajectories) - reported[metric]
        if unreported:
            words = metric.replace("_", " ")
            builder.add_text("unreported", run=entry.name, metric=words, number=unreported)
    steps = [step for trajectory in trajectories for step in trajectory.steps]
    numbers = {
        "cut": sum(step.kind == "malformed" and step.stop_reason == "length" for step in steps),
        "filtered": sum(step.stop_reason == "filtered" for step in steps),
        "tool-call": sum(step.stop_reason == "tool-call" for step in steps),
        "shortened": sum(bool(trajectory.refusals) for trajectory in trajectories),
        "cut-prompts": sum(bool(n_cut_prompts(trajectory)) for trajectory in trajectories),
        "faults": sum(record.fault is not None for record in entry.run.records),
    }
    for name, number in numbers.items():
        if number:
            builder.add_text(name, run=entry.name, number=number)


def _total(number: int) -> str:
    return count(number) if number else ""
