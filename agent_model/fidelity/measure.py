"""Measures fidelity: a model writes the results of recorded searches, and each is judged.

Verdicts can be stored as they are made, so that the same command resumes.
"""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import closing, nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from agent_model.data import folder
from agent_model.dialects.tags import TagDialect
from agent_model.fidelity.facts import FactSearch, FactVerdict, verdict
from autocoa_bench import registry
from autocoa_bench.engines import Engine, model_name
from autocoa_bench.errors import UNREADABLE, Fault, UserError
from autocoa_bench.runs import run_folder
from autocoa_bench.runs.solvers import load_solver
from autocoa_bench.search.simulated import ResultFormat, SimulatedResults
from autocoa_bench.tasks import Split
from autocoa_bench.types import EngineSpec, FaultNote, Prompt, Question, Record, Sampling
from autocoa_bench.util.concurrency import work_through
from autocoa_bench.util.json_lines import LineFile, checked, read_lines
from autocoa_bench.util.progress import DelayedProgressBar

_ORIGINS: dict[Split, str] = {"train": "train world", "test": "unseen world"}
_UNREGISTERED = "of no registered task"


class FidelityRun(NamedTuple):
    """The verdicts on a model; searches for which its server failed are left out."""

    model: str
    verdicts: list[FactVerdict]
    faults: list[FaultNote]


class FidelitySettings(NamedTuple):
    """The form of the results that a model writes: at most `top_k`, in at most `max_tokens`."""

    dialect: TagDialect
    sampling: Sampling
    top_k: int
    max_tokens: int


def read_records(path: Path) -> Iterable[Record]:
    """The records of a run folder, a folder of synth, or a file; of equal keys, the latest.

    Leaves out a torn last line. Raises UserError if there are no records or they are damaged.
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
    *lines, last_line = content.split(b"\n")
    try:
        records = [decoder.decode(checked(line)) for line in lines if line.strip()]
    except UNREADABLE as error:
        raise UserError(
            f"'{path}' holds no records ({error}); give a run's records.jsonl"
        ) from None
    with suppress(*UNREADABLE):  # empty, or torn by a kill
        records.append(decoder.decode(last_line))
    return {record.key: record for record in records}.values()


def dialect_of(records: Iterable[Record]) -> TagDialect:
    """The dialect of the records that search. Raises UserError unless all share a tag dialect."""
    names = {
        record.trajectory.solver
        for record in records
        if record.trajectory and any(step.kind == "search" for step in record.trajectory.steps)
    }
    if len(names) > 1:
        raise UserError(
            f"the records are of several solvers ({', '.join(sorted(names))}); give those of one"
        )
    name = names.pop()
    plugin = load_solver(name).plugin
    if not isinstance(plugin, TagDialect):
        raise UserError(f"'{name}' has no tags around search results; give records of the agent")
    return plugin


async def measure(
    searches: Sequence[FactSearch],
    limit: int | None,
    engine: Engine,
    settings: FidelitySettings,
    concurrency: int,
    stored: Path | None,
) -> FidelityRun:
    """Let the model write the results of the searches, or of `limit` of them, and judge these.

    Verdicts are appended to the file `stored`, and those that it holds are not made again. Raises
    UserError if that file holds something else; KeyboardInterrupt leaves all finished verdicts
    stored.
    """
    advice = "it is not a file that fidelity wrote; choose another --written"
    lines = read_lines(stored, msgspec.json.Decoder(FactVerdict), advice) if stored else ()
    verdicts = {verdict.fingerprint: verdict for verdict in lines}
    origins = _origins(search.question for search in searches)
    faults: list[FaultNote] = []
    try:
        spec = await engine.start()
        by_key = {_fingerprint(search, spec, settings): search for search in searches}
        if not verdicts.keys() <= by_key.keys():
            raise UserError(
                f"'{stored}' was written for other records, for another model or with other "
                "settings; choose another --written"
            )
        n_chosen = min(len(searches), limit or len(searches))
        spread = [searches[number * len(searches) // n_chosen] for number in range(n_chosen)]
        chosen = [_fingerprint(search, spec, settings) for search in spread]
        missing = {key: by_key[key] for key in chosen if key not in verdicts}
        n_done = iter(range(1, len(missing) + 1))
        result_format = ResultFormat(settings.dialect)
        file_context = closing(LineFile(stored)) if stored else nullcontext()
        with file_context as file, DelayedProgressBar("simulating searches") as bar:

            def on_done(key: str, results: SimulatedResults | FaultNote) -> None:
                bar.update(next(n_done) / len(missing))
                if isinstance(results, FaultNote):
                    faults.append(results)
                    return
                question = by_key[key].question
                origin = origins[question.task, question.id]
                verdicts[key] = verdict(key, by_key[key], results, origin)
                if file is not None:
                    file.add(verdicts[key])

            async def write(before: Prompt) -> SimulatedResults:
                request = result_format.request(before, settings.max_tokens)
                [completion] = await engine.generate(request, settings.sampling)
                return result_format.read(completion, settings.top_k)

            await simulate(missing, write, concurrency, on_done)
        measured = [verdicts[key] for key in chosen if key in verdicts]
        return FidelityRun(model_name(spec), measured, faults)
    finally:
        await engine.close()


async def simulate(
    searches: Mapping[str, FactSearch],
    write: Callable[[Prompt], Awaitable[SimulatedResults]],
    concurrency: int,
    on_done: Callable[[str, SimulatedResults | FaultNote], None],
) -> None:
    """Let a model write the results of every search, `concurrency` at a time.

    `on_done` is called with each key and its results, or the fault; a fault stops no other search.
    Whatever `on_done` raises stops all of them.
    """

    async def work(item: tuple[str, FactSearch]) -> None:
        key, search = item
        try:
            results: SimulatedResults | FaultNote = await write(search.before)
        except Fault as fault:
            results = FaultNote(fault.kind, str(fault))
        on_done(key, results)

    await work_through(searches.items(), work, concurrency)


def _fingerprint(search: FactSearch, spec: EngineSpec, settings: FidelitySettings) -> str:
    """A hash of a search, the model and the settings: equal ones have equal verdicts."""
    _, *numbers = settings
    return hashlib.sha256(msgspec.json.encode((search, spec, *numbers))).hexdigest()[:16]


def _origins(questions: Iterable[Question]) -> dict[tuple[str, str], str]:
    """The world of each question, by task and id: the split of its registered task."""
    origins = {(question.task, question.id): _UNREGISTERED for question in questions}
    for name in {task for task, _ in origins} & set(registry.names("tasks")):
        task = registry.load("tasks", name)
        for split, origin in _ORIGINS.items():
            for question in task.load(split):
                if (name, question.id) in origins:
                    origins[name, question.id] = origin
    return origins
