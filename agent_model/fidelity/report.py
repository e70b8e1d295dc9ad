"""The table of fidelity: shares of searches, by world and by hop."""

from collections import Counter
from collections.abc import Callable, Sequence

from agent_model.fidelity.facts import FactVerdict
from autocoa_bench.report import Report, Table
from autocoa_bench.report.model import Cell, Column, DataPoint, Row, Section, score_cell
from autocoa_bench.stats import Estimate, estimate
from autocoa_bench.types import FaultNote

_MEASURES: dict[str, tuple[tuple[str, str], Callable[[FactVerdict], bool | None]]] = {
    "simulated_fact": (("Fact in results %", "simulated"), lambda verdict: verdict.simulated_fact),
    "real_fact": (("Fact in results %", "real"), lambda verdict: verdict.real_fact),
    "seen": (("Fact in results %", "seen before"), lambda verdict: verdict.seen),
    "title": (("", "title %"), lambda verdict: verdict.title),
    "well_formed": (("", "well-formed %"), lambda verdict: not verdict.problem),
}
_NOTES = (
    "at each search of a trajectory the model writes the results, given the true turn so far; "
    "fact: the passages contain the hop's gold answer as whole words, normalised as for exact "
    "match; each share with its 95 % interval over questions",
    "seen before: the question or the turn so far contains the answer, so the model can copy it",
    "title: a simulated passage has the gold passage's title, among searches that really found it; "
    "well-formed: closed, with nothing but results in the dialect's format",
)


def report(verdicts: Sequence[FactVerdict], model: str, faults: Sequence[FaultNote] = ()) -> Report:
    """The report on a model: a section for each world, a row for each hop, and notes on faults."""
    sections: list[Section] = []
    points: list[DataPoint] = []
    for origin in sorted({verdict.origin for verdict in verdicts}):
        rows = []
        of_origin = [verdict for verdict in verdicts if verdict.origin == origin]
        for hop in (*sorted({verdict.hop for verdict in of_origin}), "all"):
            group = [verdict for verdict in of_origin if hop in (verdict.hop, "all")]
            shares = {name: _share(group, value) for name, (_, value) in _MEASURES.items()}
            cells = (Cell(f"{len(group):,}"), *map(score_cell, shares.values()))
            rows.append(Row(Cell(str(hop)), cells))
            points += [
                DataPoint(
                    "fidelity",
                    metric=name if hop == "all" else f"hop {hop}:{name}",
                    run=origin,
                    model=model,
                    section=origin,
                    mean=share.mean,
                    low=share.low,
                    high=share.high,
                    n=share.n,
                )
                for name, share in shares.items()
            ]
        sections.append(Section(origin, tuple(rows)))
    table = Table(
        name="fidelity",
        title="Fidelity of simulated search results",
        stub="Hop",
        columns=(
            Column(("", "searches")),
            *(Column(headings) for headings, _ in _MEASURES.values()),
        ),
        sections=tuple(sections),
        notes=(
            *_NOTES,
            *(
                f"searches left out because the model server failed with {kind}: {number:,}"
                for kind, number in Counter(fault.kind for fault in faults).items()
            ),
        ),
        data_points=tuple(points),
        lead=1,
    )
    return Report((table,), (f"model: {model}",))


def _share(
    verdicts: Sequence[FactVerdict], value: Callable[[FactVerdict], bool | None]
) -> Estimate:
    """The mean over questions of the mean over their searches; None is left out."""
    by_question: dict[tuple[str, str], list[float]] = {}
    for verdict in verdicts:
        number = value(verdict)
        if number is not None:
            key = (verdict.task, verdict.question_id)
            by_question.setdefault(key, []).append(float(number))
    return estimate(list(by_question.values()))
