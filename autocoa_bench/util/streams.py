"""The streams of a process, which pass printable text without secrets to a terminal or a file."""

import io
import re
import sys
from typing import TextIO

from autocoa_bench.util.secrets import redact
from autocoa_bench.util.text import printable


class FilteredStream(io.TextIOBase):
    """A stream that writes printable text only, without the secrets of the environment.

    It has no `buffer`, or others would write past it. A write may begin with a carriage return or
    be no more than moves of the cursor, as those of progress bars are.
    """

    _MOVES = re.compile(r"(?:\x1b\[A)+")

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.stream.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.stream.errors

    def write(self, text: str) -> int:
        if not self._MOVES.fullmatch(text):
            line = text.removeprefix("\r")
            text = "\r" * (line != text) + printable(redact(line))
        return self.stream.write(text)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        self.stream.flush()

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()


def filter_streams() -> None:
    """Let all that this process writes from now on through the filter: libraries, warnings,
    tracebacks, and the parser of the command line.

    Letters that the encoding of stdout or stderr lacks become question marks.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
        if stream is not None and not isinstance(stream, FilteredStream):
            setattr(sys, name, FilteredStream(stream))
