"""Ours beside the paper's."""

from __future__ import annotations

import re
from collections.abc import Callable
from statistics import fmean

import pytest
from msgspec.structs import replace

from autocoa_bench.errors import UserError
from autocoa_bench.report import Catalogue, Report, build, render
from autocoa_bench.report.model import Cell, Table
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.types import Score
from support.judges import judge_spec

Make = Callable[..., Run]

MULTIHOP = ("hotpotqa", "2wikimultihopqa", "musique", "bamboogle")
SIX = ("nq", "triviaqa", *MULTIHOP)


@pytest.fixture
def real(make_run: Make) -> Callable[..., Run]:
    """A run of the paper's own questions, half of 500 right."""

    def make(
        solver: str = "react", tasks: tuple[str, ...] = ("hotpotqa@paper",), **fields: object
    ) -> Run:
        outcomes = {task: [(1, 1.0), (1, 0.0)] * 250 for task in tasks}
        return make_run(outcomes, solver, **{"edition": "real", "folder": solver, **fields})

    return make


def table(run: Run, known: Catalogue, *more_runs: Run, **beside: str) -> Table:
    report = build([run, *more_runs], ["paper"], catalogue=known, paper_rows=beside)
    return report.tables[0]


def cells(result: Table, label: str, section: int = 0) -> dict[str, Cell]:
    names = [" ".join(filter(None, column.headings)) for column in result.columns]
    (row,) = (row for row in result.sections[section].rows if row.label.text == label)
    return dict(zip(names, row.cells, strict=True))


def judged(run: Run, value: float = 1.0) -> Run:
    run.scores["judge"] = dict.fromkeys(run.scores["em"], Score(value))
    scorers = (*run.info.scorers, "judge")
    judge = judge_spec("Qwen2.5-14B-Instruct")
    return replace(run, info=replace(run.info, scorers=scorers, judge=judge))


def test_a_run_stands_beside_the_row_of_its_section_and_model(
    real: Callable[..., Run], known: Catalogue
) -> None:
    result = table(real("react"), known)
    assert result.sections[0].title == (
        "react, DeepSeek-R1-Distill-Qwen-7B; Table 1: R1-Distill-Qwen-7B (ReAct)"
    )
    row = cells(result, "HotpotQA@paper")
    assert row["EM ours"] == Cell("50.0", "46–54")
    assert row["EM paper"] == Cell("15.1", "12–19")
    assert row["EM difference"] == Cell("+34.9", "+29 to +40")


def test_the_same_model_alone_is_another_row(real: Callable[..., Run], known: Catalogue) -> None:
    row = cells(table(real("model-only", search=None), known), "HotpotQA@paper")
    assert row["EM paper"].text == "11.7"


@pytest.mark.parametrize("named", ["agent", "monday"])
def test_as_names_a_row_by_solver_or_folder(
    real: Callable[..., Run], known: Catalogue, named: str
) -> None:
    result = table(real("agent", folder="monday"), known, **{named: "SFT-stage1&2+RL-stage2"})
    assert cells(result, "HotpotQA@paper")["EM paper"].text == "35.6"
    assert "agent, Table 1: beside SFT-stage1&2+RL-stage2, as --as says" in result.notes


def test_as_overrules_section_and_model(real: Callable[..., Run], known: Catalogue) -> None:
    result = table(real("react"), known, react="Deepseek-R1")
    assert cells(result, "HotpotQA@paper")["EM paper"].text == "44.8"


def test_a_model_that_the_paper_has_not_stands_beside_its_sections_range(
    real: Callable[..., Run], known: Catalogue
) -> None:
    result = table(real("agent", model="mine"), known)
    row = cells(result, "HotpotQA@paper")
    assert row["EM paper"] == Cell("21.2–35.6", "8 rows")
    assert "EM difference" not in row
    assert any("--as 'agent=ROW' names one" in note for note in result.notes)


def test_a_solver_outside_the_papers_sections_stands_beside_nothing(
    real: Callable[..., Run], known: Catalogue
) -> None:
    result = table(real("planner"), known)
    assert cells(result, "HotpotQA@paper")["EM paper"].text == "–"
    assert any("no section 'Other'" in note for note in result.notes)


@pytest.mark.parametrize("edition", ["embedded", "file"])
def test_what_is_not_the_papers_dataset_is_not_subtracted(
    real: Callable[..., Run], known: Catalogue, edition: str
) -> None:
    result = table(real("react", ("hotpotqa",), edition=edition), known)
    row = cells(result, f"HotpotQA ({edition})")
    assert (row["EM ours"].text, row["EM paper"].text) == ("50.0", "15.1")
    assert "EM difference" not in row
    assert edition in result.title
    assert "nothing is subtracted" in result.notes[0]
    assert not any(":less" in fact.metric for fact in result.data_points)


def test_beside_a_real_dataset_an_embedded_one_has_no_difference(
    make_run: Make, known: Catalogue
) -> None:
    run = make_run({"nq@paper": [(1, 1.0)], "musique": [(1, 1.0)]}, "react", edition="real")
    nq, musique = run.info.spec.tasks
    spec = replace(run.info.spec, tasks=(nq, replace(musique, edition="embedded")))
    result = table(replace(run, info=replace(run.info, spec=spec)), known)
    assert cells(result, "NQ@paper")["EM difference"].text == "+84.9"
    assert cells(result, "MuSiQue (embedded)")["EM difference"].text == "–"
    assert len(result.sections[0].rows) == 2  # and no average over two editions


def test_another_draw_of_the_dataset_is_subtracted_and_noted(
    real: Callable[..., Run], known: Catalogue
) -> None:
    result = table(real("react", ("hotpotqa@500:seed=3",)), known)
    assert "EM difference" in cells(result, "HotpotQA@500:seed=3")
    assert any(note.startswith("hotpotqa@500:seed=3: the paper's dataset") for note in result.notes)


def test_the_average_is_over_the_datasets_of_the_run_on_both_sides(
    real: Callable[..., Run], known: Catalogue
) -> None:
    result = table(real("react", tuple(f"{task}@paper" for task in MULTIHOP)), known)
    row = cells(result, "Average of 4")
    assert row["EM paper"].text == f"{fmean((15.1, 21.3, 1.9, 12.3)):.1f}"
    assert row["EM difference"].text == f"{50 - fmean((15.1, 21.3, 1.9, 12.3)):+.1f}"


def test_an_average_that_is_no_mean_is_noted_and_the_mean_shown(
    real: Callable[..., Run], known: Catalogue
) -> None:
    run = real("model-only", tuple(f"{task}@paper" for task in SIX), search=None)
    result = table(run, known, **{"model-only": "Deepseek-R1"})
    assert cells(result, "Average of 6")["EM paper"].text == "48.7"
    assert "Deepseek-R1: the paper prints 49.5 EM as average; its cells' means stand here" in (
        result.notes
    )


def test_the_judges_columns_are_there_where_a_run_has_a_judge(
    real: Callable[..., Run], known: Catalogue
) -> None:
    assert not any(column.headings[0] == "LLM" for column in table(real(), known).columns)
    result = table(judged(real()), known)
    row = cells(result, "HotpotQA@paper")
    assert (row["LLM ours"].text, row["LLM paper"].text) == ("100.0", "18.6")
    assert any(
        note.startswith("LLM: ours by the scorer judge (Qwen2.5-14B-Instruct (prompt brief #")
        for note in result.notes
    )


def test_notes_say_scorer_sampling_search_and_budget_of_the_paper(
    real: Callable[..., Run], known: Catalogue
) -> None:
    notes = "\n".join(table(real(), known).notes)
    assert "EM: ours by the scorer em; Table 1's (arXiv 2503.06580) by exact match" in notes
    for start in ("sampling: temperature 0.7", "search: top-2 of E5", "budget: 10 turns"):
        assert f"Table 1, {start}" in notes


def test_table_2_stands_under_its_own_row(real: Callable[..., Run], known: Catalogue) -> None:
    run = real("model-only", ("nq@paper", "known"), search=None)
    result = table(run, known)
    assert [section.title.partition("; ")[2] for section in result.sections] == [
        "Table 1: R1-Distill-Qwen-7B",
        "Table 2: DeepSeek-R1-Distill-Qwen-7B",
    ]
    row = cells(result, "Popular & old (known), main question (real)", section=1)
    assert row["EM paper"] == Cell("5.2", "3–9")
    named = table(run, known, **{"model-only": "Deepseek-R1"})
    assert named.sections[1].title.endswith("Table 2: DeepSeek-R1")


def test_facts_hold_both_sides_and_the_difference(
    real: Callable[..., Run], known: Catalogue
) -> None:
    facts = {(fact.run, fact.metric): fact for fact in table(real(), known).data_points}
    row = "R1-Distill-Qwen-7B (ReAct)"
    ours = facts["react", "em"]
    theirs = facts[f"Table 1 of arXiv 2503.06580: {row}", "em"]
    apart = facts["react", f"em:less {row}"]
    assert (ours.mean, theirs.mean, theirs.n, theirs.task) == (0.5, 0.151, 500, "hotpotqa")
    assert apart.mean == pytest.approx(0.349)
    assert apart.low is not None
    assert apart.high is not None
    assert apart.low < 0.349 < apart.high


def test_a_metric_that_lacks_answers_is_marked_and_the_other_is_not(
    make_run: Make, known: Catalogue
) -> None:
    run = judged(make_run({"nq@paper": [(1, 1.0), (1, 1.0)]}, "react", edition="real"))
    run.scores["judge"][run.records[0].key] = Score(None, "no verdict")
    result = table(run, known)
    row = cells(result, "NQ@paper")
    assert (row["EM ours"].text, row["LLM ours"].text) == ("100.0", "100.0†")
    assert "† fewer answers than planned: --by leaderboard says why" in result.notes


def test_table_2_has_no_average_as_the_paper_has_none(make_run: Make, known: Catalogue) -> None:
    run = make_run({"recent": [(1, 1.0)], "known": [(1, 1.0)]}, "model-only", search=None)
    rows = table(run, known).sections[0].rows
    assert [row.label.text for row in rows] == [
        "Recent (unknown), main question (embedded)",
        "Popular & old (known), main question (embedded)",
    ]


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ({"raect": "SFT-stage2"}, "unknown run of this report 'raect'; did you mean 'react'?"),
        ({"react": "SFT-stage-2"}, "did you mean 'SFT-stage2'?"),
    ],
)
def test_a_run_or_row_that_there_is_not_is_refused(
    real: Callable[..., Run], known: Catalogue, beside: dict[str, str], message: str
) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        table(real(), known, **beside)


def test_a_name_of_two_runs_is_refused(real: Callable[..., Run], known: Catalogue) -> None:
    runs = [real("agent", folder=name, model=name) for name in ("one", "two")]
    with pytest.raises(UserError, match=r"by its folder \(runs/one, runs/two\)"):
        table(*runs[:1], known, *runs[1:], agent="SFT-stage2")


def test_rows_for_another_table_are_refused(real: Callable[..., Run], known: Catalogue) -> None:
    with pytest.raises(UserError, match="--by paper"):
        build([real()], ["leaderboard"], catalogue=known, paper_rows={"react": "SFT-stage2"})


def test_tasks_and_scorers_that_the_paper_has_not_are_refused(
    make_run: Make, real: Callable[..., Run], known: Catalogue
) -> None:
    with pytest.raises(UserError, match="none of these runs' tasks"):
        table(make_run({"mine": [(1, 1.0)]}, "react"), known)
    run = real()
    with pytest.raises(UserError, match="neither em nor judge scores"):
        table(replace(run, info=replace(run.info, scorers=("f1",))), known)


@pytest.mark.parametrize("form", ["markdown", "latex", "csv"])
def test_every_format_has_ours_and_the_papers(
    real: Callable[..., Run], known: Catalogue, form: str
) -> None:
    report: Report = build([real()], ["paper"], catalogue=known)
    text = render(report, form)
    assert "15.1" in text or "0.151" in text
    assert "34.9" in text or "0.349" in text
