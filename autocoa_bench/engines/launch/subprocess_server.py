"""A server in a subprocess that ends with this process, however this process ends."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from autocoa_bench.engines.launch import supervisor
from autocoa_bench.util.text import printable

_LOG_BYTES = 1 << 18
_TAIL_LINES = 12
_LONGEST_LINE = 240
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ERROR = re.compile(r"(?:\b\w*(?:Error|Exception)|\berror): \S.*")
"""The form in which Python, and argparse, report an error."""
_HARMLESS = re.compile(r"\b(?:DEBUG|INFO|WARNING)\b")


class SubprocessServer:
    """A running command and its log. `ended` is a future of its exit code.

    It runs in a session of its own, so that Ctrl-C reaches it only through `stop`.
    """

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.log = log
        self.ended = asyncio.ensure_future(process.wait())
        self._process = process

    @classmethod
    async def start(
        cls, name: str, command: Sequence[str], environment: Mapping[str, str]
    ) -> SubprocessServer:
        """Start a command, with `environment` added to this process's own.

        The log is a temporary file whose name starts with `name`.
        """
        file, log = tempfile.mkstemp(prefix=f"{name}-", suffix=".log")
        try:
            # The supervisor stops the command when this process's end of the pipe closes.
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", supervisor.__file__, *command),
                stdin=asyncio.subprocess.PIPE,
                stdout=file,
                stderr=file,
                env={**os.environ, **environment},
                start_new_session=True,
            )
        finally:
            os.close(file)
        return cls(process, Path(log))

    async def stop(self) -> None:
        """Stop the command and wait for its end; safe to call twice.

        The log is deleted unless the command ended on its own.
        """
        has_died = self.ended.done() and self._process.stdin is not None
        stdin, self._process.stdin = self._process.stdin, None
        if stdin is not None:
            stdin.close()
        await asyncio.shield(self.ended)
        if stdin is not None and not has_died:
            self.log.unlink(missing_ok=True)

    def last_line(self) -> str:
        """The last line of the log."""
        return next(iter(self._lines()[-1:]), "")

    def failure_report(self) -> str:
        """The exit code, the first error in the log, and the end of the log."""
        lines = self._lines()
        matches = (_ERROR.search(line) for line in lines if not _HARMLESS.search(line))
        errors = (match[0] for match in matches if match)
        cause = next(errors, lines[-1] if lines else "its log is empty")
        tail = "".join(f"\n  {line}" for line in lines[-_TAIL_LINES:])
        return (
            f"it ended with exit code {self.ended.result()}, {cause}\n"
            f"The end of its log, {self.log}:{tail}"
        )

    def _lines(self) -> list[str]:
        """The printable lines at the end of the log."""
        with self.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LOG_BYTES))
            text = _ESCAPES.sub("", file.read().decode("utf-8", "replace"))
        plain = (printable(line).rstrip() for line in text.splitlines())
        return [line[:_LONGEST_LINE] for line in plain if line]
