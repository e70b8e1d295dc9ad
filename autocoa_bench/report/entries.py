"""Runs as the entries of a table: with distinct names, in sections, with all planned answers."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from autocoa_bench.engines import model_name
from autocoa_bench.judge import SCORER
from autocoa_bench.report.model import cell_text
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import Estimate, estimate
from autocoa_bench.tasks import find_task
from autocoa_bench.types import Question, Record, RunSpec, TaskInfo, TaskSample, Trajectory
from autocoa_bench.util.text import one_line

OTHER = "Other"
_SECTIONS = ("Model only (w/o action)", "Agentic workflow", "Agent model")
"""The section headings of Table 1, in its order; others follow, and OTHER is last."""

Missing = Counter[str]
"""The number of planned answers without a score, by reason."""

QuestionKey = tuple[str, str]
"""A question's task and id."""

Key = TypeVar("Key")
Item = TypeVar("Item")


class Catalogue(Struct, frozen=True):
    """The section of Table 1 of each solver, and the registry's information on each task."""

    sections: dict[str, str] = {}
    tasks: dict[str, TaskInfo] = {}

    def title(self, task: str) -> str:
        """A task's title, or its name if the registry does not have it."""
        info = self.tasks.get(task)
        return info.title if info else task


EMPTY_CATALOGUE = Catalogue()
"""All solvers in "Other", all tasks by their names."""


def make_catalogue(runs: Sequence[Run]) -> Catalogue:
    """The runs' sections, and their tasks from the registry; tasks not installed are left out."""
    sections = {run.info.spec.solver: run.info.section or OTHER for run in runs}
    names = dict.fromkeys(sample.task for run in runs for sample in run.info.spec.tasks)
    # A run can outlive the package that its task came from.
    return Catalogue(sections, {name: task.info for name in names if (task := find_task(name))})


class Entry(Struct, frozen=True):
    """A run in a table. `name` is unique in the table; `model` is shortened where that is clear."""

    run: Run
    name: str
    label: str
    model: str
    section: str
    answers: dict[QuestionKey, list[Record]]

    @property
    def spec(self) -> RunSpec:
        """The run's specification."""
        return self.run.info.spec

    @property
    def title(self) -> str:
        """The heading of a section about this run alone."""
        return f"{self.label}, {self.model}"

    def trajectories(self) -> Iterator[tuple[Record, Trajectory]]:
        """The records that have a trajectory, with it."""
        for record in self.run.records:
            if record.trajectory is not None:
                yield record, record.trajectory

    def score(self, record: Record, scorer: str) -> float | None:
        """A record's score; None where it has none."""
        score = self.run.scores.get(scorer, {}).get(record.key)
        return score.value if score else None

    def scores_by_question(self, scorer: str) -> dict[QuestionKey, float]:
        """The mean score of each question's samples; questions without a score are left out."""
        scores = ((record, self.score(record, scorer)) for record in self.run.records)
        return mean_by_question(
            (question_key(record.question), score) for record, score in scores if score is not None
        )

    def scores_by_sample(self, sample: TaskSample, scorer: str) -> dict[str, dict[int, float]]:
        """For each planned question of a task, its scores by sample number."""
        return {
            question: {
                record.sample: score
                for record in self.answers.get((sample.task, question), [])
                if (score := self.score(record, scorer)) is not None
            }
            for question in sample.question_ids
        }


def question_key(question: Question) -> QuestionKey:
    """The task and id of a question."""
    return question.task, question.id


def estimate_over_questions(values: Iterable[tuple[QuestionKey, float]]) -> Estimate:
    """The mean over questions of the values of their samples."""
    return estimate(list(grouped(values).values()))


def mean_by_question(values: Iterable[tuple[QuestionKey, float]]) -> dict[QuestionKey, float]:
    """The mean value of each question's samples."""
    return {question: fmean(group) for question, group in grouped(values).items()}


def grouped(pairs: Iterable[tuple[Key, Item]]) -> dict[Key, list[Item]]:
    """The items of each key, keys in the order in which they first appear."""
    groups: dict[Key, list[Item]] = {}
    for key, item in pairs:
        groups.setdefault(key, []).append(item)
    return groups


class Inputs(NamedTuple):
    """The arguments of tables over runs.

    `metrics` are the scorers that a table shows, and `scorer` is the one that decides which answers
    are correct. `paper_rows` names rows of the paper by run (`paper_rows.match_rows`).
    """

    entries: Sequence[Entry]
    metrics: Sequence[str]
    scorer: str
    catalogue: Catalogue
    paper_rows: Mapping[str, str]


def make_inputs(
    runs: Sequence[Run],
    metrics: Sequence[str] = ("em",),
    catalogue: Catalogue = EMPTY_CATALOGUE,
    paper_rows: Mapping[str, str] | None = None,
) -> Inputs:
    """The arguments of tables over the runs; `em` decides, or the first metric where it is none."""
    entries = make_entries(runs, catalogue)
    return Inputs(entries, metrics, deciding_scorer(metrics), catalogue, paper_rows or {})


def make_entries(runs: Sequence[Run], catalogue: Catalogue) -> list[Entry]:
    """The runs' entries in the order of Table 1's sections, and as given within a section.

    Names tell runs apart by solver and model, then by the settings that differ, then by folder.
    """
    models = _short_models([model_name(run.info.spec.engine) for run in runs])
    pairs = [(run.info.spec.solver, models[model_name(run.info.spec.engine)]) for run in runs]
    rivals = grouped(zip(pairs, runs, strict=True))
    labels = [
        pair[0] if len(rivals[pair]) == 1 else f"{pair[0]} ({_distinction(run, rivals[pair])})"
        for pair, run in zip(pairs, runs, strict=True)
    ]
    entries = []
    for (solver, model), label, run in zip(pairs, labels, runs, strict=True):
        name = label if labels.count(label) == 1 else f"{label}, {model}"
        section = catalogue.sections.get(solver, OTHER)
        answers = grouped((question_key(record.question), record) for record in run.records)
        entries.append(
            Entry(run, cell_text(name), cell_text(label), cell_text(model), section, answers)
        )
    order = [*_SECTIONS, *(entry.section for entry in entries if entry.section != OTHER), OTHER]
    return sorted(entries, key=lambda entry: order.index(entry.section))


def task_titles(entries: Sequence[Entry], catalogue: Catalogue) -> dict[str, str]:
    """The titles of the runs' tasks, by name, both as tables have them."""
    titles = {sample.task: sample.task for entry in entries for sample in entry.spec.tasks}
    titles |= {name: info.title for name, info in catalogue.tasks.items()}
    return {one_line(name): one_line(title) for name, title in titles.items()}


def _short_models(models: Sequence[str]) -> dict[str, str]:
    """Models without their owner ("deepseek-ai/"), unless two would then look the same."""
    short = {model: model.rpartition("/")[2] or model for model in set(models)}
    shared = Counter(short.values())
    return {model: model if shared[name] > 1 else name for model, name in short.items()}


def _distinction(run: Run, rivals: Sequence[Run]) -> str:
    """The words that tell a run apart from others with the same solver and model."""
    settings = comparable_fields(run.info.spec)
    rival_fields = [comparable_fields(rival.info.spec) for rival in rivals if rival is not run]
    differing = [
        name
        for name in settings
        if any(fields.get(name) != settings[name] for fields in rival_fields)
    ]
    text = ", ".join(
        f"{name.rpartition('.')[2].replace('_', ' ')} {settings[name]}" for name in differing
    )
    # One or two short settings make a name; beyond that the folder is easier to read.
    unique = all(
        any(fields.get(name) != settings[name] for name in differing) for fields in rival_fields
    )
    if unique and 1 <= len(differing) <= 2 and len(text) <= 32:
        return text
    folders = [rival.path.name for rival in rivals]
    return run.path.name if folders.count(run.path.name) == 1 else str(run.path)


def comparable_fields(spec: RunSpec) -> dict[str, str]:
    """A spec's fields by dotted name, without those that rows may differ in: solver, prompt, model.

    A run that never searches has no search fields: that is its method, not a difference. The
    field `tasks` lists the tasks, `tasks.NAME` identifies a task's questions.
    """
    tree: dict[str, Any] = msgspec.to_builtins(spec)
    for field in ("solver", "prompt_sha256", "tasks"):
        del tree[field]
    del tree["engine"]["model"]
    if tree["search"] is None:
        del tree["search"]
    fields = dict(_flatten(tree))
    fields["tasks"] = ", ".join(sample.task for sample in spec.tasks)
    for sample in spec.tasks:
        parts = "\n".join((sample.sha256, *sample.question_ids))
        digest = hashlib.sha256(parts.encode()).hexdigest()[:6]
        number = len(sample.question_ids)
        fields[f"tasks.{sample.task}"] = f"{sample.edition}, {number:,} questions #{digest}"
    return fields


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, "none" if value is None else str(value)


@cache
def _field_names() -> dict[str, str]:
    content = Path(__file__).with_name("field_names.toml").read_bytes()
    return msgspec.toml.decode(content, type=dict[str, str])


def field_name(field: str) -> str:
    """A field of `comparable_fields` in words."""
    for prefix, words in _field_names().items():
        if prefix.endswith(".") and field.startswith(prefix):
            return f"{words} {field.removeprefix(prefix)}"
    return _field_names().get(field, field)


def deciding_scorer(scorers: Sequence[str]) -> str:
    """The scorer that decides which answers are correct: exact match, else the first."""
    return "em" if "em" in scorers else scorers[0]


def measure(entry: Entry, sample: TaskSample, scorer: str) -> tuple[Estimate, Missing]:
    """A task's mean over a run's planned questions, and why planned answers have no score."""
    by_question: list[list[float]] = []
    missing: Missing = Counter()
    for question in sample.question_ids:
        records = entry.answers.get((sample.task, question), [])
        # A sample that was never asked is missing too, so that coverage shows the gap.
        unanswered = max(0, entry.spec.samples - len(records))
        if unanswered:
            missing["not asked yet"] += unanswered
        scores = []
        for record in records:
            score = entry.score(record, scorer)
            if score is None:
                missing[_reason_unscored(entry, record, scorer)] += 1
            else:
                scores.append(score)
        by_question.append(scores)
    return estimate(by_question), missing


def _reason_unscored(entry: Entry, record: Record, scorer: str) -> str:
    if record.fault is not None:
        return cell_text(record.fault.kind, 40)
    score = entry.run.scores.get(scorer, {}).get(record.key)
    if score is not None:
        # A judge leaves answers open for several reasons, such as an unreadable reply.
        why = score.reason.partition(":")[0] if scorer == SCORER else ""
        return one_line(f"unscored by {scorer}{why and f': {why}'}", 60)
    return f"not scored by {scorer} yet"
