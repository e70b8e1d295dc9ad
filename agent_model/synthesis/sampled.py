"""Episodes to choose data from: sampled from a model, or written by the teacher without one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from agent_model.synthesis import gold
from agent_model.synthesis.folder import GoldSpec
from autocoa_bench import bench, registry, store, tasks
from autocoa_bench.errors import UserError
from autocoa_bench.search import SearchEngine
from autocoa_bench.tasks import Split
from autocoa_bench.types import Question, Record, RunSpec, TaskSample


class Sampled(NamedTuple):
    """A finished run of a teacher: its episodes in the order of questions and samples."""

    spec: RunSpec
    records: tuple[Record, ...]


class Taught(NamedTuple):
    """What the gold teacher made: trajectories, and the reasons where there is none."""

    spec: GoldSpec
    records: tuple[Record, ...]
    untaught: Counter[str]


class Ask(NamedTuple):
    """Which questions the gold teacher is asked, over which corpus; None: the tasks' own."""

    tasks: str
    split: Split
    limit: int | None
    sample_seed: int
    corpus: str | None
    search: str
    top_k: tuple[int, ...]
    seed: int


def sample(plan: bench.Plan, folder: Path, console: Console) -> Sampled:
    """Run a teacher into a run folder, or finish it there; episodes that failed stay faults.

    Raises UserError for bad input, and KeyboardInterrupt after everything recorded is safe.
    """
    run = store.load_run(bench.run(msgspec.structs.replace(plan, out=folder), console))
    places = {
        (task.task, identifier): (number, place)
        for number, task in enumerate(run.info.spec.tasks)
        for place, identifier in enumerate(task.question_ids)
    }

    def place(record: Record) -> tuple[int, int, int]:
        return (*places[record.question.task, record.question.id], record.sample)

    return Sampled(run.info.spec, tuple(sorted(run.records, key=place)))


def teach(ask: Ask, console: Console) -> Taught:
    """Have the gold teacher answer the questions of tasks, each over its task's corpus.

    Raises UserError for bad input.
    """
    samples, searches, records = [], [], []
    untaught: Counter[str] = Counter()
    for corpus, group in _by_corpus(ask).items():
        engine: SearchEngine = registry.load("search", ask.search)(corpus, top_k=max(ask.top_k))
        searches.append(engine.spec)
        for task in group:
            questions = tasks.sample(task.load(ask.split), ask.limit, ask.sample_seed)
            if isinstance(task, tasks.FileTask):
                for warning in task.warnings:
                    console.print(f"[yellow]{escape(warning)}[/yellow]")
            samples.append(_described(task, questions))
            lessons = gold.teach(questions, engine, ask.seed, ask.top_k)
            for question, lesson in track(
                lessons,
                description=task.info.name,
                total=len(questions),
                console=console,
                disable=not console.is_terminal,
            ):
                if isinstance(lesson, str):
                    untaught[lesson] += 1
                else:
                    records.append(Record(question, 0, lesson))
    spec = GoldSpec(tuple(samples), tuple(searches), ask.top_k, ask.seed)
    return Taught(spec, tuple(records), untaught)


def _by_corpus(ask: Ask) -> dict[str, list[tasks.Task]]:
    groups: dict[str, list[tasks.Task]] = {}
    for task in tasks.resolve(ask.tasks):
        corpus = ask.corpus or task.info.corpora.get(ask.split)
        if not corpus:
            raise UserError(
                f"task '{task.info.name}' names no corpus for its split '{ask.split}'; give "
                f"--corpus a name ({', '.join(registry.names('corpora'))}) or a file "
                "(.jsonl, .jsonl.gz, .parquet)"
            )
        groups.setdefault(corpus, []).append(task)
    return groups


def _described(task: tasks.Task, questions: Sequence[Question]) -> TaskSample:
    return TaskSample(
        task=task.info.name,
        edition=task.info.edition,
        sha256=tasks.questions_sha256(questions),
        question_ids=tuple(question.id for question in questions),
    )
