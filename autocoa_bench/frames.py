"""Runs as pandas frames, to compute what no table of the reports has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from autocoa_bench.engines import model_name
from autocoa_bench.episode import n_actions, n_malformed
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.runs.scores import load_scored
from autocoa_bench.scoring.evidence import trace
from autocoa_bench.types import Record, Score

if TYPE_CHECKING:
    from pandas import DataFrame

_RUN = (
    *("run", "solver", "section", "model", "engine", "tasks", "samples", "search", "corpus"),
    *("top_k", "temperature", "max_actions", "planned", "recorded", "faults", "started"),
    "git_revision",
)
_KEY = ("run", "task", "question_id", "sample")
_RECORD = (
    *_KEY,
    *("question", "golden_answers", "kind", "answer", "ending", "fault", "actions", "malformed"),
    *("gold_recall", "prompt_tokens", "completion_tokens", "seconds"),
)
_STEP = (
    *_KEY,
    *("step", "kind", "argument", "text", "observation", "passage_ids", "problem", "forced"),
    *("stop_reason", "prompt_tokens", "completion_tokens", "generate_seconds", "search_seconds"),
)


class Frames(NamedTuple):
    """Frames of runs, records and steps, joined by `run`, `task`, `question_id` and `sample`.

    `runs` has a row per run folder; `records` a row per question and sample, with a column for each
    scorer (missing where there is no score); `steps` a row per completion, numbered from 1.
    `gold_recall` is the share of the question's gold passages that were retrieved, missing where
    the question names none. Token counts are missing where the server did not report them.
    """

    runs: DataFrame
    records: DataFrame
    steps: DataFrame


def load_runs(*folders: str | Path) -> Frames:
    """Load run folders as frames; records that have no current scores are scored first.

    Raises UserError for a folder that is not a run folder.
    """
    from pandas import DataFrame

    runs = {str(folder): load_scored(Path(folder)) for folder in folders}
    scorers = dict.fromkeys(name for run in runs.values() for name in run.info.scorers)
    records = [row for name, run in runs.items() for row in record_rows(name, run)]
    steps = [row for name, run in runs.items() for row in step_rows(name, run)]
    return Frames(
        DataFrame([_run(name, run) for name, run in runs.items()], columns=list(_RUN)),
        DataFrame(records, columns=[*_RECORD, *scorers]),
        DataFrame(steps, columns=list(_STEP)),
    )


def _run(name: str, run: Run) -> dict[str, Any]:
    spec, session = run.info.spec, run.info.sessions[0]
    return {
        "run": name,
        "solver": spec.solver,
        "section": run.info.section,
        "model": model_name(spec.engine),
        "engine": spec.engine.engine,
        "tasks": ",".join(sample.task for sample in spec.tasks),
        "samples": spec.samples,
        "search": spec.search.engine if spec.search else None,
        "corpus": spec.search.corpus if spec.search else None,
        "top_k": spec.search.top_k if spec.search else None,
        "temperature": spec.sampling.temperature,
        "max_actions": spec.budget.max_actions,
        "planned": sum(len(sample.question_ids) for sample in spec.tasks) * spec.samples,
        "recorded": len(run.records),
        "faults": sum(record.fault is not None for record in run.records),
        "started": session.started,
        "git_revision": session.git_revision,
    }


def record_rows(name: str, run: Run) -> Iterator[dict[str, Any]]:
    """The rows of `Frames.records` for a run that is scored, under a name of the run."""
    none = Score(None)
    for record in run.records:
        question = record.question
        yield {
            **_key(name, record),
            "question": question.text,
            "golden_answers": list(question.golden_answers),
            "kind": question.kind,
            "fault": record.fault.kind if record.fault else None,
            "seconds": record.seconds,
            **_episode(record),
            **{scorer: rows.get(record.key, none).value for scorer, rows in run.scores.items()},
        }


def _episode(record: Record) -> dict[str, Any]:
    trajectory = record.trajectory
    if trajectory is None:
        return {}
    evidence = trace(record.question, trajectory)
    return {
        "answer": trajectory.answer,
        "ending": trajectory.ending,
        "actions": n_actions(trajectory),
        "malformed": n_malformed(trajectory),
        "gold_recall": evidence.recall() if evidence.passages else None,
        "prompt_tokens": _sum(step.prompt_tokens for step in trajectory.steps),
        "completion_tokens": _sum(step.completion_tokens for step in trajectory.steps),
    }


def step_rows(name: str, run: Run) -> Iterator[dict[str, Any]]:
    """The rows of `Frames.steps` for a run, under a name of the run."""
    for record in run.records:
        steps = record.trajectory.steps if record.trajectory else ()
        for number, step in enumerate(steps, 1):
            fields = {field: getattr(step, field) for field in _STEP if hasattr(step, field)}
            passage_ids = [passage.id for passage in step.passages]
            yield {**_key(name, record), "step": number, **fields, "passage_ids": passage_ids}


def _key(name: str, record: Record) -> dict[str, Any]:
    return dict(zip(_KEY, (name, *record.key), strict=True))


def _sum(counts: Iterator[int | None]) -> int | None:
    """The sum of counts; None where one is None."""
    values = list(counts)
    return None if None in values else sum(value or 0 for value in values)
