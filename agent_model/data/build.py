"""Builds a folder of training data: episodes from a teacher, filtered, drawn and written."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec.structs import replace
from rich.console import Console
from rich.progress import track

from agent_model.data import folder, gold_teacher
from agent_model.data.config import DataConfig, DataKind
from agent_model.data.filters import Counts, draw_sample, filter_records
from agent_model.data.folder import GoldSpec, SynthInfo, SynthSpec
from agent_model.data.pairs import Pair, draw_evenly, gold_pairs, sampled_pairs
from agent_model.dialects.cot import CoT
from autocoa_bench import scoring, tasks
from autocoa_bench.errors import SearchFault, UserError
from autocoa_bench.runs import run as runner
from autocoa_bench.runs.config import RunConfig
from autocoa_bench.runs.executor import open_search
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.scoring import TextScorer
from autocoa_bench.search import SearchEngine
from autocoa_bench.types import FaultNote, Question, Record, RunSpec, TaskSample

_SEARCHING: dict[DataKind, bool | None] = {"coa": True, "cot": False, "cot+a": None}

_CorpusGroup = tuple[Sequence[Question], SearchEngine]
"""The questions over one corpus, and the search engine over it."""


class _Chosen(NamedTuple):
    """All that is fit for training, records or pairs, and the counts of what it was chosen from."""

    spec: SynthSpec
    counts: Counts
    records: Sequence[Record] = ()
    pairs: Sequence[Pair] = ()


def build_data(config: DataConfig, console: Console) -> SynthInfo:
    """Make the data and write its folder, resuming the teacher's run if it was stopped.

    Refuses a folder that holds something else before anything is sampled, and writes nothing if no
    data was kept. Raises UserError for bad input, and KeyboardInterrupt once all finished episodes
    are recorded.
    """
    folder.check_out(config.out, config.kind)
    scorer = scoring.load_scorers((config.scorer,))[config.scorer]
    spec = SynthSpec(
        kind=config.kind,
        split=config.run.split,
        scorer=config.scorer,
        limits=config.limits,
        count=config.most,
        seed=config.seed,
    )
    from_teacher = _from_gold if config.teacher == "gold" else _from_model
    chosen = from_teacher(config, spec, scorer, console)
    drawn: Sequence[Record] | Sequence[Pair] = (
        draw_evenly(chosen.pairs, config.most, config.seed)
        if config.kind == "cot+a"
        else draw_sample(
            chosen.records, lambda r: ":".join(map(str, r.key)), config.most, config.seed
        )
    )
    info = SynthInfo(
        spec=chosen.spec,
        counts=chosen.counts,
        chosen=len(chosen.records) + len(chosen.pairs),
        written=len(drawn),
        shape=folder.shape_of(drawn),
    )
    return folder.write(config.out, info, drawn) if drawn else info


def _from_gold(
    config: DataConfig, spec: SynthSpec, scorer: TextScorer, console: Console
) -> _Chosen:
    spec, records, failures = _write_gold_episodes(config, spec, console)
    searching = _SEARCHING[config.kind]
    result = filter_records(records, scorer, config.limits, searching=searching)
    not_taught = {f"not taught: {reason}": n for reason, n in sorted(failures.items())}
    counts = replace(
        result.counts,
        seen=result.counts.seen + failures.total(),
        dropped=not_taught | result.counts.dropped,
    )
    if config.kind == "cot+a":
        return _Chosen(spec, counts, pairs=gold_pairs(result.records, config.seed))
    return _Chosen(spec, counts, records=result.records)


def _from_model(
    config: DataConfig, spec: SynthSpec, scorer: TextScorer, console: Console
) -> _Chosen:
    folder.check_origin(config.out, spec)
    solvers = {"cot": CoT.name, "coa": config.run.solver}
    runs: dict[str, Run] = {}
    for name in solvers if config.kind == "cot+a" else (config.kind,):

        def check(run: RunSpec, name: str = name) -> None:
            folder.check_origin(config.out, replace(spec, runs={name: run}))

        run_folder = (config.runs or config.out) / f"run-{name}"
        run_config = replace(config.run, solver=solvers[name], out=run_folder)
        runs[name] = _sample_episodes(run_config, console, check)
    spec = replace(spec, runs={name: run.info.spec for name, run in runs.items()})
    if config.kind == "cot+a":
        cot, coa = runs["cot"].records, runs["coa"].records
        pairs, dropped = sampled_pairs(cot, coa, scorer, config.limits.min_score)
        counts = Counts(len(pairs) + dropped.total(), len(pairs), dict(sorted(dropped.items())))
        return _Chosen(spec, counts, pairs=pairs)
    records = runs[config.kind].records
    searching = _SEARCHING[config.kind]
    result = filter_records(records, scorer, config.limits, searching=searching)
    return _Chosen(spec, result.counts, records=result.records)


def _sample_episodes(config: RunConfig, console: Console, check: Callable[[RunSpec], None]) -> Run:
    """Run a model, or resume the run in `config.out`; failed episodes stay faults.

    The records are in the order of questions and samples. `check` is called with the run's spec
    before anything is sampled. Raises UserError for bad input, and KeyboardInterrupt once all
    finished episodes are recorded.
    """
    run = runner.run(config, console, check)
    planned = [(part.task, name) for part in run.info.spec.tasks for name in part.question_ids]
    positions = {key: number for number, key in enumerate(planned)}
    records = sorted(run.records, key=lambda record: (positions[record.key[:2]], record.sample))
    return replace(run, records=tuple(records))


def _write_gold_episodes(
    config: DataConfig, spec: SynthSpec, console: Console
) -> tuple[SynthSpec, list[Record], Counter[str]]:
    """Let the gold teacher answer the questions of tasks, each over its task's corpus.

    Returns the spec with the teacher's part, the episodes, and the number of questions without one
    by reason. A question whose search fails becomes a fault. Raises UserError for bad input.
    """
    with asyncio.Runner() as loop:
        groups: list[_CorpusGroup] = []
        try:
            spec = replace(spec, gold=_open_groups(config, console, groups))
            items = [(question, search) for questions, search in groups for question in questions]
            if config.kind == "cot" and not any(
                question.kind in gold_teacher.AT_ONCE for question, _ in items
            ):
                raise UserError(
                    f"the gold teacher searches for every question of '{config.run.tasks}'; "
                    f"it answers only {' and '.join(gold_teacher.AT_ONCE)} facts without a "
                    "search: give --tasks when-to-act, or --teacher model"
                )
            folder.check_origin(config.out, spec)
            records: list[Record] = []
            failures: Counter[str] = Counter()
            hidden = not console.is_terminal
            for question, search in track(items, "writing", console=console, disable=hidden):
                coroutine = gold_teacher.gold_episode(question, search, config.seed, config.top_k)
                try:
                    episode = loop.run(coroutine)
                except SearchFault as fault:
                    note = FaultNote(fault.kind, str(fault))
                    records.append(Record(question, 0, fault=note))
                    continue
                if isinstance(episode, str):
                    failures[episode] += 1
                else:
                    records.append(Record(question, 0, episode))
            return spec, records, failures
        finally:
            for _, search in groups:
                loop.run(search.close())


def _open_groups(config: DataConfig, console: Console, groups: list[_CorpusGroup]) -> GoldSpec:
    """Sample the questions and open the search engine of each corpus; append to `groups`, so that
    the caller can close the engines if one fails to open."""
    run = config.run
    by_corpus: dict[str, list[tasks.Task]] = {}
    for task in tasks.resolve(run.tasks, run.fields):
        corpus = run.corpus or task.info.corpora.get(run.split, "")
        by_corpus.setdefault(corpus, []).append(task)
    samples: list[TaskSample] = []
    for corpus_tasks in by_corpus.values():
        questions, task_samples = runner.sample_questions(
            corpus_tasks, run.split, run.limit, run.sample_seed, console
        )
        search = open_search(run.search, corpus_tasks, run.split, run.corpus, max(config.top_k))
        groups.append((questions, search))
        samples += task_samples
    searches = tuple(search.spec for _, search in groups)
    return GoldSpec(tuple(samples), searches, config.top_k, config.seed)
