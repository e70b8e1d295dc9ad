"""Half-made files: of processes that are gone they are removed, of living ones they stay."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from autocoa_bench.util.scratch import remove_abandoned, scratch_folder, whole

HOLD = """
import sys
from collections.abc import Iterator
from pathlib import Path
from autocoa_bench.util.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1]), "index") as folder:
    (folder / "half").write_bytes(b"x" * 1000)
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> "Iterator[subprocess.Popen[str]]":
    """Another process in the middle of making something in `tmp_path`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert Path(process.stdout.readline().strip()).is_dir()
        yield process
        process.kill()


def test_the_next_process_removes_what_a_killed_one_left(
    tmp_path: Path, other: "subprocess.Popen[str]"
) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert len(list(tmp_path.iterdir())) == 2, "the folder and its lock"
    with scratch_folder(tmp_path, "quite-another"):
        assert len(list(tmp_path.iterdir())) == 2, "its own"
    assert list(tmp_path.iterdir()) == []


def test_what_a_living_process_makes_stays(tmp_path: Path, other: "subprocess.Popen[str]") -> None:
    before = sorted(tmp_path.rglob("*"))
    remove_abandoned(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    assert other.poll() is None


@pytest.mark.parametrize(("hours", "stays"), [(1, True), (25, False)])
def test_a_folder_of_an_earlier_version_is_removed_once_it_is_old(
    tmp_path: Path, hours: int, stays: bool
) -> None:
    folder = tmp_path / ".bm25-0123-a_b4567z"
    folder.mkdir()
    changed = time.time() - hours * 3600
    os.utime(folder, (changed, changed))
    remove_abandoned(tmp_path)
    assert folder.exists() is stays


def test_files_of_other_programs_stay(tmp_path: Path) -> None:
    for name in (".gitignore", ".x.lock", "index-0123abcd.lock", ".cache"):
        (tmp_path / name).touch()
    (tmp_path / ".config").mkdir()
    remove_abandoned(tmp_path)
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_target_appears_whole_or_not_at_all(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "target"

    def make(problem: OSError | None = None) -> None:
        with whole(target) as new:
            if kind == "folder":
                new.mkdir()
            (new / "part" if kind == "folder" else new).write_text("whole")
            assert not target.exists()
            if problem:
                raise problem

    with pytest.raises(OSError, match="No space"):
        make(OSError(errno.ENOSPC, "No space left on device"))
    assert list(tmp_path.iterdir()) == []
    make()
    assert [file.name for file in tmp_path.iterdir()] == ["target"]
