"""Exports: every format, read back as its trainer reads it, holds the trajectory's text exactly."""

import json
import os
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow.parquet
import pytest

from agent_model.data.config import FilterConfig
from agent_model.data.export import export
from agent_model.data.filters import Counts, student_record, turn_text
from agent_model.data.folder import SynthData, SynthInfo, SynthSpec
from agent_model.data.pairs import Pair, gold_pairs
from agent_model.dialects.agent import Agent
from autocoa_bench import tasks
from autocoa_bench.errors import UserError
from autocoa_bench.types import Question, Record
from support.play import QUESTION, play
from support.shared_data import SHARED_DATA, needs_shared_data

SEARCH = "Who built “it”?\n<begin_search> tower </end_search>"
RECORDS = tuple(
    student_record(Record(question, 0, play(Agent(shots=0), texts)[0]))
    for question, texts in (
        (QUESTION, (SEARCH, SEARCH, "Anna did.\n</think>\n\n\\boxed{Anna}")),
        (
            Question("q2", "Who built the mill?", ("Bert", "Bertram")),
            ("I know.\n</think>\n\n\\boxed{Bert}",),
        ),
    )
)
PAIRS = tuple(pair for seed in range(8) for pair in gold_pairs(RECORDS, seed))


def data(*, pairs: bool = False) -> SynthData:
    spec = SynthSpec(
        kind="cot+a" if pairs else "coa",
        split="train",
        scorer="em",
        limits=FilterConfig(),
        count=9,
        seed=0,
    )
    info = SynthInfo(spec=spec, counts=Counts(2, 2, {}), chosen=2, written=2, shape={})
    return SynthData(info, pairs=PAIRS) if pairs else SynthData(info, records=RECORDS)


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def llamafactory_reads(folder: Path, name: str) -> list[dict[str, Any]]:
    """Rows as LLaMA-Factory's sharegpt converter takes them: it drops those out of alternation,
    and of an odd length (of an even one, where chosen and rejected follow)."""
    entry = json.loads((folder / "dataset_info.json").read_text())[name]
    rows: list[dict[str, Any]] = json.loads((folder / entry["file_name"]).read_text())
    tags, columns = entry["tags"], entry["columns"]
    accepted = (
        (tags["user_tag"], tags["observation_tag"]),
        (tags["assistant_tag"], tags["function_tag"]),
    )
    for row in rows:
        turns = row[columns["messages"]]
        if turns[0][tags["role_tag"]] == tags["system_tag"]:
            turns = turns[1:]
        for place, message in enumerate(turns):
            assert message[tags["role_tag"]] in accepted[place % 2]
        assert len(turns) % 2 == (1 if entry.get("ranking") else 0)
        for side in ("chosen", "rejected") if entry.get("ranking") else ():
            assert row[columns[side]][tags["role_tag"]] in accepted[1]
    return rows


def test_llamafactory_rebuilds_the_trajectory(tmp_path: Path) -> None:
    export(data(), "llamafactory", tmp_path, "coa")
    for row, record in zip(llamafactory_reads(tmp_path, "coa"), RECORDS, strict=True):
        prompt, *turn = [message["value"] for message in row["conversations"]]
        assert prompt == Agent(shots=0).opening(record.question)[0].content
        assert "".join(turn) == turn_text(record)


def test_llamafactorys_observations_are_the_environments_text(tmp_path: Path) -> None:
    export(data(), "llamafactory", tmp_path, "coa")
    row = llamafactory_reads(tmp_path, "coa")[0]
    assert RECORDS[0].trajectory is not None
    shown = [turn["value"] for turn in row["conversations"] if turn["from"] == "observation"]
    assert shown == [step.observation for step in RECORDS[0].trajectory.steps[:-1]]


def test_llamafactory_rebuilds_either_side_of_a_pair(tmp_path: Path) -> None:
    export(data(pairs=True), "llamafactory", tmp_path, "pairs")
    for row, pair in zip(llamafactory_reads(tmp_path, "pairs"), PAIRS, strict=True):
        shared = "".join(message["value"] for message in row["conversations"][1:])
        for side, text in (("chosen", pair.chosen), ("rejected", pair.rejected)):
            assert shared + row[side]["value"] == pair.context.continuation + text


def test_llamafactorys_index_keeps_the_data_sets_that_are_there(tmp_path: Path) -> None:
    export(data(), "llamafactory", tmp_path, "coa")
    export(data(pairs=True), "llamafactory", tmp_path, "pairs")
    assert set(json.loads((tmp_path / "dataset_info.json").read_text())) == {"coa", "pairs"}


def test_trl_rebuilds_the_trajectory_from_messages(tmp_path: Path) -> None:
    [file] = export(data(), "trl", tmp_path, "coa")
    for row, record in zip(lines(file), RECORDS, strict=True):
        opening = Agent(shots=0).opening(record.question)
        assert row["prompt"] == [{"role": "user", "content": opening[0].content}]
        assert row["completion"] == [{"role": "assistant", "content": turn_text(record)}]


def test_trl_rebuilds_either_side_of_a_pair(tmp_path: Path) -> None:
    [file] = export(data(pairs=True), "trl", tmp_path, "pairs")
    for row, pair in zip(lines(file), PAIRS, strict=True):
        assert row["chosen"][0]["content"] == pair.context.continuation + pair.chosen
        assert row["rejected"][0]["content"] == pair.context.continuation + pair.rejected


class Letters:
    """A tokenizer of one token a character, with a chat template."""

    chat_template = "there is one"
    eos_token_id = 0
    all_special_ids = (0,)
    name_or_path = "letters"
    special_tokens_map = MappingProxyType[str, str]({})

    def __call__(self, text: str, add_special_tokens: bool) -> Any:
        class Out:
            input_ids = tuple(map(ord, text))

        return Out

    def decode(self, ids: list[int], clean_up_tokenization_spaces: bool = False) -> str:
        return "".join(map(chr, ids))

    def apply_chat_template(
        self,
        messages: list[dict[str, str]],
        tools: None,
        tokenize: bool,
        add_generation_prompt: bool = False,
    ) -> str:
        assert tools is None
        text = "".join(f"[{message['role']}]{message['content']}\0" for message in messages)
        return text + "[assistant]" * add_generation_prompt


def test_trls_tokens_rebuild_the_trajectory_and_hide_observations(tmp_path: Path) -> None:
    [file] = export(data(), "trl", tmp_path, "coa", tokenizer=Letters())
    for row, record in zip(lines(file), RECORDS, strict=True):
        assert record.trajectory is not None
        spelled = "".join(map(chr, row["input_ids"]))
        assert spelled.endswith("[assistant]" + turn_text(record) + "\0")
        trained = "".join(chr(label) for label in row["labels"] if label >= 0)
        assert trained == "".join(step.text for step in record.trajectory.steps) + "\0"


def test_trls_tokens_may_put_observations_into_the_loss(tmp_path: Path) -> None:
    [file] = export(data(), "trl", tmp_path, "coa", tokenizer=Letters(), observations=True)
    for row, record in zip(lines(file), RECORDS, strict=True):
        trained = "".join(chr(label) for label in row["labels"] if label >= 0)
        assert "<think>\n" + trained == turn_text(record) + "\0"


def test_trls_text_pairs_part_where_the_pair_does(tmp_path: Path) -> None:
    [file] = export(data(pairs=True), "trl", tmp_path, "pairs", tokenizer=Letters())
    for row, pair in zip(lines(file), PAIRS, strict=True):
        assert row["prompt"].endswith("[assistant]" + pair.context.continuation)
        assert (row["chosen"], row["rejected"]) == (pair.chosen, pair.rejected)


def test_verls_questions_are_read_back_as_a_task(tmp_path: Path) -> None:
    [rl, _] = export(data(), "verl", tmp_path, "coa")
    [task] = tasks.resolve(str(rl))
    loaded, exported = (
        [(question.id, question.text, question.golden_answers) for question in questions]
        for questions in (task.load(), [record.question for record in RECORDS])
    )
    assert loaded == exported


def test_verls_messages_rebuild_the_trajectory(tmp_path: Path) -> None:
    [_, sft] = export(data(), "verl", tmp_path, "coa")
    rows = pyarrow.parquet.read_table(sft).to_pylist()
    for row, record in zip(rows, RECORDS, strict=True):
        assert [message["role"] for message in row["messages"]] == ["user", "assistant"]
        assert row["messages"][-1]["content"] == turn_text(record)


def column_types(schema: Any) -> dict[str, Any]:
    """The types of columns and of the fields inside them, whatever their order."""
    types = {}
    for field in schema:
        inner = field.type.value_type if pyarrow.types.is_list(field.type) else field.type
        if pyarrow.types.is_struct(inner):
            types |= {f"{field.name}.{part.name}": part.type for part in inner}
        else:
            types[field.name] = field.type
    return types


def test_verls_rows_have_the_columns_that_its_trainer_reads(tmp_path: Path) -> None:
    [rl, _] = export(data(), "verl", tmp_path, "coa")
    text = pyarrow.string()
    assert column_types(pyarrow.parquet.read_schema(rl)) == {
        "id": text,
        "data_source": text,
        "prompt.role": text,
        "prompt.content": text,
        "ability": text,
        "reward_model.style": text,
        "reward_model.ground_truth": pyarrow.list_(text),
        "extra_info.id": text,
        "extra_info.index": pyarrow.int64(),
        "extra_info.question": text,
        "extra_info.split": text,
        "agent_name": text,
    }


@needs_shared_data
@pytest.mark.real_data
def test_verls_columns_are_of_the_types_of_the_papers_own_file(tmp_path: Path) -> None:
    [rl, _] = export(data(), "verl", tmp_path, "coa")
    ours = column_types(pyarrow.parquet.read_schema(rl))
    theirs = column_types(pyarrow.parquet.read_schema(SHARED_DATA / "official" / "test.parquet"))
    del theirs["source_file"]  # which of several files a row is from
    assert {name: str(ours[name]) for name in theirs} == {
        name: str(kind) for name, kind in theirs.items()
    }


@pytest.mark.parametrize(
    ("synthesised", "options", "message"),
    [
        (data(pairs=True), {"target": "verl"}, "no format for pairs"),
        (data(), {"target": "verl", "tokenizer": Letters()}, "only for --to trl"),
        (SynthData(data().info), {"target": "trl"}, "nothing to export"),
        (
            data(),
            {"target": "trl", "name": "a/b"},
            "without extension, not 'a/b'",
        ),
        (
            data(pairs=True),
            {"target": "trl", "tokenizer": Letters(), "observations": True},
            "--observations has no effect on pairs; leave it out",
        ),
    ],
)
def test_data_that_cannot_be_exported_is_refused(
    tmp_path: Path, synthesised: SynthData, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        export(synthesised, **{"out": tmp_path, "name": "data", **options})


def test_another_data_set_of_the_same_name_is_not_replaced(tmp_path: Path) -> None:
    index = tmp_path / "dataset_info.json"
    index.write_text('{"coa": {"hf_hub_url": "someone/coa"}}')
    with pytest.raises(UserError, match="give another --name"):
        export(data(), "llamafactory", tmp_path, "coa")
    assert "someone/coa" in index.read_text()
    assert not (tmp_path / "coa.json").exists()


@pytest.mark.parametrize("target", ["llamafactory", "trl", "verl"])
def test_an_export_that_fails_leaves_the_earlier_files_whole(
    tmp_path: Path, target: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = export(data(), target, tmp_path, "coa")
    before = {file: file.read_bytes() for file in files}
    write = os.write

    def half(descriptor: int, content: bytes) -> int:
        write(descriptor, content[: len(content) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(UserError, match="No space left"):
        export(data(), target, tmp_path, "coa")
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_a_broken_index_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        export(data(), "llamafactory", tmp_path, "coa")


def test_pairs_of_the_exports_are_of_both_directions_and_both_places() -> None:
    ways = {(pair.ends, bool(pair.turns) and pair.turns[-1].source) for pair in PAIRS}
    assert {end for end, _ in ways} == {(True, False), (False, True)}
    assert {"model", "environment"} <= {source for _, source in ways}
    assert all(isinstance(pair, Pair) for pair in PAIRS)
