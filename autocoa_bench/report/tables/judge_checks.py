"""Checks of judges: agreement of scorers with labelled verdicts, and probes that try to mislead."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations

from msgspec.structs import replace

from autocoa_bench.judge.agreement import Audit
from autocoa_bench.judge.probes import Pairs, ProbeResults
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.model import (
    Cell,
    Column,
    Report,
    Table,
    Value,
    cell_text,
    columns,
    difference_cell,
    metric_title,
    p_text,
    percent,
)
from autocoa_bench.scoring import RIGHT
from autocoa_bench.stats import LEVEL, Estimate, holm, paired, proportion

_WIDTH = 120
"""Characters of a question, gold or answer that a table shows."""


def judge_agreement(
    audits: Mapping[str, Audit], source: str, limit: int, judge: str = ""
) -> Report:
    """The scorers against the same labels, all pairs of them, and differing answers of each.

    Labels with kinds have a table of these as well. At most `limit` differing answers per scorer
    are shown. `judge` describes the judge among the scorers, if any.
    """
    tables = [_agreement(audits, source, judge), _pairs(audits)]
    labels = next(iter(audits.values())).labels
    if any(label.kind for label in labels):
        tables.append(_kinds(audits))
    return Report((*tables, *_differing(audits, limit)), ())


def _agreement(audits: Mapping[str, Audit], source: str, judge: str) -> Table:
    builder = TableBuilder("audit")
    for name, audit in audits.items():
        _add_scorer(builder, name, audit)
    if judge:
        builder.add_note(f"judge: {cell_text(judge, 400)}")
    labels = next(iter(audits.values())).labels
    n_right = sum(label.verdict for label in labels)
    return builder.build_with_legend(
        columns=columns("right %", "agreement %", "kappa", "sensitivity %", "specificity %"),
        source=cell_text(source, 60),
        n=len(labels),
        n_right=n_right,
        right_share=percent(n_right / len(labels)),
        right=RIGHT,
        notes=[
            f"{name} gave no verdict on {audit.unscored:,} of them, which its numbers leave out"
            for name, audit in audits.items()
            if audit.unscored
        ],
    )


def _add_scorer(builder: TableBuilder, name: str, audit: Audit) -> None:
    counts, planned = audit.counts, len(audit.labels)
    rates = {
        "right": counts.right,
        "agreement": counts.agreement,
        "sensitivity": counts.sensitivity,
        "specificity": counts.specificity,
    }
    estimates = [Estimate(rate.mean, *rate.interval, rate.n, rate.n) for rate in rates.values()]
    for metric, estimate in zip(rates, estimates, strict=True):
        builder.add_estimate(None, f"{name}:{metric}", estimate, planned=planned)
    kappa_cell: Value = None
    if counts.kappa is not None:
        kappa, (low, high) = counts.kappa
        kappa_cell = Cell(f"{kappa:z.2f}", f"{low:z.2f} to {high:z.2f}")
        estimate = Estimate(kappa, low, high, counts.n, planned)
        builder.add_estimate(None, f"{name}:kappa", estimate, planned=planned)
    right, agreement, *others = estimates
    builder.add_row(name, (right, agreement, kappa_cell, *others))


def _pairs(audits: Mapping[str, Audit]) -> Table:
    """Each pair of scorers, or a scorer and the labels: how many more the first calls right."""
    labels = next(iter(audits.values())).labels
    verdicts: dict[str, dict[int, float]] = {
        name: {
            number: float(verdict)
            for number, verdict in enumerate(audit.verdicts)
            if verdict is not None
        }
        for name, audit in audits.items()
    }
    verdicts["labels"] = {number: float(label.verdict) for number, label in enumerate(labels)}
    # A pair without a common answer cannot be compared and gets no row.
    results = {
        pair: result
        for pair in combinations(verdicts, 2)
        if (result := paired(verdicts[pair[0]], verdicts[pair[1]])) is not None
    }
    corrected = holm([result.p for result in results.values()])
    # The data points of both tables are under the name of the first.
    builder = TableBuilder("audit")
    for (pair, result), p_holm in zip(results.items(), corrected, strict=True):
        change = difference_cell(result, strong=p_holm < LEVEL, interval_digits=1)
        cells = (change, result.won, result.lost, p_text(result.p), p_text(p_holm))
        builder.add_row(" − ".join(pair), cells)
        metric = ":".join((*pair, "difference"))
        builder.add_estimate(None, metric, result, planned=len(labels))
    table = builder.build_with_legend(
        legend="audit-pairs",
        columns=columns("difference", "first alone", "second alone", "p", "p (Holm)"),
    )
    return replace(table, name="audit-pairs")


def _kinds(audits: Mapping[str, Audit]) -> Table:
    """Each kind of right and of wrong answers: on how many of them a scorer agrees."""
    builder = TableBuilder("audit-kinds")
    labels = next(iter(audits.values())).labels
    for verdict, title in ((True, "Labelled right"), (False, "Labelled wrong")):
        counts = Counter(label.kind for label in labels if label.verdict is verdict)
        if not counts:
            continue
        builder.start_section(title)
        for kind, n in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
            cells: list[Value] = [n]
            for name, audit in audits.items():
                agreed = [
                    called is verdict
                    for label, called in zip(labels, audit.verdicts, strict=True)
                    if (label.verdict, label.kind) == (verdict, kind) and called is not None
                ]
                share = proportion(sum(agreed), len(agreed))
                cells.append(share)
                metric = f"{name}:{'right' if verdict else 'wrong'}:{kind}"
                if agreed:
                    builder.add_estimate(None, metric, share, planned=n)
            builder.add_row(cell_text(kind, 40) or "-", cells)
    return builder.build_with_legend(
        columns=columns("n", *(f"{metric_title(name)} %" for name in audits))
    )


def _differing(audits: Mapping[str, Audit], limit: int) -> Iterator[Table]:
    """A table for each scorer that differs from the labels at all."""
    for name, audit in audits.items():
        labels = audit.differing[:limit]
        if not labels:
            continue
        builder = TableBuilder(f"audit-{name}")
        for label in labels:
            texts = (label.question, " | ".join(label.golden_answers), label.prediction)
            values = [cell_text(text, _WIDTH) or None for text in texts]
            builder.add_row("right" if label.verdict else "wrong", values)
        yield builder.build_with_legend(
            legend="audit-differing",
            columns=[Column((head,), wide=True) for head in ("Question", "Golds", "Answer")],
            metric=metric_title(name),
            scorer=name,
            differing=len(audit.differing),
            answers=len(audit.labels),
            n=len(labels),
        )


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
            readable = _readable(pairs)
            n = len(readable)
            after_wrong = [after for before, after in readable if not before]
            shares = {
                "before": proportion(sum(before for before, _ in readable), n),
                "after": proportion(sum(after for _, after in readable), n),
                "wrong to right": proportion(sum(after_wrong), len(after_wrong)),
                "changed": proportion(sum(before != after for before, after in readable), n),
            }
            builder.add_row(name, (n, *shares.values()))
            for metric, share in shares.items():
                if share.n:
                    builder.add_estimate(None, f"{name}:{metric}", share, planned=len(pairs))
    every = [pair for probes in results for pairs in probes.values() for pair in pairs]
    n_missing = len(every) - len(_readable(every))
    if n_missing:
        builder.add_note(
            f"left out for want of a verdict before or after: {n_missing:,} of {len(every):,} pairs"
        )
    builder.add_note(f"judge: {cell_text(judge, 400)}")
    table = builder.build_with_legend(
        columns=columns("n", "right % before", "right % after", "wrong to right %", "changed %"),
        source=cell_text(source, 60),
    )
    return Report((table,), ())


def _readable(pairs: Pairs) -> list[tuple[bool, bool]]:
    """The pairs with both verdicts."""
    return [(a, b) for a, b in pairs if a is not None and b is not None]
