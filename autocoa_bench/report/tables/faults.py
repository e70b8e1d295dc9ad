"""Failures of the harness: faults, and answers that a scorer could not score."""

from __future__ import annotations

from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.entries import Entry, Inputs
from autocoa_bench.report.model import Column, Table, printable


def faults(inputs: Inputs) -> Table:
    """Faults by kind, with their number and the first message; "none" for a run without faults.

    An answer that a scorer left without a number is listed as `unscored (scorer)` and the reason.
    """
    builder = TableBuilder("faults", inputs.entries)
    for entry in builder.entries:
        builder.start_section(entry.title)
        messages_by_kind = _messages_by_kind(entry)
        for kind, messages in messages_by_kind.items():
            builder.add_row(kind, (len(messages), messages[0]))
            builder.add_point(entry, kind, total=len(messages))
        if not messages_by_kind:
            builder.add_row("none", (0, None))
    return builder.build_with_legend(
        columns=(Column(("number",)), Column(("first message",), wide=True)),
    )


def _messages_by_kind(entry: Entry) -> dict[str, list[str]]:
    """Messages by kind, the most frequent kind first."""
    messages: dict[str, list[str]] = {}
    for record in entry.run.records:
        place = f" ({record.question.task}, {record.question.id})"
        if record.fault is not None:
            message = printable(record.fault.message) + place
            messages.setdefault(printable(record.fault.kind, 40), []).append(message)
            continue
        for scorer, scores in entry.run.scores.items():
            score = scores.get(record.key)
            if score is not None and score.value is None:
                message = printable(score.reason) + place
                reason = printable(score.reason.partition(":")[0], 40)
                messages.setdefault(f"unscored ({scorer}): {reason}", []).append(message)
    return dict(sorted(messages.items(), key=lambda item: -len(item[1])))
