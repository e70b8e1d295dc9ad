"""Which examples a step sees, and how they are put together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from agent_model.tokens import Encoded, Kind, MaskLeak, encode, encode_pair
from agent_model.training import masks
from agent_model.training.config import SFTConfig
from agent_model.training.data import (
    Example,
    collate,
    examples_of_step,
    load_data,
    micro_batches,
    trained_tokens,
)
from agent_model.training.masks import TokenRow
from autocoa_bench.errors import UserError
from autocoa_bench.types import FaultNote, Record
from support.tiny_llm import make_tokenizer, searched, write_pairs, write_records


def examples(lengths: Sequence[int]) -> list[Example]:
    return [(TokenRow(np.arange(n, dtype=np.int32), np.ones(n, np.bool_)),) for n in lengths]


def recipe(data: Path, **changes: object) -> SFTConfig:
    return msgspec.convert(
        {"stage": "sft2", "model": "m", "data": [str(data)], **changes}, SFTConfig
    )


def test_an_epoch_passes_every_example_once_in_an_order_of_its_own() -> None:
    first = [i for step in range(5) for i in examples_of_step(20, 4, 0, step)]
    second = [i for step in range(5, 10) for i in examples_of_step(20, 4, 0, step)]
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


def test_a_batch_may_reach_into_the_next_epoch() -> None:
    drawn = [i for step in range(3) for i in examples_of_step(4, 8, 1, step)]
    assert sorted(drawn) == sorted(list(range(4)) * 6)


def test_a_step_draws_the_same_whenever_it_is_asked() -> None:
    assert (
        examples_of_step(100, 8, 3, 41)
        == examples_of_step(100, 8, 3, 41)
        != examples_of_step(100, 8, 4, 41)
    )


def test_neighbours_in_a_file_are_spread_over_the_steps() -> None:
    short = set(range(16))  # of 160, as a file of short trajectories after one of long ones
    mixed = [len(short & set(examples_of_step(160, 16, 0, step))) for step in range(10)]
    assert max(mixed) <= 6
    assert sum(mixed) == 16


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_micro_batches_hold_everything_once_within_the_budget(parts: int) -> None:
    lengths = [300, 20, 25, 290, 500, 31, 30, 29, 10, 310, 12, 600]
    dealt = micro_batches(examples(lengths), 620, parts)
    groups = [group for part in dealt for group in part]
    assert sorted(i for group in groups for i in group) == list(range(12))
    assert all(max(lengths[i] for i in group) * len(group) <= 620 for group in groups)
    assert dealt[0][0][0] == 11, "the longest comes first, so that memory is short at once or never"


@pytest.mark.parametrize("parts", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_processes_get_as_many_groups_and_about_as_many_tokens(parts: int, seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(150, 1100, 6 * parts).tolist()
    dealt = micro_batches(examples(lengths), 2600, parts)
    assert len({len(part) for part in dealt}) == 1
    tokens = [sum(lengths[i] for group in part for i in group) for part in dealt]
    assert max(tokens) < 1.25 * min(tokens)


def test_one_long_example_leaves_the_short_ones_to_the_other_process() -> None:
    dealt = micro_batches(examples([1000, 10, 20, 30]), 1000, 2)
    assert dealt == [[[0], [1]], [[3], [2]]]


def test_micro_batches_pad_little() -> None:
    chance = np.random.default_rng(0)
    lengths = chance.integers(80, 600, 32).tolist()
    [groups] = micro_batches(examples(lengths), 2048)
    padded = sum(max(lengths[i] for i in group) * len(group) for group in groups)
    assert sum(lengths) / padded > 0.85


def test_packed_rows_are_grouped_by_how_they_begin_and_a_shared_prefix_counts_once() -> None:
    beginnings = [[1] * 400, [2] * 400]
    rows = [[*beginnings[i % 2], *[10 + i] * 100] for i in range(4)]
    made = [(TokenRow(np.array(row, np.int32), np.ones(500, np.bool_)),) for row in rows]
    assert micro_batches(made, 1000) == [[[0, 1], [2, 3]]]
    assert micro_batches(made, 600, packed=True) == [[[0, 2], [1, 3]]], "400 + 2 x 100 tokens"
    assert micro_batches(made, 1200, packed=True) == [[[0, 2, 1, 3]]]
    assert micro_batches(made, 599, packed=True) == [[[0], [2], [1], [3]]]


def test_an_example_above_the_budget_is_alone() -> None:
    assert micro_batches(examples([50, 900, 40]), 100) == [[[1], [0, 2]]]


def test_rows_are_padded_on_the_right_where_nothing_is_trained() -> None:
    batch = collate(examples([3, 5]))
    assert batch.ids.shape == (2, 5)
    assert batch.mask[0].tolist() == [True] * 3 + [False] * 2
    assert batch.rows.tolist() == [0] * 3 + [1] * 5


def test_held_out_questions_are_the_same_with_every_seed(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", 40)
    tokenizer = make_tokenizer()
    first, second = (load_data(recipe(file, held_out=0.2, seed=seed), tokenizer) for seed in (1, 2))
    assert 2 <= len(first.held_out) <= 14
    assert len(first.train) + len(first.held_out) == 40
    assert [e[0].ids.tolist() for e in first.held_out] == [
        e[0].ids.tolist() for e in second.held_out
    ]


def test_examples_that_are_too_long_are_dropped_and_counted(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", 8)
    tokenizer = make_tokenizer()
    limit = len(encode(searched(0), tokenizer).ids) - 1
    data = load_data(recipe(file, held_out=0.0, max_tokens=limit), tokenizer)
    assert sum(data.dropped.values()) == 8 - len(data.train) > 0
    assert set(data.dropped) == {f"over {limit} tokens"}


def test_stage_3_trains_the_observations_too(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", 4)
    tokenizer = make_tokenizer()
    masked = load_data(recipe(file, held_out=0.0), tokenizer)
    whole = load_data(recipe(file, held_out=0.0, stage="sft3"), tokenizer)
    assert trained_tokens(whole.train) > 2 * trained_tokens(masked.train)


def test_of_files_to_observe_stage_3_trains_the_observations_alone(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", 4)
    other = write_records(tmp_path / "observed.jsonl", 4)
    tokenizer = make_tokenizer()
    [masked, whole, observing] = (
        load_data(recipe(file, held_out=0.0, **changes), tokenizer)
        for changes in (
            {},
            {"stage": "sft3"},
            {"stage": "sft3", "observations": (str(other),)},
        )
    )
    observations = trained_tokens(whole.train) - trained_tokens(masked.train)
    assert trained_tokens(observing.train) == trained_tokens(whole.train) + observations
    assert set(observing.sha256) == {str(file), str(other)}


def test_a_pair_is_one_example_of_two_rows(tmp_path: Path) -> None:
    file = write_pairs(tmp_path / "pairs.jsonl", 6)
    data = load_data(recipe(file, stage="sft1", held_out=0.0), make_tokenizer())
    assert [len(example) for example in data.train] == [2] * 6


def rewrite(file: Path, change: Any) -> list[Record]:
    """Change a file's records; what `change` gives for the list of them is written."""
    records = change(msgspec.json.Decoder(Record).decode_lines(file.read_bytes()))
    file.write_bytes(b"".join(msgspec.json.encode(each) + b"\n" for each in records))
    return list(records)


def test_a_held_out_files_questions_are_not_trained_on(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", 10)
    apart = write_records(tmp_path / "apart.jsonl", 3)

    def renamed(records: list[Record]) -> list[Record]:
        other = msgspec.structs.replace(records[2].question, id="another-name")
        return [*records[:2], msgspec.structs.replace(records[2], question=other)]

    rewrite(apart, renamed)  # two are known by their names, the third by its words
    data = load_data(recipe(file, held_out=str(apart)), make_tokenizer())
    assert (len(data.train), len(data.held_out)) == (7, 3)
    assert data.dropped == {"in the held-out file": 3}


def test_a_file_both_trained_on_and_held_out_is_refused(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", 4)
    given = recipe(file, held_out=str(tmp_path / "." / "x" / ".." / "records.jsonl"))
    (tmp_path / "x").mkdir()
    with pytest.raises(UserError, match="both trained on and held out"):
        load_data(given, make_tokenizer())


def test_a_file_that_gives_no_example_is_refused(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", 4)
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    both = msgspec.structs.replace(recipe(file), data=(str(file), str(empty)))
    with pytest.raises(UserError, match=r"empty.jsonl' yields no example"):
        load_data(both, make_tokenizer())


def test_a_torn_last_line_is_left_out_and_counted(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", 6)
    file.write_bytes(file.read_bytes()[:-20])
    data = load_data(recipe(file, held_out=0.0), make_tokenizer())
    assert len(data.train) == 5
    assert data.dropped == {"torn": 1}


def test_a_whole_last_line_needs_no_line_break(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", 6)
    file.write_bytes(file.read_bytes()[:-1])
    assert len(load_data(recipe(file, held_out=0.0), make_tokenizer()).train) == 6


def test_of_two_lines_of_one_key_the_later_counts(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", 4)

    def resumed(records: list[Record]) -> list[Record]:
        failed = msgspec.structs.replace(
            records[0], trajectory=None, fault=FaultNote("timeout", "no reply")
        )
        return [failed, *records]

    rewrite(file, resumed)
    data = load_data(recipe(file, held_out=0.0), make_tokenizer())
    assert len(data.train) == 4
    assert data.dropped == {"recorded again": 1}


def test_what_cannot_be_trained_on_is_named_by_file_and_line(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", 4)

    def foreign(records: list[Record]) -> list[Record]:
        assert records[2].trajectory is not None
        other = msgspec.structs.replace(records[2].trajectory, solver="react")
        return [*records[:2], msgspec.structs.replace(records[2], trajectory=other)]

    rewrite(file, foreign)
    with pytest.raises(UserError, match=r"records.jsonl' line 3: cannot train on .* 'react'"):
        load_data(recipe(file, held_out=0.0), make_tokenizer())


@pytest.mark.parametrize("stage", ["sft1", "sft2"])
def test_a_mask_that_leaks_is_named_by_file_and_line(
    tmp_path: Path, stage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = write_pairs if stage == "sft1" else write_records
    file = write(tmp_path / "lines.jsonl", 3)
    monkeypatch.setattr(
        masks, "encode", lambda *given, **options: shifted(encode(*given, **options))
    )
    monkeypatch.setattr(masks, "encode_pair", lambda *given: [*map(shifted, encode_pair(*given))])
    with pytest.raises(MaskLeak, match=r"lines.jsonl' line 1: "):
        load_data(recipe(file, stage=stage, held_out=0.0), make_tokenizer())


def shifted(encoded: Encoded) -> Encoded:
    """The same tokens, their kinds off by one."""
    return Encoded(encoded.ids, (Kind.PROMPT, *encoded.kinds[:-1]))


def test_the_drift_of_a_sample_is_counted(tmp_path: Path) -> None:
    file = write_records(tmp_path / "records.jsonl", 14)
    drift = load_data(recipe(file, held_out=0.0), make_tokenizer()).drift
    assert drift.trajectories == 10
    assert 0 < drift.others < drift.tokens // 10


def test_a_file_of_another_kind_is_refused_by_line(tmp_path: Path) -> None:
    file = write_pairs(tmp_path / "pairs.jsonl", 2)
    with pytest.raises(UserError, match="line 1 is not a record"):
        load_data(recipe(file), make_tokenizer())


def test_of_a_text_every_second_part_is_learned(tmp_path: Path) -> None:
    file = tmp_path / "text.jsonl"
    file.write_text('{"parts": ["ab", "cd", "e", "f<|end|>"]}\n')
    tokenizer = make_tokenizer()
    data = load_data(recipe(file, stage="pretrain", held_out=0.0), tokenizer)
    [(row,)] = data.train
    parts = [tokenizer(part).input_ids for part in ("ab", "cd", "e", "f<|end|>")]
    assert row.ids.tolist() == [token for part in parts for token in part]
    assert row.mask.tolist() == [bool(i % 2) for i, part in enumerate(parts) for _ in part]


def test_a_text_that_is_learned_whole_opens_with_an_empty_part(tmp_path: Path) -> None:
    file = tmp_path / "text.jsonl"
    file.write_text('{"parts": ["", "abc"]}\n')
    tokenizer = make_tokenizer()
    [(row,)] = load_data(recipe(file, stage="pretrain", held_out=0.0), tokenizer).train
    assert row.mask.tolist() == [False, *[True] * (len(tokenizer("abc").input_ids) - 1)]
