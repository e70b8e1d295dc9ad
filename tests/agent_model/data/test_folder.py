"""The folder of synthesised data: damaged or half-written data is never read."""

from pathlib import Path

import msgspec
import pytest

from agent_model.data.config import FilterConfig
from agent_model.data.filters import Counts
from agent_model.data.folder import GoldSpec, SynthInfo, SynthSpec, check_out, read, write
from autocoa_bench.errors import UserError
from autocoa_bench.util import json_lines
from support.runs import answered

SPEC = SynthSpec(
    kind="coa",
    split="train",
    scorer="em",
    limits=FilterConfig(),
    count=9,
    seed=0,
    gold=GoldSpec((), (), (), 0),
)
INFO = SynthInfo(spec=SPEC, counts=Counts(1, 1, {}), chosen=1, written=1, shape={})
ONE, TWO = ((answered(number, searches=1),) for number in (1, 2))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write(tmp_path, INFO, ONE)
    return tmp_path


def test_written_data_is_read_back(place: Path) -> None:
    assert read(place).records == ONE


def test_data_that_was_changed_is_refused(place: Path) -> None:
    file = place / "records.jsonl"
    file.write_bytes(file.read_bytes().replace(b"Anna", b"Bert"))
    with pytest.raises(UserError, match="not the data that its"):
        read(place)


def test_missing_data_is_refused(place: Path) -> None:
    (place / "records.jsonl").unlink()
    with pytest.raises(UserError, match="cannot read"):
        read(place)


def test_a_kill_between_the_two_files_is_noticed_and_repaired_by_the_same_command(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_file = json_lines.replace_file

    def killed(file: Path, content: bytes) -> None:
        if file.name == "synth.json":
            raise KeyboardInterrupt
        replace_file(file, content)

    with monkeypatch.context() as patch:
        patch.setattr(json_lines, "replace_file", killed)
        with pytest.raises(KeyboardInterrupt):
            write(place, INFO, TWO)
    with pytest.raises(UserError, match="run the command that made it again"):
        read(place)
    write(place, INFO, TWO)
    assert read(place).records == TWO


def test_a_kill_between_the_two_files_of_a_new_folder_is_repaired_by_the_same_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_file = json_lines.replace_file

    def killed(file: Path, content: bytes) -> None:
        if file.name == "synth.json" and (tmp_path / "records.jsonl").exists():
            raise KeyboardInterrupt
        replace_file(file, content)

    with monkeypatch.context() as patch:
        patch.setattr(json_lines, "replace_file", killed)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, INFO, TWO)
    with pytest.raises(UserError, match="run the command that made it again"):
        read(tmp_path)
    check_out(tmp_path, INFO.spec.kind)
    write(tmp_path, INFO, TWO)
    assert read(tmp_path).records == TWO


def test_another_format_is_refused(place: Path) -> None:
    file = place / "synth.json"
    file.write_bytes(file.read_bytes().replace(b'"format": 1', b'"format": 2'))
    with pytest.raises(UserError, match="has format 2; this version reads format 1"):
        read(place)


def test_other_limits_choose_anew_and_other_seeds_do_not(place: Path) -> None:
    strict = msgspec.structs.replace(SPEC, limits=FilterConfig(max_actions=1), count=1)
    write(place, msgspec.structs.replace(INFO, spec=strict), TWO)
    seeded = msgspec.structs.replace(SPEC, seed=1)
    with pytest.raises(UserError, match="seed: 0 -> 1"):
        write(place, msgspec.structs.replace(INFO, spec=seeded), ONE)
    assert read(place).records == TWO
