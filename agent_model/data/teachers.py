"""The episodes that data is chosen from: written by the gold teacher, or sampled from a model."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
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
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.search import SearchEngine
from autocoa_bench.types import FaultNote, Question, Record, RunSpec, TaskSample


class GoldEpisodes(NamedTuple):
    """The gold teacher's episodes, and the number of questions without one, by reason."""

    spec: GoldSpec
    records: tuple[Record, ...]
    failures: Counter[str]


_CorpusGroup = tuple[Sequence[Question], SearchEngine]
"""The questions over one corpus, and the search engine over it."""


def sample_episodes(config: RunConfig, console: Console, check: Callable[[RunSpec], None]) -> Run:
    """Run a model, or resume the run in `config.out`; failed episodes stay faults.

    The records are in the order of questions and samples.

    `check` is called with the run's spec before anything is sampled. Raises UserError for bad
    input, and KeyboardInterrupt once all finished episodes are recorded.
    """
    run = runs.run(config, console, check)
    positions = {
        (sample.task, question_id): (task_number, number)
        for task_number, sample in enumerate(run.info.spec.tasks)
        for number, question_id in enumerate(sample.question_ids)
    }

    def position(record: Record) -> tuple[int, int, int]:
        return (*positions[record.question.task, record.question.id], record.sample)

    return msgspec.structs.replace(run, records=tuple(sorted(run.records, key=position)))


def write_gold_episodes(
    config: DataConfig, searching: bool | None, console: Console, check: Callable[[GoldSpec], None]
) -> GoldEpisodes:
    """Let the gold teacher answer the questions of tasks, each over its task's corpus.

    `searching` is the kind of trajectory that will be chosen (see `filter_records`); `check` is
    called with the spec before anything is written. A question whose search fails becomes a fault.
    Raises UserError for bad input.
    """
    with asyncio.Runner() as runner:
        groups: list[_CorpusGroup] = []
        try:
            spec = _open_groups(config, console, groups)
            items = [(question, search) for questions, search in groups for question in questions]
            if searching is False and not any(
                question.kind in gold_teacher.AT_ONCE for question, _ in items
            ):
                raise UserError(
                    f"the gold teacher searches for every question of '{config.run.tasks}'; "
                    f"it answers only {' and '.join(gold_teacher.AT_ONCE)} facts without a "
                    "search: give --tasks when-to-act, or --teacher model"
                )
            check(spec)
            records: list[Record] = []
            failures: Counter[str] = Counter()
            hidden = not console.is_terminal
            for question, search in track(items, "writing", console=console, disable=hidden):
                coroutine = gold_teacher.gold_episode(question, search, config.seed, config.top_k)
                try:
                    episode = runner.run(coroutine)
                except SearchFault as fault:
                    note = FaultNote(fault.kind, str(fault))
                    records.append(Record(question, 0, fault=note))
                    continue
                if isinstance(episode, str):
                    failures[episode] += 1
                else:
                    records.append(Record(question, 0, episode))
            return GoldEpisodes(spec, tuple(records), failures)
        finally:
            for _, search in groups:
                runner.run(search.close())


def _open_groups(config: DataConfig, console: Console, groups: list[_CorpusGroup]) -> GoldSpec:
    """Sample the questions and open the search engine of each corpus; append to `groups`, so that
    the caller can close the engines if one fails to open."""
    run = config.run
    by_corpus: dict[str, list[tasks.Task]] = {}
    for task in tasks.resolve(run.tasks):
        corpus = run.corpus or task.info.corpora.get(run.split, "")
        by_corpus.setdefault(corpus, []).append(task)
    samples: list[TaskSample] = []
    for corpus_tasks in by_corpus.values():
        questions, task_samples = sample_questions(
            corpus_tasks, run.split, run.limit, run.sample_seed, console
        )
        search = open_search(run.search, corpus_tasks, run.split, run.corpus, max(config.top_k))
        groups.append((questions, search))
        samples += task_samples
    searches = tuple(search.spec for _, search in groups)
    return GoldSpec(tuple(samples), searches, config.top_k, config.seed)
