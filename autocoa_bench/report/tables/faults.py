"""Failures of the harness: faults, and answers that a scorer could not score."""

from collections.abc import Iterator

from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.entries import Entry, Inputs, grouped
from autocoa_bench.report.model import Column, Table, cell_text


def faults(inputs: Inputs) -> Table:
    """Faults by kind, with their number and the first message; "none" for a run without faults.

    An answer that a scorer left without a number is listed as `unscored (scorer)` and the reason.
    """
    builder = TableBuilder("faults", inputs.entries)
    for entry in builder.entries:
        builder.start_section(entry.title)
        messages_by_kind = grouped(_messages(entry))
        # The most frequent kind comes first.
        for kind, messages in sorted(messages_by_kind.items(), key=lambda item: -len(item[1])):
            builder.add_row(kind, (len(messages), messages[0]))
            builder.add_point(entry, kind, total=len(messages))
        if not messages_by_kind:
            builder.add_row("none", (0, None))
    return builder.build_with_legend(
        columns=(Column(("number",)), Column(("first message",), wide=True)),
    )


def _messages(entry: Entry) -> Iterator[tuple[str, str]]:
    """The kind and message of each fault, and of each answer without a number."""
    for record in entry.run.records:
        place = f" ({record.question.task}, {record.question.id})"
        if record.fault is not None:
            yield cell_text(record.fault.kind, 40), cell_text(record.fault.message) + place
            continue
        for scorer, scores in entry.run.scores.items():
            score = scores.get(record.key)
            if score is not None and score.value is None:
                reason = cell_text(score.reason.partition(":")[0], 40)
                yield f"unscored ({scorer}): {reason}", cell_text(score.reason) + place
