"""The run folder keeps what was written, whatever happens to the writer."""

import errno
import json
import os
import re
from pathlib import Path

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.runs.run_folder import RunFolder, load_run, write_scores
from autocoa_bench.types import Score, Scored
from support.runs import answered, failed, info, write_run


def written(path: Path) -> bytes:
    return (path / "records.jsonl").read_bytes()


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", info())
    folder.append(answered(1))
    folder.append(answered(2, None))
    folder.close()
    run = load_run(tmp_path / "run")
    assert run.records == (answered(1), answered(2, None))
    assert run.info.spec == info().spec


def test_a_torn_last_line_is_cut_on_the_next_open(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, info())
    folder.append(answered(1))
    folder.close()
    whole = written(tmp_path)
    (tmp_path / "records.jsonl").write_bytes(whole + whole[: len(whole) // 2])
    folder = RunFolder(tmp_path, info())
    assert [record.key for record in folder.recorded()] == [("toy", "q1", 0)]
    folder.close()
    assert written(tmp_path) == whole


def test_a_torn_first_line_longer_than_a_block_is_cut(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, info())
    folder.close()
    (tmp_path / "records.jsonl").write_bytes(b"x" * 200_000)
    RunFolder(tmp_path, info()).close()
    assert written(tmp_path) == b""


def test_reading_a_run_ignores_a_torn_last_line(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, info())
    folder.append(answered(1))
    folder.close()
    (tmp_path / "records.jsonl").write_bytes(written(tmp_path) + b'{"quest')
    assert len(load_run(tmp_path).records) == 1


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, info())
    folder.append(answered(1))
    folder.close()
    (tmp_path / "records.jsonl").write_bytes(b"{}\n" + written(tmp_path))
    with pytest.raises(UserError, match=r"records.jsonl' line 1 is damaged"):
        load_run(tmp_path)


def test_a_record_of_a_newer_version_is_not_called_damaged(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, info())
    folder.append(answered(1))
    folder.close()
    newer = written(tmp_path).replace(b'"ending":"answered"', b'"ending":"paused"')
    newer = re.sub(rb',"crc32":"\w+"', b"", newer)
    (tmp_path / "records.jsonl").write_bytes(newer)
    with pytest.raises(UserError, match=r"line 1 .*Did a newer version of autocoa-bench write it"):
        load_run(tmp_path)


def test_a_flipped_bit_is_reported_with_what_to_do(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, info())
    folder.append(answered(1))
    folder.append(answered(2, "Berta"))
    folder.close()
    flipped = written(tmp_path).replace(b"Berta", b"Certa")
    (tmp_path / "records.jsonl").write_bytes(flipped)
    with pytest.raises(UserError, match=r"line 2 is damaged.*delete that line to run its"):
        load_run(tmp_path)


def test_a_flipped_bit_in_an_ending_is_damage_and_no_newer_version(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, info())
    folder.append(answered(1))
    folder.close()
    flipped = written(tmp_path).replace(b'"ending":"answered"', b'"ending":"answesed"')
    (tmp_path / "records.jsonl").write_bytes(flipped)
    with pytest.raises(UserError, match=r"line 1 is damaged.*checksum"):
        load_run(tmp_path)


def test_a_later_record_of_a_key_replaces_a_fault(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, info())
    folder.append(failed(1))
    folder.append(answered(1))
    folder.close()
    assert load_run(tmp_path).records == (answered(1),)


def test_two_writers_cannot_hold_one_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, info())
    with pytest.raises(UserError, match=f"another run \\(process {os.getpid()}\\)"):
        RunFolder(tmp_path, info())
    folder.close()
    RunFolder(tmp_path, info()).close()


def test_another_runs_folder_is_refused_with_the_difference(tmp_path: Path) -> None:
    RunFolder(tmp_path, info()).close()
    with pytest.raises(UserError, match=r"sampling.seed: 0 -> 7"):
        RunFolder(tmp_path, info(top_seed=7))


def test_a_refused_folder_is_released(tmp_path: Path) -> None:
    RunFolder(tmp_path, info()).close()
    with pytest.raises(UserError, match="holds another run"):
        RunFolder(tmp_path, info(top_seed=7))
    RunFolder(tmp_path, info()).close()


def test_every_session_is_kept(tmp_path: Path) -> None:
    RunFolder(tmp_path, info()).close()
    RunFolder(tmp_path, info()).close()
    assert len(load_run(tmp_path).info.sessions) == 2


def test_a_full_disk_leaves_no_torn_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder(tmp_path, info())
    folder.append(answered(1))
    whole = written(tmp_path)
    real_write = os.write
    calls = 0

    def full(file: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(file, data[: len(data) // 2])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(UserError, match="the disk is full"):
        folder.append(answered(2))
    monkeypatch.undo()
    folder.close()
    assert written(tmp_path) == whole


def test_a_folder_without_run_json_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a run folder"):
        load_run(tmp_path)


def test_an_unwritable_place_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write to"):
        RunFolder(tmp_path / "file" / "run", info())


def test_scores_are_read_back_by_scorer_and_key(tmp_path: Path) -> None:
    RunFolder(tmp_path, info()).close()
    row = Scored("toy", "q1", 0, {"em": Score(1.0), "f1": Score(None, "fault: timeout")})
    write_scores(tmp_path, [row])
    assert load_run(tmp_path).scores == {
        "em": {("toy", "q1", 0): Score(1.0)},
        "f1": {("toy", "q1", 0): Score(None, "fault: timeout")},
    }


def test_a_run_of_before_there_were_judges_is_read(tmp_path: Path) -> None:
    write_run(tmp_path, info(), [answered(1)])
    written = json.loads((tmp_path / "run.json").read_text())
    del written["judge"]
    written["spec"]["judge"] = None
    (tmp_path / "run.json").write_text(json.dumps(written))
    assert load_run(tmp_path).info == info()
