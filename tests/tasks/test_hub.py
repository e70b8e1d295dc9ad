"""Datasets of the Hugging Face Hub as tasks, read from local folders in the Hub's layout."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from autocoa_bench.errors import MissingExtra, UserError
from autocoa_bench.runs.run import sample_questions
from autocoa_bench.tasks import FileTask, questions_sha256, read_revision, resolve
from autocoa_bench.tasks.hub import HubName, parse_hub_name
from autocoa_bench.types import Question
from support.commands import caller, refused
from support.hub_folder import hub_folder, write_rows
from support.hub_server import COMMIT, hub_server

pytest.importorskip("datasets", reason="needs the extra 'hub'")

ROWS: list[dict[str, Any]] = [
    {
        "id": "a",
        "question": "Who built it?",
        "golden_answers": ["Anna", "Anna B."],
        "metadata": {"type": "bridge", "supporting_facts": {"title": ["T", "U"]}},
    },
    {"id": "b", "question": "Where?", "golden_answers": ["Ulm"], "metadata": None},
    {"id": None, "question": "When?", "golden_answers": ["1900"], "metadata": None},
    {"id": "b", "question": "Where?", "golden_answers": ["Ulm"], "metadata": None},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return hub_folder(tmp_path / "towers", {"default": {"test": ROWS}}, ".jsonl")


def loaded(spec: str, fields: str = "") -> list[Question]:
    [task] = resolve(spec, fields)
    return list(task.load())


# What is read


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_dataset_gives_the_questions_of_a_file_with_its_rows(tmp_path: Path, suffix: str) -> None:
    folder = hub_folder(tmp_path / "towers", {"default": {"test": ROWS}}, suffix)
    write_rows(tmp_path / f"towers-test{suffix}", ROWS)
    file, [task] = FileTask(tmp_path / f"towers-test{suffix}"), resolve(f"hf:{folder}:test")
    assert list(task.load()) == list(file.load())
    assert questions_sha256(task.load()) == questions_sha256(file.load())
    assert [question.id for question in task.load()][:2] == ["a", "b"]
    assert task.load()[0].gold_titles == ("T", "U")
    assert "1 repeated row(s) left out (row 4)" in getattr(task, "warnings", [""])[0]


def test_a_config_is_chosen_by_name(tmp_path: Path) -> None:
    configs = {"easy": {"test": ROWS[:1]}, "hard": {"test": ROWS[1:2]}}
    folder = hub_folder(tmp_path / "towers", configs, ".jsonl")
    assert [question.id for question in loaded(f"hf:{folder}:hard:test")] == ["b"]
    with pytest.raises(UserError, match=r"several configs.*give one of easy, hard, as hf:.*:easy:"):
        loaded(f"hf:{folder}:test")
    with pytest.raises(UserError, match="no config 'medium'; give one of easy, hard"):
        loaded(f"hf:{folder}:medium:test")


def test_a_relative_folder_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert len(loaded("hf:./towers:test")) == 3
    with pytest.raises(UserError, match=r"the folder 'towers' exists here; give hf:\./towers:test"):
        loaded("hf:towers:test")


def test_columns_are_named_for_files_and_datasets_alike(tmp_path: Path) -> None:
    rows = [
        {
            "q_en": "Who?",
            "golden_answers": ["y"],
            "question": "Wer?",
            "gold": "A; B",
            "ref": 7,
            "pages": ["T"],
            "answer": "x",
        }
    ]
    folder = hub_folder(tmp_path / "towers", {"default": {"test": rows}}, ".jsonl")
    write_rows(tmp_path / "towers-test.jsonl", rows)
    fields = "question=q_en,answers=gold, id=ref,titles=pages"
    [question] = loaded(f"hf:{folder}:test", fields)
    assert question == Question("7", "Who?", ("A; B",), "towers-test", gold_titles=("T",))
    assert loaded(str(tmp_path / "towers-test.jsonl"), fields) == [question]


# What is recorded


def test_the_content_of_a_local_split_is_its_revision(folder: Path, tmp_path: Path) -> None:
    [task] = resolve(f"hf:{folder}:test")
    first = read_revision(task)
    assert first.startswith("sha256:")
    moved = shutil.copytree(folder, tmp_path / "other" / "towers")
    (moved / "README.md").open("a").write("Changed.")
    [task] = resolve(f"hf:{moved}:test")
    assert read_revision(task) == first
    write_rows(moved / "default" / "test-00000-of-00001.jsonl", ROWS[:2])
    [task] = resolve(f"hf:{moved}:test")
    assert read_revision(task) != first


def test_a_run_records_the_revision(folder: Path) -> None:
    tasks = resolve(f"hf:{folder}:test")
    _, [sample] = sample_questions(tasks, "test", 1, 0, Console(quiet=True))
    assert (sample.task, sample.edition) == ("towers-test", "hub")
    assert sample.revision == read_revision(tasks[0])
    assert b"sha256:" in msgspec.json.encode(sample)
    assert b"revision" not in msgspec.json.encode(replace(sample, revision=""))


@pytest.mark.slow
def test_a_dataset_of_the_hub_is_read_at_the_commit_that_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hub_folder(tmp_path / "towers", {"default": {"test": ROWS}}, ".parquet")
    code = (
        "from autocoa_bench.tasks import read_revision, resolve\n"
        "[task] = resolve('hf:ann/towers:test')\n"
        "print(len(task.load()), read_revision(task))"
    )
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    with hub_server(folder) as address:
        monkeypatch.setenv(
            "HF_ENDPOINT", address
        )  # which the libraries read when they are imported
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["3", f"hf:ann/towers@{COMMIT}:test"], done.stderr
    # As a name, it is the same task.
    [task], [recorded] = resolve("hf:ann/towers:test"), resolve(done.stdout.split()[1])
    assert recorded.info.name == task.info.name


# Names


def test_a_name_has_an_optional_config_and_revision() -> None:
    assert parse_hub_name("hf:ann/towers:test") == HubName("ann/towers", "test")
    expected = HubName("ann/towers", "dev", "en", "refs/pr/1")
    assert parse_hub_name("hf:ann/towers@refs/pr/1:en:dev") == expected
    assert str(expected) == "hf:ann/towers@refs/pr/1:en:dev"


@pytest.mark.parametrize("name", ["ann/towers", "a/b/c:test", "a/b:", "a/b::x", "a/b:x:y:z", ""])
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"does not name the split.*write hf:ORG/NAME:SPLIT"):
        resolve(f"hf:{name}")


def test_datasets_of_one_name_are_told_apart_by_their_owners() -> None:
    tasks = resolve("hf:ann/towers:test,hf:ann/towers:test,hf:bob/towers:test")
    assert [task.info.name for task in tasks] == ["towers-test", "bob-towers-test"]


# Errors


def test_an_unknown_split_is_named_with_those_that_there_are(folder: Path) -> None:
    with pytest.raises(UserError, match="no split 'dev', only test; give one of these"):
        loaded(f"hf:{folder}:dev")


def test_a_row_without_a_question_is_named(tmp_path: Path) -> None:
    folder = hub_folder(tmp_path / "t", {"default": {"test": [{"x": "Who?", "y": 1}]}}, ".jsonl")
    with pytest.raises(UserError, match=r"t:test:1: no field of the row is a question; .* x, y"):
        loaded(f"hf:{folder}:test")
    with pytest.raises(UserError, match="no column 'z' for --fields question, only x, y"):
        loaded(f"hf:{folder}:test", "question=z")


@pytest.mark.parametrize(
    ("content", "said"), [(None, "does not exist"), ("", "cannot be read"), ("{]\n", "cannot be")]
)
def test_a_folder_that_holds_no_dataset_is_refused(
    tmp_path: Path, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "data").mkdir()
        if content:
            (tmp_path / "data" / "test.jsonl").write_text(content)
    with pytest.raises(UserError, match=said) as error:
        loaded(f"hf:{tmp_path}/data:test")
    assert len(str(error.value).splitlines()) <= 3


@pytest.mark.parametrize("text", ["question", "question=", "who=x", "id=a,id=b"])
def test_fields_of_another_form_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="--fields"):
        resolve("hf:a/b:test", text)


def test_fields_without_a_file_are_refused() -> None:
    with pytest.raises(UserError, match="--fields names columns of files"):
        resolve("hotpotqa", "id=x")


def test_the_missing_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtra, match=r"autocoa-bench\[hub\]"):
        loaded(f"hf:{folder}:test")


def test_the_command_shows_a_dataset_and_refuses_in_three_lines(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cli = caller(monkeypatch, capsys, "tasks")
    shown = cli("show", f"hf:{folder}:test", "--fields", "question=question")
    assert "Who built it?" in shown.out
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    offline = cli("show", "hf:ann/towers:test")
    refused(offline, "HF_HUB_OFFLINE forbids", "hf:./FOLDER:test", "hf download ann/towers")
    assert len(offline.err.splitlines()) <= 3
    refused(cli("pull", f"hf:{folder}:test"), "is streamed, and not stored", "hf download")
