"""From recorded runs to scored ones: text scorers, and a judge's verdicts beside them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace
from rich.console import Console
from rich.markup import escape

from autocoa_bench import judge, scoring
from autocoa_bench.engines.weights.models import DEFAULT
from autocoa_bench.errors import UserError
from autocoa_bench.judge import probes
from autocoa_bench.judge.agreement import Label, SavedAudit, read_audit
from autocoa_bench.judge.judge import Judge
from autocoa_bench.judge.verdict_cache import NAME, VerdictCache, read_verdicts
from autocoa_bench.runs import run_folder
from autocoa_bench.types import JudgeSpec, Record, RunInfo, Score, Scored
from autocoa_bench.util.run_progress import JudgeProgress

EMBEDDED = "embedded"
"""The engine whose answers the judge that ships judges."""

_NOT_JUDGED = "not judged yet"


def text_scorers(names: Iterable[str]) -> dict[str, scoring.TextScorer]:
    """The scorers of these names but the judge, which is none of text. Raises UserError."""
    names = list(names)
    if names == [judge.SCORER]:
        return {}
    return scoring.load_scorers(name for name in names if name != judge.SCORER)


def score_run(
    folder: Path, scorers: dict[str, scoring.TextScorer], judged: bool | None = None
) -> tuple[Record, ...]:
    """Score every record of a run anew and write scores.jsonl; nothing is generated.

    `judged` says whether the verdicts of the run's judge are among the scores; None: as before.
    Returns the records. Raises UserError where no judge has judged the run.
    """
    loaded = run_folder.load_run(folder)
    info = loaded.info
    if judged is None:
        judged = judge.SCORER in info.scorers
    verdicts = _scores_by_judge(loaded) if judged else {}
    rows = []
    for record in loaded.records:
        scores = scoring.score_record(record, scorers)
        if judged:
            scores[judge.SCORER] = verdicts[record.key]
        rows.append(Scored(*record.key, scores=scores))
    run_folder.write_scores(folder, rows)
    names = (*scorers, *([judge.SCORER] if judged else []))
    if info.scorers != names:
        run_folder.write_info(folder, replace(info, scorers=names))
    return loaded.records


def load_scored(folder: Path) -> run_folder.Run:
    """Read a run for a report, scoring first what was recorded or judged since the last time."""
    loaded = run_folder.load_run(folder)
    if _is_current(loaded):
        return loaded
    score_run(folder, text_scorers(loaded.info.scorers))
    return run_folder.load_run(folder)


def shipped_audits(runs: Iterable[run_folder.Run]) -> list[SavedAudit]:
    """The audits that ship with the prompts of the judges of runs. Raises UserError."""
    prompts = {run.info.judge.prompt for run in runs if run.info.judge}
    audits = []
    for prompt in sorted(prompts):
        try:
            files = judge.load_prompt(prompt).audits
        except UserError:  # a run outlives the package that made it
            continue
        audits += [read_audit(file) for file in files]
    return audits


def judge_runs(folders: Sequence[Path], plan: judge.JudgeConfig, console: Console) -> None:
    """Have a model judge all answers of runs that it has not judged yet, and write the scores.

    Raises UserError, also where every verdict failed, and KeyboardInterrupt once all that was
    judged is safe.
    """

    async def work() -> None:
        asked = Judge(plan)
        try:
            for folder in folders:
                await _judge_run(folder, asked, console)
        finally:
            await asked.close()

    asyncio.run(work())


def judge_embedded(folders: Sequence[Path], concurrency: int, console: Console) -> None:
    """Have the judge that ships judge those of the runs that the embedded engine answered.

    One that another judge has judged is left to that. Raises as `judge_runs` does.
    """
    plan = judge.JudgeConfig(model=DEFAULT, engine=EMBEDDED, concurrency=concurrency)
    infos = {folder: run_folder.load_run(folder).info for folder in folders}
    own = [folder for folder, info in infos.items() if _is_for_shipped(info)]
    if own:
        judge_runs(own, plan, console)


def _is_for_shipped(info: RunInfo) -> bool:
    judged = info.judge.engine if info.judge else None
    others = judged is not None and (judged.engine, judged.model) != (EMBEDDED, DEFAULT)
    return info.spec.engine.engine == EMBEDDED and not others


def check_judge(plan: judge.JudgeConfig) -> None:
    """Raises UserError where a judge cannot be had: before a long run rather than after it.

    An engine that is not a server's is started after it alone.
    """

    async def work() -> None:
        asked = Judge(plan)
        try:
            if plan.base_url:
                await asked.start()
        finally:
            await asked.close()

    asyncio.run(work())


def judge_cases(
    cases: Sequence[judge.Case], plan: judge.JudgeConfig, file: Path | None, console: Console
) -> tuple[JudgeSpec, list[judge.Verdict]]:
    """Who judges, and what it says of each case; `file` keeps verdicts, and is asked first.

    Raises UserError and KeyboardInterrupt as `judge_runs` does.
    """

    async def work() -> tuple[JudgeSpec, list[judge.Verdict]]:
        asked, kept = Judge(plan), VerdictCache(file)
        try:
            spec = await asked.settle(kept, cases)
            failed = await _ask(asked, spec, kept, cases, console, "judging")
            _refuse_all_failed(failed, f"of {len(cases):,}")
            found = [kept.of(spec, case) for case in cases]
            return spec, [verdict for verdict in found if verdict is not None]
        finally:
            kept.close()
            await asked.close()

    return asyncio.run(work())


def judge_labels(
    labels: Sequence[Label], plan: judge.JudgeConfig, file: Path | None, console: Console
) -> tuple[JudgeSpec, tuple[bool | None, ...]]:
    """Who judges, and its verdict on each labelled answer; None too where there is no answer.

    Raises UserError and KeyboardInterrupt as `judge_runs` does.
    """
    answered = [label for label in labels if label.prediction.strip()]
    cases = [judge.Case(each.question, each.golden_answers, each.prediction) for each in answered]
    spec, verdicts = judge_cases(cases, plan, file, console)
    said = iter(verdicts)
    return spec, tuple(next(said).right if each.prediction.strip() else None for each in labels)


def probe_judge(
    labels: Sequence[Label], plan: judge.JudgeConfig, file: Path | None, console: Console
) -> tuple[JudgeSpec, probes.ProbeResults]:
    """Who judges, and how its verdicts on labelled answers stand up to `judge.probes`.

    Raises UserError and KeyboardInterrupt as `judge_runs` does.
    """
    answered = [label for label in labels if label.prediction.strip()]
    cases = [judge.Case(each.question, each.golden_answers, each.prediction) for each in answered]
    wrong = [case for case, label in zip(cases, answered, strict=True) if not label.verdict]
    kinds = probes.injections(wrong), probes.positions(cases)
    asked = [case for kind in kinds for probe in kind for case in (probe.plain, probe.changed)]
    if not asked:
        raise UserError(
            "a probe needs answers labelled wrong, or of several questions: there is none"
        )
    spec, verdicts = judge_cases(asked, plan, file, console)
    right = {case: verdict.right for case, verdict in zip(asked, verdicts, strict=True)}
    found: list[dict[str, list[tuple[bool | None, bool | None]]]] = [{}, {}]
    for kind, by_name in zip(kinds, found, strict=True):
        for probe in kind:
            by_name.setdefault(probe.name, []).append((right[probe.plain], right[probe.changed]))
    return spec, probes.ProbeResults(*found)


async def _judge_run(folder: Path, asked: Judge, console: Console) -> None:
    loaded = run_folder.load_run(folder)
    found = [_case(record) for record in loaded.records]
    cases = [case for case in found if isinstance(case, judge.Case)]
    kept = VerdictCache(folder / NAME)
    try:
        spec = await asked.settle(kept, cases)
        # Said before anything is asked, so that a report of what a kill leaves is right.
        scorers = (*(name for name in loaded.info.scorers if name != judge.SCORER), judge.SCORER)
        run_folder.write_info(folder, replace(loaded.info, judge=spec, scorers=scorers))
        failed = await _ask(asked, spec, kept, cases, console, f"judging {folder.name}")
    finally:
        kept.close()
    score_run(folder, text_scorers(scorers))
    _refuse_all_failed(failed, f"of '{folder}'")


class _Failed(NamedTuple):
    """Why the judge's engine failed, of how many answers that it was asked about."""

    reasons: list[str]
    asked: int


async def _ask(
    asked: Judge,
    spec: JudgeSpec,
    kept: VerdictCache,
    cases: Sequence[judge.Case],
    console: Console,
    label: str,
) -> _Failed:
    """Ask what is not kept yet, with a bar."""
    waiting = kept.open_cases(spec, cases)
    failed = _Failed([], len(waiting))
    if known := len(set(cases)) - len(waiting):
        console.print(f"{escape(label)}: {known:,} of {len(set(cases)):,} answers are judged")
    with JudgeProgress(console, label, len(waiting)) as progress:

        def on_verdict(verdict: judge.Verdict) -> None:
            progress.add(verdict.right)
            if verdict.faulted:
                failed.reasons.append(verdict.reason)

        await asked.judge(spec, kept, waiting, on_verdict)
    return failed


def _refuse_all_failed(failed: _Failed, whose: str) -> None:
    """A judge of whom nothing worked has no figures worth printing."""
    if failed.asked and len(failed.reasons) == failed.asked:
        raise UserError(
            f"no answer {whose} could be judged, the first for {failed.reasons[0]}. Once that is "
            "mended, the same command asks again."
        )


def _case(record: Record) -> judge.Case | Score:
    """What a judge is asked of a record; its score where there is nothing to ask."""
    answer = scoring.answer_of(record)
    if isinstance(answer, Score):
        return answer
    return judge.Case(record.question.text, record.question.golden_answers, answer)


def _is_current(loaded: run_folder.Run) -> bool:
    scored = all(
        scoring.is_current(record, loaded.scores.get(name, {}).get(record.key))
        for name in loaded.info.scorers
        for record in loaded.records
    )
    judged = judge.SCORER in loaded.info.scorers
    return scored and (
        not judged or loaded.scores.get(judge.SCORER, {}) == _scores_by_judge(loaded)
    )


def _scores_by_judge(loaded: run_folder.Run) -> dict[run_folder.Key, Score]:
    """Each record's score by the run's judge, from the verdicts that the run folder keeps."""
    info: RunInfo = loaded.info
    if info.judge is None:
        raise UserError(f"no model has judged '{loaded.path}': score it with --judge MODEL")
    verdicts = read_verdicts(loaded.path / NAME)
    return {record.key: _score(record, info.judge, verdicts) for record in loaded.records}


def _score(record: Record, spec: JudgeSpec, verdicts: dict[str, judge.Verdict]) -> Score:
    case = _case(record)
    if isinstance(case, Score):
        return case
    verdict = verdicts.get(judge.verdict_key(spec, case))
    if verdict is None:
        return Score(None, _NOT_JUDGED)
    return Score(None if verdict.right is None else float(verdict.right), verdict.reason)
