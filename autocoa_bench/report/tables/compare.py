"""Two runs on the same questions: won, lost, tied, the difference and its test."""

from __future__ import annotations

from statistics import fmean

from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.comparison.pairs import common_questions, pair_of_entries
from autocoa_bench.report.entries import EMPTY_CATALOGUE, Catalogue, Entry
from autocoa_bench.report.model import (
    Table,
    Value,
    columns,
    difference_cell,
    metric_title,
    p_text,
    percent,
)
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import LEVEL, Paired, holm, paired


def compare(
    first: Run, second: Run, scorer: str = "em", catalogue: Catalogue = EMPTY_CATALOGUE
) -> Table:
    """The first run's scores against the second's, over the questions that both have scores for.

    A row per task, and one for all. Raises UserError if no question is common.
    """
    ours, theirs = pair_of_entries(first, second, catalogue)
    scores = ours.scores_by_question(scorer), theirs.scores_by_question(scorer)
    groups = common_questions(ours, theirs, scorer)
    pairs = {}
    for task, questions in groups.items():
        pair = paired({question: scores[0][question] for question in questions}, scores[1])
        assert pair is not None, "every group has a question of both runs"
        pairs[task] = pair
    corrected = holm([pair.p for pair in pairs.values()])
    builder = TableBuilder("compare", [ours, theirs])
    for (task, pair), p_holm in zip(pairs.items(), corrected, strict=True):
        means = [fmean(run_scores[question] for question in groups[task]) for run_scores in scores]
        builder.add_row(catalogue.title(task), _values(means, pair, p_holm))
        metric = f"{scorer}:difference"
        builder.add_estimate(ours, metric, pair, task=task, p=pair.p, p_holm=p_holm)
    n_common = len({question for questions in groups.values() for question in questions})
    left_out = [len(run_scores) - n_common for run_scores in scores]
    if any(left_out):
        builder.add_text("left-out", first=left_out[0], second=left_out[1])
    return builder.build_with_legend(
        columns=columns(
            *("n", "first %", "second %", "difference", "won", "lost", "tied"),
            *("p", "p (Holm)", "detectable"),
        ),
        first=ours.name,
        second=theirs.name,
        metric=metric_title(scorer),
        first_run=_description(ours),
        second_run=_description(theirs),
    )


def _description(entry: Entry) -> str:
    return f"{entry.name}, {entry.model} ({entry.run.path.name})"


def _values(means: list[float], pair: Paired, p_holm: float) -> tuple[Value, ...]:
    return (
        pair.n,
        *map(percent, means),
        difference_cell(pair, strong=p_holm < LEVEL),
        *(pair.won, pair.lost, pair.n - pair.won - pair.lost),
        *(p_text(pair.p), p_text(p_holm)),
        None if pair.detectable is None else percent(pair.detectable),
    )
