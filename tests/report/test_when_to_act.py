"""The table of when a solver acts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from autocoa_bench.errors import UserError
from autocoa_bench.report import Catalogue, build, render
from autocoa_bench.report.entries import make_inputs
from autocoa_bench.report.model import Cell, Table
from autocoa_bench.report.tables.when_to_act import when_to_act
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import wilson

Make = Callable[..., Run]
Outcome = tuple[int, float]


def run_of(make: Make, kinds: dict[str, list[Outcome]], solver: str, **options: object) -> Run:
    """A run over one task, its questions of the given kinds in order."""
    names = [kind for kind, outcomes in kinds.items() for _ in outcomes]
    run = make(
        {"t": [outcome for outcomes in kinds.values() for outcome in outcomes]}, solver, **options
    )
    records = [
        replace(record, question=replace(record.question, kind=names[int(record.question.id[1:])]))
        for record in run.records
    ]
    return replace(run, records=tuple(records))


@pytest.fixture
def agent(make_run: Make) -> Run:
    kinds = {
        "known": [(0, 1.0), (0, 1.0), (1, 0.0), (0, 0.0)],
        "given": [(0, 1.0), (2, 1.0)],
        "unknown": [(2, 1.0), (1, 0.0), (0, 0.0)],
    }
    return run_of(make_run, kinds, "agent")


@pytest.fixture
def alone(make_run: Make) -> Run:
    kinds = {
        "known": [(0, 1.0), (0, 0.0), (0, 1.0), (0, 1.0)],
        "given": [(0, 1.0), (0, 0.0)],
        "unknown": [(0, 0.0)] * 3,
    }
    return run_of(make_run, kinds, "model-only", search=None)


def cells(table: Table, kind: str, section: int = -1) -> dict[str, Cell]:
    """A row's cells by their inner headings."""
    names = [column.headings[-1] for column in table.columns]
    (row,) = (row for row in table.sections[section].rows if row.label.text == kind)
    return dict(zip(names, row.cells, strict=True))


def test_a_kind_shows_how_many_of_its_questions_were_searched_for(agent: Run) -> None:
    table = when_to_act(make_inputs([agent]))
    assert [row.label.text for row in table.sections[0].rows] == ["known", "given", "unknown"]
    low, high = wilson(1, 4)
    known = cells(table, "known")
    assert known["n"] == Cell("4")
    assert known["searched %"] == Cell("25.0", f"{100 * low:.0f}–{100 * high:.0f}")
    assert cells(table, "unknown")["searched %"].text == "66.7"
    assert cells(table, "unknown")["searches"] == Cell("1.00", "3")


def test_em_is_told_apart_by_whether_a_search_was_made(agent: Run) -> None:
    table = when_to_act(make_inputs([agent]))
    known = cells(table, "known")
    assert [known[name].text for name in ("all", "with search", "without")] == [
        "50.0",
        "0.0",
        "66.7",
    ]
    assert cells(table, "given")["with search"].text == "100.0"


def test_needless_searching_is_added_up_over_known_and_given(agent: Run) -> None:
    notes = when_to_act(make_inputs([agent])).notes
    message = (
        "agent: needless searching (known and given): 2 of 6 trajectories, 3 searches, 360 tokens"
    )
    assert any(note.startswith(message) for note in notes), notes


def test_tokens_that_no_server_counted_are_estimated(agent: Run) -> None:
    records = []
    for record in agent.records:
        assert record.trajectory is not None
        steps = tuple(
            replace(step, text="x" * 25, completion_tokens=None) for step in record.trajectory.steps
        )
        records.append(replace(record, trajectory=replace(record.trajectory, steps=steps)))
    table = when_to_act(make_inputs([replace(agent, records=tuple(records))]))
    assert cells(table, "known")["tokens"] == Cell("28.8", "115")  # 25 sampled, 90 observed


def test_the_change_is_paired_with_the_run_that_never_searches(agent: Run, alone: Run) -> None:
    table = when_to_act(make_inputs([alone, agent]))
    assert cells(table, "known")["change"].text == "-25.0"
    assert cells(table, "given")["change"].text == "+50.0"
    assert cells(table, "known", section=0)["change"].text == "–"
    assert "agent: change from model-only, which never searches" in table.notes


def test_the_change_is_over_questions_that_both_runs_have(agent: Run, alone: Run) -> None:
    first = replace(alone, records=alone.records[:2])
    table = when_to_act(make_inputs([first, agent]))
    (fact,) = (f for f in table.data_points if f.metric == "known:em:change")
    assert (fact.mean, fact.n, fact.run) == (0.5, 2, "agent")


def test_a_change_that_is_the_same_everywhere_is_not_certain(agent: Run, alone: Run) -> None:
    same = replace(agent, records=agent.records[:1])
    (fact,) = (
        f
        for f in when_to_act(make_inputs([alone, same])).data_points
        if f.metric == "known:em:change"
    )
    assert fact.mean == 0.0
    assert fact.low is not None
    assert fact.low < -0.5


def test_the_same_models_run_is_compared_with_before_another_models(
    make_run: Make, agent: Run, alone: Run
) -> None:
    second = run_of(make_run, {"known": [(0, 0.0)] * 4}, "model-only", search=None, model="other")
    notes = when_to_act(make_inputs([second, alone, agent])).notes
    assert any("agent: change from model-only, DeepSeek" in note for note in notes), notes


def test_runs_without_such_kinds_are_named_and_alone_refused(make_run: Make, agent: Run) -> None:
    plain = make_run({"nq": [(1, 1.0)]}, "react")
    assert (
        "react: no question of the kinds known, given, unknown"
        in when_to_act(make_inputs([plain, agent])).notes
    )
    with pytest.raises(UserError, match="when-to-act"):
        when_to_act(make_inputs([plain]))


def test_a_fault_is_no_question_that_was_not_searched_for(make_run: Make, agent: Run) -> None:
    failed = make_run({"t": ["timeout"]}).records
    table = when_to_act(make_inputs([replace(agent, records=(*agent.records, *failed))]))
    assert cells(table, "known")["n"] == Cell("4")


def test_facts_hold_the_unrounded_numbers(agent: Run) -> None:
    facts = {fact.metric: fact for fact in when_to_act(make_inputs([agent])).data_points}
    searched = facts["known:searched"]
    assert (searched.mean, searched.low, searched.high) == (0.25, *wilson(1, 4))
    assert facts["given:search_tokens"].total == 240
    assert facts["unknown:em"].mean == pytest.approx(1 / 3)


@pytest.mark.parametrize("form", ["markdown", "latex", "csv"])
def test_the_table_is_written_in_every_format(agent: Run, alone: Run, form: str) -> None:
    report = build([alone, agent], tables=["acting"], catalogue=Catalogue())
    text = render(report, form)
    assert "unknown" in text
    assert "searched" in text
