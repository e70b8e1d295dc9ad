"""What misleads a judge: injections in wrong answers, and golds in other places."""

from __future__ import annotations

from typing import NamedTuple

from autocoa_bench.judge.probes import Pairs, ProbeResults
from autocoa_bench.report.model import (
    NOTHING,
    Cell,
    Column,
    DataPoint,
    Report,
    Row,
    Section,
    Table,
    data_point,
    percent,
    printable,
)
from autocoa_bench.stats import wilson


def judge_probes(found: ProbeResults, source: str, judge: str) -> Report:
    """A table of each probe: what is called right before and after, and how much changed."""
    kinds = (
        ("Injected into wrong answers", found.injections),
        ("Golds in other places", found.positions),
    )
    table = Table(
        name="probe",
        title=f"What changes a judge's verdict, on answers of {printable(source, 60)}",
        stub="Probe",
        columns=tuple(
            Column((name,))
            for name in ("n", "right % before", "right % after", "wrong to right %", "changed %")
        ),
        sections=tuple(
            Section(title, tuple(_row(name, pairs) for name, pairs in probes.items()))
            for title, probes in kinds
            if probes
        ),
        notes=(
            "n: answers with a verdict both before and after; wrong to right: of those called "
            "wrong before; with Wilson's 95 % intervals",
            "injected: text after an answer labelled wrong, such as a verdict of its own; golds in "
            "other places: reversed, or after two golds of other questions instead of before them",
            *_left_out(found),
            f"judge: {printable(judge, 400)}",
        ),
        data_points=tuple(
            fact
            for _, probes in kinds
            for name, pairs in probes.items()
            for fact in _facts(name, pairs)
        ),
        lead=1,
    )
    return Report((table,), ())


class _Share(NamedTuple):
    k: int
    n: int


def _shares(pairs: Pairs) -> tuple[_Share, ...]:
    """Right before, right after, wrong turned right, changed."""
    both = _readable(pairs)
    n = len(both)
    wrong = [after for before, after in both if not before]
    return (
        _Share(sum(before for before, _ in both), n),
        _Share(sum(after for _, after in both), n),
        _Share(sum(wrong), len(wrong)),
        _Share(sum(before != after for before, after in both), n),
    )


def _readable(pairs: Pairs) -> list[tuple[bool, bool]]:
    return [(a, b) for a, b in pairs if a is not None and b is not None]


def _row(name: str, pairs: Pairs) -> Row:
    cells = (_cell(share) for share in _shares(pairs))
    return Row(Cell(name), (Cell(f"{len(_readable(pairs)):,}"), *cells))


def _cell(share: _Share) -> Cell:
    if not share.n:
        return Cell(NOTHING)
    low, high = wilson(*share)
    return Cell(percent(share.k / share.n), f"{100 * low:.0f}–{100 * high:.0f}")


def _left_out(found: ProbeResults) -> list[str]:
    every = [pair for probes in found for pairs in probes.values() for pair in pairs]
    missing = len(every) - len(_readable(every))
    if not missing:
        return []
    return [f"left out for want of a verdict before or after: {missing:,} of {len(every):,} pairs"]


def _facts(name: str, pairs: Pairs) -> list[DataPoint]:
    names = ("before", "after", "wrong to right", "changed")
    return [
        data_point(
            "probe",
            f"{name}:{what}",
            mean=share.k / share.n,
            low=wilson(*share).low,
            high=wilson(*share).high,
            n=share.n,
            planned=len(pairs),
        )
        for what, share in zip(names, _shares(pairs), strict=True)
        if share.n
    ]
