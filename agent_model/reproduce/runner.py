"""Runs commands of autocoa-bench that depend on one another, several at once, each only once.

Every command is a process with a log file of its own, and ends when this process ends, for
whatever reason. Commands resume from their own output, so a stopped reproduction continues with
the same call.
"""

import asyncio
import hashlib
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from agent_model.training.files import locked, read_json
from autocoa_bench.engines.launch import supervisor
from autocoa_bench.errors import StoppedEarly, UserError
from autocoa_bench.util.commands import command_line
from autocoa_bench.util.json_lines import replace_file, write_errors

_RECIPES_MOVED = ("/agent_model/reproduction/", "/agent_model/reproduce/")
_LOG_LINES = 6  # of a failed command's log, in the error message


class Command(Struct, frozen=True):
    """A command of autocoa-bench: its arguments, and the names of the commands it depends on."""

    name: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The command line."""
        return command_line(*self.arguments)

    @property
    def recipe(self) -> str:
        """The SHA-256 of the recipe file that `--config` names; empty without one."""
        options = dict(zip(self.arguments, self.arguments[1:], strict=False))
        file = options.get("--config")
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""


class CommandRecord(Struct, frozen=True):
    """A command that has finished: its arguments, the SHA-256 of its recipe, and the seconds since
    its last start. Stored as `steps/NAME.json`."""

    arguments: tuple[str, ...] = msgspec.field(name="words")
    seconds: float
    recipe: str = ""


def run_commands(
    commands: Sequence[Command], out: Path, jobs: int, console: Console
) -> dict[str, CommandRecord]:
    """Run the commands that have not finished yet, at most `jobs` at once; return all records.

    A command must come after the commands it needs. Raises UserError if `out` holds other commands
    or is in use, or if a command fails; KeyboardInterrupt once all commands have stopped.
    """
    for name in ("steps", "logs"):
        make_folder(out / name)
    problem = f"'{out}' is in use by another `reproduce`; wait for it or give another --out"
    with locked(out / "steps" / "lock", problem):
        records = {
            command.name: record for command in commands if (record := _finished(command, out))
        }
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        hidden = not console.is_terminal
        with Progress(*columns, console=console, transient=True, disable=hidden) as bar:
            asyncio.run(_Runner(commands, out, console, records, bar).run(jobs))
    return records


def by_urgency(commands: Sequence[Command]) -> list[Command]:
    """Commands that several others need first; otherwise in the given order."""
    dependents = Counter(name for command in commands for name in command.needs)
    return sorted(commands, key=lambda command: dependents[command.name] < 2)


def make_folder(path: Path) -> None:
    """Create a folder if it does not exist. Raises UserError."""
    with write_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def read_record(name: str, out: Path) -> CommandRecord | None:
    """The record of the command `name`; None if it has not finished. Raises UserError."""
    file = out / "steps" / f"{name}.json"
    if not file.exists():
        return None
    record = read_json(file, CommandRecord, "delete it to run that command again")
    # Reproductions that an earlier version began name the recipes by their former folder.
    arguments = tuple(argument.replace(*_RECIPES_MOVED) for argument in record.arguments)
    return msgspec.structs.replace(record, arguments=arguments)


def _finished(command: Command, out: Path) -> CommandRecord | None:
    """The record of a finished command. Raises UserError if it ran with other arguments or another
    recipe."""
    record = read_record(command.name, out)
    if record is None:
        return None
    if record.arguments != command.arguments:
        raise UserError(
            f"'{out}' holds another reproduction: its command '{command.name}' was "
            f"`{command_line(*record.arguments)}`, not `{command.line}`; give another --out"
        )
    if record.recipe != command.recipe:
        raise UserError(
            f"'{command.name}' in '{out}' was run with a recipe that has changed since; give "
            f"another --out, or delete '{out / 'steps' / command.name}.json' and everything that "
            "this command and the commands after it wrote"
        )
    return record


class _Runner(NamedTuple):
    """Runs commands as soon as the commands they need have finished."""

    commands: Sequence[Command]
    out: Path
    console: Console
    records: dict[str, CommandRecord]
    bar: Progress

    async def run(self, jobs: int) -> None:
        """Run everything. The first failure stops the other commands and is raised."""
        waiting = [
            command for command in by_urgency(self.commands) if command.name not in self.records
        ]
        running: set[asyncio.Task[None]] = set()
        try:
            while waiting or running:
                ready = [item for item in waiting if self.records.keys() >= set(item.needs)]
                for command in ready[: jobs - len(running)]:
                    waiting.remove(command)
                    running.add(asyncio.create_task(self._run(command)))
                ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in ended:
                    task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, command: Command) -> None:
        progress = self.bar.add_task(command.name)
        # The recipe as the command is about to read it: it may change while the command runs.
        start, recipe = time.monotonic(), command.recipe
        log = self.out / "logs" / f"{command.name}.log"
        status = await _run_process(command, log)
        self.bar.remove_task(progress)
        stopped = status == StoppedEarly.exit_code  # with a result, so others can go on
        if status and not stopped:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            tail = "\n".join(lines[-_LOG_LINES:])
            raise UserError(f"command '{command.name}' failed ({status}): {tail}\nFull log: {log}")
        record = CommandRecord(command.arguments, time.monotonic() - start, recipe)
        replace_file(self.out / "steps" / f"{command.name}.json", msgspec.json.encode(record))
        self.records[command.name] = record
        self.console.print(
            f"{len(self.records):3} of {len(self.commands)}  {command.name}  "
            f"{record.seconds:,.0f} s{'  stopped early, see its log' if stopped else ''}",
            highlight=False,
        )


async def _run_process(command: Command, log: Path) -> int:
    """Run a command with its output appended to a log; return its exit status."""
    try:
        stream = log.open("ab")
    except OSError as error:
        raise UserError(f"cannot write to '{log}': {error.strerror}; delete it") from None
    with stream:
        stream.write(f"$ {command.line}\n".encode())
        stream.flush()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", supervisor.__file__),
            *(sys.executable, "-m", "autocoa_bench", *command.arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=stream,
            stderr=stream,
            env={"OMP_NUM_THREADS": "1", **os.environ},
            start_new_session=True,
        )
        try:
            return await process.wait()
        finally:
            # The supervisor stops the command when its standard input closes.
            if process.returncode is None and process.stdin is not None:
                process.stdin.close()
                await process.wait()
