"""Runs as pandas frames."""

from __future__ import annotations

from pathlib import Path

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.frames import load_runs
from autocoa_bench.runs.run_folder import RunFolder
from autocoa_bench.types import Record
from support.runs import answered, failed, info


def folder(path: Path, *records: Record, solver: str = "agent") -> Path:
    run = RunFolder(path, info(solver))
    for record in records:
        run.append(record)
    run.close()
    return path


def test_a_row_a_run_a_record_and_a_step(tmp_path: Path) -> None:
    one = folder(tmp_path / "one", answered(1, searches=2), answered(2, "Bert"))
    two = folder(tmp_path / "two", answered(1), solver="react")
    runs, records, steps = load_runs(one, str(two))
    assert list(runs.run) == [str(one), str(two)]
    assert list(runs.solver) == ["agent", "react"]
    assert list(runs.planned) == [2, 2]
    assert list(runs.recorded) == [2, 1]
    assert list(records.question_id) == ["q1", "q2", "q1"]
    assert list(records.actions) == [2, 0, 0]
    assert list(records.em) == [1.0, 0.0, 1.0]
    assert list(steps.kind) == ["search", "search", "answer", "answer", "answer"]
    assert list(steps.step) == [1, 2, 3, 1, 1]


def test_the_key_joins_steps_to_their_records(tmp_path: Path) -> None:
    _, records, steps = load_runs(folder(tmp_path / "one", answered(1, searches=3), answered(2)))
    joined = steps.merge(records, on=["run", "task", "question_id", "sample"])
    assert (joined[joined.kind_x == "search"].groupby("question_id").size() == 3).all()


def test_what_is_not_known_is_missing_and_not_zero(tmp_path: Path) -> None:
    _, records, steps = load_runs(folder(tmp_path / "one", failed(1), answered(2, None)))
    fault, unanswered = records.to_dict("records")
    assert fault["fault"] == "timeout"
    assert unanswered["em"] == 0.0
    missing = ["answer", "ending", "actions", "em", "gold_recall", "prompt_tokens"]
    assert records.loc[0, missing].isna().all()
    assert records.loc[1, ["answer", "fault", "prompt_tokens"]].isna().all()
    assert len(steps) == 1


def test_frames_of_no_records_have_their_columns(tmp_path: Path) -> None:
    _, records, steps = load_runs(folder(tmp_path / "one"))
    assert (len(records), len(steps)) == (0, 0)
    assert {"run", "actions", "em"} <= set(records)
    assert {"run", "step", "text"} <= set(steps)


def test_a_folder_that_is_no_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no run\.json"):
        load_runs(tmp_path)
