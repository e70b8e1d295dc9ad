"""Executors: what runs the episodes of a run. `LocalExecutor` runs them in this process."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol

from rich.console import Console

from autocoa_bench.engines import EMBEDDED, Engine, late_settings, open_engine
from autocoa_bench.engines.weights.models import DEFAULT
from autocoa_bench.runs import provenance, replay, run_folder
from autocoa_bench.runs.config import RunConfig
from autocoa_bench.runs.scheduler import Job, run_jobs
from autocoa_bench.runs.solvers import Backends, Solver
from autocoa_bench.search import SearchEngine, factory
from autocoa_bench.tasks import Task, no_shared_corpus, shared_corpus
from autocoa_bench.types import EngineSpec, Record, RunInfo, RunSpec, Split, TaskSample
from autocoa_bench.util.json_lines import LineFile
from autocoa_bench.util.terminal import styled

OnRecord = Callable[[Record], None]


class Executor(Protocol):
    """Runs the episodes of a run: in this process, or elsewhere (`--executor`)."""

    def start(self, config: RunConfig, samples: tuple[TaskSample, ...]) -> RunInfo:
        """Make ready and describe the run. Raises UserError."""

    def run(self, folder: Path, jobs: Iterable[Job], on_record: OnRecord) -> None:
        """Run every job and hand its record over in this process. Raises UserError."""

    def late_settings(self) -> dict[str, str | int | float]:
        """The settings of the model engine that refusals of its server have changed so far."""

    def close(self) -> None:
        """Release everything; safe to call twice."""


class LocalExecutor:
    """Runs episodes in this process, `concurrency` at a time."""

    def __init__(self, solver: Solver, tasks: Sequence[Task], console: Console) -> None:
        self._solver = solver
        self._tasks = tasks
        self._console = console
        self._stack = ExitStack()

    def start(self, config: RunConfig, samples: tuple[TaskSample, ...]) -> RunInfo:
        self._config = config
        self._backends = open_backends(config, self._solver, self._tasks, self._stack)
        # One event loop for the whole run: connections belong to the loop that opened them.
        self._runner = self._stack.enter_context(asyncio.Runner())
        self._stack.callback(lambda: self._runner.run(self._backends.close()))
        if self._backends.engine:
            engine = f"{config.engine} {config.model}".strip()
            text = f"{self._solver.spec}: starting engine {engine}"
            self._console.print(styled(text, "dim"))
        return self._runner.run(describe_run(config, self._solver, samples, self._backends))

    def run(self, folder: Path, jobs: Iterable[Job], on_record: OnRecord) -> None:  # noqa: ARG002
        config = self._config
        limits = config.sampling, config.budget, config.concurrency
        self._runner.run(run_jobs(jobs, self._solver, self._backends, *limits, on_record))

    def late_settings(self) -> dict[str, str | int | float]:
        return late_settings(self._backends.engine)

    def close(self) -> None:
        self._stack.close()


def open_backends(
    config: RunConfig, solver: Solver, tasks: Sequence[Task], stack: ExitStack
) -> Backends:
    """The engine and the search of a run: real, recorded to a cassette, or replayed from one."""
    model, adapter = Path(config.model).name, Path(adapter_path(config, solver)).name
    engine_id: replay.BackendId = ("model engine", config.engine, model, config.protocol, adapter)
    engine_id += tuple(f"{name}={value}" for name, value in config.request.settings().items())
    corpus = config.corpus or ""
    search_id: replay.BackendId = ("search engine", config.search, corpus, config.top_k)
    engine: Engine | None = None
    search: SearchEngine | None = None
    if config.replay is not None:
        player = stack.enter_context(closing(replay.ExchangePlayer(config.replay)))
        return Backends(
            replay.ReplayedEngine(player, engine_id) if solver.uses_engine else None,
            replay.ReplayedSearch(player, search_id) if solver.searches else None,
        )
    if solver.uses_engine:
        options = (config.budget.context_tokens, config.protocol, adapter_path(config, solver))
        engine_config = config.engine_config(*options, tools=solver.offers_tools)
        engine = open_engine(config.engine, engine_config)
    if solver.searches:
        search = open_search(
            config.search, tasks, config.split, config.corpus, config.top_k, config.search_cache
        )
    if config.record is not None:
        recorder = stack.enter_context(closing(LineFile(config.record)))
        engine = engine and replay.RecordedEngine(engine, recorder, engine_id)
        search = search and replay.RecordedSearch(search, recorder, search_id)
    return Backends(engine, search)


def open_search(
    spec: str,
    tasks: Sequence[Task],
    split: Split,
    corpus: str | None,
    top_k: int,
    cache: Path | None = None,
) -> SearchEngine:
    """Open the search engine over a corpus: the given one, its own, or the one the tasks share.

    `cache` is the folder that stores its results. Raises UserError where tasks share no corpus.
    """
    if not corpus and not factory.has_own_corpus(spec):
        corpus = shared_corpus(tasks, split)
        if not corpus:
            raise no_shared_corpus(tasks, split)
    return factory.open_engine(spec, corpus or "", top_k, cache)


def adapter_path(config: RunConfig, solver: Solver) -> str:
    """The path of the adapter that a run puts on its model; empty for none."""
    if config.adapter:
        return "" if config.adapter == "none" else config.adapter
    shipped = solver.adapters.get(config.model or DEFAULT) if config.engine == EMBEDDED else None
    return str(shipped or "")


async def describe_run(
    config: RunConfig, solver: Solver, samples: tuple[TaskSample, ...], backends: Backends
) -> RunInfo:
    """Start the engine and describe the run as run.json keeps it. Raises UserError."""
    engine, search = backends
    spec = RunSpec(
        solver=solver.spec,
        prompt_sha256=solver.prompt_sha256,
        tasks=samples,
        search=search.spec if search else None,
        engine=await engine.start() if engine else EngineSpec("none", "", "none"),
        sampling=config.sampling,
        samples=config.samples,
        budget=config.budget,
    )
    replayed = config.replay is not None
    session = provenance.current_session(
        base_url=f"replay of {config.replay.name}" if config.replay else config.base_url,
        concurrency=config.concurrency,
        search=config.search if search and not replayed else "",
        engine=config.engine if engine and not replayed else "",
    )
    return RunInfo(run_folder.FORMAT, spec, solver.section, (session,), config.scorers)
