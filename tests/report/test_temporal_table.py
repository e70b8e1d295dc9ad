"""The temporal table: main questions, their sub-questions, and the gap between the two."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace

from autocoa_bench.errors import UserError
from autocoa_bench.report import Catalogue, build, render
from autocoa_bench.report.entries import make_inputs
from autocoa_bench.report.model import Cell, Table
from autocoa_bench.report.render.layout import fit, measure
from autocoa_bench.report.tables.leaderboard import leaderboard
from autocoa_bench.report.tables.temporal import temporal
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import estimate, wilson
from autocoa_bench.types import Hop, Question

Make = Callable[..., Run]

HOPS = 3


def renamed(run: Run) -> Run:
    """The run with its `-sub` questions named as parts: q0 to q2 of a task become q0/sub1 to 3."""

    def ident(task: str, question_id: str) -> str:
        number = int(question_id[1:])
        part = "-sub" in task
        return f"q{number // HOPS}/sub{number % HOPS + 1}" if part else question_id

    def question(old: Question) -> Question:
        hops = () if "-sub" in old.task else tuple(Hop("?", "a", "p") for _ in range(HOPS))
        return replace(old, id=ident(old.task, old.id), hops=hops)

    spec = run.info.spec
    samples = tuple(
        replace(sample, question_ids=tuple(ident(sample.task, id_) for id_ in sample.question_ids))
        for sample in spec.tasks
    )
    return replace(
        run,
        info=replace(run.info, spec=replace(spec, tasks=samples)),
        records=tuple(
            replace(record, question=question(record.question)) for record in run.records
        ),
        scores={
            name: {
                (task, ident(task, id_), sample): score
                for (task, id_, sample), score in scores.items()
            }
            for name, scores in run.scores.items()
        },
    )


def outcomes(scores: Sequence[float | str | None]) -> list[object]:
    """Outcomes of one search each; a text is a fault, None an answer not given yet."""
    return [(1, item) if isinstance(item, float) else item for item in scores]


@pytest.fixture
def agent(make_run: Make) -> Run:
    """Four main questions of each set; of `recent`, two have all sub-questions right."""
    return renamed(
        make_run(
            {
                "recent": outcomes([1.0, 0.0, 0.0, 1.0]),
                "recent-sub": outcomes(
                    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]
                ),
                "known": outcomes([1.0, 1.0, 0.0, 0.0]),
                "known-sub": outcomes([1.0] * 12),
            }
        )
    )


def cells(table: Table, title: str, row: int = 0) -> dict[tuple[str, str], Cell]:
    """A row's cells under a set's heading, by part and metric."""
    row_cells = table.sections[0].rows[row].cells
    return {
        (column.headings[1], column.headings[2]): cell
        for column, cell in zip(table.columns, row_cells, strict=True)
        if column.headings[0] == title
    }


RECENT, KNOWN = "Recent (unknown)", "Popular & old (known)"


def test_the_columns_are_table_2s_with_the_gap_beside(agent: Run) -> None:
    table = temporal(make_inputs([agent], ("em", "f1")))
    headings = [column.headings for column in table.columns]
    parts = [
        ("Main question", "EM"),
        ("Main question", "F1"),
        ("Sub-question", "EM"),
        ("Sub-question", "F1"),
        ("All sub right", "n"),
        ("All sub right", "gap"),
    ]
    assert headings == [(title, *part) for title in (RECENT, KNOWN) for part in parts]


def test_main_and_sub_questions_are_scored_apart(agent: Run) -> None:
    row = cells(temporal(make_inputs([agent])), RECENT)
    low, high = wilson(2, 4)
    assert row["Main question", "EM"] == Cell("50.0", f"{100 * low:.0f}–{100 * high:.0f}")
    assert row["Sub-question", "EM"].text == "75.0"


def test_an_interval_of_sub_questions_keeps_those_of_a_main_question_together(agent: Run) -> None:
    fact = next(f for f in temporal(make_inputs([agent])).data_points if f.task == "recent-sub")
    over = estimate([[1.0] * 3, [1.0] * 3, [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    assert (fact.low, fact.high) == (over.low, over.high)
    assert (fact.n, fact.planned) == (12, 12)


def test_the_gap_is_the_share_of_wrong_main_questions_whose_parts_are_all_right(agent: Run) -> None:
    table = temporal(make_inputs([agent]))
    low, high = wilson(1, 2)
    recent = cells(table, RECENT)
    assert recent["All sub right", "gap"] == Cell("50.0", f"{100 * low:.0f}–{100 * high:.0f}")
    assert recent["All sub right", "n"] == Cell("2", "of 4")
    assert cells(table, KNOWN)["All sub right", "gap"].text == "50.0"
    assert cells(table, KNOWN)["All sub right", "n"] == Cell("4", "of 4")


def test_a_question_without_a_score_or_with_a_part_not_asked_is_not_in_the_gap(
    make_run: Make,
) -> None:
    run = renamed(
        make_run(
            {
                "recent": outcomes(["timeout", 0.0, 0.0]),
                "recent-sub": outcomes([1.0, 1.0, 1.0, 1.0, None, 1.0, 1.0, 1.0]),
            }
        )
    )
    table = temporal(make_inputs([run]))
    row = cells(table, RECENT)
    assert row["All sub right", "gap"] == Cell("–")
    assert row["All sub right", "n"] == Cell("0", "of 0")
    assert row["Main question", "EM"].text == "0.0†"
    assert any("timeout 1" in note and "not asked yet 1" in note for note in table.notes)


def test_parts_are_compared_within_a_sample(make_run: Make) -> None:
    """One sample has the sub-questions right and the main question wrong, the other inversely."""
    run = renamed(
        make_run(
            {
                "recent": [[(1, 0.0), (1, 1.0)]],
                "recent-sub": [[(1, 1.0), (1, 0.0)], [(1, 1.0), (1, 1.0)], [(1, 1.0), (1, 1.0)]],
            }
        )
    )
    row = cells(temporal(make_inputs([run])), RECENT)
    assert row["All sub right", "gap"].text == "100.0"


def test_a_run_of_one_half_has_dashes_for_the_other(agent: Run, make_run: Make) -> None:
    half = renamed(make_run({"known": outcomes([1.0, 0.0])}, "model-only", search=None))
    table = temporal(make_inputs([agent, half]))
    assert [cell.text for cell in table.sections[0].rows[1].cells[:4]] == ["–"] * 4
    row = cells(table, KNOWN, row=1)
    assert row["Main question", "EM"].text == "50.0"
    assert row["Sub-question", "EM"].text == row["All sub right", "n"].text == "–"


def test_a_real_draw_and_its_embedded_namesake_stand_apart(make_run: Make) -> None:
    real = renamed(
        make_run(
            {"known@2:seed=1": outcomes([1.0, 0.0]), "known-sub@6:seed=1": outcomes([1.0] * 6)},
            edition="real",
            folder="real",
        )
    )
    embedded = renamed(make_run({"known": outcomes([1.0]), "known-sub": outcomes([1.0] * 3)}))
    table = temporal(make_inputs([embedded, real]))
    titles = list(dict.fromkeys(column.headings[0] for column in table.columns))
    assert titles == [f"{KNOWN}, embedded", f"{KNOWN}, real"]
    assert cells(table, titles[1], row=1)["All sub right", "gap"].text == "50.0"


def test_runs_without_sub_questions_say_what_to_run(make_run: Make) -> None:
    with pytest.raises(UserError, match="run --tasks temporal"):
        temporal(make_inputs([make_run({"known": outcomes([1.0])})]))


def test_the_report_has_the_table_and_csv_its_numbers(agent: Run) -> None:
    report = build([agent], tables=["temporal"], catalogue=Catalogue())
    lines = render(report, "csv").splitlines()
    assert any(",em:gap,recent,embedded," in line for line in lines)
    assert "Recent (unknown)" in render(report, "markdown")
    assert "Recent (unknown)" in render(report, "latex")


@pytest.mark.parametrize("width", [80, 120])
def test_a_narrow_terminal_keeps_each_sets_columns_together(agent: Run, width: int) -> None:
    table = temporal(make_inputs([agent], ("em", "f1")))
    for part in fit(table, width):
        titles = [column.headings[0] for column in part.columns]
        assert {titles.count(title) for title in titles} == {6}
        assert measure(part, width)


def test_the_leaderboard_averages_no_main_question_with_its_parts(agent: Run) -> None:
    headings = {column.headings[1] for column in leaderboard(make_inputs([agent])).columns}
    assert "Average" not in headings
