"""One benchmark run: from what a person asked for to a scored run folder."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Protocol

import msgspec
from rich.console import Console
from rich.markup import escape

from autocoa_bench import registry, scoring, tasks
from autocoa_bench.engines import Engine, EngineConfig, caveats, open_engine
from autocoa_bench.engines.weights.models import DEFAULT
from autocoa_bench.errors import UserError
from autocoa_bench.runs import provenance, run_folder
from autocoa_bench.runs import replay as cassette
from autocoa_bench.runs.config import RunConfig
from autocoa_bench.runs.resume import recording
from autocoa_bench.runs.scheduler import Backends, Job, run_jobs
from autocoa_bench.runs.scores import score_run
from autocoa_bench.runs.solvers import Solver, load_solver
from autocoa_bench.search import SearchEngine
from autocoa_bench.search import factory as opening
from autocoa_bench.tasks import Split
from autocoa_bench.types import (
    EngineSpec,
    Question,
    Record,
    RunInfo,
    RunSpec,
    TaskSample,
)


def run(
    plan: RunConfig, console: Console, check: Callable[[RunSpec], None] = lambda _: None
) -> Path:
    """Do what the plan says, resuming what is already recorded; returns the scored run folder.

    `check` is shown what the run will be before anything is generated; what it raises ends it.
    Raises UserError for bad input, and KeyboardInterrupt after everything recorded is safe.
    """
    solver = load_solver(plan.solver)
    scorers = scoring.load_scorers(plan.scorers)
    chosen = tasks.resolve(plan.tasks)
    questions, samples = draw_questions(chosen, plan.split, plan.limit, plan.sample_seed, console)
    if plan.samples > 1 and plan.sampling.temperature == 0:
        console.print("[yellow]greedy samples of one question are all alike[/yellow]")

    async def work(world: Backends) -> Path:
        try:
            if world.engine:
                named = escape(f"{plan.engine} {plan.model}".strip())
                console.print(f"[dim]{escape(solver.spec)}: starting engine {named}[/dim]")
            info = await describe_run(plan, solver, samples, world)
            folder = _folder(plan, info, check, console)
            with recording(folder, info, questions, plan.samples, console) as (waiting, on_record):
                given = plan.sampling, plan.budget, plan.concurrency
                await run_jobs(waiting, solver, world, *given, on_record)
            return folder
        finally:
            for part in (world.engine, world.search):
                if part is not None:
                    await part.close()

    if plan.executor:
        folder = _run_elsewhere(plan, samples, questions, check, console)
    else:
        with ExitStack() as stack:
            folder = asyncio.run(work(open_backends(plan, solver, chosen, stack)))
    _refuse_all_faults(score_run(folder, scorers))
    return folder


class Executor(Protocol):
    """What runs episodes elsewhere than in this process."""

    def start(self, plan: RunConfig, samples: tuple[TaskSample, ...]) -> RunInfo:
        """Make ready and say what the run is. Raises UserError."""
        ...

    def run(self, folder: Path, jobs: Iterable[Job], on_record: Callable[[Record], None]) -> None:
        """Run every job, handing its record over in this process. Raises UserError."""
        ...

    def close(self) -> None:
        """Release everything; safe to call twice."""
        ...


def _run_elsewhere(
    plan: RunConfig,
    samples: tuple[TaskSample, ...],
    questions: Sequence[Question],
    check: Callable[[RunSpec], None],
    console: Console,
) -> Path:
    """Have another executor run what is not recorded; returns the run folder."""
    if plan.record or plan.replay:
        raise UserError(
            f"--executor {plan.executor} does not go with --record or --replay: a cassette is "
            "written and read by one process"
        )
    name, factory, options = registry.configured("executors", plan.executor)
    executor: Executor = factory(**options)
    try:
        console.print(f"[dim]{escape(plan.solver)}: starting the workers of {escape(name)}[/dim]")
        info = executor.start(plan, samples)
        folder = _folder(plan, info, check, console)
        with recording(folder, info, questions, plan.samples, console) as (waiting, on_record):
            executor.run(folder, waiting, on_record)
        return folder
    finally:
        executor.close()


def _folder(
    plan: RunConfig, info: RunInfo, check: Callable[[RunSpec], None], console: Console
) -> Path:
    """The run folder of what is to be run, once a person has been told what to know of it."""
    check(info.spec)
    for caveat in caveats(info.spec.engine):
        console.print(f"[yellow]{escape(caveat)}[/yellow]")
    return plan.out or plan.runs_dir / folder_name(info.spec)


def _refuse_all_faults(records: Sequence[Record]) -> None:
    """A run in which nothing worked has no table worth printing."""
    faults = [record.fault for record in records if record.fault]
    if faults and len(faults) == len(records):
        raise UserError(
            f"every question of the run failed, the first with {faults[0].kind}: "
            f"{faults[0].message}. Once that is mended, the same command asks them again."
        )


def folder_name(spec: RunSpec) -> str:
    """The run folder that a spec has to itself: readable, and unique by a hash of the spec."""
    names = "+".join(sample.task for sample in spec.tasks)
    readable = "-".join((spec.solver, Path(spec.engine.model).name, names))
    digest = hashlib.sha256(msgspec.json.encode(spec)).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9._+=-]+', '-', readable)[:96]}-{digest}"


def draw_questions(
    chosen: Sequence[tasks.Task],
    split: Split,
    limit: int | None,
    sample_seed: int,
    console: Console,
) -> tuple[list[Question], tuple[TaskSample, ...]]:
    """The questions of tasks in order, at most `limit` of each, and how a run's spec names them.

    What a task warns of is said on the console. Raises UserError.
    """
    questions: list[Question] = []
    samples = []
    for task in chosen:
        drawn = tasks.sample(task.load(split), limit, sample_seed)
        for warning in tasks.load_warnings(task):
            console.print(f"[yellow]{escape(warning)}[/yellow]")
        samples.append(
            TaskSample(
                task=task.info.name,
                edition=task.info.edition,
                sha256=tasks.questions_sha256(drawn),
                question_ids=tuple(question.id for question in drawn),
            )
        )
        questions += drawn
    return questions, tuple(samples)


def open_backends(
    plan: RunConfig, solver: Solver, chosen: Sequence[tasks.Task], stack: ExitStack
) -> Backends:
    """Who answers: engines, engines whose exchanges are recorded, or a cassette of them."""
    model, adapter = Path(plan.model).name, Path(_adapter(plan, solver)).name
    to_engine: cassette.Who = ("model engine", plan.engine, model, plan.protocol, adapter)
    to_search: cassette.Who = ("search engine", plan.search, plan.corpus or "", plan.top_k)
    engine: Engine | None = None
    search: SearchEngine | None = None
    if plan.replay is not None:
        player = stack.enter_context(closing(cassette.ExchangePlayer(plan.replay)))
        if solver.uses_engine:
            engine = cassette.ReplayedEngine(player, to_engine)
        if solver.searches:
            search = cassette.ReplayedSearch(player, to_search)
        return Backends(engine, search)
    if solver.uses_engine:
        engine = _engine(plan, solver)
    if solver.searches:
        search = open_search(
            plan.search, chosen, plan.split, plan.corpus, plan.top_k, plan.search_cache
        )
    if plan.record is not None:
        recorder = stack.enter_context(closing(cassette.ExchangeRecorder(plan.record)))
        engine = engine and cassette.RecordedEngine(engine, recorder, to_engine)
        search = search and cassette.RecordedSearch(search, recorder, to_search)
    return Backends(engine, search)


def open_search(
    spec: str,
    chosen: Sequence[tasks.Task],
    split: Split,
    corpus: str | None,
    top_k: int,
    kept: Path | None = None,
) -> SearchEngine:
    """A search engine over a corpus; None: over its own, else the one that all tasks name.

    `kept` is the folder in which its results are kept.

    Raises UserError where they name none, or several.
    """
    if not corpus and opening.has_own_corpus(spec):
        return opening.open_engine(spec, "", top_k, kept)
    named = {task.info.corpora.get(split, "") for task in chosen}
    corpus = corpus or (named.pop() if len(named) == 1 else "")
    if not corpus:
        raise UserError(_no_corpus(chosen, split))
    return opening.open_engine(spec, corpus, top_k, kept)


def _no_corpus(chosen: Sequence[tasks.Task], split: Split) -> str:
    """Which tasks leave open what is searched, and what to do."""
    names = ", ".join(task.info.name for task in chosen)
    said = (
        f"none comes with {names}"
        if not any(task.info.corpora.get(split) for task in chosen)
        else f"the tasks {names} do not share one corpus"
    )
    hint = (
        "; real datasets ask about Wikipedia, such as wiki18_100w.jsonl of FlashRAG's "
        "retrieval-corpus"
        if any(task.info.edition == "real" for task in chosen)
        else ""
    )
    return (
        f"searches need a corpus, and {said} (split '{split}'): give --corpus a file (.jsonl, "
        f".jsonl.gz, .parquet) or a name ({', '.join(registry.names('corpora'))}){hint}"
    )


def _engine(plan: RunConfig, solver: Solver) -> Engine:
    return open_engine(
        plan.engine,
        EngineConfig(
            model=plan.model,
            base_url=plan.base_url,
            protocol=plan.protocol,
            concurrency=plan.concurrency,
            context_tokens=plan.budget.context_tokens,
            adapter=_adapter(plan, solver),
            key_file=plan.key_file,
        ),
    )


def _adapter(plan: RunConfig, solver: Solver) -> str:
    """The path of the adapter that a run puts on its model; empty: none."""
    if plan.adapter:
        return "" if plan.adapter == "none" else plan.adapter
    shipped = solver.adapters.get(plan.model or DEFAULT) if plan.engine == "embedded" else None
    return str(shipped or "")


async def describe_run(
    plan: RunConfig,
    solver: Solver,
    samples: tuple[TaskSample, ...],
    world: Backends,
) -> RunInfo:
    spec = RunSpec(
        solver=solver.spec,
        prompt_sha256=solver.prompt_sha256,
        tasks=samples,
        search=world.search.spec if world.search else None,
        engine=await world.engine.start() if world.engine else EngineSpec("none", "", "none"),
        sampling=plan.sampling,
        samples=plan.samples,
        budget=plan.budget,
    )
    server = f"replay of {plan.replay.name}" if plan.replay else plan.base_url
    asked = plan.search if world.search and plan.replay is None else ""
    answering = plan.engine if world.engine and plan.replay is None else ""
    session = provenance.here(server, plan.concurrency, asked, answering)
    return RunInfo(run_folder.FORMAT, spec, solver.section, (session,), plan.scorers)
