"""Commands that depend on one another: their order, and that none runs twice."""

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

from agent_model.reproduce import runner
from agent_model.reproduce.runner import Command, CommandRecord, by_urgency, run_commands
from autocoa_bench.errors import UserError

HELP = ("tasks", "show", "nq@nano", "--limit", "1")
REFUSED = ("tasks", "show", "no-such-task")


def run(commands: list[Command], out: Path, jobs: int = 2) -> tuple[dict[str, object], str]:
    console = Console(file=io.StringIO(), width=100)
    return dict(run_commands(commands, out, jobs, console)), console.file.getvalue()


@pytest.mark.slow
def test_a_command_waits_for_those_it_needs_and_is_not_run_again(tmp_path: Path) -> None:
    commands = [Command("first", HELP), Command("second", HELP, ("first",))]
    records, output = run(commands, tmp_path)
    assert list(records) == ["first", "second"]
    assert "1 of 2  first" in output
    assert (tmp_path / "logs" / "second.log").read_text().startswith(f"$ {commands[1].line}\n")
    _, output = run(commands, tmp_path)
    assert output == ""


@pytest.mark.slow
def test_a_failure_shows_the_end_of_its_log_and_runs_again(tmp_path: Path) -> None:
    commands = [
        Command("good", HELP),
        Command("bad", REFUSED, ("good",)),
        Command("last", HELP, ("bad",)),
    ]
    with pytest.raises(UserError, match=r"command 'bad' failed \(2\): .*") as failure:
        run(commands, tmp_path)
    assert "no-such-task" in str(failure.value)
    assert not (tmp_path / "steps" / "bad.json").exists()
    repaired = [commands[0], Command("bad", HELP, ("good",)), commands[2]]
    assert list(run(repaired, tmp_path)[0]) == ["good", "bad", "last"]


def test_a_training_that_stopped_early_with_a_result_has_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run_process(command: Command, log: Path) -> int:
        log.write_text("error: stopped after step 6")
        return 3 if command.name == "train" else 0

    monkeypatch.setattr(runner, "_run_process", run_process)
    records, output = run([Command("train", ()), Command("run", (), ("train",))], tmp_path)
    assert list(records) == ["train", "run"]
    first, second = output.splitlines()
    assert "stopped early, see its log" in first
    assert "stopped" not in second


def test_a_command_that_several_need_goes_first() -> None:
    commands = [Command("data", ()), Command("a", (), ("data",)), Command("run a", (), ("a",))]
    commands += [
        Command("b", (), ("data",)),
        Command("run b", (), ("b",)),
        Command("c", (), ("b",)),
    ]
    assert [command.name for command in by_urgency(commands)] == [
        "data",
        "b",
        "a",
        "run a",
        "run b",
        "c",
    ]


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write to .*: Not a directory"):
        run([], tmp_path / "file")


def test_a_folder_of_other_commands_is_refused(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    (tmp_path / "steps" / "first.json").write_text(
        '{"words": ["run", "--limit", "2"], "seconds": 1}'
    )
    with pytest.raises(UserError, match=r"holds another reproduction: its command 'first' was"):
        run([Command("first", HELP)], tmp_path)


def test_a_reproduction_begun_by_an_earlier_version_resumes(tmp_path: Path) -> None:
    recipe = tmp_path / "agent_model" / "reproduce" / "sft1.toml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("lr = 1e-5")
    command = Command("train", ("train", "sft1", "--config", str(recipe)))
    former = str(recipe).replace("/reproduce/", "/reproduction/")
    line = {"words": ["train", "sft1", "--config", former], "seconds": 1.0}
    (tmp_path / "steps").mkdir()
    record = msgspec.json.encode(line | {"recipe": command.recipe})
    (tmp_path / "steps" / "train.json").write_bytes(record)
    records, output = run([command], tmp_path)
    assert (list(records), output) == (["train"], "")


def test_a_recipe_that_has_changed_is_refused(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("lr = 1e-5")
    command = Command("train", ("train", "sft1", "--config", str(recipe)))
    (tmp_path / "steps").mkdir()
    record = CommandRecord(command.arguments, 1.0, command.recipe)
    (tmp_path / "steps" / "train.json").write_bytes(msgspec.json.encode(record))
    assert list(run([command], tmp_path)[0]) == ["train"]
    recipe.write_text("lr = 2e-5")
    with pytest.raises(UserError, match=r"'train' in .* was run with a recipe that has changed"):
        run([command], tmp_path)


def test_the_recipe_is_recorded_as_the_command_read_it(tmp_path: Path) -> None:
    changes = tmp_path / "logs" / "first.log"  # the command's own log, which it writes to
    changes.parent.mkdir()
    changes.touch()
    command = Command("first", ("train", "sft1", "--help", "--config", str(changes)))
    before = command.recipe
    records, _ = run([command], tmp_path)
    assert records == {"first": CommandRecord(command.arguments, ANY, before)}
    assert command.recipe != before


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "steps").mkdir()
    with (tmp_path / "steps" / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="is in use by another `reproduce`; wait for it"):
            run([], tmp_path)


LONG = ("serve-search", "--corpus", "nano", "--port", "0")
"""A command that does not end by itself."""

PARENT = """
import io, sys
from pathlib import Path
from rich.console import Console
from agent_model.reproduce.runner import Command, by_urgency, run_commands
names = sys.argv[2:]
commands = [Command(name, LONG if name == "long" else BAD) for name in names]
run_commands(commands, Path(sys.argv[1]), 2, Console(file=io.StringIO()))
"""


def started(out: Path, *names: str) -> "subprocess.Popen[bytes]":
    """A process of its own that runs commands, with SIGINT ignored, as in a script's background."""
    code = f"LONG, BAD = {LONG!r}, {REFUSED!r}\n{PARENT}"
    return subprocess.Popen(
        [sys.executable, "-c", code, str(out), *names],
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )


def running() -> bool:
    """Whether the long command is running."""
    arguments = "\0".join(LONG).encode()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has just ended
            if arguments in file.read_bytes():
                return True
    return False


def wait_for(expected: bool) -> None:
    for _ in range(300):
        if running() is expected:
            return
        time.sleep(0.1)
    pytest.fail(f"the long command is {'not ' if expected else ''}running")


@pytest.mark.slow
def test_a_killed_call_leaves_no_command_behind(tmp_path: Path) -> None:
    with started(tmp_path, "long") as process:
        wait_for(True)
        os.kill(process.pid, signal.SIGKILL)
        wait_for(False)


@pytest.mark.slow
def test_a_failure_stops_the_other_commands_though_sigint_is_ignored(tmp_path: Path) -> None:
    with started(tmp_path, "long", "bad") as process:
        _, output = process.communicate(timeout=60)
    assert b"command 'bad' failed (2)" in output
    wait_for(False)
