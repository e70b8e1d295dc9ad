"""Verdicts kept by content: what was judged once is never asked again."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.judge.verdict import Case, Verdict, verdict_key
from autocoa_bench.types import JudgeSpec
from autocoa_bench.util.json_lines import LineFile

NAME = "verdicts.jsonl"
"""The file in a run folder."""


class JudgeIdentity(Struct, frozen=True):
    """A judge in the words of a plan: what is known of it before its engine has started."""

    engine: str
    base_url: str
    model: str
    model_sha256: str
    """Of a model that is a file or a folder here; a named one's is in the program."""
    adapter_sha256: str
    prompt: str
    prompt_sha256: str
    votes: int


class _JudgeLine(Struct, frozen=True, tag="judge"):
    """A line: who answered to a plan."""

    asked: JudgeIdentity
    spec: JudgeSpec


_decoder = msgspec.json.Decoder(_JudgeLine | Verdict)


class VerdictCache:
    """Verdicts in memory and, where there is a path, in a file that grows with them."""

    def __init__(self, path: Path | None) -> None:
        """Raises UserError where the file is damaged, in use, or cannot be written."""
        self._path = path
        self._file: LineFile | None = None
        self._verdicts: dict[str, Verdict] = {}
        self._met: dict[JudgeIdentity, JudgeSpec] = {}
        if path is None:
            return
        try:
            if path.exists():
                list(_lines(path))  # a file of something else is refused before it is touched
            self._file = LineFile(path)
            for line in _lines(path):
                self._take(line)
        except BlockingIOError:
            raise UserError(
                f"'{path}' is being written by another judge; wait for it to end"
            ) from None
        except OSError as error:
            raise _cannot_write(path, error) from None
        except UserError:
            self.close()
            raise

    def of(self, spec: JudgeSpec, case: Case) -> Verdict | None:
        """A judge's verdict on a case; None where it was not asked."""
        return self._verdicts.get(verdict_key(spec, case))

    def open_cases(self, spec: JudgeSpec, cases: Iterable[Case]) -> list[Case]:
        """What is still to be asked, each once: what never was, and what the engine failed on."""
        verdicts = ((case, self.of(spec, case)) for case in dict.fromkeys(cases))
        return [case for case, verdict in verdicts if verdict is None or verdict.faulted]

    def known(self, asked: JudgeIdentity) -> JudgeSpec | None:
        """Who answered to such a plan last; None where nobody did."""
        return self._met.get(asked)

    def meet(self, asked: JudgeIdentity, spec: JudgeSpec) -> None:
        """Note who answers to a plan. Raises UserError."""
        if self.known(asked) != spec:
            self._write(_JudgeLine(asked, spec))

    def add(self, verdict: Verdict) -> None:
        """Keep a verdict, written whole. Raises UserError when the disk refuses."""
        self._write(verdict)

    def close(self) -> None:
        """Release the file; safe to call twice."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _write(self, line: _JudgeLine | Verdict) -> None:
        if self._file is not None and self._path is not None:
            try:
                self._file.add(line)
            except OSError as error:
                raise _cannot_write(self._path, error) from None
        self._take(line)

    def _take(self, line: _JudgeLine | Verdict) -> None:
        if isinstance(line, _JudgeLine):
            self._met[line.asked] = line.spec
        else:
            self._verdicts[line.key] = line


def read_verdicts(path: Path) -> dict[str, Verdict]:
    """A file's verdicts by key, the latest of each; none where there is no file.

    Raises UserError where it is damaged.
    """
    try:
        return {line.key: line for line in _lines(path) if isinstance(line, Verdict)}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from None


def _lines(path: Path) -> Iterator[_JudgeLine | Verdict]:
    with path.open("rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                return  # torn by a kill; the next judging cuts it
            try:
                yield _decoder.decode(line)
            except UNREADABLE as error:
                raise UserError(
                    f"'{path}' line {number} is no verdict ({error}); delete that line to have it "
                    "judged again, or name another file"
                ) from None


def _cannot_write(path: Path, error: OSError) -> UserError:
    if error.errno == errno.ENOSPC:
        return UserError(
            f"the disk is full: cannot write to '{path}'. What was judged is safe; make room and "
            "run the same command again to go on."
        )
    return UserError(f"cannot write '{path}': {error.strerror}")
