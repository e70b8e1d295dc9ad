"""A server in a process of its own that ends with this one, whatever ends this one."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from autocoa_bench.engines.launch import supervisor

_READ = 1 << 18
_TAIL_LINES = 12
_LONGEST_LINE = 240
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ERROR = re.compile(r"(?:\b\w*(?:Error|Exception)|\berror): \S.*")
"""What Python, and argparse, call what went wrong."""
_HARMLESS = re.compile(r"\b(?:DEBUG|INFO|WARNING)\b")


class SubprocessServer:
    """A started command and its log. `ended` is its exit code, once it has one.

    It is in a session of its own, so that Ctrl-C reaches it through `stop` alone.
    """

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.log = log
        self.ended = asyncio.ensure_future(process.wait())
        self._process = process

    @classmethod
    async def start(
        cls, name: str, command: Sequence[str], settings: Mapping[str, str]
    ) -> SubprocessServer:
        """Start a command, with `settings` in its environment beside our own.

        `name` begins that of its log, a temporary file.
        """
        file, log = tempfile.mkstemp(prefix=f"{name}-", suffix=".log")
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", supervisor.__file__, *command),
                stdin=asyncio.subprocess.PIPE,
                stdout=file,
                stderr=file,
                env={**os.environ, **settings},
                start_new_session=True,
            )
        finally:
            os.close(file)
        return cls(process, Path(log))

    async def stop(self) -> None:
        """End it and wait until it has ended; safe to call twice. Its log stays if it had died."""
        died = self.ended.done() and self._process.stdin is not None
        stdin, self._process.stdin = self._process.stdin, None
        if stdin is not None:
            stdin.close()
        await asyncio.shield(self.ended)
        if stdin is not None and not died:
            self.log.unlink(missing_ok=True)

    def last_line(self) -> str:
        """What it said last."""
        return next(iter(self._lines()[-1:]), "")

    def obituary(self) -> str:
        """What its log says went wrong, first in one line, then as its last lines."""
        lines = self._lines()
        told = (line for line in lines if not _HARMLESS.search(line))
        causes = (found[0] for line in told if (found := _ERROR.search(line)))
        cause = next(causes, lines[-1] if lines else "it said nothing")
        tail = "".join(f"\n  {line}" for line in lines[-_TAIL_LINES:])
        return f"{cause}\nThe end of its log, {self.log}:{tail}"

    def _lines(self) -> list[str]:
        with self.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _READ))
            text = _ESCAPES.sub("", file.read().decode("utf-8", "replace"))
        plain = ("".join(filter(str.isprintable, line)).rstrip() for line in text.splitlines())
        return [line[:_LONGEST_LINE] for line in plain if line]
