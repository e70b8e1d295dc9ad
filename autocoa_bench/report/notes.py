"""What stands around a table so that its numbers can't be taken for others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from autocoa_bench.engines import model_name
from autocoa_bench.judge import SCORER, judge_description
from autocoa_bench.judge.agreement import SavedAudit
from autocoa_bench.report.entries import Entry, comparable_fields, plain_field
from autocoa_bench.report.model import percent, printable
from autocoa_bench.types import Budget, Sampling, SearchSpec

EMBEDDED = "embedded edition: questions and passages made by this project, not the real datasets"


def title_with_model(title: str, found: Sequence[Entry]) -> str:
    """A table's title with the edition of its questions."""
    editions = sorted({sample.edition for entry in found for sample in entry.spec.tasks})
    return f"{title} ({' and '.join(editions)} edition)" if editions else title


def shared_notes(found: Sequence[Entry]) -> tuple[str, ...]:
    """The notes that each table carries: the embedded edition, and how its runs differ."""
    samples = [sample for entry in found for sample in entry.spec.tasks]
    embedded = [sample for sample in samples if sample.edition == "embedded"]
    notes = []
    if embedded and len(embedded) == len(samples):
        notes.append(EMBEDDED)
    elif embedded:
        names = ", ".join(dict.fromkeys(sample.task for sample in embedded))
        notes.append(f"{EMBEDDED} ({names})")
    return (*notes, *differences(found))


def differences(found: Sequence[Entry]) -> tuple[str, ...]:
    """One note a field of the specs in which runs differ, beyond solver, prompt and model."""
    fields = [comparable_fields(entry.spec) for entry in found]
    names = dict.fromkeys(name for each in fields for name in each)
    notes = []
    for name in names:
        values = {
            entry.name: each.get(name, "absent")
            for entry, each in zip(found, fields, strict=True)
            if name in each or not name.startswith(("search.", "tasks."))
        }
        if len(set(values.values())) > 1:
            notes.append(f"runs differ in {plain_field(name)}: {grouped(values)}")
    return tuple(notes)


def footer(found: Sequence[Entry]) -> tuple[str, ...]:
    """How the runs were made, a line a subject; one value where they agree."""
    lines: dict[str, Callable[[Entry], str]] = {
        "model": lambda e: _settings(
            e.spec.engine.model,
            f"engine {e.spec.engine.engine}",
            f"protocol {e.spec.engine.protocol}",
            *(f"{key} {value}" for key, value in e.spec.engine.settings.items()),
        ),
        "search": lambda e: _search(e.spec.search),
        "sampling": lambda e: _sampling(e.spec.sampling, e.spec.samples),
        "budget": lambda e: _budget(e.spec.budget),
        "scorers": lambda e: ", ".join(e.run.info.scorers) or "none",
        "judge": lambda e: judge_of(e) or "none",
        "git revision": _revisions,
    }
    return tuple(
        f"{subject}: {grouped({entry.name: printable(say(entry), 400) for entry in found})}"
        for subject, say in lines.items()
        if found
    )


def judge_of(entry: Entry) -> str:
    """Who judged a run's answers; empty where its scores are none of a judge's."""
    info = entry.run.info
    return judge_description(info.judge) if info.judge and SCORER in info.scorers else ""


def judge_notes(found: Sequence[Entry], audits: Sequence[SavedAudit] = ()) -> tuple[str, ...]:
    """What stands under each table with a judge's scores: who judged, and the judge's audits."""
    judges = {entry.name: printable(said, 400) for entry in found if (said := judge_of(entry))}
    if not judges:
        return ()
    shown = [entry.run.info.judge for entry in found if entry.name in judges]
    audited = (_audit_note(audit) for audit in audits if audit.judge in shown)
    return (f"judge: the share called right by {grouped(judges)}", *dict.fromkeys(audited))


def _audit_note(audit: SavedAudit) -> str:
    counts = audit.counts
    low, high = (100 * limit for limit in counts.agreement.interval)
    said = f"{percent(counts.agreement.mean or 0)} % ({low:.0f}–{high:.0f})"
    if counts.kappa is not None:
        kappa, (low, high) = counts.kappa
        said += f", kappa {kappa:z.2f} ({low:z.2f} to {high:z.2f})"
    return (
        f"judge {model_name(audit.judge.engine)}, prompt {audit.judge.prompt}: agreement with "
        f"{counts.n:,} labelled answers ({printable(audit.labels, 60)}) {said}{no_verdict(audit)}"
    )


def no_verdict(audit: SavedAudit) -> str:
    """Of how many of its labelled answers an audit has no verdict; empty where it has all."""
    if not audit.unscored:
        return ""
    return f", no verdict on {audit.unscored:,} of {audit.counts.n + audit.unscored:,}"


def _revisions(entry: Entry) -> str:
    found = [session.git_revision[:18] or "unknown" for session in entry.run.info.sessions]
    return ", then ".join(dict.fromkeys(found))


def grouped(values: dict[str, str]) -> str:
    """The one value of all runs, or each with its runs; the most frequent last, unlisted."""
    runs: dict[str, list[str]] = {}
    for name, value in values.items():
        runs.setdefault(value, []).append(name)
    if len(runs) == 1:
        return next(iter(runs))
    most = max(runs, key=lambda value: len(runs[value]))
    if len(runs[most]) > 2:
        runs[most] = ["the others"]
        runs[most] = runs.pop(most)
    return "; ".join(f"{value} [{', '.join(names)}]" for value, names in runs.items())


def _settings(first: str, *more: str) -> str:
    return f"{first} ({', '.join(more)})" if more else first


def _search(search: SearchSpec | None) -> str:
    if search is None:
        return "none"
    over = "a corpus that the server does not name"
    if search.corpus:
        over = f"{search.corpus} ({search.passages:,} passages, {search.corpus_sha256[:8]})"
    settings = [f"{key} {value}" for key, value in search.settings.items()]
    return f"{_settings(search.engine, *settings)} over {over}, top-{search.top_k}"


def _sampling(sampling: Sampling, samples: int) -> str:
    how = f"temperature {sampling.temperature:g}, top-p {sampling.top_p:g}"
    if sampling.temperature == 0:
        how = "greedy"
    if sampling.repetition_penalty != 1:
        how += f", repetition penalty {sampling.repetition_penalty:g}"
    times = f", {samples} samples a question" if samples > 1 else ""
    return f"{how}, seed {sampling.seed}{times}"


def _budget(budget: Budget) -> str:
    return (
        f"{budget.max_actions} actions, {budget.context_tokens:,} tokens of context, "
        f"{budget.step_tokens:,} a step, {budget.answer_tokens:,} a forced answer"
    )
