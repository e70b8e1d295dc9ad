"""Verdicts stored by content, so that nothing is judged twice."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct, field

from autocoa_bench.engines.request_options import NO_OPTIONS, RequestOptions
from autocoa_bench.judge.verdict import Case, Verdict, verdict_key
from autocoa_bench.types import JudgeSpec
from autocoa_bench.util.json_lines import LineFile, read_lines

NAME = "verdicts.jsonl"
"""The file in a run folder."""


class JudgeIdentity(Struct, frozen=True):
    """A judge as its configuration describes it, before its engine has started."""

    engine: str
    base_url: str
    model: str
    model_sha256: str
    """The hash of a model that is a local file or folder; empty for a named one."""
    adapter_sha256: str
    prompt: str
    prompt_sha256: str
    votes: int
    request: RequestOptions = NO_OPTIONS


class _JudgeLine(Struct, frozen=True, tag="judge"):
    """A line that tells which judge a configuration led to."""

    identity: JudgeIdentity = field(name="asked")
    spec: JudgeSpec


class VerdictCache:
    """Verdicts in memory and, where there is a path, in a file that grows with them."""

    def __init__(self, path: Path | None) -> None:
        """Raises UserError where the file is damaged, in use, or cannot be written."""
        self._file: LineFile | None = None
        self._verdicts: dict[str, Verdict] = {}
        self._specs: dict[JudgeIdentity, JudgeSpec] = {}
        if path is None:
            return
        # Opening cuts a torn last line, so a file of another kind is refused before that.
        list(_lines(path))
        self._file = LineFile(path)
        try:
            for line in _lines(path):
                self._add(line)
        except BaseException:
            self.close()
            raise

    def get(self, spec: JudgeSpec, case: Case) -> Verdict | None:
        """A judge's verdict on a case; None where there is none yet."""
        return self._verdicts.get(verdict_key(spec, case))

    def open_cases(
        self, spec: JudgeSpec, cases: Iterable[Case], *, unreadable: bool = True
    ) -> list[Case]:
        """The cases to judge, each once: those without a verdict, or whose engine failed.

        `unreadable` includes those whose replies stated no verdict.
        """
        verdicts = ((case, self.get(spec, case)) for case in dict.fromkeys(cases))
        return [
            case
            for case, verdict in verdicts
            if verdict is None or verdict.faulted or (unreadable and verdict.unreadable)
        ]

    def spec_of(self, identity: JudgeIdentity) -> JudgeSpec | None:
        """The spec of the judge that a configuration last led to; None where it led to none."""
        return self._specs.get(identity)

    def add_judge(self, identity: JudgeIdentity, spec: JudgeSpec) -> None:
        """Store which judge a configuration leads to. Raises UserError."""
        if self.spec_of(identity) != spec:
            self.add(_JudgeLine(identity, spec))

    def add(self, line: _JudgeLine | Verdict) -> None:
        """Store a verdict or a judge. Raises UserError where the disk refuses."""
        if self._file is not None:
            self._file.add(line)
        self._add(line)

    def close(self) -> None:
        """Release the file; safe to call twice."""
        if self._file is not None:
            self._file.close()

    def _add(self, line: _JudgeLine | Verdict) -> None:
        if isinstance(line, _JudgeLine):
            self._specs[line.identity] = line.spec
        else:
            self._verdicts[line.key] = line


def read_verdicts(path: Path) -> dict[str, Verdict]:
    """The latest verdicts of a file by key; none where there is no file.

    Raises UserError where it is damaged.
    """
    return {line.key: line for line in _lines(path) if isinstance(line, Verdict)}


def _lines(path: Path) -> Iterator[_JudgeLine | Verdict]:
    decoder = msgspec.json.Decoder(_JudgeLine | Verdict)
    return read_lines(
        path, decoder, "delete that line to have it judged again, or name another file"
    )
