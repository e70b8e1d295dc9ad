"""A measurement of fidelity: records in, verdicts out, kept as they come so that it resumes."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent_model.data import folder
from agent_model.dialects.tags import TagDialect
from agent_model.fidelity.facts import FactSearch, FactVerdict, simulate, verdict
from autocoa_bench import registry
from autocoa_bench.engines import Engine, model_name
from autocoa_bench.errors import UNREADABLE, UserError
from autocoa_bench.runs import run_folder
from autocoa_bench.runs.solvers import load_solver
from autocoa_bench.search.simulated import ResultFormat, SimulatedResults, simulate_search
from autocoa_bench.tasks import Split
from autocoa_bench.types import EngineSpec, FaultNote, Prompt, Question, Record, Sampling
from autocoa_bench.util.progress import DelayedProgressBar

TRAIN, UNSEEN, OTHER = "train world", "unseen world", "of no registered task"


class FidelityRun(NamedTuple):
    """What was measured of which model; searches at which its server failed are left out."""

    model: str
    verdicts: list[FactVerdict]
    faults: list[FaultNote]


class FidelitySettings(NamedTuple):
    """How a model writes search results: at most `top_k`, in at most `max_tokens` tokens."""

    dialect: TagDialect
    sampling: Sampling
    top_k: int
    max_tokens: int


def read_records(path: Path) -> Iterable[Record]:
    """The records of a run folder, a folder that synth made, or a file; one a key, the latest.

    Raises UserError if it is none of these or is damaged; a torn last line is left out.
    """
    if (path / "synth.json").exists():
        return folder.read(path).records
    if path.is_dir():
        return run_folder.load_run(path).records
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read '{path}': {error.strerror}") from None
    decoder = msgspec.json.Decoder(Record)
    *lines, last = content.split(b"\n")
    try:
        records = [decoder.decode(line) for line in lines if line.strip()]
    except UNREADABLE as error:
        raise UserError(
            f"'{path}' holds no records ({error}); give a run's records.jsonl"
        ) from None
    with suppress(*UNREADABLE):  # nothing, or a line that a kill has torn
        records.append(decoder.decode(last))
    return {record.key: record for record in records}.values()


def dialect_of(records: Iterable[Record]) -> TagDialect:
    """The dialect of the records that search: one, with tags around its results.

    Raises UserError where it is none such.
    """
    names = {
        record.trajectory.solver
        for record in records
        if record.trajectory and any(step.kind == "search" for step in record.trajectory.steps)
    }
    if len(names) > 1:
        raise UserError(f"records of several solvers were given ({', '.join(sorted(names))})")
    name = names.pop()
    plugin = load_solver(name).plugin
    if not isinstance(plugin, TagDialect):
        raise UserError(f"'{name}' writes no tags around search results; give records of the agent")
    return plugin


def measure(
    found: Sequence[FactSearch],
    limit: int | None,
    engine: Engine,
    settings: FidelitySettings,
    concurrency: int,
    written: Path | None,
) -> FidelityRun:
    """Have the model write the results of `found`, or of an even spread of `limit`, and judge them.

    Every verdict is appended to `written` as it comes, and none that is there already is asked
    for again. Raises UserError where that file holds something else, or every search failed; and
    KeyboardInterrupt after everything written is safe.
    """
    kept = _Kept(written)
    origins = _origins(look_up.question for look_up in found)
    faults: list[FaultNote] = []

    async def work() -> FidelityRun:
        try:
            spec = await engine.start()
            marks = {_mark(look_up, spec, settings): look_up for look_up in found}
            kept.check(marks)
            chosen = [_mark(look_up, spec, settings) for look_up in _spread(found, limit)]

            def on_done(mark: str, result: SimulatedResults | FaultNote) -> None:
                if isinstance(result, FaultNote):
                    faults.append(result)
                    return
                question = marks[mark].question
                origin = origins[question.task, question.id]
                kept.add(verdict(mark, marks[mark], result, origin))

            waiting = {mark: marks[mark] for mark in chosen if mark not in kept.verdicts}
            await _simulate(waiting, engine, settings, concurrency, on_done)
            verdicts = [kept.verdicts[mark] for mark in chosen if mark in kept.verdicts]
            return FidelityRun(model_name(spec), verdicts, faults)
        finally:
            await engine.close()

    measured = asyncio.run(work())
    if faults and not measured.verdicts:
        raise UserError(
            f"every search failed, the first with {faults[0].kind}: {faults[0].message}; nothing "
            "was measured"
        )
    return measured


async def _simulate(
    waiting: dict[str, FactSearch],
    engine: Engine,
    settings: FidelitySettings,
    concurrency: int,
    on_done: Callable[[str, SimulatedResults | FaultNote], None],
) -> None:
    form = ResultFormat(settings.dialect)

    async def write(before: Prompt) -> SimulatedResults:
        return await simulate_search(
            engine, form, before, settings.sampling, settings.top_k, settings.max_tokens
        )

    with DelayedProgressBar("simulating searches") as bar:
        ended = iter(range(1, len(waiting) + 1))

        def told(mark: str, result: SimulatedResults | FaultNote) -> None:
            on_done(mark, result)
            bar.update(next(ended) / len(waiting))

        await simulate(waiting, write, concurrency, told)


def _mark(look_up: FactSearch, spec: EngineSpec, settings: FidelitySettings) -> str:
    """A fingerprint of a look-up and of who is asked how: equal ones have equal verdicts."""
    _, *numbers = settings
    return hashlib.sha256(msgspec.json.encode((look_up, spec, *numbers))).hexdigest()[:16]


def _spread(found: Sequence[FactSearch], limit: int | None) -> Sequence[FactSearch]:
    """At most `limit` of the look-ups, evenly spread."""
    if limit is None or limit >= len(found):
        return found
    return [found[at * len(found) // limit] for at in range(limit)]


class _Kept:
    """Verdicts by their marks, in a file too where one is given."""

    def __init__(self, file: Path | None) -> None:
        """Read the file, and cut a torn last line from it. Raises UserError."""
        self._file = file
        self.verdicts: dict[str, FactVerdict] = {}
        if file is None or not file.exists():
            return
        try:
            content = file.read_bytes()
            whole = content.rfind(b"\n") + 1
            read = msgspec.json.Decoder(FactVerdict).decode_lines(content[:whole])
            if whole < len(content):
                os.truncate(file, whole)
        except OSError as error:
            raise UserError(f"cannot read '{file}': {error.strerror}") from None
        except UNREADABLE as error:
            raise UserError(
                f"'{file}' holds something else than fidelity writes ({error}); choose another "
                "--written"
            ) from None
        self.verdicts = {each.mark: each for each in read}

    def check(self, marks: Collection[str]) -> None:
        """Refuse verdicts of other marks. Raises UserError."""
        if not self.verdicts.keys() <= set(marks):
            raise UserError(
                f"'{self._file}' holds what was written for other records, by another model or "
                "with other settings; choose another --written"
            )

    def add(self, made: FactVerdict) -> None:
        """Keep a verdict. Raises UserError when the disk refuses."""
        self.verdicts[made.mark] = made
        if self._file is None:
            return
        try:
            with self._file.open("ab") as stream:
                stream.write(msgspec.json.encode(made) + b"\n")
        except OSError as error:
            raise UserError(
                f"cannot write '{self._file}': {error.strerror}; what is there is safe, and the "
                "same command resumes"
            ) from None


def _origins(questions: Iterable[Question]) -> dict[tuple[str, str], str]:
    """Which split of its registered task each question is of: the train world, or an unseen one."""
    splits: dict[Split, str] = {"train": TRAIN, "test": UNSEEN}
    found = {(question.task, question.id): OTHER for question in questions}
    for name in {task for task, _ in found} & set(registry.names("tasks")):
        task = registry.load("tasks", name)
        for split, origin in splits.items():
            for question in task.load(split):
                if (name, question.id) in found:
                    found[name, question.id] = origin
    return found
