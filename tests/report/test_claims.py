"""The claims of section 4.3, decided from runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.report import FORMATS, Catalogue, Table, build, render
from autocoa_bench.report.entries import make_inputs
from autocoa_bench.report.model import Cell, DataPoint
from autocoa_bench.report.published import Claim, paper_claims, paper_tables
from autocoa_bench.report.tables.claims import claims
from autocoa_bench.runs.run_folder import Run

Make = Callable[..., Run]
Of = Callable[..., Run]

REACT = "R1-Distill-Qwen-7B (ReAct)"
TASK = "hotpotqa@500"


@pytest.fixture
def run_of(make_run: Make) -> Of:
    """A run with so many right of 200, its folder named after a row; actions are all the same."""

    def make(row: str, right: int, actions: int = 1, tasks: Sequence[str] = (TASK,)) -> Run:
        answers = [(actions, float(number < right)) for number in range(200)]
        return make_run(dict.fromkeys(tasks, answers), "agent", "mine", folder=row)

    return make


def decided(*runs: Run) -> dict[str, dict[str, Cell]]:
    """The cells by column, by claim. A run stands beside the row that its folder is named after."""
    table = claim_table(*runs)
    names = [column.headings[0] for column in table.columns]
    return {
        row.label.text: dict(zip(names, row.cells, strict=True))
        for section in table.sections
        for row in section.rows
    }


def claim_table(*runs: Run) -> Table:
    beside = {str(run.path): run.path.name.partition("#")[0] for run in runs}
    return claims(make_inputs(runs, paper_rows=beside))


def verdict(claim: str, *runs: Run) -> str:
    return decided(*runs)[claim]["verdict"].text


def claim_by_id(name: str) -> Claim:
    (match,) = (claim for claim in paper_claims() if claim.id == name)
    return match


def facts(table: Table) -> dict[str, DataPoint]:
    return {fact.metric.split(":")[1]: fact for fact in table.data_points}


def test_claims_are_about_rows_of_table_1() -> None:
    table, _ = paper_tables()
    named = {row for claim in paper_claims() for row in claim.rows}
    assert named <= {row.name for row in table.rows}
    assert named == {row.name for row in table.rows} - {"Deepseek-R1", "Qwen-7B-Base (ReAct)"}


def test_claims_have_what_their_kind_of_test_needs() -> None:
    assert len({claim.id for claim in paper_claims()}) == len(paper_claims())
    for claim in paper_claims():
        assert claim.first, claim.id
        assert bool(claim.second) == (claim.kind != "most"), claim.id
        assert bool(claim.first_actions) == (claim.kind in ("most", "success")), claim.id
        assert bool(claim.second_actions) == (claim.kind == "success"), claim.id
        assert not claim.margin or claim.kind in ("no-worse", "success"), claim.id


def test_the_papers_own_averages_are_on_the_side_of_its_claims() -> None:
    table, _ = paper_tables()
    average = {row.name: row.average["em"] for row in table.rows}
    for claim in paper_claims():
        if claim.kind in ("better", "no-worse") and not claim.from_actions:
            for row in claim.first:
                assert average[row] - average[claim.second] > -claim.margin, claim.id


def test_a_claim_holds_where_its_side_is_significantly_better(run_of: Of) -> None:
    row = decided(run_of("SFT-stage1&2", 120), run_of("SFT-stage2", 80))["when-before-how"]
    assert row["verdict"] == Cell("holds", strong=True)
    assert row["difference"].text == "+20.0"
    assert row["n"].text == "200"
    assert row["p (Holm)"].text == "< 0.001"


def test_a_claim_does_not_hold_where_the_other_side_is(run_of: Of) -> None:
    assert verdict("when-before-how", run_of("SFT-stage1&2", 80), run_of("SFT-stage2", 120)) == (
        "does not hold"
    )


def test_a_claim_is_undecided_where_neither_is_and_says_what_could_be_seen(run_of: Of) -> None:
    row = decided(run_of("SFT-stage1&2", 84), run_of("SFT-stage2", 80))["when-before-how"]
    assert row["verdict"] == Cell("undecided")
    assert row["p (Holm)"].text == "0.125"
    assert row["detectable"].text == "3.0"  # six questions of 200 that differ one way


def test_a_claim_without_runs_says_which_row_has_none(run_of: Of) -> None:
    row = decided(run_of("SFT-stage1&2", 84))["when-before-how"]
    assert row["verdict"].text == "no runs"
    assert row["claim, and what decides it"].text.endswith("; no run of SFT-stage2.")
    assert row["p (Holm)"].text == "–"


def test_runs_without_a_question_in_common_decide_nothing(run_of: Of) -> None:
    runs = run_of("SFT-stage1&2", 80), run_of("SFT-stage2", 80, tasks=("nq@500",))
    row = decided(*runs)["when-before-how"]
    assert row["verdict"].text == "undecided"
    assert "no question in common" in row["claim, and what decides it"].text


def test_a_claim_of_several_rows_holds_only_where_each_does(run_of: Of) -> None:
    claim = claim_by_id("direct-rl-is-bounded")
    sft, simulated = claim.first
    alone = run_of("RL-stage2", 60)
    assert verdict(claim.id, run_of(sft, 100), run_of(simulated, 90), alone) == "holds"
    row = decided(run_of(sft, 100), run_of(simulated, 61), alone)[claim.id]
    assert row["verdict"].text == "undecided"
    assert row["difference"].text == "+0.5"
    assert row["claim, and what decides it"].text.endswith(f"here {simulated}.")
    assert verdict(claim.id, run_of(sft, 100), run_of(simulated, 30), alone) == "does not hold"


def test_one_row_against_a_claim_of_several_pays_for_having_been_sought(run_of: Of) -> None:
    claim = claim_by_id("direct-rl-is-bounded")
    sft, simulated = claim.first
    runs = run_of(sft, 100), run_of(simulated, 54), run_of("RL-stage2", 60)
    assert facts(claim_table(*runs))[claim.id].p == 0.0625  # 2 x McNemar's of six to none


def test_a_loss_is_acceptable_only_where_it_is_surely_less_than_the_margin(run_of: Of) -> None:
    first, second = "SFT-stage1&2&3+RL-stage1&2", "SFT-stage1&2+RL-stage2"
    name = "simulation-is-acceptable"
    assert verdict(name, run_of(first, 120), run_of(second, 110)) == "holds"
    row = decided(run_of(first, 97), run_of(second, 100))[name]
    assert (row["verdict"].text, row["difference"].text) == ("undecided", "-1.5")
    assert "true if above -2" in row["claim, and what decides it"].text
    assert verdict(name, run_of(first, 80), run_of(second, 100)) == "does not hold"


def test_a_plain_loss_is_seen_on_few_questions(make_run: Make) -> None:
    lost, scored = (
        make_run({TASK: [(1, float(n < right)) for n in range(50)]}, "agent", "mine", folder=row)
        for row, right in (("SFT-stage1&2&3", 15), ("SFT-stage1&2", 45))
    )
    assert verdict("stage-3-costs-little", lost, scored) == "does not hold"


def test_ties_on_few_questions_are_no_sign_of_no_loss(make_run: Make) -> None:
    rows = "SFT-stage1&2&3", "SFT-stage1&2"
    few = [make_run({TASK: [(1, 1.0)] * 20}, "agent", "mine", folder=row) for row in rows]
    assert verdict("stage-3-costs-little", *few) == "undecided"
    many = [make_run({TASK: [(1, 1.0)] * 400}, "agent", "mine", folder=row) for row in rows]
    assert verdict("stage-3-costs-little", *many) == "holds"


def test_datasets_have_equal_weights(make_run: Make) -> None:
    """100 points on 10 questions and none on 90 average to 50."""
    ours, theirs = (
        make_run({"nq@500": [(1, nq)] * 10, TASK: [(1, 1.0)] * 90}, "agent", "mine", folder=row)
        for row, nq in (("SFT-stage1&2", 1.0), ("SFT-stage2", 0.0))
    )
    row = decided(ours, theirs)["when-before-how"]
    assert (row["difference"].text, row["n"].text) == ("+50.0", "100")
    assert "average of 2 datasets" in row["claim, and what decides it"].text


def test_what_is_no_column_of_table_1_does_not_count(make_run: Make) -> None:
    ours, theirs = (
        make_run({"mine": [(1, em)] * 90, TASK: [(1, 1.0)] * 90}, "agent", "mine", folder=row)
        for row, em in (("SFT-stage1&2", 1.0), ("SFT-stage2", 0.0))
    )
    assert decided(ours, theirs)["when-before-how"]["difference"].text == "+0.0"


def test_seeds_of_a_row_are_averaged_question_by_question(run_of: Of) -> None:
    runs = run_of("SFT-stage1&2#1", 120), run_of("SFT-stage1&2#2", 80), run_of("SFT-stage2", 80)
    row = decided(*runs)["when-before-how"]
    assert (row["difference"].text, row["n"].text) == ("+10.0", "200")
    assert any(
        "SFT-stage1&2: SFT-stage1&2#1, SFT-stage1&2#2" in note for note in claim_table(*runs).notes
    )


def test_p_is_corrected_for_the_claims_that_were_tested(run_of: Of) -> None:
    runs = run_of("SFT-stage1&2", 87), run_of("SFT-stage2", 80), run_of("SFT-stage1", 87)
    points = facts(claim_table(*runs))
    assert points["when-before-how"].p == pytest.approx(2 / 2**7)
    assert points["when-before-how"].p_holm == pytest.approx(2 * 2 / 2**7)
    assert points["stage-2-adds"].p_holm == 1.0
    assert sum(fact.p_holm is not None for fact in points.values()) == 2


def at(make_run: Make, row: str, actions: dict[int, tuple[int, int]]) -> Run:
    """A run with so many right of so many, by number of actions."""
    answers = [
        (taken, float(number < right))
        for taken, (right, n) in actions.items()
        for number in range(n)
    ]
    return make_run({TASK: answers}, "react", "mine", folder=row)


def test_success_that_falls_with_actions_falls(make_run: Make) -> None:
    falling = at(make_run, REACT, {1: (60, 100), 2: (50, 100), 3: (10, 50), 6: (0, 50)})
    row = decided(falling)["workflow-falls"]
    assert (row["verdict"].text, row["difference"].text) == ("holds", "+45.0")
    rising = at(make_run, REACT, {1: (10, 100), 4: (60, 100)})
    assert verdict("workflow-falls", rising) == "does not hold"


def test_success_that_no_answer_has_the_actions_for_is_undecided(make_run: Make) -> None:
    row = decided(at(make_run, REACT, {1: (50, 100)}))["workflow-falls"]
    assert row["verdict"].text == "undecided"
    assert "no answers after 3 or more actions" in row["claim, and what decides it"].text


def test_right_answers_are_counted_by_their_actions(make_run: Make) -> None:
    short = at(make_run, REACT, {1: (30, 100), 2: (30, 40), 3: (5, 100)})
    row = decided(short)["workflow-solves-short"]
    assert (row["verdict"].text, row["difference"].text, row["n"].text) == ("holds", "+42.3", "65")
    long = at(make_run, REACT, {1: (5, 100), 3: (60, 100)})
    assert verdict("workflow-solves-short", long) == "does not hold"


def test_only_answers_after_many_actions_count_for_solving_long_ones(make_run: Make) -> None:
    agent = at(make_run, "SFT-stage1&2&3+RL-stage1&2", {3: (50, 100), 1: (0, 100)})
    workflow = at(make_run, REACT, {1: (80, 100), 3: (10, 100)})
    row = decided(agent, workflow)["agent-solves-long"]
    assert (row["verdict"].text, row["difference"].text) == ("holds", "+20.0")


def counted(calls: dict[str, float], *runs: Run) -> Cell:
    beside = {str(run.path): run.path.name for run in runs}
    table = claims(make_inputs(runs, paper_rows=beside), calls)
    rows = {row.label.text: row for section in table.sections for row in section.rows}
    return rows["simulation-saves-calls"].cells[-2]


@pytest.mark.parametrize(("calls", "text"), [(499, "holds"), (500, "does not hold")])
def test_searches_that_training_saves_are_counted(run_of: Of, calls: float, text: str) -> None:
    claim = claim_by_id("simulation-saves-calls")
    known = {claim.first[0]: calls, claim.second: 1000.0}
    assert counted(known, run_of("SFT-stage1&2", 80)).text == text


def test_what_training_spends_is_in_no_run(run_of: Of) -> None:
    assert verdict("simulation-saves-calls", run_of("SFT-stage1&2", 80)) == "not in runs"


def test_a_run_stands_beside_the_row_of_its_section_and_model_unless_named(
    make_run: Make, known: Catalogue
) -> None:
    runs = [
        make_run({TASK: [(1, float(n < right)) for n in range(100)]}, solver, folder=solver)
        for solver, right in (("react", 60), ("model-only", 30))
    ]
    points = facts(claims(make_inputs(runs, catalogue=known)))
    assert points["workflow-over-model"].mean == pytest.approx(0.3)
    assert points["workflow-over-model"].metric == "em:workflow-over-model:holds"


def test_what_is_left_out_is_said(run_of: Of, make_run: Make) -> None:
    react = make_run({TASK: [(1, 1.0)] * 200}, "react", "mine", folder="other")
    torn = make_run({TASK: [(1, 1.0)] * 199 + ["timeout"]}, "agent", "mine", folder="SFT-stage1")
    runs = [run_of("SFT-stage2", 80), torn, react]
    beside = {run.path.name: run.path.name for run in runs[:2]}
    notes = claims(make_inputs(runs, paper_rows=beside)).notes
    assert "beside no row, so in no claim (--as names one): react" in notes
    (lacking,) = (note for note in notes if note.startswith("fewer answers than planned"))
    assert lacking.endswith(": agent (SFT-stage1)")


def test_runs_of_no_row_are_refused(run_of: Of) -> None:
    with pytest.raises(UserError, match="none of these runs is matched to a row"):
        claims(make_inputs([run_of("run", 80)]))


@pytest.mark.parametrize("form", list(FORMATS))
def test_every_format_has_the_verdicts(run_of: Of, form: str) -> None:
    runs = [run_of("SFT-stage1&2", 120), run_of("SFT-stage2", 80)]
    beside = {run.path.name: run.path.name for run in runs}
    report = build(runs, ["claims"], catalogue=Catalogue(), paper_rows=beside)
    text = render(report, form)
    assert "when-before-how" in text
    assert "holds" in text
