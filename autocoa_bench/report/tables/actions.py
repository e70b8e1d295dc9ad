"""Correct answers and success by number of actions (paper, Figure 3a and 3b)."""

from collections.abc import Sequence

from autocoa_bench.episode import n_actions
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.entries import (
    Entry,
    Inputs,
    QuestionKey,
    estimate_over_questions,
    question_key,
)
from autocoa_bench.report.model import (
    Cell,
    Table,
    Value,
    columns,
    metric_title,
    percent,
    score_cell,
)
from autocoa_bench.stats import Estimate

_CORRECT = "Correct answers (3a)"
_SUCCESS = "Success (3b)"

_Outcomes = list[tuple[QuestionKey, bool]]
"""The trajectories with one number of actions: their question, and whether they are correct."""


def action_counts(inputs: Inputs) -> Table:
    """Figure 3a and 3b as one table: a section per run, a row per number of actions.

    Correct means a score of 1. Trajectories without a score are left out and noted.
    """
    builder = TableBuilder("actions", inputs.entries)
    if any(entry.spec.samples > 1 for entry in builder.entries):
        builder.add_note("rate: the mean over questions of their samples in the row")
    for entry in builder.entries:
        outcomes, unscored = _outcomes_by_actions(entry, inputs.scorer)
        builder.start_section(entry.title)
        _add_run(builder, entry, inputs.scorer, outcomes)
        if unscored:
            builder.add_note(
                f"{entry.name}: trajectories left out for want of a score: {unscored:,}"
            )
    return builder.build_with_legend(
        columns=columns(
            ("", "trajectories"),
            (_CORRECT, "number"),
            (_CORRECT, "share %"),
            (_SUCCESS, "rate %"),
            (_SUCCESS, "95 %"),
        ),
        metric=metric_title(inputs.scorer),
    )


def _outcomes_by_actions(entry: Entry, scorer: str) -> tuple[list[_Outcomes], int]:
    """Outcomes for each number of actions up to the run's largest; the number without a score."""
    outcomes: list[_Outcomes] = []
    unscored = 0
    for record, trajectory in entry.trajectories():
        score = entry.score(record, scorer)
        if score is None:
            unscored += 1
            continue
        actions = n_actions(trajectory)
        outcomes += [[] for _ in range(actions + 1 - len(outcomes))]
        outcomes[actions].append((question_key(record.question), score >= 1))
    return outcomes, unscored


def _add_run(
    builder: TableBuilder, entry: Entry, scorer: str, outcomes: Sequence[_Outcomes]
) -> None:
    everything = [outcome for row in outcomes for outcome in row]
    n = sum(correct for _, correct in everything)
    for actions, row in enumerate(outcomes):
        correct = sum(correct for _, correct in row)
        share = correct / n if n else None
        success = estimate_over_questions(row)
        if row:
            share_cell = None if share is None else Cell(percent(share), bar=share)
            builder.add_row(str(actions), _values(row, share_cell, success))
        fields = {"actions": actions, "mean": share, "n": n, "total": correct}
        builder.add_point(entry, f"{scorer}:share_of_correct", **fields)
        metric = f"{scorer}:success_rate"
        builder.add_estimate(entry, metric, success, actions=actions, total=len(row))
    if outcomes:
        builder.add_row("all", _values(everything, Cell(""), estimate_over_questions(everything)))
    else:
        builder.add_row("none yet", (0, *[None] * 4))


def _values(outcomes: _Outcomes, share: Cell | None, success: Estimate) -> tuple[Value, ...]:
    score = score_cell(success)
    rate = Cell(score.text, bar=success.mean)
    return len(outcomes), sum(c for _, c in outcomes), share, rate, score.detail or None
