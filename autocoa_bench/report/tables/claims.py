"""The claims of the paper's section 4.3, each decided by a test over the runs of its rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from autocoa_bench.errors import UserError
from autocoa_bench.report.comparison.claim_tests import Contrast, Rows, contrast, in_words
from autocoa_bench.report.comparison.paper_rows import runs_of_rows
from autocoa_bench.report.entries import EMPTY_CATALOGUE, Catalogue, Entry, make_entries, measure
from autocoa_bench.report.model import (
    NOTHING,
    Cell,
    Column,
    DataPoint,
    Row,
    Section,
    Table,
    data_point,
)
from autocoa_bench.report.notes import shared_notes, title_with_model
from autocoa_bench.report.published import Claim, paper_claims
from autocoa_bench.report.tables.compare import p_text
from autocoa_bench.report.tables.leaderboard import metric_title
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import LEVEL, holm

Verdict = Literal["holds", "does not hold", "undecided", "no runs", "not in runs"]
"""Significant in favour, significant against, neither, a row without a run, or nothing that a run
of the benchmark shows. What training spent is counted, not tested."""

_COLUMNS = (
    *(Column((name,)) for name in ("n", "difference", "p (Holm)", "detectable", "verdict")),
    Column(("claim, and what decides it",), wide=True),
)


class _Line(NamedTuple):
    """A claim, its contrast or why there is none, and p corrected for the table's other tests."""

    claim: Claim
    found: Contrast | None
    why: str
    verdict: Verdict
    p_holm: float | None


def claims(
    runs: Sequence[Run],
    scorer: str = "em",
    catalogue: Catalogue = EMPTY_CATALOGUE,
    paper_rows: Mapping[str, str] | None = None,
    calls: Mapping[str, float] | None = None,
) -> Table:
    """A row a claim of section 4.3 (arXiv 2503.06580): holds, does not hold, undecided, no runs.

    `beside` names the runs' rows of Table 1 (`matching.matches`); `calls` is how many real searches
    a row's training asked for, where that is known. Raises UserError where no run is
    of a row that a claim is about, and for a run or row that there is not.
    """
    found = make_entries(runs, catalogue)
    rows = runs_of_rows(found, paper_rows or {})
    if not any(row in rows for claim in paper_claims() for row in claim.rows):
        raise UserError(
            "none of these runs stands beside a row of the paper's Table 1, which claims are "
            f"about: name their rows (--as '{found[0].name}=ROW'; --by paper lists them)"
        )
    lines = _decided(rows, scorer, calls or {})
    sections = dict.fromkeys(line.claim.section for line in lines)
    return Table(
        name="claims",
        title=title_with_model(f"Claims of the paper's section 4.3, {metric_title(scorer)}", found),
        stub="Claim",
        columns=_COLUMNS,
        sections=tuple(
            Section(title, tuple(_row(line) for line in lines if line.claim.section == title))
            for title in sections
        ),
        notes=(*_notes(lines, rows, scorer), *_gaps(found, rows, scorer), *shared_notes(found)),
        data_points=tuple(_fact(line, scorer) for line in lines),
    )


def _decided(rows: Rows, scorer: str, calls: Mapping[str, float]) -> list[_Line]:
    """Every claim, its p corrected for all that were tested."""
    found = {claim.id: _contrast(claim, rows, scorer, calls) for claim in paper_claims()}
    tested = {name: each for name, each in found.items() if isinstance(each, Contrast)}
    corrected = dict(zip(tested, holm([each.p for each in tested.values()]), strict=True))
    lines = []
    for claim in paper_claims():
        each = found[claim.id]
        if isinstance(each, Contrast):
            p = corrected[claim.id]
            lines.append(_Line(claim, each, "", _verdict(each, p), p))
        else:
            verdict, why = each
            lines.append(_Line(claim, None, why, verdict, None))
    return lines


def _contrast(
    claim: Claim, rows: Rows, scorer: str, calls: Mapping[str, float]
) -> Contrast | tuple[Verdict, str]:
    """The claim's contrast, or the verdict without one and the reason for it."""
    if claim.kind == "training":
        return _counted(claim, calls)
    missing = [row for row in claim.rows if row not in rows]
    if missing:
        return "no runs", f"no run of {', '.join(missing)}"
    found = contrast(claim, rows, scorer)
    return found if isinstance(found, Contrast) else ("undecided", found)


def _counted(claim: Claim, calls: Mapping[str, float]) -> tuple[Verdict, str]:
    """Whether most of the searches are saved, as counted."""
    ours, theirs = calls.get(claim.first[0]), calls.get(claim.second)
    if ours is None or theirs is None:
        return "not in runs", "see what training has logged"
    if not theirs:
        return "undecided", f"{claim.second} asked for no real search"
    saved = 1 - ours / theirs
    said = f"{ours:,.0f} and {theirs:,.0f}, {100 * saved:.0f} % saved, as counted"
    return "holds" if saved > 0.5 else "does not hold", said


def _verdict(found: Contrast, p: float) -> Verdict:
    if p >= LEVEL:
        return "undecided"
    return "holds" if found.favours else "does not hold"


def _row(line: _Line) -> Row:
    said = Cell(f"{line.claim.claim}: {_decided_by(line)}.")
    verdict = Cell(line.verdict, strong=line.verdict in ("holds", "does not hold"))
    found = line.found
    if found is None or line.p_holm is None:
        return Row(Cell(line.claim.id), (*[Cell(NOTHING)] * 4, verdict, said))
    cells = (
        Cell(f"{found.n:,}"),
        Cell(f"{100 * found.mean:+z.1f}", f"{100 * found.low:+z.0f} to {100 * found.high:+z.0f}"),
        Cell(p_text(line.p_holm)),
        Cell(NOTHING if found.detectable is None else f"{100 * found.detectable:.1f}"),
    )
    return Row(Cell(line.claim.id), (*cells, verdict, said))


def _decided_by(line: _Line) -> str:
    """Which rows are compared in what, and what stands in the way where they are not."""
    claim, found = line.claim, line.found
    parts = [_compared(claim)]
    if claim.from_actions:
        parts.append(f"counting answers right after {claim.from_actions} or more actions")
    if claim.margin:
        parts.append(f"true if above -{claim.margin:g}")
    if found and found.of:
        parts.append(f"here {found.of}")
    if found and found.datasets > 1:
        parts.append(f"average of {found.datasets} datasets")
    return ", ".join(parts) + (f"; {line.why}" if line.why else "")


def _compared(claim: Claim) -> str:
    first = claim.first[0] if len(claim.first) == 1 else f"each of {len(claim.first)} rows"
    if claim.kind == "training":
        return f"real searches of {first} and of {claim.second}"
    if claim.kind == "most":
        return f"{first}: share of right answers after {in_words(claim.first_actions)}, less half"
    if claim.kind == "success":
        second = f"{claim.second} after {in_words(claim.second_actions)}"
        return f"{first} after {in_words(claim.first_actions)} less {second}"
    return f"{first} less {claim.second}"


def _notes(lines: Sequence[_Line], rows: Rows, scorer: str) -> tuple[str, ...]:
    tested = sum(line.p_holm is not None for line in lines)
    runs = "; ".join(
        f"{row}: {', '.join(entry.run.path.name for entry in found)}" for row, found in rows.items()
    )
    return (
        f"scored by {scorer}; difference: in points, with its 95 % interval; a claim is true where "
        "it is above 0, one of no loss where it is above the bound that stands with it, which is "
        "this project's: the paper gives none",
        f"holds, does not hold: p < {LEVEL} after Holm's correction for the {tested} claims that "
        "were tested, for the claim or against it; undecided: neither; no runs: a row that it is "
        "about has none; not in runs: it is about training, of which no count was given",
        "test: over the questions of both, datasets with equal weights: a paired bootstrap, or "
        "McNemar's exact for one dataset scored 0 or 1; success by number of actions: over all "
        "questions together, as of independent samples (Newcombe's interval). A claim of several "
        "rows: it must hold for each, the figures are of the row that decides",
        "detectable: how far from 0, or that bound, a true difference would have to be for 80 % of "
        "samples of n questions to show it, before correction",
        f"runs by row ({runs}); those of one row are averaged question by question. Intervals are "
        "over questions, of these models: how much another training run would differ is not in "
        "them",
    )


def _gaps(found: Sequence[Entry], rows: Rows, scorer: str) -> list[str]:
    """The runs that are in no claim, and those that lack answers."""
    used = [entry for several in rows.values() for entry in several]
    others = [entry.name for entry in found if entry not in used]
    lacking = [
        entry.name
        for entry in used
        if any(measure(entry, sample, scorer)[1] for sample in entry.spec.tasks)
    ]
    notes = []
    if others:
        notes.append(f"beside no row, so in no claim (--as names one): {', '.join(others)}")
    if lacking:
        said = "fewer answers than planned, questions without a score left out"
        notes.append(f"{said} (--by leaderboard says why): {', '.join(lacking)}")
    return notes


def _fact(line: _Line, scorer: str) -> DataPoint:
    """The metric ends with the verdict."""
    metric = f"{scorer}:{line.claim.id}:{line.verdict}"
    if line.found is None:
        return data_point("claims", metric)
    found = line.found
    return data_point(
        "claims",
        metric,
        mean=found.mean,
        low=found.low,
        high=found.high,
        n=found.n,
        p=found.p,
        p_holm=line.p_holm,
    )
