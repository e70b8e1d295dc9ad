"""When a solver searches: how often where it must and where it need not, and at what cost.

The kinds of question are those of the task `when-to-act`, or of any task that uses the same names:
`known` and `given` questions need no search, `unknown` ones do.
"""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

from autocoa_bench.episode import estimate_tokens, n_actions
from autocoa_bench.errors import UserError
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.entries import (
    Entry,
    Inputs,
    QuestionKey,
    estimate_over_questions,
    grouped,
    mean_by_question,
    question_key,
)
from autocoa_bench.report.model import (
    Cell,
    Table,
    columns,
    count,
    difference_cell,
    metric_title,
    rate,
)
from autocoa_bench.stats import Estimate, Paired, paired
from autocoa_bench.tasks.kinds import NEEDLESS
from autocoa_bench.types import Record, Trajectory

KINDS = (*NEEDLESS, "unknown")


class _Outcome(NamedTuple):
    """A trajectory: its searches, its score, and the tokens and seconds spent on searching."""

    question: QuestionKey
    searches: int
    score: float | None
    tokens: int
    seconds: float


_Outcomes = Sequence[_Outcome]


def when_to_act(inputs: Inputs) -> Table:
    """When the runs search, by kind of question: a section per run, a row per kind.

    Raises UserError if no run has a question of these kinds.
    """
    builder = TableBuilder("acting", inputs.entries)
    metric = metric_title(inputs.scorer)
    kinds = {entry.name: _outcomes_by_kind(entry, inputs.scorer) for entry in builder.entries}
    if not any(kinds.values()):
        raise UserError(
            f"no run has questions of the kinds {', '.join(KINDS)}; the task when-to-act has them"
        )
    for entry in builder.entries:
        if kinds[entry.name]:
            _add_run(builder, entry, inputs.scorer, kinds)
        else:
            builder.add_note(f"{entry.name}: no question of the kinds {', '.join(KINDS)}")
    return builder.build_with_legend(
        columns=columns(
            ("", "n"),
            ("Searching", "searched %"),
            *(("Searching", name) for name in ("searches", "tokens", "seconds")),
            *((f"{metric} %", name) for name in ("all", "with search", "without", "change")),
        ),
        metric=metric,
    )


def _outcomes_by_kind(entry: Entry, scorer: str) -> dict[str, list[_Outcome]]:
    """The outcomes of each kind that the run has questions of."""
    outcomes = grouped(
        (record.question.kind, _outcome(record, trajectory, entry.score(record, scorer)))
        for record, trajectory in entry.trajectories()
    )
    return {kind: outcomes[kind] for kind in KINDS if kind in outcomes}


def _outcome(record: Record, trajectory: Trajectory, score: float | None) -> _Outcome:
    searches = [step for step in trajectory.steps if step.kind == "search"]
    sampled = [
        estimate_tokens(step.text) if step.completion_tokens is None else step.completion_tokens
        for step in searches
    ]
    return _Outcome(
        question_key(record.question),
        n_actions(trajectory),
        score,
        sum(sampled) + sum(step.observation_tokens for step in searches),
        sum(step.generate_seconds + step.search_seconds for step in searches),
    )


def _add_run(
    builder: TableBuilder, entry: Entry, scorer: str, kinds: dict[str, dict[str, list[_Outcome]]]
) -> None:
    builder.start_section(entry.title)
    baseline = _run_without_search(entry, builder.entries)
    others = kinds[baseline.name] if baseline else {}
    for kind, outcomes in kinds[entry.name].items():
        change = paired(_mean_scores(outcomes), _mean_scores(others.get(kind, [])))
        _add_kind(builder, entry, scorer, kind, outcomes, change)
    # What searching cost where it was not needed.
    needless = [outcome for kind in NEEDLESS for outcome in kinds[entry.name].get(kind, [])]
    searched = [outcome for outcome in needless if outcome.searches]
    if searched:
        builder.add_text(
            "needless",
            run=entry.name,
            searched=len(searched),
            all=len(needless),
            searches=count(sum(outcome.searches for outcome in searched)),
            tokens=count(sum(outcome.tokens for outcome in searched)),
            seconds=rate(sum(outcome.seconds for outcome in searched)),
        )
    if baseline is not None:
        builder.add_note(f"{entry.name}: change from {baseline.name}, which never searches")


def _run_without_search(entry: Entry, entries: Sequence[Entry]) -> Entry | None:
    """The run without search that a run is compared with, preferably of the same model."""
    if entry.spec.search is None:
        return None
    candidates = [candidate for candidate in entries if candidate.spec.search is None]
    # Of several runs of the model, or of none, `min` takes the first.
    model = entry.spec.engine.model
    return min(candidates, key=lambda run: run.spec.engine.model != model, default=None)


def _mean_scores(outcomes: _Outcomes) -> dict[QuestionKey, float]:
    return mean_by_question((o.question, o.score) for o in outcomes if o.score is not None)


def _mean(outcomes: _Outcomes, value: Callable[[_Outcome], float | None]) -> Estimate:
    """The mean over questions of a value of their trajectories; None is left out."""
    values = ((outcome.question, value(outcome)) for outcome in outcomes)
    return estimate_over_questions((key, number) for key, number in values if number is not None)


def _add_kind(
    builder: TableBuilder,
    entry: Entry,
    scorer: str,
    kind: str,
    outcomes: _Outcomes,
    change: Paired | None,
) -> None:
    shares = {
        "searched": _mean(outcomes, lambda outcome: outcome.searches > 0),
        scorer: _mean(outcomes, lambda outcome: outcome.score),
        f"{scorer}:with_search": _mean(outcomes, lambda o: o.score if o.searches else None),
        f"{scorer}:without_search": _mean(outcomes, lambda o: None if o.searches else o.score),
    }
    amounts: dict[str, list[float]] = {
        "searches": [outcome.searches for outcome in outcomes],
        "search_tokens": [outcome.tokens for outcome in outcomes],
        "search_seconds": [outcome.seconds for outcome in outcomes],
    }
    searched, *scores = shares.values()
    spent = [
        Cell(rate(fmean(amount)), count(sum(amount)) if any(amount) else "")
        for amount in amounts.values()
    ]
    n = len({outcome.question for outcome in outcomes})
    builder.add_row(kind, (n, searched, *spent, *scores, difference_cell(change)))
    for name, share in shares.items():
        builder.add_estimate(entry, f"{kind}:{name}", share)
    for name, amount in amounts.items():
        builder.add_total(entry, f"{kind}:{name}", amount)
    if change is not None:
        builder.add_estimate(entry, f"{kind}:{scorer}:change", change)
