"""Runs commands that depend on one another, several at once, and never one that is done twice.

Each command is a process of its own with a log of its own, and ends with this one, whatever ends
this one; what it did lies where it was told to put it, so that a stopped one goes on when it is run
again.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from autocoa_bench.engines.launch import supervisor
from autocoa_bench.errors import UNREADABLE, UserError

_SHOWN = 6  # lines of a failed command's log


class Command(Struct, frozen=True):
    """A command of autocoa-bench (its words after the program's name), once `needs` are done."""

    name: str
    words: tuple[str, ...]
    needs: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The command as one types it."""
        return line(self.words)

    @property
    def recipe(self) -> str:
        """The SHA-256 of the recipe that the command is told to follow, if it is told one."""
        given = dict(zip(self.words, self.words[1:], strict=False)).get("--config")
        return hashlib.sha256(Path(given).read_bytes()).hexdigest() if given else ""


class CommandRecord(Struct, frozen=True):
    """A step that is done: what was run, by which recipe (its SHA-256), and the seconds that it
    took since it was last started."""

    words: tuple[str, ...]
    seconds: float
    recipe: str = ""


def run_steps(
    steps: Sequence[Command], out: Path, jobs: int, console: Console
) -> dict[str, CommandRecord]:
    """Run what is not done, at most `jobs` commands at once; what each took, by name.

    Steps stand after those that they need. Raises UserError where `out` holds other steps or is in
    use, where a command fails, and KeyboardInterrupt once all commands have stopped.
    """
    for name in ("steps", "logs"):
        make_folder(out / name)
    with _alone(out):
        done = {step.name: found for step in steps if (found := _found(step, out))}
        asyncio.run(_Runner(steps, out, console, done).run(jobs))
    return done


def by_urgency(steps: Sequence[Command]) -> list[Command]:
    """Those that several others need before the rest, which stay in their order."""
    needed = Counter(name for step in steps for name in step.needs)
    return sorted(steps, key=lambda step: needed[step.name] < 2)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold a folder against other calls."""
    try:
        file = (out / "steps" / "lock").open("w")
    except OSError as error:
        raise UserError(f"cannot write to '{out}': {error.strerror}; give another --out") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"'{out}' is in use by another call of `reproduce`; wait for it, or give another "
                "--out"
            ) from None
        yield


def make_folder(path: Path) -> None:
    """Make a folder where there is none. Raises UserError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot make the folder '{path}': {error.strerror}; give --out a folder that can be "
            "written"
        ) from None


def record_of(name: str, out: Path) -> CommandRecord | None:
    """The record of the step of a name, where it is done. Raises UserError."""
    file = out / "steps" / f"{name}.json"
    if not file.exists():
        return None
    try:
        return msgspec.json.decode(file.read_bytes(), type=CommandRecord)
    except (OSError, *UNREADABLE) as error:
        raise UserError(f"cannot read '{file}': {error}; remove it to run that step anew") from None


def line(words: Sequence[str]) -> str:
    """A command as one types it."""
    return shlex.join(("autocoa-bench", *words))


def _found(step: Command, out: Path) -> CommandRecord | None:
    found = record_of(step.name, out)
    if found is not None and found.words != step.words:
        raise UserError(
            f"'{out}' holds another reproduction: its step '{step.name}' was "
            f"`{line(found.words)}`, not `{step.line}`; give another --out"
        )
    if found is not None and found.recipe != step.recipe:
        raise UserError(
            f"step '{step.name}' in '{out}' was done by another recipe than is there now; give "
            f"another --out, or remove '{out / 'steps' / step.name}.json' and what it and those "
            "after it made"
        )
    return found


def _opened(log: Path) -> BinaryIO:
    try:
        return log.open("ab")
    except OSError as error:
        raise UserError(f"cannot write to '{log}': {error.strerror}; remove it") from None


class _Runner:
    """Steps on their way."""

    def __init__(
        self, steps: Sequence[Command], out: Path, console: Console, done: dict[str, CommandRecord]
    ) -> None:
        self._steps = steps
        self._out = out
        self._done = done
        self._console = console
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    async def run(self, jobs: int) -> None:
        """Raises what the first failing step raised, the others being stopped."""
        waiting = [step for step in by_urgency(self._steps) if step.name not in self._done]
        running: dict[asyncio.Task[None], Command] = {}
        with self._bar:
            try:
                while waiting or running:
                    ready = [step for step in waiting if self._done.keys() >= set(step.needs)]
                    for step in ready[: jobs - len(running)]:
                        waiting.remove(step)
                        running[asyncio.create_task(self._run(step))] = step
                    ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                    for task in ended:
                        del running[task]
                        task.result()
            finally:
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, step: Command) -> None:
        shown: TaskID = self._bar.add_task(step.name)
        start, recipe = time.monotonic(), step.recipe  # as the command reads it
        log = self._out / "logs" / f"{step.name}.log"
        with _opened(log) as stream:
            stream.write(f"$ {step.line}\n".encode())
            stream.flush()
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", supervisor.__file__),
                *(sys.executable, "-m", "autocoa_bench", *step.words),
                stdin=asyncio.subprocess.PIPE,
                stdout=stream,
                stderr=stream,
                env={"OMP_NUM_THREADS": "1", **os.environ},
                start_new_session=True,
            )
            try:
                code = await process.wait()
            finally:
                if process.returncode is None and process.stdin is not None:
                    process.stdin.close()  # the keeper stops it; what was done is kept
                    await process.wait()
        self._bar.remove_task(shown)
        if code:
            raise UserError(f"step '{step.name}' failed ({code}): {_last(log)}\nAll of it: {log}")
        self._keep(step, CommandRecord(step.words, time.monotonic() - start, recipe))

    def _keep(self, step: Command, done: CommandRecord) -> None:
        self._done[step.name] = done
        file = self._out / "steps" / f"{step.name}.json"
        part = file.with_suffix(".part")
        part.write_bytes(msgspec.json.encode(done))
        part.replace(file)
        self._console.print(
            f"{len(self._done):3} of {len(self._steps)}  {step.name}  {done.seconds:,.0f} s",
            highlight=False,
        )


def _last(log: Path) -> str:
    """How a log ends."""
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "\n".join(lines[-_SHOWN:])
