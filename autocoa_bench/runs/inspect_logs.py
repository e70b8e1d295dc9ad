"""Runs as logs of Inspect (the UK AI Security Institute's framework), for `inspect view`.

A log of Inspect is about one task, so a run becomes one log per task. Records become samples,
searches become calls of a tool `search`, and observations become that tool's messages. A score of
None becomes Inspect's unscored: not a number, with the reason.
"""

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from autocoa_bench import __version__
from autocoa_bench.engines import model_name
from autocoa_bench.episode import n_actions
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import estimate
from autocoa_bench.types import Record, Score, TaskSample, Trajectory

VERSION = 2
"""The version of Inspect's log format."""

_LONGEST_NAME = 80

_STOP_REASONS = {
    "stop": "stop",
    "length": "max_tokens",
    "filtered": "content_filter",
    "tool-call": "tool_calls",
}


def inspect_logs(run: Run) -> dict[str, dict[str, Any]]:
    """The logs of a run by file name, as JSON-like data; unscored values are NaN, as in Inspect."""
    logs = {}
    for log in (_log(run, sample) for sample in run.info.spec.tasks):
        spec = log["eval"]
        # Inspect only lists files whose names consist of a time, a task and an id.
        parts = (_file_name(spec[key], "-") for key in ("created", "task"))
        logs[f"{'_'.join(parts)}_{spec['task_id']}.json"] = log
    return logs


def _file_name(text: str, gap: str) -> str:
    """A text as a part of a file's name; a long one is cut, and told from others by its hash."""
    name = re.sub(r"[^A-Za-z0-9.@+=-]+" if gap == "-" else r"[^A-Za-z0-9]+", gap, text)
    if len(name) <= _LONGEST_NAME:
        return name
    return name[: _LONGEST_NAME - 8] + hashlib.sha256(text.encode()).hexdigest()[:8]


def _log(run: Run, sample: TaskSample) -> dict[str, Any]:
    records = [record for record in run.records if record.question.task == sample.task]
    planned = len(sample.question_ids) * run.info.spec.samples
    return {
        "version": VERSION,
        "status": "success" if len(records) == planned else "started",
        "eval": _eval(run, sample),
        "results": {
            "total_samples": planned,
            "completed_samples": sum(record.trajectory is not None for record in records),
            "scores": [_result(run, sample, name) for name in run.info.scorers],
        },
        "samples": [_sample(run, record) for record in records],
    }


def _eval(run: Run, sample: TaskSample) -> dict[str, Any]:
    spec, session = run.info.spec, run.info.sessions[-1]
    name = f"{run.path.name}-{sample.task}"
    return {
        "eval_id": name,
        "run_id": run.path.name,
        "task_id": _file_name(name, "."),
        "created": run.info.sessions[0].started,
        "task": sample.task,
        "solver": spec.solver,
        "model": model_name(spec.engine),
        "model_generate_config": {
            "temperature": spec.sampling.temperature,
            "top_p": spec.sampling.top_p,
            "seed": spec.sampling.seed,
            "max_tokens": spec.budget.step_tokens,
        },
        "dataset": {
            "name": f"{sample.task} ({sample.edition})",
            "samples": len(sample.question_ids),
            "sample_ids": list(sample.question_ids),
        },
        "config": {"epochs": spec.samples},
        "packages": {"autocoa_bench": __version__, **session.versions},
        "metadata": {
            "git_revision": session.git_revision,
            "prompt_sha256": spec.prompt_sha256,
            "questions_sha256": sample.sha256,
            "engine": msgspec.to_builtins(spec.engine),
            "search": msgspec.to_builtins(spec.search),
            "budget": msgspec.to_builtins(spec.budget),
        },
    }


def _result(run: Run, sample: TaskSample, scorer: str) -> dict[str, Any]:
    """The mean of a scorer with its 95 % interval over questions."""
    by_question: dict[str, list[float]] = {question: [] for question in sample.question_ids}
    unscored = 0
    for record in run.records:
        if record.question.task != sample.task:
            continue
        value = _score(run, record, scorer).value
        if value is None:
            unscored += 1
        else:
            by_question.setdefault(record.question.id, []).append(value)
    mean = estimate(list(by_question.values()))
    figures = {"mean": mean.mean, "ci_low": mean.low, "ci_high": mean.high}
    return {
        "name": scorer,
        "scorer": scorer,
        "scored_samples": sum(map(len, by_question.values())),
        "unscored_samples": unscored,
        "metrics": {
            name: {"name": name, "value": value}
            for name, value in figures.items()
            if value is not None
        },
    }


def _score(run: Run, record: Record, scorer: str) -> Score:
    return run.scores.get(scorer, {}).get(record.key, Score(None, "not scored"))


def _sample(run: Run, record: Record) -> dict[str, Any]:
    question, trajectory = record.question, record.trajectory
    sample: dict[str, Any] = {
        "id": question.id,
        "epoch": record.sample + 1,
        "input": question.text,
        "target": list(question.golden_answers),
        "total_time": record.seconds,
        "metadata": {"kind": question.kind},
        "scores": {
            name: _inspect_score(_score(run, record, name), trajectory) for name in run.info.scorers
        },
    }
    if trajectory is None:
        fault = record.fault
        message = f"{fault.kind}: {fault.message}" if fault else "unknown fault"
        return {**sample, "error": {"message": message, "traceback": "", "traceback_ansi": ""}}
    model = model_name(run.info.spec.engine)
    sample["metadata"] |= {"ending": trajectory.ending, "actions": n_actions(trajectory)}
    steps = trajectory.steps
    answer = {"role": "assistant", "content": trajectory.answer or ""}
    reason = _STOP_REASONS.get(steps[-1].stop_reason, "unknown") if steps else "unknown"
    # A step for which the server reported no tokens counts none.
    prompt = sum(step.prompt_tokens or 0 for step in steps)
    completion = sum(step.completion_tokens or 0 for step in steps)
    usage = {
        "input_tokens": prompt,
        "output_tokens": completion,
        "total_tokens": prompt + completion,
    }
    return {
        **sample,
        "messages": list(_messages(trajectory)),
        "output": {"model": model, "choices": [{"message": answer, "stop_reason": reason}]},
        "model_usage": {model: usage},
    }


def _inspect_score(score: Score, trajectory: Trajectory | None) -> dict[str, Any]:
    fields: dict[str, Any] = {"value": float("nan") if score.value is None else score.value}
    if trajectory is not None:
        fields["answer"] = trajectory.answer
    if score.reason:
        fields["explanation"] = score.reason
    return fields


def _messages(trajectory: Trajectory) -> Iterator[dict[str, Any]]:
    """The opening, then the model's message of each step, and the tool's after each search.

    A tool whose passages the model read in a prompt of its own says what the model wrote there.
    """
    for message in trajectory.opening:
        if message.role != "tools":
            yield {"role": message.role, "content": message.content}
    readings = [step.observation * (step.kind == "reading") for step in trajectory.steps[1:]]
    for number, step in enumerate(trajectory.steps, 1):
        if step.is_retrieval or step.kind == "reading":
            continue
        turn: dict[str, Any] = {"role": "assistant", "content": step.text}
        if step.kind == "search":
            call = {"id": f"search-{number}", "function": "search"}
            yield {**turn, "tool_calls": [{**call, "arguments": {"query": step.argument}}]}
            yield {
                "role": "tool",
                "tool_call_id": call["id"],
                "function": "search",
                "content": step.observation + "".join(readings[number - 1 : number]),
            }
            continue
        yield turn
        if step.observation:  # the nudge after a malformed completion
            yield {"role": "user", "content": step.observation}
