"""The folder of training data, and the command that writes it."""

import json
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from autocoa_bench.cli.verdicts import app
from autocoa_bench.errors import UserError
from autocoa_bench.judge.agreement import read_labels
from autocoa_bench.judge.prompts import brief
from autocoa_bench.judge.synthesis.build import (
    Excluded,
    VerdictDataInfo,
    build,
    is_audited,
    without_excluded,
)
from autocoa_bench.judge.synthesis.config import VerdictDataConfig
from autocoa_bench.tasks import resolve
from autocoa_bench.types import Question, Record


def config(count: int = 40, **options: object) -> VerdictDataConfig:
    return VerdictDataConfig(**{"tasks": "bamboogle", "count": count, "seed": 0, **options})  # type: ignore[arg-type]


def read(folder: Path) -> list[Record]:
    return msgspec.json.Decoder(Record).decode_lines((folder / "records.jsonl").read_bytes())


def test_a_record_is_the_judges_prompt_with_the_verdict_as_its_reply(tmp_path: Path) -> None:
    build(config(), tmp_path)
    for record in read(tmp_path):
        assert record.trajectory is not None
        [step] = record.trajectory.steps
        verdict = brief().read(step.text)
        assert verdict is bool(record.sample)
        [message] = record.trajectory.opening
        assert json.dumps(record.question.text, ensure_ascii=False) in message.content
        assert "Verdict" not in record.trajectory.prefill


def test_records_have_keys_of_their_own_and_half_are_right(tmp_path: Path) -> None:
    build(config(), tmp_path)
    records = read(tmp_path)
    assert len({record.key for record in records}) == len(records) == 40
    assert sum(record.sample for record in records) == 20


def test_the_counts_are_of_what_was_written(tmp_path: Path) -> None:
    info = build(config(), tmp_path)
    assert info == msgspec.json.decode(
        (tmp_path / "verdicts.json").read_bytes(), type=VerdictDataInfo
    )
    wrong = [record.question.kind for record in read(tmp_path) if not record.sample]
    assert {name: wrong.count(name) for name in wrong} == info.wrong
    assert sum(info.right.values()) == 20


def test_the_same_configuration_writes_the_same_bytes(tmp_path: Path) -> None:
    assert build(config(), tmp_path / "a") == build(config(), tmp_path / "b")


def test_questions_of_an_excluded_file_are_left_out_and_counted(tmp_path: Path) -> None:
    [bamboogle] = resolve("bamboogle")
    texts = [question.text.upper().rstrip("?") for question in bamboogle.load("train")[:500]]
    file = tmp_path / "labels.jsonl"
    file.write_text("".join(json.dumps({"question": text}) + "\n" for text in texts))
    info = build(config(1000, exclude=(file,)), tmp_path / "out")
    written = {record.question.text.upper().rstrip("?") for record in read(tmp_path / "out")}
    assert not written & set(texts)
    assert info.excluded >= 500
    assert 200 < len(written) <= 250  # some are for near misses alone


def test_excluded_questions_are_recognised_by_their_words() -> None:
    [bamboogle] = resolve("bamboogle")
    first, second = bamboogle.load("train")[:2]
    assert without_excluded([first, second], [Excluded(f"  {first.text.lower()} ?")]) == [second]


def test_people_who_are_golds_or_answers_of_an_excluded_file_are_left_out() -> None:
    ann, bob, eve = (
        Question(name, f"Who is {name}?", (name, f"{name} Lee"), "people")
        for name in ("Ann", "Bob", "Eve")
    )
    row = Excluded("Who wrote it?", ("bob lee",), "Eve")
    assert without_excluded([ann, bob, eve], [row]) == [ann]


def test_what_the_audit_asks_no_training_data_has_as_gold(tmp_path: Path) -> None:
    train = build(config(1000), tmp_path / "train")
    audit = build(config(1000, near_misses=True), tmp_path / "audit")
    assert sum(audit.right.values()) > 20
    labels = read_labels(tmp_path / "audit" / "labels.jsonl")
    records = read(tmp_path / "train")
    assert not {label.question for label in labels} & {row.question.text for row in records}
    assert train.questions == audit.questions
    for record in records:
        assert not is_audited(record.question)


def test_questions_with_one_gold_are_on_one_side_if_it_is_a_name() -> None:
    town = [Question(str(n), f"Which town is in {n}?", ("Holmby",), "t") for n in range(40)]
    assert len({is_audited(question) for question in town}) == 1
    yes = [Question(str(n), f"Is {n} a town?", ("yes",), "t") for n in range(40)]
    assert len({is_audited(question) for question in yes}) == 2


def test_an_audits_rows_have_verdict_and_kind(tmp_path: Path) -> None:
    build(config(400, near_misses=True), tmp_path)
    labels = read_labels(tmp_path / "labels.jsonl")
    assert {label.verdict for label in labels} == {True, False}
    assert all(label.kind for label in labels)


def test_a_file_without_questions_cannot_be_excluded(tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text('{"text": "Who?"}\n')
    with pytest.raises(UserError, match=r"labels\.jsonl:1: it has no 'question'"):
        build(config(exclude=(file,)), tmp_path / "out")


def test_a_task_without_a_train_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'known' has no train split"):
        build(config(tasks="known"), tmp_path)


def test_where_nothing_can_be_made_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    row = {"id": "1", "question": "Why?", "golden_answers": ["so " * 20]}
    file.write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError, match="gives no answer"):
        build(config(tasks=str(file)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_records_of_something_else_are_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match="did not make"):
        build(config(), tmp_path)
    assert (tmp_path / "records.jsonl").read_text() == "{}\n"


def test_the_command_says_what_was_made(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["--out", str(tmp_path), "--tasks", "bamboogle", "--count", "40"]
    )
    assert done.exit_code == 0
    assert "sibling" in done.output
    assert f"40 written to {tmp_path}" in done.output.replace("\n", "")
