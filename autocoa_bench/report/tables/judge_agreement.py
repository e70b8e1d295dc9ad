"""Scorers beside labelled verdicts: how far they agree, and the answers on which they differ."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

from autocoa_bench.judge.agreement import Audit, Rate
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
from autocoa_bench.report.tables.compare import p_text
from autocoa_bench.report.tables.leaderboard import metric_title
from autocoa_bench.scoring import RIGHT
from autocoa_bench.stats import LEVEL, Interval, Paired, holm, paired

_LABELS = "labels"

_PROSE = 120
"""Characters of a question, gold or answer that a table shows."""


def judge_agreement(
    audits: Mapping[str, Audit], source: str, limit: int, judge: str = ""
) -> Report:
    """The table of scorers over the same labels, that of their pairs, and at most `limit`
    differing answers of each.

    `judge` describes the one that is among them, if any.
    """
    tables = (_agreement(audits, source, judge), _in_pairs(audits), *_differing(audits, limit))
    return Report(tables, ())


def _agreement(audits: Mapping[str, Audit], source: str, judge: str) -> Table:
    first = next(iter(audits.values()))
    labelled = sum(label.verdict for label in first.labels)
    names = ("right %", "agreement %", "kappa", "sensitivity %", "specificity %")
    return Table(
        name="audit",
        title=f"Scorers beside the verdicts of {printable(source, 60)}",
        stub="Scorer",
        columns=tuple(Column((name,)) for name in names),
        sections=(Section("", tuple(_row(name, each) for name, each in audits.items())),),
        notes=(
            f"{len(first.labels):,} labelled answers, {labelled:,} of them right "
            f"({percent(labelled / len(first.labels))} %); a score of {RIGHT} or more calls an "
            "answer right",
            "sensitivity: of the answers labelled right, those called right; specificity: of those "
            "labelled wrong, those called wrong; Wilson's 95 % intervals, kappa's (Cohen's) by its "
            "large-sample error",
            *(
                f"{name} gave no verdict on {each.unscored:,} of them, which its figures leave out"
                for name, each in audits.items()
                if each.unscored
            ),
            *([f"judge: {printable(judge, 400)}"] if judge else []),
        ),
        data_points=tuple(fact for name, each in audits.items() for fact in _facts(name, each)),
    )


def _row(name: str, found: Audit) -> Row:
    counts = found.counts
    cells = (counts.right, counts.agreement, None, counts.sensitivity, counts.specificity)
    return Row(Cell(name), tuple(_kappa(found) if each is None else _cell(each) for each in cells))


def _cell(rate: Rate) -> Cell:
    if rate.mean is None:
        return Cell(NOTHING)
    low, high = (100 * limit for limit in rate.interval)
    return Cell(percent(rate.mean), f"{low:.0f}–{high:.0f}")


def _kappa(found: Audit) -> Cell:
    if found.counts.kappa is None:
        return Cell(NOTHING)
    kappa, (low, high) = found.counts.kappa
    return Cell(f"{kappa:z.2f}", f"{low:z.2f} to {high:z.2f}")


def _in_pairs(audits: Mapping[str, Audit]) -> Table:
    """Each two of the scorers and the labels: how many more answers the first calls right."""
    labels = next(iter(audits.values())).labels
    raters = {
        **{
            name: {at: float(said) for at, said in enumerate(each.verdicts) if said is not None}
            for name, each in audits.items()
        },
        _LABELS: {number: float(label.verdict) for number, label in enumerate(labels)},
    }
    tested = {
        pair: found
        for pair in combinations(raters, 2)
        if (found := paired(raters[pair[0]], raters[pair[1]])) is not None
    }
    corrected = dict(zip(tested, holm([each.p for each in tested.values()]), strict=True))
    names = ("difference", "first alone", "second alone", "p", "p (Holm)")
    return Table(
        name="audit-pairs",
        title="Scorers and labels in pairs",
        stub="First and second",
        columns=tuple(Column((name,)) for name in names),
        sections=(
            Section("", tuple(_pair_row(pair, tested[pair], corrected[pair]) for pair in tested)),
        ),
        notes=(
            "difference: in the points of what the first and the second call right, with its 95 % "
            "interval; alone: answers that one of both calls right; p: McNemar's exact test, "
            "two-sided, corrected by Holm for the table's rows, and bold where that is below 0.05",
        ),
        data_points=tuple(
            _fact(
                ":".join((*pair, "difference")),
                each.mean,
                Interval(each.low, each.high),
                each.n,
                len(labels),
            )
            for pair, each in tested.items()
        ),
    )


def _pair_row(pair: tuple[str, str], found: Paired, corrected: float) -> Row:
    low, high = 100 * found.low, 100 * found.high
    return Row(
        Cell(" − ".join(pair)),
        (
            Cell(
                f"{100 * found.mean:+z.1f}",
                f"{low:+z.1f} to {high:+z.1f}",
                strong=corrected < LEVEL,
            ),
            Cell(f"{found.won:,}"),
            Cell(f"{found.lost:,}"),
            Cell(p_text(found.p)),
            Cell(p_text(corrected)),
        ),
    )


def _differing(audits: Mapping[str, Audit], limit: int) -> list[Table]:
    """A table a scorer that differs from the labels at all."""
    return [
        Table(
            name=f"audit-{name}",
            title=f"Where {metric_title(name)} differs",
            stub="Label",
            columns=tuple(Column((head,), wide=True) for head in ("Question", "Golds", "Answer")),
            sections=(
                Section(
                    "",
                    tuple(
                        Row(
                            Cell("right" if label.verdict else "wrong"),
                            (
                                Cell(printable(label.question, _PROSE)),
                                Cell(printable(" | ".join(label.golden_answers), _PROSE)),
                                Cell(printable(label.prediction, _PROSE) or NOTHING),
                            ),
                        )
                        for label in found.differing[:limit]
                    ),
                ),
            ),
            notes=(
                f"{name} differs from the label on {len(found.differing):,} of "
                f"{len(found.labels):,} answers; shown: {min(limit, len(found.differing)):,}",
            ),
        )
        for name, found in audits.items()
        if limit and found.differing
    ]


def _facts(name: str, found: Audit) -> list[DataPoint]:
    counts = found.counts
    rates = {
        "right": counts.right,
        "agreement": counts.agreement,
        "sensitivity": counts.sensitivity,
        "specificity": counts.specificity,
    }
    facts = [
        _fact(f"{name}:{what}", rate.mean, rate.interval, rate.n, len(found.labels))
        for what, rate in rates.items()
    ]
    if counts.kappa is not None:
        facts.append(_fact(f"{name}:kappa", *counts.kappa, counts.n, len(found.labels)))
    return facts


def _fact(metric: str, mean: float | None, interval: Interval, n: int, planned: int) -> DataPoint:
    low, high = interval
    return data_point("audit", metric, mean=mean, low=low, high=high, n=n, planned=planned)
