"""Two runs on the same questions: won, lost, tied, the difference and its test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Literal

from autocoa_bench.errors import UserError
from autocoa_bench.report.entries import EMPTY_CATALOGUE, Catalogue, Entry, make_entries
from autocoa_bench.report.model import NOTHING, Cell, Column, Row, Section, Table, percent
from autocoa_bench.report.notes import shared_notes, title_with_model
from autocoa_bench.report.tables.leaderboard import metric_title
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import LEVEL, Paired, holm, paired
from autocoa_bench.types import Record

Scores = Mapping[tuple[str, str], float]

Outcome = Literal["won", "lost", "tied"]
"""How the first of two runs does on a question."""


def compare(
    first: Run, second: Run, scorer: str = "em", catalogue: Catalogue = EMPTY_CATALOGUE
) -> Table:
    """How the first run does beside the second, over the questions that both have scores for.

    A row a task, and one for all. Raises UserError where no question is common.
    """
    ours, theirs = in_order(first, second, catalogue)
    mine, others = ours.by_question(scorer), theirs.by_question(scorer)
    groups = common_questions(ours, theirs, scorer)
    found = {task: _paired(questions, mine, others) for task, questions in groups.items()}
    corrected = dict(zip(found, holm([each.p for each in found.values()]), strict=True))
    rows = []
    for task, questions in groups.items():
        left = {question: mine[question] for question in questions}
        rows.append(_row(task_title(task, catalogue), left, others, found[task], corrected[task]))
    common = groups.get("all") or next(iter(groups.values()))
    left_out = [len(each) - len(common) for each in (mine, others)]
    return Table(
        name="compare",
        title=title_with_model(
            f"{ours.name} beside {theirs.name}, {metric_title(scorer)}", [ours, theirs]
        ),
        stub="Task",
        columns=tuple(
            Column((name,))
            for name in (
                *("n", "first %", "second %", "difference", "won", "lost", "tied"),
                *("p", "p (Holm)", "detectable"),
            )
        ),
        sections=(Section("", tuple(rows)),),
        notes=(
            f"first: {_named(ours)}; second: {_named(theirs)}",
            "difference: in points, with its 95 % interval over questions; won and lost: questions "
            "on which the first scores higher, lower",
            "p: two-sided, McNemar's exact where scores are 0 or 1, else a paired bootstrap over "
            "questions; corrected by Holm for the table's rows, and bold where that is below 0.05",
            "detectable: the least true difference in points that this test would find in 80 % of "
            "samples of n questions whose scores differ as these do",
            *([_only(left_out)] if any(left_out) else []),
            *shared_notes([ours, theirs]),
        ),
        data_points=tuple(
            ours.estimated(
                "compare",
                f"{scorer}:difference",
                each,
                task=task,
                p=each.p,
                p_holm=corrected[task],
            )
            for task, each in found.items()
        ),
        lead=1,
    )


def in_order(first: Run, second: Run, catalogue: Catalogue) -> tuple[Entry, Entry]:
    """Two runs as entries, in the order given."""
    ours, theirs = sorted(
        make_entries([first, second], catalogue), key=lambda entry: entry.run is second
    )
    return ours, theirs


def common_questions(ours: Entry, theirs: Entry, scorer: str) -> dict[str, list[tuple[str, str]]]:
    """The questions that both runs have scores for, by task; `all` of them if tasks are several.

    Raises UserError where there is none.
    """
    others = theirs.by_question(scorer)
    common = [question for question in ours.by_question(scorer) if question in others]
    if not common:
        raise UserError(
            f"'{ours.run.path}' and '{theirs.run.path}' have no question in common that {scorer} "
            "scored"
        )
    tasks = dict.fromkeys(task for task, _ in common)
    groups = {task: [question for question in common if question[0] == task] for task in tasks}
    return groups if len(groups) == 1 else {**groups, "all": common}


def records_by_outcome(
    first: Run, second: Run, scorer: str, outcome: Outcome
) -> list[tuple[Record, Record]]:
    """Both runs' records of the questions that the first has won, lost or tied.

    Of several samples of a question the first scored one. Raises UserError where no question is
    common.
    """
    ours, theirs = in_order(first, second, EMPTY_CATALOGUE)
    mine, others = ours.by_question(scorer), theirs.by_question(scorer)
    common = [each for group in common_questions(ours, theirs, scorer).values() for each in group]
    return [
        (_scored(ours, question, scorer), _scored(theirs, question, scorer))
        for question in dict.fromkeys(common)
        if _outcome(mine[question], others[question]) == outcome
    ]


def _outcome(ours: float, theirs: float) -> Outcome:
    return "tied" if ours == theirs else "won" if ours > theirs else "lost"


def _scored(entry: Entry, question: tuple[str, str], scorer: str) -> Record:
    return next(each for each in entry.answers[question] if entry.score(each, scorer) is not None)


def task_title(task: str, catalogue: Catalogue) -> str:
    """A task's title where it is known."""
    info = catalogue.tasks.get(task)
    return info.title if info else task


def _paired(questions: Sequence[tuple[str, str]], mine: Scores, others: Scores) -> Paired:
    found = paired({question: mine[question] for question in questions}, others)
    assert found is not None, "every group has a question of both runs"
    return found


def _named(entry: Entry) -> str:
    return f"{entry.name}, {entry.model} ({entry.run.path.name})"


def _only(left_out: list[int]) -> str:
    return (
        f"questions with a score in one run alone are left out: {left_out[0]:,} of the first, "
        f"{left_out[1]:,} of the second"
    )


def _row(label: str, ours: Scores, theirs: Scores, found: Paired, corrected: float) -> Row:
    low, high = 100 * found.low, 100 * found.high
    return Row(
        Cell(label),
        (
            Cell(f"{found.n:,}"),
            Cell(percent(fmean(ours.values()))),
            Cell(percent(fmean(theirs[question] for question in ours))),
            Cell(
                f"{100 * found.mean:+z.1f}",
                f"{low:+z.0f} to {high:+z.0f}",
                strong=corrected < LEVEL,
            ),
            Cell(f"{found.won:,}"),
            Cell(f"{found.lost:,}"),
            Cell(f"{found.n - found.won - found.lost:,}"),
            Cell(p_text(found.p)),
            Cell(p_text(corrected)),
            Cell(NOTHING if found.detectable is None else f"{100 * found.detectable:.1f}"),
        ),
    )


def p_text(p: float) -> str:
    """A p-value with three decimals."""
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"
