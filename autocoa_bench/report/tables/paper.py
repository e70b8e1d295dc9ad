"""Our runs beside the paper's tables, number by number."""

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import NamedTuple

from autocoa_bench.errors import UserError
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.comparison.paper_rows import Match, match_rows
from autocoa_bench.report.entries import Inputs, measure
from autocoa_bench.report.model import (
    MARK,
    Cell,
    Table,
    Value,
    columns,
    difference_cell,
    percent,
    score_cell,
)
from autocoa_bench.report.notes import difference_notes, judge_text
from autocoa_bench.report.published import METRICS, PaperRow, PaperTable, paper_tables
from autocoa_bench.stats import Difference, Estimate, difference, macro_average, wilson
from autocoa_bench.types import TaskSample

SCORERS = {"em": "em", "llm": "judge"}
"""Our scorer for each metric of the paper."""

_AVERAGE = "average"


class _Line(NamedTuple):
    """Our scores and the paper's on a dataset, or on the average over all, by metric.

    `theirs` has one estimate per row of the match. `marked` are the metrics in which ours lack
    planned answers.
    """

    match: Match
    name: str
    label: str
    task: str
    edition: str
    ours: dict[str, Estimate]
    theirs: dict[str, tuple[Estimate, ...]]
    marked: frozenset[str]

    @property
    def differences(self) -> dict[str, Difference]:
        """Ours less the paper's by metric, only over the real datasets and beside a single row."""
        if self.edition != "real" or self.match.row is None:
            return {}
        pairs = {
            metric: difference(ours, *self.theirs[metric]) for metric, ours in self.ours.items()
        }
        return {metric: result for metric, result in pairs.items() if result}


def paper(inputs: Inputs) -> Table:
    """Ours beside the paper's Tables 1 and 2 (arXiv 2503.06580).

    Raises UserError for runs that share no dataset or metric with the paper, and for an unknown
    run or row.
    """
    builder = TableBuilder("paper", inputs.entries)
    metrics = [
        m for m in METRICS if any(SCORERS[m] in entry.run.info.scorers for entry in inputs.entries)
    ]
    if not metrics:
        wanted = " nor ".join(SCORERS.values())
        raise UserError(
            f"these runs have neither {wanted} scores, which are the paper's metrics: score them "
            "first (autocoa-bench score RUN --scorers em)"
        )
    matches = match_rows(builder.entries, inputs.paper_rows)
    if not matches:
        names = ", ".join(name for table in paper_tables() for name in table.sets)
        raise UserError(f"the paper has none of these runs' tasks (it has {names})")
    lines = [_lines(match, metrics) for match in matches]
    subtracted = any(line.differences for group in lines for line in group)
    printed: set[tuple[str, str, str]] = set()
    for match, group in zip(matches, lines, strict=True):
        row = f": {match.row.name}" if match.row else ""
        builder.start_section(f"{match.entry.name}, {match.entry.model}; {match.table.table}{row}")
        for line in group:
            builder.add_row(line.label, _values(line, metrics, subtracted))
            _add_points(builder, line, printed)
    marked = any(line.marked for group in lines for line in group)
    headings = ("ours", "paper", *(["difference"] if subtracted else []))
    return builder.build_with_legend(
        columns=columns(
            ("", "n"), *((metric.upper(), heading) for metric in metrics for heading in headings)
        ),
        notes=(
            *dict.fromkeys(_notes(builder, matches, metrics, subtracted)),
            *([builder.text("marked", mark=MARK)] if marked else []),
        ),
        last_notes=difference_notes(builder.entries),
    )


def _lines(match: Match, metrics: Sequence[str]) -> list[_Line]:
    lines = [_line(match, name, sample, metrics) for name, sample in match.samples]
    names = {name for name, _ in match.samples}
    editions = {sample.edition for _, sample in match.samples}
    # Datasets of several editions, or several samples of one, have no common average.
    averaged = any(row.average for row in match.table.rows)
    if averaged and 1 < len(names) == len(lines) and len(editions) == 1:
        lines.append(_average(match, lines, editions.pop(), metrics))
    return lines


def _line(match: Match, name: str, sample: TaskSample, metrics: Sequence[str]) -> _Line:
    ours, marked = {}, set()
    for metric in metrics:
        if SCORERS[metric] in match.entry.run.info.scorers:
            ours[metric], missing = measure(match.entry, sample, SCORERS[metric])
            marked |= {metric} if missing else set()
    theirs = {
        metric: tuple(_printed(match.table, row, metric, name) for row in match.rows)
        for metric in metrics
    }
    selection = sample.task.partition("@")[2]
    suffix = f"@{selection}" if selection else f" ({sample.edition})"
    label = match.table.sets[name].title + suffix
    edition, task = sample.edition, sample.task
    return _Line(match, name, label, task, edition, ours, theirs, frozenset(marked))


def _printed(table: PaperTable, row: PaperRow, metric: str, name: str) -> Estimate:
    """A number of the paper as a proportion of the questions that it was measured on."""
    share, n = table.share(row, metric, name), table.sets[name].questions
    if share is None:
        return Estimate(None, None, None, 0, n)
    return Estimate(share, *wilson(share * n, n), n, n)


def _average(match: Match, lines: Sequence[_Line], edition: str, metrics: Sequence[str]) -> _Line:
    """The unweighted means of both sides over the datasets that the run has."""
    ours = {
        metric: macro_average([line.ours[metric] for line in lines]) for metric in lines[0].ours
    }
    theirs = {
        metric: tuple(
            macro_average(parts)
            for parts in zip(*(line.theirs[metric] for line in lines), strict=True)
        )
        for metric in metrics
    }
    label = f"Average of {len(lines)}"
    marked = frozenset().union(*(line.marked for line in lines))
    return _Line(match, _AVERAGE, label, _AVERAGE, edition, ours, theirs, marked)


def _values(line: _Line, metrics: Sequence[str], subtracted: bool) -> Iterator[Value]:
    yield min((score.n for score in line.ours.values()), default=0)
    for metric in metrics:
        ours = line.ours.get(metric)
        yield score_cell(ours, metric in line.marked) if ours else None
        # One number with its interval, or the range of several.
        theirs = line.theirs[metric]
        means = [score.mean for score in theirs if score.mean is not None]
        if means and len(theirs) > 1:
            yield Cell(f"{percent(min(means))}–{percent(max(means))}", f"{len(means)} rows")
        else:
            yield theirs[0] if len(theirs) == 1 else None
        if subtracted:
            yield difference_cell(line.differences.get(metric))


def _notes(
    builder: TableBuilder, matches: Sequence[Match], metrics: Sequence[str], subtracted: bool
) -> Iterator[str]:
    editions = {sample.edition for match in matches for _, sample in match.samples}
    yield from (builder.text(edition) for edition in ("embedded", "file") if edition in editions)
    yield builder.text("reading")
    if subtracted:
        yield builder.text("difference")
    for match in matches:
        yield f"{match.entry.name}, {match.table.table}: {match.reason}"
    for match in matches:
        if match.row:
            yield from _row_notes(match, match.row, metrics)
    for match in matches:
        others = [
            sample.task
            for _, sample in match.samples
            if sample.edition == "real" and not sample.task.endswith("@paper")
        ]
        if match.row and others:
            yield f"{', '.join(others)}: the paper's dataset, but not its questions (NAME@paper)"
    judges = ", ".join(dict.fromkeys(filter(None, (judge_text(m.entry) for m in matches))))
    for table in {match.table.table: match.table for match in matches}.values():
        yield from _protocol_notes(table, judges, metrics)


def _row_notes(match: Match, row: PaperRow, metrics: Sequence[str]) -> Iterator[str]:
    """A row's footnote, the grid of its numbers, and averages that are not means."""
    if row.note:
        yield f"{row.name}: {row.note}"
    if row.grid:
        source = {1: "a single run", 3: "the mean over 3 samples, but no single run,"}[row.grid]
        yield f"{row.name}: its numbers are such as {source} can give"
    if len(match.samples) != len(match.table.sets):
        return
    means = {metric: fmean(row.figures(metric).values()) for metric in metrics}
    differing = [m for m in metrics if abs(row.average.get(m, means[m]) - means[m]) > 0.1]
    if differing:
        printed = " and ".join(f"{row.average[m]:.1f} {m.upper()}" for m in differing)
        yield f"{row.name}: the paper prints {printed} as average; its cells' means stand here"


def _protocol_notes(table: PaperTable, judges: str, metrics: Sequence[str]) -> Iterator[str]:
    """The scorer and sampling behind each side's numbers."""
    for metric in metrics:
        scorer = SCORERS[metric] + (f" ({judges})" if metric == "llm" and judges else "")
        yield (
            f"{metric.upper()}: ours by the scorer {scorer}; {table.table}'s (arXiv "
            f"{table.arxiv}) by {table.protocol[metric]}"
        )
    for subject, text in table.protocol.items():
        if subject not in METRICS:
            yield f"{table.table}, {subject}: {text}"


def _add_points(builder: TableBuilder, line: _Line, printed: set[tuple[str, str, str]]) -> None:
    """Add ours, the differences, and the paper's numbers as of runs named after their rows.

    Several runs may stand beside one row: numbers of the paper in `printed` are not added again.
    """
    match = line.match
    fields = {"task": line.task, "edition": line.edition}
    for metric, score in line.ours.items():
        builder.add_covered(match.entry, metric, score, **fields)
    for metric, change in line.differences.items():
        assert match.row is not None, "only one row can be subtracted"
        less = f"{metric}:less {match.row.name}"
        builder.add_point(match.entry, less, **fields, **change._asdict())
    for metric, scores in line.theirs.items() if line.name != _AVERAGE else ():
        for row, score in zip(match.rows, scores, strict=True):
            source = f"{match.table.table} of arXiv {match.table.arxiv}: {row.name}"
            if (source, metric, line.name) not in printed:
                printed.add((source, metric, line.name))
                row_fields = {"run": source, "section": row.section, "task": line.name}
                builder.add_covered(None, metric, score, edition="real", **row_fields)
