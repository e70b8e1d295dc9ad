"""Evidence and wrong answers: what the searches brought, and where wrong answers come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct

from autocoa_bench.report.entries import EMPTY_CATALOGUE, Catalogue, Entry, make_entries
from autocoa_bench.report.model import (
    NOTHING,
    Cell,
    Column,
    DataPoint,
    Row,
    Section,
    Table,
    percent,
    score_cell,
)
from autocoa_bench.report.notes import shared_notes, title_with_model
from autocoa_bench.report.tables.leaderboard import metric_title
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.scoring.evidence import CAUSES, Evidence, cause, trace
from autocoa_bench.stats import Estimate, estimate

AFTER = (1, 2, 3, 4)
"""The numbers of actions after which recall is shown."""

_RECALL = "Gold passages shown %"
_WRONG = "Wrong answers"
_NOT_TRACED = "not traced"


class _Outcome(Struct, frozen=True):
    """A trajectory: what its searches brought, and whether its answer is right (None: unscored)."""

    question: tuple[str, str]
    evidence: Evidence
    right: bool | None


class _Line(Struct, frozen=True):
    """The trajectories of one task of a run, or of all."""

    label: str
    outcomes: tuple[_Outcome, ...]

    def recall(self, actions: int | None) -> Estimate:
        """Over questions with gold passages: the share shown after so many searches."""
        return _mean(
            (each.question, each.evidence.recall(actions))
            for each in self.outcomes
            if each.evidence.passages
        )

    @property
    def answer_shown(self) -> Estimate:
        """Over questions whose golds can be found by their words: whether one was shown."""
        return _mean(
            (each.question, float(each.evidence.answer is not None))
            for each in self.outcomes
            if each.evidence.by_answer
        )

    @property
    def questions(self) -> int:
        return len({each.question for each in self.outcomes})

    @property
    def causes(self) -> Counter[str]:
        """Wrong answers by where they come from."""
        wrong = (each for each in self.outcomes if each.right is False)
        return Counter(cause(each.evidence) or _NOT_TRACED for each in wrong)


def evidence(
    runs: Sequence[Run], scorer: str = "em", catalogue: Catalogue = EMPTY_CATALOGUE
) -> Table:
    """What the runs' searches brought: a section a run that searches, a row a task.

    Wrong means a score below 1; trajectories without a score count for what was shown alone.
    """
    found = make_entries(runs, catalogue)
    sections, facts, notes = [], [], []
    for entry in found:
        if entry.spec.search is None:
            notes.append(f"{entry.name}: never searches, so it is left out")
            continue
        lines = _lines(entry, scorer, catalogue)
        sections.append(Section(f"{entry.label}, {entry.model}", tuple(map(_row, lines))))
        facts += [fact for line in lines for fact in _facts(entry, line, scorer)]
    return Table(
        name="evidence",
        title=title_with_model(f"Evidence and {metric_title(scorer)}", found),
        stub="Task",
        columns=(
            Column(("", "n")),
            *(Column((_RECALL, f"after {number}")) for number in AFTER),
            Column((_RECALL, "in all")),
            Column(("", "answer shown %")),
            Column((_WRONG, "number")),
            *(Column((_WRONG, f"{name} %")) for name in (*CAUSES, _NOT_TRACED)),
        ),
        sections=tuple(sections),
        notes=(
            "gold passages shown: the mean share of a question's gold passages (by title, where "
            "only titles are known) among those shown after so many searches; answer shown: "
            "questions with a gold answer, in words, in a passage; both with 95 % intervals",
            "wrong answers, by what they needed (gold passages, else the answer's words): "
            "under-search: not all shown, fewer searches than pieces; retrieval miss: not all "
            "shown in spite of as many searches; over-search: all shown, then searched on; reading "
            "miss: all shown by the last search; not traced: no gold passage, and an answer such "
            "as yes or no",
            *notes,
            *shared_notes(found),
        ),
        data_points=tuple(facts),
        lead=1,
    )


def _lines(entry: Entry, scorer: str, catalogue: Catalogue) -> list[_Line]:
    outcomes: dict[str, list[_Outcome]] = {sample.task: [] for sample in entry.spec.tasks}
    for record in entry.trajectories():
        if record.trajectory is None:
            continue
        score = entry.score(record, scorer)
        key = (record.question.task, record.question.id)
        right = None if score is None else score >= 1
        outcomes.setdefault(key[0], []).append(
            _Outcome(key, trace(record.question, record.trajectory), right)
        )
    titles = {name: info.title for name, info in catalogue.tasks.items()}
    lines = [_Line(titles.get(task, task), tuple(each)) for task, each in outcomes.items()]
    if len(lines) > 1:
        lines.append(_Line("all", tuple(one for line in lines for one in line.outcomes)))
    return lines


def _mean(values: Iterable[tuple[tuple[str, str], float]]) -> Estimate:
    """The mean over questions of their samples' values."""
    by_question: dict[tuple[str, str], list[float]] = {}
    for question, value in values:
        by_question.setdefault(question, []).append(value)
    return estimate(list(by_question.values()))


def _row(line: _Line) -> Row:
    causes = line.causes
    wrong = causes.total()
    return Row(
        Cell(line.label),
        (
            Cell(f"{line.questions:,}"),
            *(score_cell(line.recall(number)) for number in (*AFTER, None)),
            score_cell(line.answer_shown),
            Cell(f"{wrong:,}"),
            *(_share(causes[name], wrong) for name in (*CAUSES, _NOT_TRACED)),
        ),
    )


def _share(number: int, wrong: int) -> Cell:
    return Cell(percent(number / wrong), f"{number:,}") if wrong else Cell(NOTHING)


def _facts(entry: Entry, line: _Line, scorer: str) -> list[DataPoint]:
    shown: list[tuple[str, int | None, Estimate]] = [
        ("answer_shown", None, line.answer_shown),
        *(("gold_passages_shown", number, line.recall(number)) for number in (*AFTER, None)),
    ]
    facts = [
        entry.estimated("evidence", metric, found, task=line.label, actions=actions)
        for metric, actions, found in shown
    ]
    causes = line.causes
    facts += [
        entry.fact(
            "evidence",
            f"{scorer}:wrong:{name.replace(' ', '_')}",
            task=line.label,
            n=causes.total(),
            total=causes[name],
        )
        for name in (*CAUSES, _NOT_TRACED)
    ]
    return facts
