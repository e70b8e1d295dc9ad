"""The harness's failures, itemised: faults, and answers that a scorer could not score."""

from __future__ import annotations

from collections.abc import Sequence

from autocoa_bench.report.entries import EMPTY_CATALOGUE, Catalogue, Entry, make_entries
from autocoa_bench.report.model import NOTHING, Cell, Column, Row, Section, Table, printable
from autocoa_bench.report.notes import shared_notes, title_with_model
from autocoa_bench.runs.run_folder import Run


def faults(runs: Sequence[Run], catalogue: Catalogue = EMPTY_CATALOGUE) -> Table:
    """Faults by kind, with their number and the first one's message; "none" where there are none.

    An answer that a scorer left without a number is listed as `unscored (scorer)` and why.
    """
    found = make_entries(runs, catalogue)
    kinds = {entry.name: _kinds(entry) for entry in found}
    return Table(
        name="faults",
        title=title_with_model("Faults", found),
        stub="Kind",
        columns=(Column(("number",)), Column(("first message",), wide=True)),
        sections=tuple(
            Section(f"{entry.label}, {entry.model}", _rows(kinds[entry.name])) for entry in found
        ),
        notes=(
            "faults are the harness's failures: never a score of 0, never dropped",
            *shared_notes(found),
        ),
        data_points=tuple(
            entry.fact("faults", kind, total=len(messages))
            for entry in found
            for kind, messages in kinds[entry.name].items()
        ),
    )


def _kinds(entry: Entry) -> dict[str, list[str]]:
    """Messages by kind, most frequent kind first."""
    kinds: dict[str, list[str]] = {}
    for record in entry.run.records:
        where = f" ({record.question.task}, {record.question.id})"
        if record.fault is not None:
            message = printable(record.fault.message) + where
            kinds.setdefault(printable(record.fault.kind, 40), []).append(message)
            continue
        for scorer, scores in entry.run.scores.items():
            score = scores.get(record.key)
            if score is not None and score.value is None:
                message = printable(score.reason) + where
                why = printable(score.reason.partition(":")[0], 40)
                kinds.setdefault(f"unscored ({scorer}): {why}", []).append(message)
    return dict(sorted(kinds.items(), key=lambda item: -len(item[1])))


def _rows(kinds: dict[str, list[str]]) -> tuple[Row, ...]:
    if not kinds:
        return (Row(Cell("none"), (Cell("0"), Cell(NOTHING))),)
    return tuple(
        Row(Cell(kind), (Cell(f"{len(messages):,}"), Cell(messages[0])))
        for kind, messages in kinds.items()
    )
