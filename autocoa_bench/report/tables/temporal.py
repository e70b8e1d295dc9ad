"""Known and recent knowledge, as the paper's Table 2, with the compositionality gap."""

from collections import Counter
from collections.abc import Sequence
from itertools import chain, product
from typing import NamedTuple

from autocoa_bench.errors import UserError
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.entries import Catalogue, Entry, Inputs, Missing, grouped, measure
from autocoa_bench.report.model import (
    Cell,
    Table,
    Value,
    cell_text,
    columns,
    metric_title,
    score_cell,
)
from autocoa_bench.report.notes import missing_note, reasons_text
from autocoa_bench.stats import Estimate, estimate
from autocoa_bench.tasks.subquestions import (
    SUBQUESTION_SUFFIX,
    asks_subquestions,
    dataset_name,
    main_question_id,
)
from autocoa_bench.types import TaskSample

_TITLES = {"recent": "Recent (unknown)", "known": "Popular & old (known)"}
"""Table 2's headings, in its order."""

_PARTS = {"": "Main question", SUBQUESTION_SUFFIX: "Sub-question"}
_GAP = "All sub right"


class _Group(NamedTuple):
    """Main questions and their sub-questions under their common name."""

    name: str
    edition: str
    title: str

    def sample(self, entry: Entry, part: str) -> TaskSample | None:
        """A run's sample of the main questions (part "") or the sub-questions (part "-sub")."""
        wanted = (self.name + part, self.edition)
        samples = entry.spec.tasks
        return next((s for s in samples if (dataset_name(s.task), s.edition) == wanted), None)


class _Gap(NamedTuple):
    """Main questions whose sub-questions are all right, and the share of them that is wrong.

    `scored` counts the main questions that have a score themselves and for all sub-questions.
    """

    wrong: Estimate
    scored: int


def temporal(inputs: Inputs) -> Table:
    """Runs by main question and sub-question of `recent` and `known` (paper, Table 2).

    The gap is measured with `scorer`: an answer is right at a score of 1. Raises UserError if no
    run asks sub-questions.
    """
    builder = TableBuilder("temporal", inputs.entries)
    groups = _groups(builder.entries, inputs.catalogue)
    if not groups:
        raise UserError(
            "no run asks sub-questions; `autocoa-bench run --tasks temporal` asks recent, known "
            "and the sub-questions of both"
        )
    if any(group.edition == "embedded" and group.name in _TITLES for group in groups):
        builder.add_text("embedded")
    for group in groups:
        numbers = {}
        for entry in builder.entries:
            samples = filter(None, (group.sample(entry, part) for part in _PARTS))
            counts = [f"{len(sample.question_ids):,}" for sample in samples]
            numbers[entry.name] = " + ".join(counts) or "none"
        text = ", ".join(f"{name} {number}" for name, number in numbers.items())
        if len(set(numbers.values())) == 1:
            text = next(iter(numbers.values()))
        builder.add_note(f"{group.title}: main questions and sub-questions asked: {text}")
    for entry in builder.entries:
        _add_run(builder, entry, groups, inputs.metrics, inputs.scorer)
    titles = [metric_title(metric) for metric in inputs.metrics]
    return builder.build_with_legend(
        columns=columns(
            *(
                (group.title, part, title)
                for group in groups
                for part, title in (*product(_PARTS.values(), titles), (_GAP, "n"), (_GAP, "gap"))
            )
        ),
        metric=metric_title(inputs.scorer),
    )


def _groups(entries: Sequence[Entry], catalogue: Catalogue) -> list[_Group]:
    """The groups that a run asks sub-questions of, in Table 2's order and then by name."""
    samples = [sample for entry in entries for sample in entry.spec.tasks]
    pairs = {
        (dataset_name(s.task).removesuffix(SUBQUESTION_SUFFIX), s.edition)
        for s in samples
        if asks_subquestions(s.task)
    }
    names = Counter(name for name, _ in pairs)
    groups = []
    for name, edition in pairs:
        title = _TITLES.get(name) or cell_text(catalogue.title(name), 40)
        groups.append(_Group(name, edition, f"{title}, {edition}" if names[name] > 1 else title))
    order = list(_TITLES)
    return sorted(
        groups, key=lambda g: (order.index(g.name) if g.name in order else len(order), g[:2])
    )


def _add_run(
    builder: TableBuilder,
    entry: Entry,
    groups: Sequence[_Group],
    metrics: Sequence[str],
    scorer: str,
) -> None:
    values: list[Value] = []
    all_missing: Missing = Counter()
    gaps = []
    for group in groups:
        for part in _PARTS:
            sample = group.sample(entry, part)
            if sample is None:
                values += [None] * len(metrics)
                continue
            for metric in metrics:
                score, missing = _measure(entry, sample, metric)
                values.append(score_cell(score, bool(missing)))
                all_missing |= missing
                fields = {"task": group.name + part, "edition": group.edition}
                builder.add_estimate(entry, metric, score, **fields, planned=score.planned)
        gap = _gap(entry, group, scorer)
        if gap is None:
            values += [None, None]
        else:
            values += [Cell(f"{gap.wrong.n:,}", f"of {gap.scored:,}"), gap.wrong]
            gaps.append((group, gap))
    builder.add_method(entry, values)
    for group, gap in gaps:
        fields = {"task": group.name, "edition": group.edition}
        builder.add_estimate(entry, f"{scorer}:gap", gap.wrong, **fields, planned=gap.scored)
    if all_missing:
        builder.add_note(missing_note(entry, reasons_text(all_missing)))


def _measure(entry: Entry, sample: TaskSample, metric: str) -> tuple[Estimate, Missing]:
    """The mean over questions, its interval over main questions, and the missing scores."""
    result, missing = measure(entry, sample, metric)
    if result.mean is None or not asks_subquestions(sample.task):
        return result, missing
    by_main = grouped(
        (main_question_id(question), scores.values())
        for question, scores in entry.scores_by_sample(sample, metric).items()
    )
    over_main = estimate([list(chain(*scores)) for scores in by_main.values()])
    assert over_main.low is not None and over_main.high is not None  # noqa: PT018 - both or neither
    # The two means weight questions differently, so the interval is widened to hold ours.
    low, high = min(over_main.low, result.mean), max(over_main.high, result.mean)
    return Estimate(result.mean, low, high, result.n, result.planned), missing


def _gap(entry: Entry, group: _Group, scorer: str) -> _Gap | None:
    """The gap of a run; None if it does not ask both main questions and sub-questions."""
    main, sub = (group.sample(entry, part) for part in _PARTS)
    if main is None or sub is None:
        return None
    sub_scores = grouped(
        (main_question_id(question), scores)
        for question, scores in entry.scores_by_sample(sub, scorer).items()
    )
    wrong, scored = [], 0
    for question, answers in entry.scores_by_sample(main, scorer).items():
        parts = sub_scores.get(question, [])
        # The number of sub-questions, as far as the records of the main question tell.
        records = entry.answers.get((main.task, question), [])
        if not parts or len(parts) < max((len(r.question.hops) for r in records), default=0):
            continue
        # Main question and sub-questions are compared within a sample of the model's answers.
        complete = [sample for sample in answers if all(sample in scores for scores in parts)]
        scored += bool(complete)
        solved = [sample for sample in complete if all(scores[sample] >= 1 for scores in parts)]
        if solved:
            wrong.append([float(answers[sample] < 1) for sample in solved])
    return _Gap(estimate(wrong), scored)
