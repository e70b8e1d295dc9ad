"""Episodes to choose data from: sampled from a model, or written by the teacher without one."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.progress import track

from agent_model.data import gold_teacher
from agent_model.data.config import DataConfig
from agent_model.data.folder import GoldSpec
from autocoa_bench import tasks
from autocoa_bench.errors import SearchFault, UserError
from autocoa_bench.runs import run as runs
from autocoa_bench.runs.config import RunConfig
from autocoa_bench.runs.executor import open_search
from autocoa_bench.runs.run import sample_questions
from autocoa_bench.search import SearchEngine
from autocoa_bench.types import FaultNote, Question, Record, RunSpec, TaskSample, Trajectory

Lesson = Trajectory | FaultNote | str
"""A trajectory, or why there is none: a failed search, or the gold teacher's own reason."""


class SampledEpisodes(NamedTuple):
    """A finished run of a teacher: its episodes in the order of questions and samples."""

    spec: RunSpec
    records: tuple[Record, ...]


class TaughtEpisodes(NamedTuple):
    """What the gold teacher made: trajectories, and the reasons where there is none."""

    spec: GoldSpec
    records: tuple[Record, ...]
    untaught: Counter[str]


def sample(
    plan: RunConfig, folder: Path, console: Console, check: Callable[[RunSpec], None]
) -> SampledEpisodes:
    """Run a teacher into a run folder, or finish it there; episodes that failed stay faults.

    `check` is shown the run's spec before anything is sampled. Raises UserError for bad input,
    and KeyboardInterrupt after everything recorded is safe.
    """
    run = runs.run(msgspec.structs.replace(plan, out=folder), console, check)
    places = {
        (task.task, identifier): (number, place)
        for number, task in enumerate(run.info.spec.tasks)
        for place, identifier in enumerate(task.question_ids)
    }

    def place(record: Record) -> tuple[int, int, int]:
        return (*places[record.question.task, record.question.id], record.sample)

    return SampledEpisodes(run.info.spec, tuple(sorted(run.records, key=place)))


class _Group(NamedTuple):
    """Questions of the same corpus, and the search engine over it."""

    questions: Sequence[Question]
    search: SearchEngine


def teach(
    config: DataConfig, searching: bool | None, console: Console, check: Callable[[GoldSpec], None]
) -> TaughtEpisodes:
    """Have the gold teacher answer the questions of tasks, each over its task's corpus.

    `searching` says which trajectories are wanted, as for `keep`; `check` is shown the spec before
    any is made. A search that fails makes a fault of its question. Raises UserError for bad input.
    """
    with asyncio.Runner() as runner:
        groups: list[_Group] = []
        try:
            spec = _open(config, console, groups)
            if searching is False and not any(map(_at_once, groups)):
                raise UserError(
                    f"the gold teacher searches for every question of '{config.run.tasks}': it "
                    f"answers without only what is {' or '.join(gold_teacher.AT_ONCE)}; give "
                    "--tasks when-to-act, or --teacher model"
                )
            check(spec)
            lessons = _lessons(config, groups, runner)
            total = sum(len(each.questions) for each in groups)
            shown = track(
                lessons, "teaching", total, console=console, disable=not console.is_terminal
            )
            return _sorted(spec, shown)
        finally:
            for each in groups:
                runner.run(each.search.close())


def _open(config: DataConfig, console: Console, opened: list[_Group]) -> GoldSpec:
    """Draw the questions, and open the search engine of each corpus, into `opened`."""
    run = config.run
    by_corpus: dict[str, list[tasks.Task]] = {}
    for task in tasks.resolve(run.tasks):
        corpus = run.corpus or tasks.shared_corpus([task], run.split)
        by_corpus.setdefault(corpus, []).append(task)
    samples: list[TaskSample] = []
    for group in by_corpus.values():
        questions, drawn = sample_questions(group, run.split, run.limit, run.sample_seed, console)
        search = open_search(run.search, group, run.split, run.corpus, max(config.top_k))
        opened.append(_Group(questions, search))
        samples += drawn
    searches = tuple(each.search.spec for each in opened)
    return GoldSpec(tuple(samples), searches, config.top_k, config.seed)


def _at_once(each: _Group) -> bool:
    return any(question.kind in gold_teacher.AT_ONCE for question in each.questions)


def _lessons(
    config: DataConfig, groups: Iterable[_Group], runner: asyncio.Runner
) -> Iterator[tuple[Question, Lesson]]:
    for questions, search in groups:
        for question in questions:
            try:
                lesson: Lesson = runner.run(
                    gold_teacher.gold_episode(question, search, config.seed, config.top_k)
                )
            except SearchFault as fault:
                lesson = FaultNote(fault.kind, str(fault))
            yield question, lesson


def _sorted(spec: GoldSpec, lessons: Iterable[tuple[Question, Lesson]]) -> TaughtEpisodes:
    records: list[Record] = []
    untaught: Counter[str] = Counter()
    for question, lesson in lessons:
        if isinstance(lesson, str):
            untaught[lesson] += 1
        elif isinstance(lesson, FaultNote):
            records.append(Record(question, 0, fault=lesson))
        else:
            records.append(Record(question, 0, lesson))
    return TaughtEpisodes(spec, tuple(records), untaught)
