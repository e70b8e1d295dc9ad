"""Known and recent knowledge, as the paper's Table 2, with the compositionality gap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from autocoa_bench.errors import UserError
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.entries import (
    EMPTY_CATALOGUE,
    Catalogue,
    Entry,
    Missing,
    make_entries,
    measure,
)
from autocoa_bench.report.model import (
    Cell,
    Table,
    Value,
    columns,
    metric_title,
    printable,
    score_cell,
)
from autocoa_bench.report.notes import missing_note, reasons_text
from autocoa_bench.runs.run_folder import Run
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


class _Set(NamedTuple):
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


class _Line(NamedTuple):
    entry: Entry
    scores: dict[tuple[_Set, str, str], tuple[Estimate, Missing]]
    gaps: dict[_Set, _Gap]


def temporal(
    runs: Sequence[Run],
    metrics: Sequence[str] = ("em",),
    scorer: str = "em",
    catalogue: Catalogue = EMPTY_CATALOGUE,
) -> Table:
    """Runs by main question and sub-question of `recent` and `known` (paper, Table 2).

    The gap is measured with `scorer`: an answer is right at a score of 1. Raises UserError if no
    run asks sub-questions.
    """
    builder = TableBuilder("temporal", make_entries(runs, catalogue))
    sets = _sets(builder.entries, catalogue)
    if not sets:
        raise UserError(
            "no run asks sub-questions; `autocoa-bench run --tasks temporal` asks recent, known "
            "and the sub-questions of both"
        )
    lines = [_line(entry, sets, metrics, scorer) for entry in builder.entries]
    for line in lines:
        builder.add_method(line.entry, _values(line, sets, metrics))
        _add_points(builder, line, scorer)
    _add_notes(builder, lines, sets)
    return builder.build(
        title="Temporal knowledge",
        stub="Method",
        columns=columns(*(column for own in sets for column in _headings(own, metrics))),
        notes=(
            "percent, each with its 95 % interval, rounded; intervals for sub-questions are over "
            "main questions, because the sub-questions of one are not independent",
            "gap: the compositionality gap (Press et al. 2023): of the main questions whose "
            "sub-questions are all right (n, of those with all answers scored), the share that is "
            f"wrong, both by {metric_title(scorer)}",
        ),
        lead=0,
    )


def _sets(entries: Sequence[Entry], catalogue: Catalogue) -> list[_Set]:
    """The sets that a run asks sub-questions of, in Table 2's order and then by name."""
    samples = [sample for entry in entries for sample in entry.spec.tasks]
    pairs = {
        (dataset_name(s.task).removesuffix(SUBQUESTION_SUFFIX), s.edition)
        for s in samples
        if asks_subquestions(s.task)
    }
    names = Counter(name for name, _ in pairs)
    sets = []
    for name, edition in pairs:
        title = _TITLES.get(name) or printable(catalogue.title(name), 40)
        sets.append(_Set(name, edition, f"{title}, {edition}" if names[name] > 1 else title))
    order = list(_TITLES)
    return sorted(
        sets, key=lambda s: (order.index(s.name) if s.name in order else len(order), s[:2])
    )


def _headings(own: _Set, metrics: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for part in _PARTS.values():
        for metric in metrics:
            yield own.title, part, metric_title(metric)
    yield own.title, _GAP, "n"
    yield own.title, _GAP, "gap"


def _line(entry: Entry, sets: Sequence[_Set], metrics: Sequence[str], scorer: str) -> _Line:
    line = _Line(entry, {}, {})
    for own in sets:
        samples = {part: own.sample(entry, part) for part in _PARTS}
        for part, sample in samples.items():
            if sample is not None:
                for metric in metrics:
                    line.scores[own, part, metric] = _measure(entry, sample, metric)
        main, sub = samples[""], samples[SUBQUESTION_SUFFIX]
        if main is not None and sub is not None:
            line.gaps[own] = _gap(entry, main, sub, scorer)
    return line


def _measure(entry: Entry, sample: TaskSample, metric: str) -> tuple[Estimate, Missing]:
    """The mean over questions, its interval over main questions, and the missing scores."""
    result, missing = measure(entry, sample, metric)
    if result.mean is None or not asks_subquestions(sample.task):
        return result, missing
    by_main: dict[str, list[float]] = {}
    for question, scores in entry.scores_by_sample(sample, metric).items():
        by_main.setdefault(main_question_id(question), []).extend(scores.values())
    over_main = estimate(list(by_main.values()))
    assert over_main.low is not None and over_main.high is not None  # noqa: PT018 - both or neither
    # The two means weight questions differently, so the interval is widened to hold ours.
    low, high = min(over_main.low, result.mean), max(over_main.high, result.mean)
    return Estimate(result.mean, low, high, result.n, result.planned), missing


def _gap(entry: Entry, main: TaskSample, sub: TaskSample, scorer: str) -> _Gap:
    sub_scores: dict[str, list[Mapping[int, float]]] = {}
    for question, scores in entry.scores_by_sample(sub, scorer).items():
        sub_scores.setdefault(main_question_id(question), []).append(scores)
    wrong, scored = [], 0
    for question, answers in entry.scores_by_sample(main, scorer).items():
        own = sub_scores.get(question, [])
        if not own or len(own) < _n_hops(entry, main.task, question):
            continue
        # Main question and sub-questions are compared within a sample of the model's answers.
        complete = [sample for sample in answers if all(sample in scores for scores in own)]
        scored += bool(complete)
        solved = [sample for sample in complete if all(scores[sample] >= 1 for scores in own)]
        if solved:
            wrong.append([float(answers[sample] < 1) for sample in solved])
    return _Gap(estimate(wrong), scored)


def _n_hops(entry: Entry, task: str, question: str) -> int:
    """The number of sub-questions of a main question, as far as its records tell."""
    records = entry.answers.get((task, question), [])
    return max((len(record.question.hops) for record in records), default=0)


def _values(line: _Line, sets: Sequence[_Set], metrics: Sequence[str]) -> Iterator[Value]:
    for own in sets:
        for part in _PARTS:
            for metric in metrics:
                score = line.scores.get((own, part, metric))
                yield score_cell(score[0], bool(score[1])) if score else None
        gap = line.gaps.get(own)
        if gap is None:
            yield from (None, None)
        else:
            yield Cell(f"{gap.wrong.n:,}", f"of {gap.scored:,}")
            yield gap.wrong


def _add_points(builder: TableBuilder, line: _Line, scorer: str) -> None:
    estimates = [
        (own, own.name + part, metric, score)
        for (own, part, metric), (score, _) in line.scores.items()
    ]
    estimates += [
        (own, own.name, f"{scorer}:gap", replace(gap.wrong, planned=gap.scored))
        for own, gap in line.gaps.items()
    ]
    for own, task, metric, score in estimates:
        builder.add_estimate(
            line.entry, metric, score, task=task, edition=own.edition, planned=score.planned
        )


def _add_notes(builder: TableBuilder, lines: Sequence[_Line], sets: Sequence[_Set]) -> None:
    """Note what each run was asked, and why planned answers have no score."""
    if any(own.edition == "embedded" and own.name in _TITLES for own in sets):
        builder.add_note(
            "embedded: recent asks about a generated season, known about facts collected by this "
            "project; neither is the paper's own set"
        )
    for own in sets:
        numbers = {line.entry.name: _n_questions(line.entry, own) for line in lines}
        if len(set(numbers.values())) == 1:
            text = next(iter(numbers.values()))
        else:
            text = ", ".join(f"{name} {number}" for name, number in numbers.items())
        builder.add_note(f"{own.title}: main questions and sub-questions asked: {text}")
    for line in lines:
        missing: Missing = Counter()
        for _, reasons in line.scores.values():
            missing |= reasons
        if missing:
            builder.add_note(missing_note(line.entry, reasons_text(missing)))


def _n_questions(entry: Entry, own: _Set) -> str:
    samples = (own.sample(entry, part) for part in _PARTS)
    return " + ".join(f"{len(s.question_ids):,}" for s in samples if s is not None) or "none"
