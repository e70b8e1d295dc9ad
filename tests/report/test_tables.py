"""The content of tables over runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from autocoa_bench.errors import UserError
from autocoa_bench.report import Catalogue, Table, build, make_catalogue
from autocoa_bench.report.entries import make_inputs
from autocoa_bench.report.model import Cell
from autocoa_bench.report.tables.actions import action_counts
from autocoa_bench.report.tables.costs import costs
from autocoa_bench.report.tables.faults import faults
from autocoa_bench.report.tables.leaderboard import leaderboard
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import wilson
from autocoa_bench.types import Score

Make = Callable[..., Run]


def texts(table: Table, run: int = 0) -> list[str]:
    """The texts of a row's cells."""
    rows = [row for section in table.sections for row in section.rows]
    return [cell.text for cell in rows[run].cells]


def labels(table: Table) -> list[str]:
    return [row.label.text for section in table.sections for row in section.rows]


def edited(run: Run, **fields: object) -> Run:
    """A run with other fields in its spec."""
    spec = msgspec.structs.replace(run.info.spec, **fields)
    return msgspec.structs.replace(run, info=msgspec.structs.replace(run.info, spec=spec))


def test_sections_are_in_the_order_of_table_1(three_runs: list[Run], known: Catalogue) -> None:
    table = leaderboard(make_inputs(three_runs[::-1], ("em", "f1"), catalogue=known))
    assert [section.title for section in table.sections] == [
        "Model only (w/o action)",
        "Agentic workflow",
        "Agent model",
    ]


def test_a_solver_of_its_own_section_stands_before_the_others(make_run: Make) -> None:
    runs = [make_run({"t": [(0, 1.0)]}, solver=name) for name in ("x", "mine")]
    table = leaderboard(make_inputs(runs, ("em", "f1"), catalogue=Catalogue({"mine": "Planner"})))
    assert [section.title for section in table.sections] == ["Planner", "Other"]


def test_datasets_stand_under_their_number_of_hops(make_run: Make, known: Catalogue) -> None:
    run = make_run({"musique": [(0, 1.0)], "mine": [(0, 1.0)], "nq": [(0, 1.0)]})
    table = leaderboard(make_inputs([run], catalogue=known))
    assert [column.headings for column in table.columns] == [
        ("", "", "n"),
        ("Single-hop QA", "NQ", "EM"),
        ("Multi-hop QA", "MuSiQue", "EM"),
        ("Other", "mine", "EM"),
        ("", "Average", "EM"),
    ]


def test_a_single_task_of_ones_own_has_no_groups_and_no_average(make_run: Make) -> None:
    table = leaderboard(make_inputs([make_run({"mine": [(0, 1.0), (0, 0.0)]})]))
    assert [column.headings for column in table.columns] == [("", "", "n"), ("", "mine", "EM")]


def test_a_mean_is_a_percentage_over_its_interval(make_run: Make) -> None:
    table = leaderboard(make_inputs([make_run({"t": [(0, 1.0)] * 8 + [(0, 0.0)] * 2})]))
    assert table.sections[0].rows[0].cells == (Cell("10"), Cell("80.0", "49–94"))


def test_facts_hold_the_unrounded_numbers(make_run: Make) -> None:
    (fact,) = leaderboard(
        make_inputs([make_run({"t": [(0, 1.0), (0, 0.0), (0, 1.0)]})])
    ).data_points
    assert (fact.task, fact.metric, fact.mean, fact.n, fact.planned) == ("t", "em", 2 / 3, 3, 3)
    assert (fact.low, fact.high, fact.coverage) == (*wilson(2, 3), 1.0)


def test_the_average_is_over_datasets_not_questions(make_run: Make) -> None:
    table = leaderboard(make_inputs([make_run({"a": [(0, 1.0)] * 9, "b": [(0, 0.0)]})]))
    assert texts(table)[-1] == "50.0"
    assert any("unweighted mean over the 2 datasets" in note for note in table.notes)


def test_a_run_without_a_dataset_has_no_average(make_run: Make) -> None:
    full = make_run({"a": [(0, 1.0)], "b": [(0, 0.0)]}, "x")
    part = make_run({"a": [(0, 1.0)]}, "y")
    table = leaderboard(make_inputs([full, part]))
    assert texts(table, 0) == ["2", "100.0", "0.0", "50.0"]
    assert texts(table, 1) == ["1", "100.0", "–", "–"]
    assert any(note == "runs differ in tasks: a, b [x]; a [y]" for note in table.notes)


def test_a_fault_is_marked_counted_and_never_a_zero(make_run: Make) -> None:
    run = make_run({"t": [(0, 1.0), (0, 1.0), "timeout", "http-500", "timeout"]})
    table = leaderboard(make_inputs([run]))
    assert table.sections[0].rows[0].cells[0] == Cell("2†", "40.0 %")
    assert texts(table)[1] == "100.0†"
    assert "† agent: fewer answers than planned: t (timeout 2, http-500 1)" in table.notes


def test_a_task_of_nothing_but_faults_has_no_mean(make_run: Make) -> None:
    run = make_run({"t": ["timeout"] * 3, "u": [(0, 1.0)]})
    table = leaderboard(make_inputs([run]))
    assert texts(table) == ["1†", "–", "100.0", "–"]


def test_a_run_without_records_says_that_nothing_was_asked(make_run: Make) -> None:
    report = build([make_run({"t": [None] * 4})], catalogue=Catalogue())
    board, actions, cost = (report.tables[at] for at in (0, 1, 3))
    assert texts(board) == ["0†", "–", "–"]
    assert "† agent: fewer answers than planned: t (not asked yet 4)" in board.notes
    assert labels(actions) == ["none yet"]
    assert texts(cost)[:2] == ["0", "–"]


def test_a_missing_sample_is_marked_though_its_question_has_another(make_run: Make) -> None:
    run = make_run({"t": [[(0, 1.0), "timeout"], [(0, 1.0), (0, 1.0)]]})
    table = leaderboard(make_inputs([run]))
    assert texts(table) == ["2†", "100.0†"]
    assert "† agent: fewer answers than planned: t (timeout 1)" in table.notes


def test_samples_are_averaged_within_their_question(make_run: Make) -> None:
    run = make_run({"t": [[(0, 1.0), (0, 0.0)], [(0, 1.0), (0, 1.0)]]})
    table = leaderboard(make_inputs([run]))
    assert texts(table) == ["2", "75.0"]


def test_an_answer_that_a_scorer_left_unscored_is_named(make_run: Make) -> None:
    run = make_run({"t": [(0, 1.0), (0, 1.0)]})
    run.scores["em"][run.records[0].key] = Score(None, "no verdict")
    table = leaderboard(make_inputs([run], ["em", "f1"]))
    assert texts(table) == ["1†", "100.0†", "100.0"]
    assert "† agent: fewer answers than planned: t (unscored by em 1)" in table.notes
    assert texts(faults(make_inputs([run]))) == ["1", "no verdict (t, q0)"]


def test_runs_that_differ_only_in_seed_are_named_by_it(make_run: Make) -> None:
    runs = [make_run({"t": [(0, 1.0)]}, seed=seed) for seed in (0, 1)]
    table = leaderboard(make_inputs(runs))
    assert labels(table) == ["agent (seed 0)", "agent (seed 1)"]
    assert any(note.startswith("runs differ in seed: 0 [agent") for note in table.notes)


def test_runs_that_differ_in_nothing_are_named_by_folder(make_run: Make) -> None:
    runs = [make_run({"t": [(0, 1.0)]}, folder=name) for name in ("monday", "tuesday")]
    assert labels(leaderboard(make_inputs(runs))) == ["agent (monday)", "agent (tuesday)"]


def test_folders_of_one_name_are_told_apart_by_path(make_run: Make) -> None:
    run = make_run({"t": [(0, 1.0)]})
    second = msgspec.structs.replace(run, path=Path("elsewhere/run"))
    assert labels(leaderboard(make_inputs([run, second]))) == [
        "agent (runs/run)",
        "agent (elsewhere/run)",
    ]


def test_models_lose_their_owner_unless_that_tells_them_apart(make_run: Make) -> None:
    runs = [make_run({"t": [(0, 1.0)]}, model=model) for model in ("a/m", "b/m", "c/other")]
    (section,) = leaderboard(make_inputs(runs)).sections
    assert [row.label.detail for row in section.rows] == ["a/m", "b/m", "other"]


def test_two_editions_of_a_dataset_are_two_columns(make_run: Make, known: Catalogue) -> None:
    runs = [make_run({"nq": [(0, 1.0)]}, edition=edition) for edition in ("embedded", "real")]
    table = leaderboard(make_inputs(runs, catalogue=known))
    headings = [column.headings[1] for column in table.columns]
    assert headings == ["", "NQ (embedded)", "NQ (real)", "Average"]
    assert (
        "embedded edition: questions and passages made by this project, not the real datasets (nq)"
        in table.notes
    )


def test_every_table_says_that_its_questions_are_embedded(three_runs: list[Run]) -> None:
    for table in build(three_runs, catalogue=Catalogue()).tables:
        assert "embedded" in table.title
        assert (
            "embedded edition: questions and passages made by this project, not the real datasets"
            in table.notes
        )


def test_real_questions_are_not_called_embedded(make_run: Make) -> None:
    report = build([make_run({"t": [(0, 1.0)]}, edition="real")], catalogue=Catalogue())
    assert not any("embedded edition" in note for table in report.tables for note in table.notes)


def test_solver_model_and_a_method_without_search_are_no_differences(make_run: Make) -> None:
    runs = [
        make_run({"t": [(0, 1.0)]}, "model-only", search=None),
        make_run({"t": [(0, 1.0)]}, "agent", model="other"),
    ]
    notes = leaderboard(make_inputs(runs)).notes
    assert not any("runs differ" in note for note in notes)


def test_other_budgets_are_differences(make_run: Make) -> None:
    run = make_run({"t": [(0, 1.0)]}, "x")
    budget = msgspec.structs.replace(run.info.spec.budget, max_actions=3)
    second = edited(make_run({"t": [(0, 1.0)]}, "y"), budget=budget)
    notes = costs(make_inputs([run, second])).notes
    assert "runs differ in budget of searches: 10 [x]; 3 [y]" in notes


def test_the_same_number_of_other_questions_is_a_difference(make_run: Make) -> None:
    run = make_run({"t": [(0, 1.0)]}, "x")
    (sample,) = run.info.spec.tasks
    second = edited(
        make_run({"t": [(0, 1.0)]}, "y"),
        tasks=(msgspec.structs.replace(sample, question_ids=("q9",)),),
    )
    assert any(
        "runs differ in questions of t" in note
        for note in leaderboard(make_inputs([run, second], ("em", "f1"))).notes
    )


def test_figure_3_counts_correct_answers_and_success_by_actions(make_run: Make) -> None:
    run = make_run({"t": [(0, 0.0), (1, 1.0), (1, 0.0), (1, 1.0), (3, 1.0)]})
    table = action_counts(make_inputs([run]))
    assert labels(table) == ["0", "1", "3", "all"]
    assert texts(table, 0) == ["1", "0", "0.0", "0.0", "0–79"]
    assert texts(table, 1) == ["3", "2", "66.7", "66.7", "21–94"]
    assert texts(table, 2) == ["1", "1", "33.3", "100.0", "21–100"]
    assert texts(table, 3) == ["5", "3", "", "60.0", "23–88"]


def test_faults_and_unscored_answers_are_no_failures_in_figure_3(make_run: Make) -> None:
    run = make_run({"t": [(1, 1.0), "timeout", (1, 1.0)]})
    run.scores["em"][run.records[2].key] = Score(None, "no verdict")
    table = action_counts(make_inputs([run]))
    assert texts(table, 0)[:2] == ["1", "1"]
    assert "agent: trajectories left out for want of a score: 1" in table.notes


def test_costs_are_a_trajectory_with_totals(make_run: Make) -> None:
    table = costs(make_inputs([make_run({"t": [(0, 1.0), (2, 0.0)]})]))
    cells = dict(
        zip(
            [" ".join(column.headings).strip() for column in table.columns],
            table.sections[0].rows[0].cells,
            strict=True,
        )
    )
    assert cells["trajectories"] == Cell("2")
    assert cells["model calls"] == Cell("2.00", "4")
    assert cells["Tokens prompt"] == Cell("400", "800")
    assert cells["Tokens observation"] == Cell("90.0", "180")
    assert cells["searches"] == Cell("1.00", "2")
    assert cells["Seconds median"] == Cell("2.00")


def test_forced_answers_are_counted_by_ending(make_run: Make) -> None:
    run = make_run({"t": [(1, 0.0)] * 4})
    first = run.records[0]
    assert first.trajectory is not None
    forced = msgspec.structs.replace(first.trajectory, ending="forced-context")
    records = (msgspec.structs.replace(first, trajectory=forced), *run.records[1:])
    (section,) = costs(make_inputs([msgspec.structs.replace(run, records=records)])).sections
    assert section.rows[0].cells[8:11] == (Cell("0.0"), Cell("25.0", "1"), Cell("0.0"))


@pytest.mark.parametrize("cause", ["forced answer", "step"])
def test_completions_that_a_token_limit_cut_are_counted(make_run: Make, cause: str) -> None:
    run = make_run({"t": [(1, 0.0)] * 4})
    (record, *rest) = run.records
    assert record.trajectory is not None
    search, answer = record.trajectory.steps
    if cause == "forced answer":
        answer = msgspec.structs.replace(answer, forced=True, stop_reason="length")
    else:
        search = msgspec.structs.replace(search, kind="malformed", stop_reason="length")
    ending = "forced-actions" if cause == "forced answer" else "answered"
    cut = msgspec.structs.replace(record.trajectory, steps=(search, answer), ending=ending)
    records = (msgspec.structs.replace(record, trajectory=cut), *rest)
    table = costs(make_inputs([msgspec.structs.replace(run, records=records)]))
    place = [column.headings for column in table.columns].index(("Forced answers %", "cut"))
    cell = table.sections[0].rows[0].cells[place]
    [point] = [point for point in table.data_points if point.metric == "forced-cut"]
    note = "agent: completions that --step-tokens or the context cut, hence malformed: 1"
    if cause == "forced answer":
        assert (cell, point.total, note in table.notes) == (Cell("25.0", "1"), 1, False)
    else:
        assert (cell, point.total, note in table.notes) == (Cell("0.0"), 0, True)


def test_what_is_well_formed_is_answered_unforced_and_nothing_in_it_malformed(
    make_run: Make,
) -> None:
    run = make_run({"t": [(1, 0.0)] * 4})
    forced, malformed, *rest = run.records
    assert forced.trajectory is not None
    assert malformed.trajectory is not None
    step, *steps = malformed.trajectory.steps
    steps.insert(0, msgspec.structs.replace(step, kind="malformed"))
    changed = (
        msgspec.structs.replace(forced.trajectory, ending="forced-actions"),
        msgspec.structs.replace(malformed.trajectory, steps=tuple(steps)),
    )
    records = [
        msgspec.structs.replace(record, trajectory=trajectory)
        for record, trajectory in zip((forced, malformed), changed, strict=True)
    ]
    table = costs(make_inputs([msgspec.structs.replace(run, records=(*records, *rest))]))
    place = [column.headings for column in table.columns].index(("", "well-formed %"))
    assert table.sections[0].rows[0].cells[place] == Cell("50.0", "2")
    [fact] = [point for point in table.data_points if point.metric == "well_formed"]
    assert (fact.mean, fact.n) == (0.5, 4)


def test_tokens_that_a_server_kept_to_itself_are_not_zero(make_run: Make) -> None:
    run = make_run({"t": [(0, 1.0)]})
    (record,) = run.records
    assert record.trajectory is not None
    steps = tuple(
        msgspec.structs.replace(step, prompt_tokens=None) for step in record.trajectory.steps
    )
    silent = msgspec.structs.replace(record.trajectory, steps=steps)
    run = msgspec.structs.replace(
        run, records=(msgspec.structs.replace(record, trajectory=silent),)
    )
    table = costs(make_inputs([run]))
    assert texts(table)[2] == "–"
    assert "agent: trajectories left out of prompt tokens, not reported: 1" in table.notes


def test_faults_are_itemised_with_their_first_message(make_run: Make) -> None:
    table = faults(make_inputs([make_run({"t": ["http-500", "timeout", "timeout"]})]))
    assert labels(table) == ["timeout", "http-500"]
    assert texts(table, 0) == ["2", "timeout after 3 tries (t, q1)"]


def test_a_run_without_faults_says_none(make_run: Make) -> None:
    assert labels(faults(make_inputs([make_run({"t": [(0, 1.0)]})]))) == ["none"]


def test_the_footer_says_how_the_runs_were_made(three_runs: list[Run]) -> None:
    text = "\n".join(build(three_runs, catalogue=Catalogue()).footer)
    assert "model: deepseek-ai/DeepSeek-R1-Distill-Qwen-7B (engine openai" in text
    assert "search: none [model-only]; bm25 (k1 1.2, b 0.75) over embedded (2,412 pass" in text
    assert "sampling: greedy, seed 0" in text
    assert "budget: 10 actions, 8,192 tokens of context" in text
    assert "scorers: em, f1" in text
    assert "judge: none" in text
    assert "git revision: 7e39770aa1" in text


def test_a_solver_and_a_task_that_are_not_installed_are_other(make_run: Make) -> None:
    run = make_run({"no-such-task": [(0, 1.0)]}, "no-such-solver:shots=2")
    result = make_catalogue([run])
    assert (result.sections, result.tasks) == ({"no-such-solver:shots=2": "Other"}, {})


def test_a_run_stands_under_the_section_that_it_recorded(make_run: Make) -> None:
    run = make_run({"t": [(0, 1.0)]}, "mine")
    recorded = replace(run, info=replace(run.info, section="Agent model"))
    assert (make_catalogue([run]).sections, make_catalogue([recorded]).sections) == (
        {"mine": "Other"},
        {"mine": "Agent model"},
    )


def test_a_report_on_no_runs_is_refused() -> None:
    with pytest.raises(UserError, match="no runs"):
        build([])
