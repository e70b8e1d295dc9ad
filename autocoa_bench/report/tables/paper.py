"""Our runs beside the paper's tables, figure by figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

from autocoa_bench.errors import UserError
from autocoa_bench.report.comparison.paper_rows import Match, matches
from autocoa_bench.report.entries import EMPTY_CATALOGUE, Catalogue, Entry, make_entries, measure
from autocoa_bench.report.model import (
    MARK,
    NOTHING,
    Cell,
    Column,
    DataPoint,
    Section,
    Table,
    percent,
    score_cell,
)
from autocoa_bench.report.model import Row as TableRow
from autocoa_bench.report.notes import differences, judge_of, title_with_model
from autocoa_bench.report.published import METRICS, PaperRow, PaperTable, paper_tables
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import Difference, Estimate, difference, macro_average, wilson
from autocoa_bench.types import TaskSample

SCORERS = {"em": "em", "llm": "judge"}
"""The scorer of ours that is each metric of the paper."""

_AVERAGE = "average"
_READING = (
    "percent, each with its 95 % interval, rounded. The paper's figure is taken as a proportion of "
    "its own questions (Wilson's interval), not as fixed: it has sampling error as ours has, if "
    "somewhat less where it is a mean over 3 samples"
)
_DIFFERENCE = (
    "difference: ours less the paper's, in points, with Newcombe's interval for independent "
    "samples: the paper's answers to each question are not published, so that nothing can be "
    "paired, even over the same questions. It is the sum of all that differs: model, search, "
    "sampling and budget too"
)
_MARKED = f"{MARK} fewer answers than planned: --by leaderboard says why"
_UNSUBTRACTED = {
    "embedded": "EMBEDDED EDITION: these are not the paper's datasets but a generated world in "
    "their shapes. The paper's figures stand beside for orientation; nothing is subtracted",
    "file": "the questions of local files are not known to be the paper's datasets, whatever their "
    "names: nothing is subtracted",
}


class _Line(NamedTuple):
    """A dataset, or the average over all: by metric what we have, what each row has, and how far
    ours is from the one row's, this only where both are of the same dataset. `marked` are the
    metrics in which ours rests on fewer answers than planned."""

    name: str
    label: Cell
    task: str
    edition: str
    ours: dict[str, Estimate]
    theirs: dict[str, tuple[Estimate, ...]]
    apart: dict[str, Difference]
    marked: frozenset[str]


def paper(
    runs: Sequence[Run],
    catalogue: Catalogue = EMPTY_CATALOGUE,
    paper_rows: Mapping[str, str] | None = None,
) -> Table:
    """Ours beside the paper's Tables 1 and 2 (arXiv 2503.06580).

    `beside`: see `matching.matches`. Raises UserError for runs that share no dataset or metric
    with the paper, and for a run or row that there is not.
    """
    found = make_entries(runs, catalogue)
    metrics = [m for m in METRICS if any(SCORERS[m] in run.info.scorers for run in runs)]
    if not metrics:
        wanted = " nor ".join(SCORERS.values())
        raise UserError(
            f"these runs have neither {wanted} scores, which are the paper's metrics: score them "
            "first (autocoa-bench score RUN --scorers em)"
        )
    made = matches(found, paper_rows or {})
    if not made:
        has = ", ".join(name for table in paper_tables() for name in table.sets)
        raise UserError(f"the paper has none of these runs' tasks (it has {has})")
    lines = [(match, _lines(match, metrics)) for match in made]
    subtracted = any(line.apart for _, each in lines for line in each)
    columns = ("ours", "paper", *(["difference"] if subtracted else []))
    return Table(
        name="paper",
        title=title_with_model("Beside the paper", found),
        stub="Dataset",
        columns=(
            Column(("", "n")),
            *(Column((metric.upper(), name)) for metric in metrics for name in columns),
        ),
        sections=tuple(
            Section(_heading(match), tuple(_row(line, metrics, subtracted) for line in each))
            for match, each in lines
        ),
        notes=(
            *_notes(made, metrics, subtracted),
            *([_MARKED] if any(line.marked for _, each in lines for line in each) else []),
            *differences(found),
        ),
        data_points=tuple(
            dict.fromkeys(fact for match, each in lines for fact in _facts(match, each))
        ),
        lead=1,
    )


def _heading(match: Match) -> str:
    row = f": {match.row.name}" if match.row else ""
    return f"{match.entry.name}, {match.entry.model}; {match.table.table}{row}"


def _lines(match: Match, metrics: Sequence[str]) -> list[_Line]:
    lines = [_line(match, name, sample, metrics) for name, sample in match.samples]
    names = {name for name, _ in match.samples}
    editions = {sample.edition for _, sample in match.samples}
    averaged = any(row.average for row in match.table.rows)
    if averaged and 1 < len(names) == len(lines) and len(editions) == 1:
        lines.append(_average(match, lines, editions.pop(), metrics))
    return lines


def _line(match: Match, name: str, sample: TaskSample, metrics: Sequence[str]) -> _Line:
    ours, marked = {}, set()
    for metric in metrics:
        if SCORERS[metric] in match.entry.run.info.scorers:
            ours[metric], gaps = measure(match.entry, sample, SCORERS[metric])
            marked |= {metric} if gaps else set()
    theirs = {
        metric: tuple(_printed(match.table, row, metric, name) for row in match.rows)
        for metric in metrics
    }
    draw = sample.task.partition("@")[2]
    what = f"@{draw}" if draw else f" ({sample.edition})"
    label = Cell(match.table.sets[name].title + what)
    apart = _apart(match, sample.edition, ours, theirs)
    return _Line(name, label, sample.task, sample.edition, ours, theirs, apart, frozenset(marked))


def _printed(table: PaperTable, row: PaperRow, metric: str, name: str) -> Estimate:
    """A figure of the paper as a proportion of the questions that it was taken over."""
    share, n = table.share(row, metric, name), table.sets[name].questions
    if share is None:
        return Estimate(None, None, None, 0, n)
    return Estimate(share, *wilson(share * n, n), n, n)


def _average(match: Match, lines: Sequence[_Line], edition: str, metrics: Sequence[str]) -> _Line:
    """The unweighted means over the datasets that the run has, of both."""
    ours = {
        metric: macro_average([line.ours[metric] for line in lines])
        for metric in metrics
        if metric in lines[0].ours
    }
    theirs = {
        metric: tuple(
            macro_average(parts)
            for parts in zip(*(line.theirs[metric] for line in lines), strict=True)
        )
        for metric in metrics
    }
    label = Cell(f"Average of {len(lines)}")
    apart = _apart(match, edition, ours, theirs)
    marked = frozenset().union(*(line.marked for line in lines))
    return _Line(_AVERAGE, label, _AVERAGE, edition, ours, theirs, apart, marked)


def _apart(
    match: Match,
    edition: str,
    ours: Mapping[str, Estimate],
    theirs: Mapping[str, Sequence[Estimate]],
) -> dict[str, Difference]:
    """Ours less the paper's by metric, over the real datasets and beside one row only."""
    if edition != "real" or match.row is None:
        return {}
    pairs = {metric: difference(ours[metric], *theirs[metric]) for metric in ours if theirs[metric]}
    return {metric: found for metric, found in pairs.items() if found}


def _row(line: _Line, metrics: Sequence[str], subtracted: bool) -> TableRow:
    n = min(found.n for found in line.ours.values()) if line.ours else 0
    cells = [Cell(f"{n:,}")]
    for metric in metrics:
        ours = line.ours.get(metric)
        cells.append(score_cell(ours, metric in line.marked) if ours else Cell(NOTHING))
        cells.append(_paper_cell(line.theirs[metric]))
        if subtracted:
            cells.append(_difference_cell(line.apart.get(metric)))
    return TableRow(line.label, tuple(cells))


def _paper_cell(found: Sequence[Estimate]) -> Cell:
    """One figure with its interval, or the range of several."""
    if len(found) == 1:
        return score_cell(found[0])
    means = [each.mean for each in found if each.mean is not None]
    if not means:
        return Cell(NOTHING)
    return Cell(f"{percent(min(means))}–{percent(max(means))}", f"{len(means)} rows")


def _difference_cell(found: Difference | None) -> Cell:
    if found is None:
        return Cell(NOTHING)
    low, high = 100 * found.low, 100 * found.high
    return Cell(f"{100 * found.mean:+z.1f}", f"{low:+z.0f} to {high:+z.0f}")


def _notes(made: Sequence[Match], metrics: Sequence[str], subtracted: bool) -> list[str]:
    editions = {sample.edition for match in made for _, sample in match.samples}
    notes = [note for edition, note in _UNSUBTRACTED.items() if edition in editions]
    notes += [_READING, *([_DIFFERENCE] if subtracted else [])]
    notes += [f"{match.entry.name}, {match.table.table}: {match.why}" for match in made]
    notes += [note for match in made if match.row for note in _row_notes(match, match.row, metrics)]
    notes += [note for match in made if match.row for note in _other_questions(match)]
    for table in {match.table.table: match.table for match in made}.values():
        notes += _protocol(table, [match.entry for match in made], metrics)
    return list(dict.fromkeys(notes))


def _row_notes(match: Match, row: PaperRow, metrics: Sequence[str]) -> list[str]:
    """What is known of a row: its footnote, its grid, and averages that are no means."""
    notes = [f"{row.name}: {row.note}"] if row.note else []
    if row.grid:
        of = {1: "a single run", 3: "the mean over 3 samples, but no single run,"}[row.grid]
        notes.append(f"{row.name}: its figures are such as {of} can give")
    whole = len(match.samples) == len(match.table.sets)
    means = {metric: fmean(row.figures(metric).values()) for metric in metrics}
    odd = [m for m in metrics if whole and abs(row.average.get(m, means[m]) - means[m]) > 0.1]
    if odd:
        said = " and ".join(f"{row.average[m]:.1f} {m.upper()}" for m in odd)
        notes.append(f"{row.name}: the paper prints {said} as average; its cells' means stand here")
    return notes


def _other_questions(match: Match) -> list[str]:
    other = [
        sample.task
        for _, sample in match.samples
        if sample.edition == "real" and not sample.task.endswith("@paper")
    ]
    if not other:
        return []
    return [f"{', '.join(other)}: the paper's dataset, but not its questions (NAME@paper)"]


def _protocol(table: PaperTable, found: Sequence[Entry], metrics: Sequence[str]) -> list[str]:
    """With which scorer and sampling each side's figures came about."""
    judges = ", ".join(dict.fromkeys(said for entry in found if (said := judge_of(entry))))
    notes = []
    for metric in metrics:
        by = f"the scorer {SCORERS[metric]}" + (
            f" ({judges})" if metric == "llm" and judges else ""
        )
        notes.append(
            f"{metric.upper()}: ours by {by}; {table.table}'s (arXiv {table.arxiv}) by "
            f"{table.protocol[metric]}"
        )
    notes += [
        f"{table.table}, {subject}: {said}"
        for subject, said in table.protocol.items()
        if subject not in METRICS
    ]
    return notes


def _facts(match: Match, lines: Sequence[_Line]) -> list[DataPoint]:
    """Ours; the paper's figures, as of runs named after their rows; the differences."""
    facts = []
    for line in lines:
        of = {"task": line.task, "edition": line.edition}
        for metric, found in line.ours.items():
            facts.append(match.entry.fact("paper", metric, **of, **_numbers(found)))
        for metric, apart in line.apart.items():
            assert match.row is not None, "only one row can be subtracted"
            less = f"{metric}:less {match.row.name}"
            facts.append(match.entry.fact("paper", less, **of, **apart._asdict()))
        for metric, several in line.theirs.items() if line.name != _AVERAGE else ():
            facts += [
                _paper_fact(match.table, row, metric, line.name, found)
                for row, found in zip(match.rows, several, strict=True)
            ]
    return facts


def _paper_fact(
    table: PaperTable, row: PaperRow, metric: str, name: str, found: Estimate
) -> DataPoint:
    return DataPoint(
        "paper",
        run=f"{table.table} of arXiv {table.arxiv}: {row.name}",
        folder="",
        solver="",
        model="",
        section=row.section,
        metric=metric,
        task=name,
        edition="real",
        **_numbers(found),
    )


def _numbers(found: Estimate) -> dict[str, Any]:
    return {
        "mean": found.mean,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "planned": found.planned,
        "coverage": found.coverage,
    }
