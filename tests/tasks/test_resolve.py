"""Tasks: names, groups and files become questions; wrong ones become one clear message."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autocoa_bench import registry
from autocoa_bench.errors import UserError
from autocoa_bench.tasks import FileTask, Split, catalogue, questions_sha256, resolve, sample
from autocoa_bench.types import Question, TaskInfo
from support.shared_data import SHARED_DATA, needs_shared_data

GROUPS = {
    "musique": ("multihop", "paper"),
    "hotpotqa": ("multihop", "paper"),
    "triviaqa": ("singlehop", "paper"),
    "nq": ("singlehop", "paper"),
    "bamboogle": ("multihop", "paper"),
    "2wikimultihopqa": ("multihop", "paper"),
    "ours": (),
}


class Registered:
    def __init__(self, name: str) -> None:
        self.info = TaskInfo(name, name, "embedded", "", "", "", None, None, GROUPS[name])

    def load(self, split: Split = "test") -> Sequence[Question]:
        return []


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = {name: Registered(name) for name in GROUPS}
    monkeypatch.setattr(registry, "names", lambda kind: sorted(tasks))
    monkeypatch.setattr(registry, "load", lambda kind, name: tasks[name])


def names(spec: str) -> list[str]:
    return [task.info.name for task in resolve(spec)]


def write(path: Path, rows: Sequence[object]) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": f"q{number}",
        "question": f"Who {number}?",
        "golden_answers": ["A", "B"],
    } | changes


def verl(content: str = "Who?", **changes: Any) -> dict[str, Any]:
    return {
        "data_source": "HotpotQA",
        "prompt": [{"role": "system", "content": "Hi"}, {"role": "user", "content": content}],
        "reward_model": {"style": "rule", "ground_truth": ["A"]},
        "extra_info": {"index": 4, "split": "test"},
    } | changes


def only(path: Path) -> Question:
    [question] = FileTask(path).load()
    return question


# Names and groups


def test_groups_stand_for_their_tasks_in_the_papers_order() -> None:
    assert names("singlehop") == ["nq", "triviaqa"]
    assert names("multihop") == ["hotpotqa", "2wikimultihopqa", "musique", "bamboogle"]
    assert names("paper") == names("singlehop") + names("multihop")


def test_a_list_keeps_its_order_and_each_task_once() -> None:
    assert names("ours, multihop,hotpotqa,,nq") == ["ours", *names("multihop"), "nq"]


def test_the_catalogue_lists_the_paper_first() -> None:
    assert [info.name for info in catalogue()] == [*names("paper"), "ours"]


def test_an_unknown_task_gets_the_nearest_name_groups_included() -> None:
    with pytest.raises(UserError, match="unknown task 'hotpotqq'; did you mean 'hotpotqa'"):
        resolve("hotpotqq")
    with pytest.raises(UserError, match=r"(?s)mean 'multihop'.*or give the path of a \.jsonl"):
        resolve("multihops")


@pytest.mark.parametrize("spec", ["", " , "])
def test_no_task_at_all_is_refused(spec: str) -> None:
    with pytest.raises(UserError, match="no task was given"):
        resolve(spec)


# Files


def test_a_flashrag_file_is_a_task(tmp_path: Path) -> None:
    rows = [row(1, metadata={"type": "bridge"}), row(2, id=7, metadata=None)]
    [task] = resolve(str(write(tmp_path / "closed" / "mine.v2.jsonl", rows)))
    assert list(task.load()) == [
        Question("q1", "Who 1?", ("A", "B"), task="mine.v2", kind="bridge"),
        Question("7", "Who 2?", ("A", "B"), task="mine.v2"),
    ]
    assert (task.info.edition, task.info.title) == ("file", "closed/mine.v2.jsonl")
    assert (task.info.count, task.info.sha256, task.info.corpora) == (None, None, {})
    assert task.load("train") == task.load("test")


def test_a_json_array_is_a_task(tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text(json.dumps([row(1)]))
    assert only(tmp_path / "q.json").id == "q1"


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for folder in ("closed", "open"):
        write(tmp_path / folder / "hotpotqa.jsonl", [row(1)])
    spec = f"{tmp_path}/closed/hotpotqa.jsonl,{tmp_path}/open/hotpotqa.jsonl"
    assert names(spec) == ["hotpotqa", "open-hotpotqa"]
    assert names(f"hotpotqa,{spec}") == ["hotpotqa", "closed-hotpotqa", "open-hotpotqa"]


def test_files_that_cannot_be_told_apart_are_refused(tmp_path: Path) -> None:
    for name in ("q.jsonl", "q.json", "q.jsonl.gz"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"q\.jsonl\.gz' is the second task named '.*-q'; rename"):
        resolve(",".join(f"{tmp_path}/{name}" for name in ("q.jsonl", "q.json", "q.jsonl.gz")))


def test_the_same_file_twice_is_one_task(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", [row(1)])
    assert names(f"{path},{tmp_path}/../{tmp_path.name}/q.jsonl") == ["q"]


def test_a_verl_row_is_a_question(tmp_path: Path) -> None:
    question = only(write(tmp_path / "q.jsonl", [verl("First. ", _id="abc", source_file=None)]))
    assert question == Question("abc", "First.", ("A",), task="q")


def test_a_verl_row_without_id_has_its_index(tmp_path: Path) -> None:
    assert only(write(tmp_path / "q.jsonl", [verl()])).id == "4"


def test_autocoas_instructions_are_taken_off_a_verl_prompt(tmp_path: Path) -> None:
    content = "Rules: ...\n\nNow, please answer the user's question below: \nWho won?\n\n"
    assert only(write(tmp_path / "q.jsonl", [verl(content)])).text == "Who won?"


def test_a_question_beside_the_verl_prompt_stands(tmp_path: Path) -> None:
    extra = {"index": 0, "question": "Who lost?"}
    assert only(write(tmp_path / "q.jsonl", [verl(extra_info=extra)])).text == "Who lost?"


def test_joined_verl_answers_are_split(tmp_path: Path) -> None:
    reward = {"ground_truth": "A<ans_split>B"}
    assert only(write(tmp_path / "q.jsonl", [verl(reward_model=reward)])).golden_answers == (
        "A",
        "B",
    )


def test_a_verl_file_of_several_datasets_may_repeat_ids_between_them(tmp_path: Path) -> None:
    rows = [verl(id="dev_1", source_file=f"{name}_dev.json") for name in ("NQ", "2WIKI")]
    questions = FileTask(write(tmp_path / "q.jsonl", rows)).load()
    assert [question.id for question in questions] == ["NQ_dev:dev_1", "2WIKI_dev:dev_1"]
    assert [question.kind for question in questions] == ["NQ_dev", "2WIKI_dev"]


def test_parquet_is_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist([verl(id="1")]), tmp_path / "q.parquet")
    assert only(tmp_path / "q.parquet").golden_answers == ("A",)


def test_a_repeated_row_is_left_out_with_a_warning(tmp_path: Path) -> None:
    task = FileTask(write(tmp_path / "q.jsonl", [row(1), row(2), row(1)]))
    assert [question.id for question in task.load()] == ["q1", "q2"]
    [warning] = task.warnings
    assert "1 repeated row(s) left out (row 3)" in warning


def test_a_file_without_repeats_warns_of_nothing(tmp_path: Path) -> None:
    assert FileTask(write(tmp_path / "q.jsonl", [row(1)])).warnings == ()


@pytest.mark.parametrize(
    ("metadata", "titles"),
    [
        ({"supporting_facts": {"title": ["A", "B", "A"], "sent_id": [0, 1, 2]}}, ("A", "B")),
        ({"supporting_facts": [["A", 0], ["B", 3], ["A", 1]]}, ("A", "B")),
        ({"supporting_titles": [" A ", "B"]}, ("A", "B")),
        ({"question_decomposition": [{"support_paragraph": {"title": "A"}}] * 2}, ("A",)),
        (
            {"paragraphs": [{"title": "A", "is_supporting": True}, {"title": "B"}]},
            ("A",),
        ),
    ],
)
def test_the_titles_of_gold_pages_are_read_from_the_metadata(
    tmp_path: Path, metadata: object, titles: tuple[str, ...]
) -> None:
    assert only(write(tmp_path / "q.jsonl", [row(1, metadata=metadata)])).gold_titles == titles


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "text",
        [1],
        {"supporting_facts": None},
        {"supporting_facts": "A"},
        {"supporting_facts": {"title": "A"}},
        {"supporting_facts": {"title": [1, None, " "]}},
        {"supporting_facts": [[], 1, "A", [2, "A"]]},
        {"supporting_titles": {"A": 1}},
        {"question_decomposition": [None, {"support_paragraph": None}, {"support_paragraph": {}}]},
        {"paragraphs": [1, {"title": "A", "is_supporting": "yes"}]},
    ],
)
def test_metadata_of_another_shape_is_left(tmp_path: Path, metadata: object) -> None:
    assert only(write(tmp_path / "q.jsonl", [row(1, metadata=metadata)])).gold_titles == ()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (row(1, question="Where?"), "row 1 has the id 'q1' too, with other content"),
        (row(2, golden_answers=[]), "'golden_answers' has no answer"),
        (row(2, golden_answers=[" "]), "'golden_answers' has no answer"),
        (row(2, golden_answers=[None]), "'golden_answers' has no answer"),
        (row(2, golden_answers=None), "'golden_answers' must be a list of texts"),
        (row(2, question=" "), "'question' must be a text that is not empty, not ' '"),
        ({"query": "Who?"}, "a question without answers; the row has the fields query"),
        ({"contents": "x", "id": 1}, "no field of the row is a question; .* contents, id"),
        (verl(prompt=[]), "'prompt' has no user message with text"),
        (verl(prompt=[{"content": "no role"}]), "'prompt' has no user message with text"),
        (verl(reward_model={}), "'reward_model.ground_truth' must be a list"),
        (verl(reward_model=None), "'reward_model.ground_truth' must be a list"),
        (["a list"], "expected an object"),
    ],
)
def test_a_malformed_row_is_named(tmp_path: Path, wrong: object, message: str) -> None:
    path = write(tmp_path / "q.jsonl", [row(1), wrong])
    with pytest.raises(UserError, match=rf"q\.jsonl:2: .*{message}"):
        FileTask(path).load()


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "q.txt").write_text("x")
    for name, message in [
        ("none.jsonl", "does not exist; check the path"),
        ("folder.jsonl", "is not a file; give the path of one"),
        ("q.txt", "give a file that ends in .jsonl"),
    ]:
        with pytest.raises(UserError, match=message):
            resolve(str(tmp_path / name))[0].load()


# Samples

MANY = [Question(str(number), f"Who {number}?", ("A",)) for number in range(200)]


def test_without_a_limit_all_questions_are_asked() -> None:
    assert sample(MANY, None, 0) == MANY
    assert sample(MANY, 500, 0) == MANY


def test_a_sample_keeps_the_datasets_order() -> None:
    sampled = sample(MANY, 30, 1)
    assert len(sampled) == 30
    assert sampled == [question for question in MANY if question in sampled]


def test_a_smaller_sample_is_part_of_a_larger_one() -> None:
    assert {q.id for q in sample(MANY, 50, 3)} < {q.id for q in sample(MANY, 100, 3)}


def test_a_sample_depends_on_the_seed_and_not_on_the_order() -> None:
    assert sample(MANY, 50, 0) != sample(MANY, 50, 1)
    assert set(sample(MANY[::-1], 50, 0)) == set(sample(MANY, 50, 0))


def test_a_sample_is_the_same_everywhere() -> None:
    assert [question.id for question in sample(MANY, 5, 0)] == ["15", "44", "46", "87", "192"]


def test_a_sample_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="at least 1, not 0"):
        sample(MANY, 0, 0)


def test_the_hash_of_questions_is_of_their_json_lines() -> None:
    lines = b"".join(msgspec.json.encode(question) + b"\n" for question in MANY)
    assert questions_sha256(MANY) == hashlib.sha256(lines).hexdigest()


# Real data


@pytest.mark.real_data
@needs_shared_data
def test_the_papers_test_file_holds_the_same_questions_as_the_single_files() -> None:
    pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
    data = SHARED_DATA
    joined = FileTask(data / "official" / "test.parquet")
    assert len(joined.load()) == 2_935
    assert "1 repeated row(s)" in joined.warnings[0]
    single = [
        question
        for path in (data / "paper_test").glob("*.jsonl")
        for question in FileTask(path).load()
    ]
    assert {(q.text, q.golden_answers) for q in joined.load()} == {
        (q.text, q.golden_answers) for q in single
    }


@pytest.mark.real_data
@needs_shared_data
@pytest.mark.parametrize("name", ["hotpotqa_train", "musique_train"])
def test_every_question_of_the_gold_files_names_its_pages(name: str) -> None:
    questions = FileTask(SHARED_DATA / "gold" / f"{name}.jsonl").load()
    assert questions
    assert all(question.gold_titles for question in questions)


@pytest.mark.real_data
@needs_shared_data
def test_the_papers_training_file_is_read_whole() -> None:
    pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
    questions = FileTask(SHARED_DATA / "official" / "hotpotqa_rl_train.parquet").load()
    assert len(questions) == 6_144
    assert all("<begin_search>" not in question.text for question in questions)
