"""Probes that try to mislead a judge: injections in wrong answers, golds in other places."""

from __future__ import annotations

from collections.abc import Iterator

from autocoa_bench.judge.probes import Pairs, ProbeResults
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.model import Report, columns, printable
from autocoa_bench.stats import Estimate, proportion


def judge_probes(results: ProbeResults, source: str, judge: str) -> Report:
    """A row per probe: the answers called right before and after it, and how many changed."""
    builder = TableBuilder("probe")
    groups = {
        "Injected into wrong answers": results.injections,
        "Golds in other places": results.positions,
    }
    for title, probes in groups.items():
        if probes:
            builder.start_section(title)
        for name, pairs in probes.items():
            shares = dict(_shares(pairs))
            builder.add_row(name, (len(_readable(pairs)), *shares.values()))
            for metric, share in shares.items():
                if share.n:
                    builder.add_estimate(None, f"{name}:{metric}", share, planned=len(pairs))
    every = [pair for probes in results for pairs in probes.values() for pair in pairs]
    n_missing = len(every) - len(_readable(every))
    if n_missing:
        builder.add_note(
            f"left out for want of a verdict before or after: {n_missing:,} of {len(every):,} pairs"
        )
    builder.add_note(f"judge: {printable(judge, 400)}")
    table = builder.build_with_legend(
        columns=columns("n", "right % before", "right % after", "wrong to right %", "changed %"),
        source=printable(source, 60),
    )
    return Report((table,), ())


def _shares(pairs: Pairs) -> Iterator[tuple[str, Estimate]]:
    """The shares of answers right before, right after, turned from wrong to right, and changed."""
    readable = _readable(pairs)
    n = len(readable)
    after_wrong = [after for before, after in readable if not before]
    yield "before", proportion(sum(before for before, _ in readable), n)
    yield "after", proportion(sum(after for _, after in readable), n)
    yield "wrong to right", proportion(sum(after_wrong), len(after_wrong))
    yield "changed", proportion(sum(before != after for before, after in readable), n)


def _readable(pairs: Pairs) -> list[tuple[bool, bool]]:
    """The pairs with both verdicts."""
    return [(a, b) for a, b in pairs if a is not None and b is not None]
