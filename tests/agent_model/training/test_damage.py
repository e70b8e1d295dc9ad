"""Damaged files and a full disk: one sentence, and nothing half written."""

import io
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console

from agent_model.training import metrics, sft
from agent_model.training.config import LoraConfig, SFTConfig
from autocoa_bench.errors import UserError
from support.tiny_llm import make_model, write_records
from support.training_processes import resumed_step


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    make_model(folder / "model")
    write_records(folder / "records.jsonl", 12)
    return folder


def run(place: Path, out: Path, steps: int = 2, **changes: object) -> None:
    given = SFTConfig(
        stage="sft2",
        model=str(place / "model"),
        data=(str(place / "records.jsonl"),),
        dtype="fp32",
        lora=LoraConfig(rank=4),
        held_out=0.0,
        batch=2,
        max_steps=steps,
        checkpoint_every=1,
    )
    sft.train(given, out, Console(file=io.StringIO()))


@pytest.mark.parametrize("junk", [b"", b"junk", b"PK\x03\x04" + bytes(400)])
def test_a_damaged_checkpoint_says_what_to_delete(place: Path, tmp_path: Path, junk: bytes) -> None:
    run(place, tmp_path / "out")
    (tmp_path / "out" / "checkpoints" / "step-000002" / "state.pt").write_bytes(junk)
    with pytest.raises(UserError, match=r"step-000002' is damaged .* delete that folder"):
        run(place, tmp_path / "out")


class Touch:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (self.file,))


def test_a_checkpoint_runs_no_code(place: Path, tmp_path: Path) -> None:
    import torch

    run(place, tmp_path / "out")
    state = tmp_path / "out" / "checkpoints" / "step-000002" / "state.pt"
    torch.save({"progress": Touch(tmp_path / "touched")}, state)
    with pytest.raises(UserError, match=r"step-000002' is damaged"):
        run(place, tmp_path / "out")
    assert not (tmp_path / "touched").exists()


def test_checkpoints_without_their_run_are_not_resumed(place: Path, tmp_path: Path) -> None:
    run(place, tmp_path / "out")
    (tmp_path / "out" / "run.json").unlink()
    with pytest.raises(UserError, match=r"has checkpoints but no run\.json"):
        run(place, tmp_path / "out", steps=3)


def test_another_folder_among_the_checkpoints_is_passed_over(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(place, out)
    (out / "checkpoints" / "step-000009-kept").mkdir()
    shutil.rmtree(out / "checkpoints" / "step-000002")
    before = metrics.read_metrics(out / "metrics.csv", metrics.SFTStep)
    run(place, out)
    after = metrics.read_metrics(out / "metrics.csv", metrics.SFTStep)
    assert resumed_step(before, after) == 1
    assert len(after) == 2
    assert (out / "checkpoints" / "step-000009-kept").is_dir()


def test_a_checkpoint_of_another_form_says_what_to_delete(place: Path, tmp_path: Path) -> None:
    import torch

    run(place, tmp_path / "out")
    file = tmp_path / "out" / "checkpoints" / "step-000002" / "state.pt"
    for progress, said in (({"step": 2}, r"\('weights'\)"), ({"step": "a"}, r"\(Expected `int`")):
        torch.save({"progress": progress}, file)
        with pytest.raises(UserError, match=f"step-000002' is damaged {said}"):
            run(place, tmp_path / "out")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b"1,", b"one,", "metrics.csv' is damaged"),
        (b"1,", b"\xff,", "metrics.csv' is damaged"),
        (b"\r\n2,", b"\r\n3,", "does not contain the 2 steps"),
    ],
)
def test_damaged_metrics_are_not_resumed(
    place: Path, tmp_path: Path, old: bytes, new: bytes, problem: str
) -> None:
    run(place, tmp_path / "out")
    file = tmp_path / "out" / "metrics.csv"
    content = file.read_bytes()
    assert old in content
    file.write_bytes(content.replace(old, new, 1))
    with pytest.raises(UserError, match=problem):
        run(place, tmp_path / "out")


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: a full disk that needs no disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("size", "what"), [(64, "run.json"), (20_000, "state.pt")])
def test_a_full_disk_is_said_in_one_sentence(
    place: Path, tmp_path: Path, size: int, what: str
) -> None:
    out = tmp_path / "out"
    where = what if what == "run.json" else "step-000001.part"
    with pytest.raises(UserError, match=rf"cannot write '.*{where}") as caught, room_for(size):
        run(place, out, steps=1)
    assert "run the same command again" in str(caught.value)
    run(place, out, steps=1)
    assert (out / "model").is_dir()


def test_no_room_for_a_row_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot write '.*metrics.csv'"), room_for(64):
        metrics.MetricsFile(tmp_path / "metrics.csv", 0, metrics.SFTStep)
