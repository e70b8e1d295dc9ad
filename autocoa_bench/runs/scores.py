"""Scoring of recorded runs, by text scorers and by the verdicts of a judge."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import MappingProxyType

from msgspec.structs import replace
from rich.console import Console

from autocoa_bench import judge, scoring
from autocoa_bench.engines import EMBEDDED
from autocoa_bench.engines.weights.models import DEFAULT
from autocoa_bench.errors import UserError
from autocoa_bench.judge import probes
from autocoa_bench.judge.agreement import Label, SavedAudit, read_audit
from autocoa_bench.judge.judge import Judge, UnreadableJudge
from autocoa_bench.judge.verdict_cache import NAME, VerdictCache, read_verdicts
from autocoa_bench.runs.run_folder import Key, Run, load_run, write_info, write_scores
from autocoa_bench.types import JudgeSpec, Record, RunInfo, Score, Scored
from autocoa_bench.util.progress import JudgeProgress
from autocoa_bench.util.terminal import styled

_NOT_JUDGED = "not judged yet"

Scores = Mapping[str, Mapping[Key, Score]]
"""Scores by scorer and record."""


def text_scorers(names: Iterable[str]) -> dict[str, scoring.TextScorer]:
    """The scorers of these names without the judge, which reads no text. Raises UserError."""
    names = list(names)
    if names == [judge.SCORER]:
        return {}
    return scoring.load_scorers(name for name in names if name != judge.SCORER)


def score_run(
    run: Run,
    scorers: Mapping[str, scoring.TextScorer],
    judged: bool | None = None,
    current: Scores = MappingProxyType({}),
) -> Run:
    """Score every record of a run, write scores.jsonl, and return the scored run.

    `current` are scores that need not be computed again. `judged` tells whether the verdicts of the
    run's judge are among the scores; None: as before. Raises UserError where no judge has judged
    the run.
    """
    scored = _scored(run, scorers, judged, current)
    _write(scored)
    if scored.info != run.info:
        write_info(run.path, scored.info)
    return scored


def _scored(
    run: Run,
    scorers: Mapping[str, scoring.TextScorer],
    judged: bool | None = None,
    current: Scores = MappingProxyType({}),
) -> Run:
    if judged is None:
        judged = judge.SCORER in run.info.scorers
    scores: dict[str, dict[Key, Score]] = {name: {} for name in scorers}
    for record in run.records:
        missing = {}
        for name, scorer in scorers.items():
            if scoring.is_current(record, current.get(name, {}).get(record.key)):
                scores[name][record.key] = current[name][record.key]
            else:
                missing[name] = scorer
        for name, score in scoring.score_record(record, missing).items():
            scores[name][record.key] = score
    if judged:
        scores[judge.SCORER] = _scores_by_judge(run)
    return Run(run.path, replace(run.info, scorers=tuple(scores)), run.records, scores)


def _write(run: Run) -> None:
    rows = (
        Scored(*record.key, scores={name: run.scores[name][record.key] for name in run.scores})
        for record in run.records
    )
    write_scores(run.path, rows)


def load_scored(folder: Path) -> Run:
    """Read a run for a report; score first what was recorded or judged since the last time.

    The scores are written as well, unless the folder cannot be written.
    """
    run = load_run(folder)
    if _is_current(run):
        return run
    scored = _scored(run, text_scorers(run.info.scorers))
    with suppress(UserError):
        _write(scored)
    return scored


def shipped_audits(runs: Iterable[Run]) -> list[SavedAudit]:
    """The audits that ship with the prompts of the judges of runs. Raises UserError."""
    prompts = {run.info.judge.prompt for run in runs if run.info.judge}
    audits = []
    for prompt in sorted(prompts):
        try:
            files = judge.load_prompt(prompt).audits
        except UserError:  # a run outlives the package that its prompt came from
            continue
        audits += [read_audit(file) for file in files]
    return audits


def judge_runs(runs: Sequence[Run], config: judge.JudgeConfig, console: Console) -> list[Run]:
    """Judge all answers of runs that this judge has not judged yet, and return the scored runs.

    Raises UserError, also where every verdict failed, and KeyboardInterrupt once all verdicts are
    safe on disk.
    """

    async def work() -> list[Run]:
        async with Judge(config) as judging:
            return [await _judge_run(run, judging, console) for run in runs]

    return asyncio.run(work())


def judge_embedded(runs: Sequence[Run], concurrency: int, console: Console) -> list[Run]:
    """Have the shipped judge judge the runs of the embedded engine, and return all the runs.

    A run that another judge has judged is left as it is. Raises as `judge_runs` does.
    """
    config = judge.JudgeConfig(model=DEFAULT, engine=EMBEDDED, concurrency=concurrency)
    embedded = [run for run in runs if _is_for_shipped(run.info)]
    judged = iter(judge_runs(embedded, config, console) if embedded else ())
    return [next(judged) if _is_for_shipped(run.info) else run for run in runs]


def _is_for_shipped(info: RunInfo) -> bool:
    judged = info.judge.engine if info.judge else None
    by_another = judged is not None and (judged.engine, judged.model) != (EMBEDDED, DEFAULT)
    return info.spec.engine.engine == EMBEDDED and not by_another


def check_judge(config: judge.JudgeConfig) -> None:
    """Check a judge before a long run rather than after it (`Judge.check`). Raises UserError."""

    async def work() -> None:
        async with Judge(config) as judging:
            await judging.check()

    asyncio.run(work())


def judge_cases(
    cases: Sequence[judge.Case], config: judge.JudgeConfig, file: Path | None, console: Console
) -> tuple[JudgeSpec, list[judge.Verdict]]:
    """Judge cases, and return the judge and its verdicts; `file` caches the verdicts.

    Raises UserError and KeyboardInterrupt as `judge_runs` does.
    """

    async def work() -> tuple[JudgeSpec, list[judge.Verdict]]:
        async with Judge(config) as judging:
            with closing(VerdictCache(file)) as cache:
                spec = await judging.settle(cache, cases)
                reasons = await _judge(judging, spec, cache, cases, console, "judging")
                _refuse_all_faults(reasons, f"of {len(cases):,}")
                verdicts = [cache.get(spec, case) for case in cases]
                return spec, [verdict for verdict in verdicts if verdict is not None]

    return asyncio.run(work())


def judge_labels(
    labels: Sequence[Label], config: judge.JudgeConfig, file: Path | None, console: Console
) -> tuple[JudgeSpec, tuple[bool | None, ...]]:
    """Judge labelled answers, and return the judge and its verdicts; None where there is no answer.

    Raises UserError and KeyboardInterrupt as `judge_runs` does.
    """
    spec, verdicts = judge_cases(_cases(labels), config, file, console)
    remaining = iter(verdicts)
    return spec, tuple(
        next(remaining).right if label.prediction.strip() else None for label in labels
    )


def probe_judge(
    labels: Sequence[Label], config: judge.JudgeConfig, file: Path | None, console: Console
) -> tuple[JudgeSpec, probes.ProbeResults]:
    """Probe a judge on labelled answers (see `judge.probes`), and return it and its verdicts.

    Raises UserError and KeyboardInterrupt as `judge_runs` does.
    """
    wrong = _cases([label for label in labels if not label.verdict])
    kinds = probes.injections(wrong), probes.positions(_cases(labels))
    cases = [case for kind in kinds for probe in kind for case in (probe.plain, probe.changed)]
    if not cases:
        raise UserError(
            "a probe needs answers labelled wrong, or of several questions: there is none"
        )
    spec, verdicts = judge_cases(cases, config, file, console)
    right = {case: verdict.right for case, verdict in zip(cases, verdicts, strict=True)}
    return spec, probes.ProbeResults(*(probes.pairs_by_probe(kind, right) for kind in kinds))


def _cases(labels: Iterable[Label]) -> list[judge.Case]:
    """The labelled answers that are not blank, as cases."""
    return [
        judge.Case(label.question, label.golden_answers, label.prediction)
        for label in labels
        if label.prediction.strip()
    ]


async def _judge_run(run: Run, judging: Judge, console: Console) -> Run:
    cases = [case for case in map(_case, run.records) if isinstance(case, judge.Case)]
    with closing(VerdictCache(run.path / NAME)) as cache:
        spec = await judging.settle(cache, cases)
        # run.json names the judge before it judges, so that a report of a killed run is right.
        before = run.info
        scorers = (*(name for name in before.scorers if name != judge.SCORER), judge.SCORER)
        run = replace(run, info=replace(before, judge=spec, scorers=scorers))
        write_info(run.path, run.info)
        try:
            reasons = await _judge(judging, spec, cache, cases, console, f"judging {run.path.name}")
        except UnreadableJudge:
            write_info(run.path, before)
            raise
    scored = score_run(run, text_scorers(scorers), current=run.scores)
    _refuse_all_faults(reasons, f"of '{run.path}'")
    return scored


def _refuse_all_faults(reasons: Sequence[str | None], scope: str) -> None:
    """Refuse a judge that could judge nothing: it has no figures worth printing."""
    if reasons and all(reason is not None for reason in reasons):
        raise UserError(
            f"no answer {scope} could be judged, the first for {reasons[0]}. Fix the cause and run "
            "the same command again to retry."
        )


async def _judge(
    judging: Judge,
    spec: JudgeSpec,
    cache: VerdictCache,
    cases: Sequence[judge.Case],
    console: Console,
    label: str,
) -> list[str | None]:
    """Judge the cases that the cache has no verdict on, and show progress.

    Returns, for each of them, the reason for which the judge's engine failed, or None.
    """
    waiting = cache.open_cases(spec, cases)
    reasons: list[str | None] = []
    total = len(set(cases))
    if judged := total - len(waiting):
        console.print(styled(f"{label}: {judged:,} of {total:,} answers are judged"))
    if judging.unreachable:
        console.print(styled(f"{len(waiting):,} stay unreadable: {judging.unreachable}"))
        waiting = []
    with JudgeProgress(console, label, len(waiting)) as progress:

        def on_verdict(verdict: judge.Verdict) -> None:
            progress.add(verdict.right)
            reasons.append(verdict.reason if verdict.faulted else None)

        await judging.judge(spec, cache, cases, on_verdict)
    return reasons


def _case(record: Record) -> judge.Case | Score:
    """The case that a record is for a judge; its score where it has no answer to judge."""
    answer = scoring.answer_of(record)
    if isinstance(answer, Score):
        return answer
    return judge.Case(record.question.text, record.question.golden_answers, answer)


def _is_current(run: Run) -> bool:
    scored = all(
        scoring.is_current(record, run.scores.get(name, {}).get(record.key))
        for name in run.info.scorers
        for record in run.records
    )
    judged = judge.SCORER in run.info.scorers
    return scored and (not judged or run.scores.get(judge.SCORER, {}) == _scores_by_judge(run))


def _scores_by_judge(run: Run) -> dict[Key, Score]:
    """Each record's score by the run's judge, from the verdicts in the run folder."""
    if run.info.judge is None:
        raise UserError(f"no model has judged '{run.path}': score it with --judge MODEL")
    verdicts = read_verdicts(run.path / NAME)
    return {record.key: _verdict_score(record, run.info.judge, verdicts) for record in run.records}


def _verdict_score(record: Record, spec: JudgeSpec, verdicts: Mapping[str, judge.Verdict]) -> Score:
    case = _case(record)
    if isinstance(case, Score):
        return case
    verdict = verdicts.get(judge.verdict_key(spec, case))
    if verdict is None:
        return Score(None, _NOT_JUDGED)
    return Score(None if verdict.right is None else float(verdict.right), verdict.reason)
