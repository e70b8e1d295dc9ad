"""Runs as datasets: what is written is what `datasets` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from autocoa_bench.frames import load_runs
from autocoa_bench.runs.run_folder import load_run
from autocoa_bench.tasks import resolve
from support.commands import Cli, caller, refused
from support.runs import answered, failed, info, write_run

datasets = pytest.importorskip("datasets", reason="needs the extra 'hub'")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`export`, in a folder with the run `one`: two searches and a right answer; a fault."""
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "one", info(), [answered(1, searches=2), failed(2)])
    return caller(monkeypatch, capsys, "export")


@pytest.fixture
def exported(cli: Cli, tmp_path: Path) -> Path:
    done = cli("one", "--to", "dataset", "--out", "out/trajectories")
    assert done.out.split()[0] == "out/trajectories/README.md"
    return tmp_path / "out" / "trajectories"


def opened(folder: Path, config: str) -> list[dict[str, Any]]:
    loaded = datasets.load_dataset(str(folder), config, cache_dir=str(folder.parent / "cache"))
    assert list(loaded) == ["train"]
    rows: list[dict[str, Any]] = loaded["train"].to_list()
    return rows


def test_records_come_back_with_answers_prediction_scores_and_counts(exported: Path) -> None:
    first, second = opened(exported, "records")
    expected = {
        "run": "one",
        "task": "toy",
        "question_id": "q1",
        "question": "Who is number 1?",
        "golden_answers": ["Anna"],
        "prediction": "Anna",
        "em": 1.0,
        "actions": 2,
        "opening": [{"role": "user", "content": "?"}],
    }
    assert {name: first[name] for name in expected} == expected
    assert (second["prediction"], second["em"], second["fault"]) == (None, None, "timeout")


def test_steps_come_back_as_they_were_recorded(exported: Path) -> None:
    steps = opened(exported, "steps")
    assert [step["step"] for step in steps] == [1, 2, 3]
    trajectory = load_run(Path("one")).records[0].trajectory
    assert trajectory is not None
    for row, step in zip(steps, trajectory.steps, strict=True):
        assert (row["kind"], row["text"]) == (step.kind, step.text)
        assert (row["argument"], row["observation"]) == (step.argument, step.observation)


def test_every_column_of_the_frames_is_in_the_dataset(exported: Path) -> None:
    frames = load_runs("one")
    records = {"prediction" if name == "answer" else name for name in frames.records}
    assert set(opened(exported, "records")[0]) == records | {"opening"}
    assert set(opened(exported, "steps")[0]) == set(frames.steps)


def test_the_card_names_the_run(exported: Path) -> None:
    card = (exported / "README.md").read_text()
    assert "| solver | `agent` |" in card
    assert "| task | `toy (file), 2 questions` |" in card
    assert "| mean em | `1.000` |" in card
    assert 'load_dataset("trajectories", "records", split="train")' in card


def test_the_questions_of_a_dataset_can_be_asked_again(exported: Path) -> None:
    [task] = resolve(f"hf:{exported}:records:train")
    assert [question.text for question in task.load()] == ["Who is number 1?", "Who is number 2?"]
    assert task.load()[0].golden_answers == ("Anna",)


def test_a_run_of_faults_alone_has_no_steps(cli: Cli, tmp_path: Path) -> None:
    write_run(tmp_path / "none", info(), [failed(1)])
    cli("none", "--to", "dataset", "--out", "out")
    assert [row["fault"] for row in opened(tmp_path / "out", "records")] == ["timeout"]
    loaded = datasets.load_dataset(str(tmp_path / "out"), "steps", streaming=True)
    assert list(loaded["train"]) == []


def test_a_folder_with_files_is_not_overwritten(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert cli("one", "--to", "dataset", "--out", "empty").code == 0
    refused(cli("one", "--to", "dataset", "--out", "empty"), "not an empty folder; name a new one")
    (tmp_path / "file").touch()
    refused(cli("one", "--to", "dataset", "--out", "file"), "not an empty folder")
