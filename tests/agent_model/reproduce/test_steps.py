"""Commands that depend on one another: what runs when, and what is never run twice."""

import fcntl
import io
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from unittest.mock import ANY

import msgspec
import pytest
from rich.console import Console

from agent_model.reproduce.steps import Command, CommandRecord, by_urgency, run_steps
from autocoa_bench.errors import UserError

HELP = ("tasks", "show", "nq@nano", "--limit", "1")
REFUSED = ("tasks", "show", "no-such-task")


def run(steps: list[Command], out: Path, jobs: int = 2) -> tuple[dict[str, object], str]:
    console = Console(file=io.StringIO(), width=100)
    return dict(run_steps(steps, out, jobs, console)), console.file.getvalue()


@pytest.mark.slow
def test_a_step_waits_for_what_it_needs_and_is_not_run_again(tmp_path: Path) -> None:
    steps = [Command("first", HELP), Command("second", HELP, ("first",))]
    done, said = run(steps, tmp_path)
    assert list(done) == ["first", "second"]
    assert "1 of 2  first" in said
    assert (tmp_path / "logs" / "second.log").read_text().startswith(f"$ {steps[1].line}\n")
    _, again = run(steps, tmp_path)
    assert again == ""


@pytest.mark.slow
def test_what_fails_is_said_with_the_end_of_its_log_and_runs_again(tmp_path: Path) -> None:
    steps = [
        Command("good", HELP),
        Command("bad", REFUSED, ("good",)),
        Command("last", HELP, ("bad",)),
    ]
    with pytest.raises(UserError, match=r"step 'bad' failed \(2\): .*") as failure:
        run(steps, tmp_path)
    assert "no-such-task" in str(failure.value)
    assert not (tmp_path / "steps" / "bad.json").exists()
    mended = [steps[0], Command("bad", HELP, ("good",)), steps[2]]
    assert list(run(mended, tmp_path)[0]) == ["good", "bad", "last"]


def test_what_several_steps_need_goes_before_what_one_or_none_needs() -> None:
    made = [Command("data", ()), Command("a", (), ("data",)), Command("run a", (), ("a",))]
    made += [Command("b", (), ("data",)), Command("run b", (), ("b",)), Command("c", (), ("b",))]
    assert [step.name for step in by_urgency(made)] == ["data", "b", "a", "run a", "run b", "c"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot make the folder .*: Not a directory"):
        run([], tmp_path / "file")


def test_a_folder_of_other_steps_is_refused(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "first.json").write_text(
        '{"words": ["run", "--limit", "2"], "seconds": 1}'
    )
    with pytest.raises(UserError, match=r"holds another reproduction: its step 'first' was"):
        run([Command("first", HELP)], tmp_path)


def test_a_step_done_by_another_recipe_is_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("lr = 1e-5")
    step = Command("train", ("train", "sft1", "--config", str(recipe)))
    (tmp_path / "steps").mkdir()
    done = CommandRecord(step.words, 1.0, step.recipe)
    (tmp_path / "steps" / "train.json").write_bytes(msgspec.json.encode(done))
    assert list(run([step], tmp_path)[0]) == ["train"]
    recipe.write_text("lr = 2e-5")
    with pytest.raises(UserError, match=r"step .train. in .* was done by another recipe"):
        run([step], tmp_path)


def test_a_recipe_that_changes_on_the_way_is_kept_as_it_was_read(tmp_path: Path) -> None:
    changes = tmp_path / "logs" / "first.log"  # the step's own, which its command writes to
    changes.parent.mkdir()
    changes.touch()
    step = Command("first", ("train", "sft1", "--help", "--config", str(changes)))
    before = step.recipe
    done, _ = run([step], tmp_path)
    assert done == {"first": CommandRecord(step.words, ANY, before)}
    assert step.recipe != before


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    with (tmp_path / "steps" / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(
            UserError, match="is in use by another call of `reproduce`; wait for it"
        ):
            run([], tmp_path)


LONG = ("serve-search", "--corpus", "nano-test", "--port", "0")
"""A command that does not end by itself."""

PARENT = """
import io, sys
from pathlib import Path
from rich.console import Console
from agent_model.reproduce.steps import Command, by_urgency, run_steps
names = sys.argv[2:]
steps = [Command(name, LONG if name == "long" else BAD) for name in names]
run_steps(steps, Path(sys.argv[1]), 2, Console(file=io.StringIO()))
"""


def started(out: Path, *names: str) -> "subprocess.Popen[bytes]":
    """A process of its own that runs steps, with SIGINT ignored, as in a script's background."""
    code = f"LONG, BAD = {LONG!r}, {REFUSED!r}\n{PARENT}"
    return subprocess.Popen(
        [sys.executable, "-c", code, str(out), *names],
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )


def running() -> bool:
    """Whether the long step's process is there."""
    wanted = "\0".join(LONG).encode()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            if wanted in file.read_bytes():
                return True
    return False


def wait_for(what: bool) -> None:
    for _ in range(300):
        if running() is what:
            return
        time.sleep(0.1)
    pytest.fail(f"the long step is {'not ' if what else ''}running")


@pytest.mark.slow
def test_a_killed_call_leaves_no_command_behind(tmp_path: Path) -> None:
    with started(tmp_path, "long") as process:
        wait_for(True)
        os.kill(process.pid, signal.SIGKILL)
        wait_for(False)


@pytest.mark.slow
def test_a_failure_stops_the_other_commands_though_sigint_is_ignored(tmp_path: Path) -> None:
    with started(tmp_path, "long", "bad") as process:
        _, said = process.communicate(timeout=60)
    assert b"step 'bad' failed (2)" in said
    wait_for(False)
