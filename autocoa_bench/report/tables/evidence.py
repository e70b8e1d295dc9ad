"""The gold passages that searches found, and the causes of wrong answers."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.entries import (
    Catalogue,
    Entry,
    Inputs,
    QuestionKey,
    estimate_over_questions,
    question_key,
)
from autocoa_bench.report.model import Cell, Table, columns, metric_title, percent
from autocoa_bench.scoring.evidence import CAUSES, Evidence, cause, trace

AFTER = (1, 2, 3, 4)
"""The numbers of actions after which recall is shown."""

_RECALL = "Gold passages shown %"
_WRONG = "Wrong answers"
_ALL_CAUSES = (*CAUSES, "not traced")


class _Outcome(NamedTuple):
    """A trajectory's evidence, and whether its answer is wrong (an unscored one is not)."""

    question: QuestionKey
    evidence: Evidence
    wrong: bool


def evidence(inputs: Inputs) -> Table:
    """The evidence that searches found: a section per run that can search, a row per task.

    Wrong means a score below 1; trajectories without a score count only for the passages shown.
    """
    builder = TableBuilder("evidence", inputs.entries)
    for entry in builder.entries:
        if not entry.spec.can_search:
            builder.add_note(f"{entry.name}: never searches, so it is left out")
            continue
        builder.start_section(entry.title)
        for label, outcomes in _outcomes_by_row(entry, inputs.scorer, inputs.catalogue):
            _add_task(builder, entry, inputs.scorer, label, outcomes)
    return builder.build_with_legend(
        columns=columns(
            ("", "n"),
            *((_RECALL, f"after {number}") for number in AFTER),
            (_RECALL, "in all"),
            ("", "answer shown %"),
            (_WRONG, "number"),
            *((_WRONG, f"{name} %") for name in _ALL_CAUSES),
        ),
        metric=metric_title(inputs.scorer),
    )


def _outcomes_by_row(
    entry: Entry, scorer: str, catalogue: Catalogue
) -> list[tuple[str, list[_Outcome]]]:
    """The title and outcomes of each task, and with several tasks those of all."""
    by_task: dict[str, list[_Outcome]] = {sample.task: [] for sample in entry.spec.tasks}
    for record, trajectory in entry.trajectories():
        score = entry.score(record, scorer)
        wrong = score is not None and score < 1
        evidence = trace(record.question, trajectory)
        outcome = _Outcome(question_key(record.question), evidence, wrong)
        by_task.setdefault(record.question.task, []).append(outcome)
    rows = [(catalogue.title(task), outcomes) for task, outcomes in by_task.items()]
    if len(rows) > 1:
        rows.append(("all", [outcome for _, outcomes in rows for outcome in outcomes]))
    return rows


def _add_task(
    builder: TableBuilder, entry: Entry, scorer: str, label: str, outcomes: Sequence[_Outcome]
) -> None:
    # Recall is over questions with gold passages, after some searches and (None) after all.
    recall = {
        actions: estimate_over_questions(
            (question, evidence.recall(actions))
            for question, evidence, _ in outcomes
            if evidence.passages
        )
        for actions in (*AFTER, None)
    }
    answer_shown = estimate_over_questions(
        (question, evidence.answer is not None)
        for question, evidence, _ in outcomes
        if evidence.by_answer
    )
    causes: Counter[str] = Counter(cause(o.evidence) or "not traced" for o in outcomes if o.wrong)
    n_wrong = causes.total()
    builder.add_row(
        label,
        (
            len({outcome.question for outcome in outcomes}),
            *recall.values(),
            answer_shown,
            n_wrong,
            *(
                Cell(percent(causes[name] / n_wrong), f"{causes[name]:,}") if n_wrong else None
                for name in _ALL_CAUSES
            ),
        ),
    )
    builder.add_estimate(entry, "answer_shown", answer_shown, task=label)
    for actions, share in recall.items():
        builder.add_estimate(entry, "gold_passages_shown", share, task=label, actions=actions)
    for name in _ALL_CAUSES:
        metric = f"{scorer}:wrong:{name.replace(' ', '_')}"
        builder.add_point(entry, metric, task=label, n=n_wrong, total=causes[name])
