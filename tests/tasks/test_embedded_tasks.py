"""The embedded edition as the harness sees it: tasks, counts, hashes, corpora."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.tasks import Split, questions_sha256
from tasks import embedded

TASKS = (
    embedded.nq,
    embedded.triviaqa,
    embedded.hotpotqa,
    embedded.wikimultihopqa,
    embedded.musique,
    embedded.bamboogle,
)
SPLITS: tuple[Split, ...] = ("test", "train")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOCOA_BENCH_CACHE", str(tmp_path))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.info.name)
def test_a_task_has_as_many_questions_as_it_says(task: embedded.EmbeddedTask) -> None:
    assert len(task.load("test")) == task.info.count
    assert len(task.load("train")) >= (750 if task.info.name == "bamboogle" else 3000)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.info.name)
def test_questions_are_those_shipped(task: embedded.EmbeddedTask) -> None:
    assert questions_sha256(task.load("test")) == task.info.sha256
    for split in SPLITS:
        hashes = embedded.QUESTIONS_SHA256[task.info.name]
        assert questions_sha256(task.load(split)) == hashes[split]


def test_groups_are_the_papers() -> None:
    groups = {task.info.name: task.info.groups for task in TASKS}
    assert groups == {
        "nq": ("singlehop", "paper"),
        "triviaqa": ("singlehop", "paper"),
        "hotpotqa": ("multihop", "paper"),
        "2wikimultihopqa": ("multihop", "paper"),
        "musique": ("multihop", "paper"),
        "bamboogle": ("multihop", "paper"),
    }


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.info.name)
def test_ids_name_edition_task_split_and_number(task: embedded.EmbeddedTask) -> None:
    ids = [question.id for question in task.load()]
    assert ids[0] == f"embedded-{task.info.name}-test-0001"
    assert len(set(ids)) == len(ids)
    assert {question.task for question in task.load()} == {task.info.name}


def test_the_corpus_is_flashrag_jsonl_that_covers_every_gold_passage() -> None:
    for split, path in (("test", embedded.corpus()), ("train", embedded.train_corpus())):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert len(rows) >= 2900
        assert all(row["contents"].startswith('"') and '"\n' in row["contents"] for row in rows)
        ids = {row["id"] for row in rows}
        assert len(ids) == len(rows)
        for task in TASKS:
            for question in task.load("test" if split == "test" else "train"):
                assert ids.issuperset(hop.passage_id for hop in question.hops)


def test_a_damaged_cached_corpus_is_written_again() -> None:
    path = embedded.corpus()
    content = path.read_bytes()
    path.write_bytes(content[:1000])
    assert embedded.corpus().read_bytes() == content
    assert [one.name for one in path.parent.iterdir()] == ["test.jsonl"]


def test_a_good_cached_corpus_is_left_alone() -> None:
    before = embedded.corpus().stat().st_mtime_ns
    assert embedded.corpus().stat().st_mtime_ns == before


def test_a_changed_generator_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(embedded.CORPUS_SHA256["world"], "test", "0" * 64)
    with pytest.raises(UserError, match="reinstall"):
        embedded.corpus()


def test_another_process_with_another_hash_seed_builds_the_same_bytes(tmp_path: Path) -> None:
    script = "from tasks import embedded; embedded.corpus(); embedded.musique.load()"
    cache = tmp_path / "other"
    environment = os.environ | {"PYTHONHASHSEED": "4242", "AUTOCOA_BENCH_CACHE": str(cache)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
    (built,) = cache.rglob("test.jsonl")
    assert built.read_bytes() == embedded.corpus().read_bytes()
