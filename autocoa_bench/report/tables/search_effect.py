"""What searching changes: answers kept, gained and lost beside the model alone."""

from __future__ import annotations

from autocoa_bench.report.entries import EMPTY_CATALOGUE, Catalogue, Entry
from autocoa_bench.report.model import Cell, Column, Row, Section, Table, percent
from autocoa_bench.report.notes import shared_notes, title_with_model
from autocoa_bench.report.tables.compare import common_questions, in_order, p_text, task_title
from autocoa_bench.report.tables.leaderboard import metric_title
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.scoring import RIGHT
from autocoa_bench.stats import LEVEL, holm, mcnemar, wilson

_KINDS = {
    (True, True): "memorised",
    (False, True): "gained",
    (True, False): "lost",
    (False, False): "neither",
}
"""By whether the model alone is right, and whether it is when it searches."""

Counts = dict[str, int]


def search_effect(
    first: Run, second: Run, scorer: str = "em", catalogue: Catalogue = EMPTY_CATALOGUE
) -> Table | None:
    """How many of both runs' questions searching gains and loses; a row a task, and one for all.

    None unless just one of the two runs has no search at all. Raises UserError where no question
    is common.
    """
    alone, searching = sorted(in_order(first, second, catalogue), key=_searches)
    if _searches(alone) or not _searches(searching):
        return None
    groups = common_questions(alone, searching, scorer)
    without, with_search = alone.by_question(scorer), searching.by_question(scorer)
    counts: dict[str, Counts] = {}
    for task, questions in groups.items():
        counts[task] = dict.fromkeys(_KINDS.values(), 0)
        for question in questions:
            right = (without[question] >= RIGHT, with_search[question] >= RIGHT)
            counts[task][_KINDS[right]] += 1
    p_values = [mcnemar(each["gained"], each["lost"]) for each in counts.values()]
    rows = [
        _row(task_title(task, catalogue), each, p)
        for (task, each), p in zip(counts.items(), holm(p_values), strict=True)
    ]
    return Table(
        name="search",
        title=title_with_model(
            f"What searching changes, {metric_title(scorer)}", [alone, searching]
        ),
        stub="Task",
        columns=tuple(Column((name,)) for name in ("n", *_KINDS.values(), "p (Holm)")),
        sections=(Section("", tuple(rows)),),
        notes=(
            f"the model alone: {alone.name}, {alone.model}; with search: {searching.name}, "
            f"{searching.model}",
            "percent of the n questions that both have scores for, with Wilson's 95 % interval; "
            "memorised: right alone and with search; gained and lost: right only with search, only "
            f"alone; right: a score of {RIGHT} or more, of several samples their mean",
            "p: McNemar's exact test of gained against lost, corrected by Holm for the table's "
            "rows; the greater of the two is bold where it is below 0.05",
            *shared_notes([alone, searching]),
        ),
        data_points=tuple(
            searching.fact(
                "search",
                f"{scorer}:{kind}",
                task=task,
                mean=number / sum(each.values()),
                low=wilson(number, sum(each.values())).low,
                high=wilson(number, sum(each.values())).high,
                n=sum(each.values()),
            )
            for task, each in counts.items()
            for kind, number in each.items()
        ),
        lead=1,
    )


def _searches(entry: Entry) -> bool:
    return entry.spec.search is not None


def _row(label: str, counts: Counts, p: float) -> Row:
    n = sum(counts.values())
    more = "gained" if counts["gained"] > counts["lost"] else "lost"
    cells = [_cell(number, n, p < LEVEL and kind == more) for kind, number in counts.items()]
    return Row(Cell(label), (Cell(f"{n:,}"), *cells, Cell(p_text(p))))


def _cell(number: int, n: int, strong: bool) -> Cell:
    low, high = wilson(number, n)
    return Cell(percent(number / n), f"{100 * low:.0f}–{100 * high:.0f}", strong=strong)
