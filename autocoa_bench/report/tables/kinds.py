"""Scores by kind of question: the datasets' own types, and whether training used the wording."""

from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.entries import Catalogue, Entry, Inputs, QuestionKey, question_key
from autocoa_bench.report.model import Table, Value, columns, metric_title
from autocoa_bench.stats import estimate

_WORDINGS = {"shared": "worded as in training", "held-out": "worded as never in training"}


def kinds(inputs: Inputs) -> Table:
    """A section per run, a row per kind of question of a dataset, then a row per sort of wording.

    Questions without a kind count under their task alone, those without a wording under none.
    """
    builder = TableBuilder("kinds", inputs.entries)
    for entry in builder.entries:
        builder.start_section(entry.title)
        scores = {metric: entry.scores_by_question(metric) for metric in inputs.metrics}
        for label, questions in _questions_by_label(entry, inputs.catalogue).items():
            values: list[Value] = [len(questions)]
            for metric, scored in scores.items():
                mean = estimate([[scored[q]] if q in scored else [] for q in sorted(questions)])
                values.append(mean)
                builder.add_estimate(entry, f"{metric}:{label}", mean, planned=mean.planned)
            builder.add_row(label, values)
    return builder.build_with_legend(
        columns=columns("n", *(f"{metric_title(metric)} %" for metric in inputs.metrics)),
    )


def _questions_by_label(entry: Entry, catalogue: Catalogue) -> dict[str, set[QuestionKey]]:
    """Questions by the label of their row."""
    by_kind: dict[str, set[QuestionKey]] = {}
    by_wording: dict[str, set[QuestionKey]] = {}
    for record, _ in entry.trajectories():
        question = record.question
        key = question_key(question)
        title = catalogue.title(question.task)
        label = f"{title}: {question.kind}" if question.kind else title
        by_kind.setdefault(label, set()).add(key)
        if question.wording in _WORDINGS:
            by_wording.setdefault(_WORDINGS[question.wording], set()).add(key)
    return dict(sorted(by_kind.items())) | dict(sorted(by_wording.items()))
