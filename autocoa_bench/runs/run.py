"""One run: from its configuration to a scored run folder."""

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace
from rich.console import Console

from autocoa_bench import registry, scoring
from autocoa_bench.engines import caveats
from autocoa_bench.episode import n_cut_prompts
from autocoa_bench.errors import UserError
from autocoa_bench.runs.config import RunConfig
from autocoa_bench.runs.executor import Executor, LocalExecutor
from autocoa_bench.runs.resume import recording
from autocoa_bench.runs.run_folder import Run, read_info
from autocoa_bench.runs.scores import score_run
from autocoa_bench.runs.solvers import Solver, load_solver
from autocoa_bench.search import factory
from autocoa_bench.tasks import (
    Task,
    load_warnings,
    questions_sha256,
    read_revision,
    resolve,
    sample,
)
from autocoa_bench.types import Question, Record, RunSpec, Split, TaskSample
from autocoa_bench.util.concurrency import outside_event_loop
from autocoa_bench.util.terminal import stderr_console, styled

_CUT_PROMPT = (
    "the server counts fewer tokens in a prompt of question {} than the prompt has words: it cuts "
    "prompts to its own context, or counts a part of them. Give it a larger context (Ollama: "
    "OLLAMA_CONTEXT_LENGTH or num_ctx) or lower --context-tokens; report --by cost counts them"
)

Check = Callable[[RunSpec], None]


def run(
    config: RunConfig | None = None,
    console: Console | None = None,
    check: Check = lambda _: None,
    **settings: Any,
) -> Run:
    """Run a solver over tasks, or resume the run, and return it with its scores.

    `settings` are the fields of `RunConfig`, where no configuration is given. `console` shows
    progress and warnings (default: stderr). `check` receives the run's spec before anything is
    generated, and may raise. Raises UserError for bad input, and KeyboardInterrupt once everything
    recorded is safe on disk.
    """
    config, console = config or RunConfig(**settings), console or stderr_console()
    return outside_event_loop(lambda: _run(config, console, check))


def _run(config: RunConfig, console: Console, check: Check) -> Run:
    config = _with_recorded_search(config)
    solver = load_solver(config.solver)
    config = replace(config, top_k=solver.top_k or config.top_k)
    scorers = scoring.load_scorers(config.scorers)
    tasks = resolve(config.tasks, config.fields)
    questions, samples = sample_questions(
        tasks, config.split, config.limit, config.sample_seed, console
    )
    if config.samples > 1 and config.sampling.temperature == 0:
        console.print(styled("greedy samples of one question are all alike", "yellow"))
    executor = _executor(config, solver, tasks, console)
    try:
        info = executor.start(config, samples)
        check(info.spec)
        for caveat in caveats(info.spec.engine):
            console.print(styled(caveat, "yellow"))
        path = config.out or config.runs_dir / folder_name(info.spec)
        with recording(path, info, questions, config.samples, console) as session:
            try:
                executor.run(path, session.waiting, _watched(session.add, console))
            finally:
                session.add_late_settings(executor.late_settings())
            recorded = session.run()
    finally:
        executor.close()
    scored = score_run(recorded, scorers, current=recorded.scores)
    _refuse_all_faults(scored.records)
    return scored


def _watched(add: Callable[[Record], None], console: Console) -> Callable[[Record], None]:
    """`add`, with one warning if the server cuts prompts."""
    has_warned = False

    def on_record(record: Record) -> None:
        nonlocal has_warned
        add(record)
        if not has_warned and record.trajectory and n_cut_prompts(record.trajectory):
            has_warned = True
            console.print(styled(_CUT_PROMPT.format(record.question.id), "yellow"))

    return on_record


def _with_recorded_search(config: RunConfig) -> RunConfig:
    """The configuration, with the tokens of the run in `out` where those are earlier ones."""
    if config.out is None or not (config.out / "run.json").exists():
        return config
    recorded = read_info(config.out).spec.search
    settings = recorded.settings if recorded else {}
    return replace(config, search=factory.with_earlier_tokens(config.search, settings))


def _executor(
    config: RunConfig, solver: Solver, tasks: Sequence[Task], console: Console
) -> Executor:
    if not config.executor:
        return LocalExecutor(solver, tasks, console)
    if config.record or config.replay:
        raise UserError(
            f"--executor {config.executor} does not go with --record or --replay: a cassette is "
            "written and read by one process"
        )
    label, plugin = registry.make("executors", config.executor)
    executor: Executor = plugin
    console.print(styled(f"{config.solver}: starting the workers of {label}", "dim"))
    return executor


def _refuse_all_faults(records: Sequence[Record]) -> None:
    """Refuse a run in which nothing worked: it has no table worth printing."""
    faults = [record.fault for record in records if record.fault]
    if faults and len(faults) == len(records):
        raise UserError(
            f"every question of the run failed, the first with {faults[0].kind}: "
            f"{faults[0].message}. Fix the cause and run the same command again to retry them."
        )


def folder_name(spec: RunSpec) -> str:
    """The name of a spec's own run folder: readable, and unique by a hash of the spec."""
    names = "+".join(sample.task for sample in spec.tasks)
    readable = "-".join((spec.solver, Path(spec.engine.model).name, names))
    digest = hashlib.sha256(msgspec.json.encode(spec)).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9._+=-]+', '-', readable)[:96]}-{digest}"


def sample_questions(
    tasks: Sequence[Task], split: Split, limit: int | None, seed: int, console: Console
) -> tuple[list[Question], tuple[TaskSample, ...]]:
    """The questions of tasks in order, at most `limit` of each, and their names for a run's spec.

    Prints the warnings of each task. Raises UserError.
    """
    questions: list[Question] = []
    samples = []
    for task in tasks:
        sampled = sample(task.load(split), limit, seed)
        for warning in load_warnings(task):
            console.print(styled(warning, "yellow"))
        samples.append(
            TaskSample(
                task=task.info.name,
                edition=task.info.edition,
                sha256=questions_sha256(sampled),
                question_ids=tuple(question.id for question in sampled),
                revision=read_revision(task),
            )
        )
        questions += sampled
    return questions, tuple(samples)
