"""Runs as tables see them: named apart, put in sections, their planned questions accounted for."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import msgspec
from msgspec import Struct

from autocoa_bench.engines import model_name
from autocoa_bench.report.model import DataPoint, printable
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import Estimate, Paired, estimate
from autocoa_bench.tasks import find_task
from autocoa_bench.types import Record, RunSpec, TaskInfo, TaskSample

OTHER = "Other"
_SECTIONS = ("Model only (w/o action)", "Agentic workflow", "Agent model")
"""The headings of Table 1, in its order; others follow, and OTHER is last."""

Missing = Counter[str]
"""How many planned answers have no score, by reason."""


class Catalogue(Struct, frozen=True):
    """Each solver's section of Table 1, and what is known of each task."""

    sections: dict[str, str] = {}
    tasks: dict[str, TaskInfo] = {}


EMPTY_CATALOGUE = Catalogue()
"""All solvers in "Other", all tasks by their names."""


def make_catalogue(runs: Sequence[Run]) -> Catalogue:
    """The runs' sections, and their tasks from the registry; one not installed is left out."""
    sections: dict[str, str] = {}
    tasks: dict[str, TaskInfo] = {}
    for run in runs:
        sections[run.info.spec.solver] = run.info.section or OTHER
        for sample in run.info.spec.tasks:
            task = find_task(sample.task)
            if task is not None:  # a run outlives the package that made it
                tasks[sample.task] = task.info
    return Catalogue(sections, tasks)


class Entry(Struct, frozen=True):
    """A run in a table. `name` is unique in the table, `model` is short where that is clear."""

    run: Run
    name: str
    label: str
    model: str
    section: str
    answers: dict[tuple[str, str], list[Record]]

    @property
    def spec(self) -> RunSpec:
        """What the run did."""
        return self.run.info.spec

    def trajectories(self) -> Iterator[Record]:
        """The records that hold a trajectory."""
        return (record for record in self.run.records if record.trajectory is not None)

    def score(self, record: Record, scorer: str) -> float | None:
        """A record's score; None where it has none."""
        score = self.run.scores.get(scorer, {}).get(record.key)
        return score.value if score else None

    def by_question(self, scorer: str) -> dict[tuple[str, str], float]:
        """The mean score of each question's samples, by task and id; the unscored are left out."""
        scores: dict[tuple[str, str], list[float]] = {}
        for record in self.run.records:
            value = self.score(record, scorer)
            if value is not None:
                scores.setdefault((record.question.task, record.question.id), []).append(value)
        return {question: fmean(each) for question, each in scores.items()}

    def fact(self, table: str, metric: str, **fields: Any) -> DataPoint:
        """A fact about this run."""
        return DataPoint(
            table,
            self.name,
            self.run.path.name,
            self.spec.solver,
            model_name(self.spec.engine),
            self.section,
            metric,
            **fields,
        )

    def estimated(
        self, table: str, metric: str, found: Estimate | Paired, **fields: Any
    ) -> DataPoint:
        """A mean of this run with its interval, as a fact."""
        return self.fact(
            table, metric, mean=found.mean, low=found.low, high=found.high, n=found.n, **fields
        )


def make_entries(runs: Sequence[Run], catalogue: Catalogue) -> list[Entry]:
    """Name the runs apart, by solver and model, then by what differs, then by folder.

    They stand in the order of Table 1's sections, and within a section as given.
    """
    models = _short_models([model_name(run.info.spec.engine) for run in runs])
    pairs = [(run.info.spec.solver, models[model_name(run.info.spec.engine)]) for run in runs]
    labels = []
    for pair, run in zip(pairs, runs, strict=True):
        rivals = [other for name, other in zip(pairs, runs, strict=True) if name == pair]
        labels.append(pair[0] if len(rivals) == 1 else f"{pair[0]} ({_apart(run, rivals)})")
    found = []
    for (solver, model), label, run in zip(pairs, labels, runs, strict=True):
        name = label if labels.count(label) == 1 else f"{label}, {model}"
        section = catalogue.sections.get(solver, OTHER)
        found.append(
            Entry(run, printable(name), printable(label), printable(model), section, _answers(run))
        )
    others = [entry.section for entry in found if entry.section not in (*_SECTIONS, OTHER)]
    order = [*_SECTIONS, *dict.fromkeys(others), OTHER]
    return sorted(found, key=lambda entry: order.index(entry.section))


def task_titles(found: Sequence[Entry], catalogue: Catalogue) -> dict[str, str]:
    """The titles of the runs' tasks, by name."""
    titles = {sample.task: sample.task for entry in found for sample in entry.spec.tasks}
    return titles | {name: info.title for name, info in catalogue.tasks.items()}


def _short_models(models: Sequence[str]) -> dict[str, str]:
    """Models without their owner ("deepseek-ai/"), unless two would then look the same."""
    short = {model: model.rpartition("/")[2] or model for model in set(models)}
    shared = Counter(short.values())
    return {model: model if shared[name] > 1 else name for model, name in short.items()}


def _apart(run: Run, rivals: Sequence[Run]) -> str:
    """What tells a run from others of the same solver and model."""
    fields = {id(rival): comparable_fields(rival.info.spec) for rival in rivals}
    mine = fields.pop(id(run))
    differing = [
        key for key in mine if any(other.get(key) != mine[key] for other in fields.values())
    ]
    words = ", ".join(
        f"{key.rpartition('.')[2].replace('_', ' ')} {mine[key]}" for key in differing
    )
    unique = all(any(other.get(key) != mine[key] for key in differing) for other in fields.values())
    if unique and 1 <= len(differing) <= 2 and len(words) <= 32:
        return words
    folders = [rival.path.name for rival in rivals]
    return run.path.name if folders.count(run.path.name) == 1 else str(run.path)


def _answers(run: Run) -> dict[tuple[str, str], list[Record]]:
    answers: dict[tuple[str, str], list[Record]] = {}
    for record in run.records:
        answers.setdefault((record.question.task, record.question.id), []).append(record)
    return answers


def comparable_fields(spec: RunSpec) -> dict[str, str]:
    """A spec's fields by dotted name, less those that rows may differ in: solver, prompt, model.

    A run that never searches has no search fields: that is its method, not a difference. The
    field `tasks` says which tasks, `tasks.NAME` which questions.
    """
    built: dict[str, Any] = msgspec.to_builtins(spec)
    for field in ("solver", "prompt_sha256", "tasks"):
        del built[field]
    del built["engine"]["model"]
    if built["search"] is None:
        del built["search"]
    fields = dict(_flat(built))
    fields["tasks"] = ", ".join(sample.task for sample in spec.tasks)
    for sample in spec.tasks:
        parts = "\n".join((sample.sha256, *sample.question_ids))
        digest = hashlib.sha256(parts.encode()).hexdigest()[:6]
        number = len(sample.question_ids)
        fields[f"tasks.{sample.task}"] = f"{sample.edition}, {number:,} questions #{digest}"
    return fields


_PLAIN = {
    "search.engine": "search engine",
    "search.corpus": "corpus",
    "search.corpus_sha256": "corpus hash",
    "search.passages": "passages of the corpus",
    "search.top_k": "top-k (passages a search)",
    "engine.engine": "model engine",
    "engine.protocol": "protocol to the model",
    "sampling.temperature": "temperature",
    "sampling.top_p": "top-p",
    "sampling.repetition_penalty": "repetition penalty",
    "sampling.seed": "seed",
    "samples": "samples a question",
    "budget.max_actions": "budget of searches",
    "budget.context_tokens": "budget of context tokens",
    "budget.step_tokens": "budget of tokens a completion",
    "budget.answer_tokens": "budget of tokens of a forced answer",
}


def plain_field(field: str) -> str:
    """A field of `comparable_fields` in words."""
    for prefix, words in (
        ("search.settings.", "search setting"),
        ("engine.settings.", "model setting"),
        ("tasks.", "questions of"),
    ):
        if field.startswith(prefix):
            return f"{words} {field.removeprefix(prefix)}"
    return _PLAIN.get(field, field)


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in fields.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, "none" if value is None else str(value)


def deciding_scorer(scorers: Sequence[str]) -> str:
    """The scorer that says which answers are correct: exact match, else the first."""
    return "em" if "em" in scorers else scorers[0]


def measure(entry: Entry, sample: TaskSample, scorer: str) -> tuple[Estimate, Missing]:
    """A task's mean over a run's planned questions, and why planned answers have no score."""
    by_question: list[list[float]] = []
    missing: Missing = Counter()
    for question in sample.question_ids:
        records = entry.answers.get((sample.task, question), [])
        unasked = max(0, entry.spec.samples - len(records))
        if unasked:
            missing["not asked yet"] += unasked
        scores = []
        for record in records:
            value = entry.score(record, scorer)
            if value is None:
                missing[why_unscored(entry, record, scorer)] += 1
            else:
                scores.append(value)
        by_question.append(scores)
    return estimate(by_question), missing


def why_unscored(entry: Entry, record: Record, scorer: str) -> str:
    """The reason, in a few words, that a record has no score."""
    if record.fault is not None:
        return printable(record.fault.kind, 40)
    if record.key in entry.run.scores.get(scorer, {}):
        return f"unscored by {scorer}"
    return f"not scored by {scorer} yet"
