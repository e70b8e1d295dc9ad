"""Known and recent knowledge, as the paper's Table 2, with the compositionality gap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from autocoa_bench.errors import UserError
from autocoa_bench.report.entries import (
    EMPTY_CATALOGUE,
    Catalogue,
    Entry,
    Missing,
    make_entries,
    measure,
)
from autocoa_bench.report.model import (
    MARK,
    NOTHING,
    Cell,
    Column,
    DataPoint,
    Row,
    Section,
    Table,
    printable,
    score_cell,
)
from autocoa_bench.report.notes import shared_notes, title_with_model
from autocoa_bench.report.tables.leaderboard import metric_title
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
    """Main questions and their sub-questions, by the name that both are known by."""

    name: str
    edition: str
    title: str

    def sample(self, entry: Entry, part: str) -> TaskSample | None:
        """The main questions ("") or sub-questions (SUB) that a run was to ask."""
        wanted = (self.name + part, self.edition)
        samples = entry.spec.tasks
        return next((s for s in samples if (dataset_name(s.task), s.edition) == wanted), None)


class _Gap(NamedTuple):
    """Of `asked` main questions with all their sub-questions scored, those with all right, and of
    these the share that is wrong."""

    wrong: Estimate
    asked: int


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

    The gap is told by `scorer`: an answer is right at a score of 1. Raises UserError where no run
    asks sub-questions.
    """
    found = make_entries(runs, catalogue)
    sets = _sets(found, catalogue)
    if not sets:
        raise UserError(
            "no run asks sub-questions; `autocoa-bench run --tasks temporal` asks recent, known "
            "and the sub-questions of both"
        )
    lines = [_line(entry, sets, metrics, scorer) for entry in found]
    return Table(
        name="temporal",
        title=title_with_model("Temporal knowledge", found),
        stub="Method",
        columns=tuple(column for each in sets for column in _columns(each, metrics)),
        sections=_sections(lines, sets, metrics),
        notes=(_READING, _how(scorer), *_notes(lines, sets), *shared_notes(found)),
        data_points=tuple(fact for line in lines for fact in _facts(line, scorer)),
    )


_READING = (
    "percent, each with its 95 % interval, rounded; a main question's sub-questions stand or fall "
    "together, so intervals for sub-questions are drawn over main questions"
)


_EMBEDDED = (
    "embedded: recent asks about a generated season, known about facts tabled by this project; "
    "neither is the paper's own set"
)


def _how(scorer: str) -> str:
    return (
        "gap: the compositionality gap (Press et al. 2023): of the main questions whose "
        f"sub-questions are all right (n, of those with all answers scored), the share that is "
        f"wrong, both by {metric_title(scorer)}"
    )


def _sets(found: Sequence[Entry], catalogue: Catalogue) -> list[_Set]:
    """All that a run asks sub-questions of, in Table 2's order and then by name."""
    samples = [sample for entry in found for sample in entry.spec.tasks]
    pairs = {
        (dataset_name(s.task).removesuffix(SUBQUESTION_SUFFIX), s.edition)
        for s in samples
        if asks_subquestions(s.task)
    }
    names = Counter(name for name, _ in pairs)
    sets = []
    for name, edition in pairs:
        info = catalogue.tasks.get(name)
        title = _TITLES.get(name) or printable(info.title if info else name, 40)
        sets.append(_Set(name, edition, f"{title}, {edition}" if names[name] > 1 else title))
    order = list(_TITLES)
    return sorted(
        sets, key=lambda s: (order.index(s.name) if s.name in order else len(order), s[:2])
    )


def _columns(each: _Set, metrics: Sequence[str]) -> list[Column]:
    return [
        *(
            Column((each.title, part, metric_title(metric)))
            for part in _PARTS.values()
            for metric in metrics
        ),
        Column((each.title, _GAP, "n")),
        Column((each.title, _GAP, "gap")),
    ]


def _line(entry: Entry, sets: Sequence[_Set], metrics: Sequence[str], scorer: str) -> _Line:
    scores, gaps = {}, {}
    for each in sets:
        samples = {part: each.sample(entry, part) for part in _PARTS}
        for part, sample in samples.items():
            for metric in metrics if sample else ():
                assert sample is not None
                scores[each, part, metric] = _measured(entry, sample, metric)
        main, sub = samples[""], samples[SUBQUESTION_SUFFIX]
        if main is not None and sub is not None:
            gaps[each] = _gap(entry, main, sub, scorer)
    return _Line(entry, scores, gaps)


def _measured(entry: Entry, sample: TaskSample, metric: str) -> tuple[Estimate, Missing]:
    """The mean over questions, its interval over main questions, and what has no score."""
    found, missing = measure(entry, sample, metric)
    if found.mean is None or not asks_subquestions(sample.task):
        return found, missing
    together: dict[str, list[float]] = {}
    for question, scores in _by_sample(entry, sample, metric).items():
        together.setdefault(main_question_id(question), []).extend(scores.values())
    over = estimate(list(together.values()))
    assert over.low is not None and over.high is not None  # noqa: PT018 - both or neither
    low, high = min(over.low, found.mean), max(over.high, found.mean)
    return Estimate(found.mean, low, high, found.n, found.planned), missing


def _by_sample(entry: Entry, sample: TaskSample, scorer: str) -> dict[str, dict[int, float]]:
    """The scores of each planned question by the number of the sample; the unscored are left out.

    Sub-questions that belong together are compared within a sample: the same draw of the model.
    """
    return {
        question: {
            record.sample: score
            for record in entry.answers.get((sample.task, question), [])
            if (score := entry.score(record, scorer)) is not None
        }
        for question in sample.question_ids
    }


def _gap(entry: Entry, main: TaskSample, sub: TaskSample, scorer: str) -> _Gap:
    wholes = _by_sample(entry, main, scorer)
    parts: dict[str, list[Mapping[int, float]]] = {}
    for question, scores in _by_sample(entry, sub, scorer).items():
        parts.setdefault(main_question_id(question), []).append(scores)
    wrong, asked = [], 0
    for question, answers in wholes.items():
        own = parts.get(question, [])
        if not own or len(own) < _hops(entry, main.task, question):
            continue
        complete = [each for each in answers if all(each in scores for scores in own)]
        asked += bool(complete)
        solved = [each for each in complete if all(scores[each] >= 1 for scores in own)]
        if solved:
            wrong.append([float(answers[each] < 1) for each in solved])
    return _Gap(estimate(wrong), asked)


def _hops(entry: Entry, task: str, question: str) -> int:
    """How many sub-questions a main question has, as far as its record tells."""
    return max((len(r.question.hops) for r in entry.answers.get((task, question), [])), default=0)


def _sections(
    lines: Sequence[_Line], sets: Sequence[_Set], metrics: Sequence[str]
) -> tuple[Section, ...]:
    rows: dict[str, list[Row]] = {}
    for line in lines:
        label = Cell(line.entry.label, line.entry.model)
        cells = tuple(cell for each in sets for cell in _cells(line, each, metrics))
        rows.setdefault(line.entry.section, []).append(Row(label, cells))
    return tuple(Section(title, tuple(found)) for title, found in rows.items())


def _cells(line: _Line, each: _Set, metrics: Sequence[str]) -> list[Cell]:
    cells = []
    for part in _PARTS:
        for metric in metrics:
            found = line.scores.get((each, part, metric))
            cells.append(score_cell(found[0], bool(found[1])) if found else Cell(NOTHING))
    gap = line.gaps.get(each)
    if gap is None:
        return [*cells, Cell(NOTHING), Cell(NOTHING)]
    return [*cells, Cell(f"{gap.wrong.n:,}", f"of {gap.asked:,}"), score_cell(gap.wrong)]


def _notes(lines: Sequence[_Line], sets: Sequence[_Set]) -> list[str]:
    """What each run was asked, and why planned answers have no score."""
    notes = []
    if any(each.edition == "embedded" and each.name in _TITLES for each in sets):
        notes.append(_EMBEDDED)
    for each in sets:
        asked = {
            line.entry.name: " + ".join(
                f"{len(sample.question_ids):,}"
                for part in _PARTS
                if (sample := each.sample(line.entry, part)) is not None
            )
            for line in lines
        }
        said = {name: number or "none" for name, number in asked.items()}
        if len(set(said.values())) == 1:
            said = {"": next(iter(said.values()))}
        told = ", ".join(f"{name} {number}".strip() for name, number in said.items())
        notes.append(f"{each.title}: main questions and sub-questions asked: {told}")
    for line in lines:
        missing: Missing = Counter()
        for _, found in line.scores.values():
            missing |= found
        if missing:
            why = ", ".join(f"{reason} {number}" for reason, number in missing.most_common())
            notes.append(f"{MARK} {line.entry.name}: fewer answers than planned: {why}")
    return notes


def _facts(line: _Line, scorer: str) -> list[DataPoint]:
    facts = [
        _fact(line.entry, each, metric, each.name + part, found)
        for (each, part, metric), (found, _) in line.scores.items()
    ]
    return facts + [
        _fact(line.entry, each, f"{scorer}:gap", each.name, replace(gap.wrong, planned=gap.asked))
        for each, gap in line.gaps.items()
    ]


def _fact(entry: Entry, each: _Set, metric: str, task: str, found: Estimate) -> DataPoint:
    return entry.estimated(
        "temporal", metric, found, task=task, edition=each.edition, planned=found.planned
    )
