"""The claims of the paper's section 4.3, each decided by a test over the runs of its rows."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from autocoa_bench.errors import UserError
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.comparison.claim_tests import Contrast, Rows, actions_text, contrast
from autocoa_bench.report.comparison.paper_rows import runs_by_row
from autocoa_bench.report.entries import Inputs, grouped, measure
from autocoa_bench.report.model import (
    Cell,
    Column,
    Table,
    Value,
    columns,
    difference_cell,
    metric_title,
    p_text,
    percent,
)
from autocoa_bench.report.published import Claim, paper_claims
from autocoa_bench.stats import LEVEL, holm

Verdict = Literal["holds", "does not hold", "undecided", "no runs", "not in runs"]
"""Significant in favour, significant against, neither, a row without a run, or a claim that runs
of the benchmark cannot show. The cost of training is counted, not tested."""


class _Line(NamedTuple):
    """A claim and its verdict; `result` with its corrected p, or the reason why there is none."""

    claim: Claim
    verdict: Verdict
    result: Contrast | None = None
    p_holm: float | None = None
    reason: str = ""


def claims(inputs: Inputs, calls: Mapping[str, float] | None = None) -> Table:
    """A row per claim of section 4.3 (arXiv 2503.06580) with its verdict.

    `calls` is the number of real searches in each row's training, where it is known. Raises
    UserError if no run is of a row that a claim is about, and for an unknown run or row.
    """
    builder = TableBuilder("claims", inputs.entries)
    rows = runs_by_row(builder.entries, inputs.paper_rows)
    if not any(row in rows for claim in paper_claims() for row in claim.rows):
        raise UserError(
            "none of these runs is matched to a row of the paper's Table 1, which the claims are "
            f"about: name their rows (--as '{builder.entries[0].name}=ROW'; --by paper lists them)"
        )
    lines = _decide(rows, inputs.scorer, calls or {})
    for section, section_lines in grouped((line.claim.section, line) for line in lines).items():
        builder.start_section(section)
        for line in section_lines:
            builder.add_row(line.claim.id, _values(line))
    for line in lines:
        metric = f"{inputs.scorer}:{line.claim.id}:{line.verdict}"
        if line.result is None:
            builder.add_point(None, metric)
        else:
            p_values = {"p": line.result.p, "p_holm": line.p_holm}
            builder.add_estimate(None, metric, line.result, **p_values)
    _add_gap_notes(builder, rows, inputs.scorer)
    return builder.build_with_legend(
        columns=(
            *columns("n", "difference", "p (Holm)", "detectable", "verdict"),
            Column(("claim, and what decides it",), wide=True),
        ),
        metric=metric_title(inputs.scorer),
        scorer=inputs.scorer,
        level=LEVEL,
        n_tested=sum(line.p_holm is not None for line in lines),
        runs="; ".join(
            f"{row}: {', '.join(entry.run.path.name for entry in row_entries)}"
            for row, row_entries in rows.items()
        ),
    )


def _decide(rows: Rows, scorer: str, calls: Mapping[str, float]) -> list[_Line]:
    """Decide every claim, with p corrected for all that were tested."""
    # Claims that were not tested, for want of runs, do not count in the correction.
    lines = [_test(claim, rows, scorer, calls) for claim in paper_claims()]
    corrected = iter(holm([line.result.p for line in lines if line.result is not None]))
    for at, line in enumerate(lines):
        if line.result is not None:
            p_holm = next(corrected)
            in_favour: Verdict = "holds" if line.result.favours else "does not hold"
            verdict = in_favour if p_holm < LEVEL else "undecided"
            lines[at] = line._replace(verdict=verdict, p_holm=p_holm)
    return lines


def _test(claim: Claim, rows: Rows, scorer: str, calls: Mapping[str, float]) -> _Line:
    """The claim with its contrast before correction, or with the reason why there is none."""
    if claim.kind == "training":
        return _count_calls(claim, calls)
    missing = [row for row in claim.rows if row not in rows]
    if missing:
        return _Line(claim, "no runs", reason=f"no run of {', '.join(missing)}")
    result = contrast(claim, rows, scorer)
    if isinstance(result, str):
        return _Line(claim, "undecided", reason=result)
    return _Line(claim, "undecided", result)


def _count_calls(claim: Claim, calls: Mapping[str, float]) -> _Line:
    """Decide by counting whether most of the searches are saved."""
    ours, theirs = calls.get(claim.first[0]), calls.get(claim.second)
    if ours is None or theirs is None:
        return _Line(claim, "not in runs", reason="see what training has logged")
    if not theirs:
        return _Line(claim, "undecided", reason=f"{claim.second} asked for no real search")
    saved = 1 - ours / theirs
    reason = f"{ours:,.0f} and {theirs:,.0f}, {100 * saved:.0f} % saved, as counted"
    return _Line(claim, "holds" if saved > 0.5 else "does not hold", reason=reason)


def _values(line: _Line) -> tuple[Value, ...]:
    text = f"{line.claim.claim}: {_basis(line)}."
    verdict = Cell(line.verdict, strong=line.verdict in ("holds", "does not hold"))
    result = line.result
    if result is None or line.p_holm is None:
        return (*[None] * 4, verdict, text)
    return (
        result.n,
        difference_cell(result.difference),
        p_text(line.p_holm),
        None if result.detectable is None else percent(result.detectable),
        verdict,
        text,
    )


def _basis(line: _Line) -> str:
    """The comparison that decides a claim, and the reason if it is not decided."""
    claim, result = line.claim, line.result
    parts = [_comparison(claim)]
    if claim.from_actions:
        parts.append(f"counting answers right after {claim.from_actions} or more actions")
    if claim.margin:
        parts.append(f"true if above -{claim.margin:g}")
    if result and result.row:
        parts.append(f"here {result.row}")
    if result and result.datasets > 1:
        parts.append(f"average of {result.datasets} datasets")
    return ", ".join(parts) + (f"; {line.reason}" if line.reason else "")


def _comparison(claim: Claim) -> str:
    first = claim.first[0] if len(claim.first) == 1 else f"each of {len(claim.first)} rows"
    if claim.kind == "training":
        return f"real searches of {first} and of {claim.second}"
    after = actions_text(claim.first_actions) if claim.first_actions else ""
    if claim.kind == "most":
        return f"{first}: share of right answers after {after}, less half"
    if claim.kind == "success":
        second = f"{claim.second} after {actions_text(claim.second_actions)}"
        return f"{first} after {after} less {second}"
    return f"{first} less {claim.second}"


def _add_gap_notes(builder: TableBuilder, rows: Rows, scorer: str) -> None:
    """Note the runs that are in no claim, and those that lack answers."""
    used = [entry for group in rows.values() for entry in group]
    others = [entry.name for entry in builder.entries if entry not in used]
    lacking = [
        entry.name
        for entry in used
        if any(measure(entry, sample, scorer)[1] for sample in entry.spec.tasks)
    ]
    if others:
        builder.add_note(f"beside no row, so in no claim (--as names one): {', '.join(others)}")
    if lacking:
        builder.add_note(
            "fewer answers than planned, questions without a score left out (--by leaderboard "
            f"says why): {', '.join(lacking)}"
        )
