"""The titles, notes and footers that say what a table's numbers are of."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from autocoa_bench.engines import model_name
from autocoa_bench.judge import SCORER, judge_description
from autocoa_bench.judge.agreement import SavedAudit
from autocoa_bench.report.entries import Entry, Missing, comparable_fields, field_name, grouped
from autocoa_bench.report.model import MARK, cell_text, percent
from autocoa_bench.types import Sampling, SearchSpec

EMBEDDED = "embedded edition: questions and passages made by this project, not the real datasets"


def title_with_edition(title: str, entries: Sequence[Entry]) -> str:
    """A table's title with the edition of its questions."""
    editions = sorted({sample.edition for entry in entries for sample in entry.spec.tasks})
    return f"{title} ({' and '.join(editions)} edition)" if editions else title


def shared_notes(entries: Sequence[Entry]) -> tuple[str, ...]:
    """The notes of every table: whether its questions are embedded, and how its runs differ."""
    samples = [sample for entry in entries for sample in entry.spec.tasks]
    embedded = [sample.task for sample in samples if sample.edition == "embedded"]
    if not embedded:
        return difference_notes(entries)
    names = f" ({', '.join(dict.fromkeys(embedded))})" if len(embedded) < len(samples) else ""
    return (EMBEDDED + names, *difference_notes(entries))


def difference_notes(entries: Sequence[Entry]) -> tuple[str, ...]:
    """One note per setting in which runs differ, apart from solver, prompt and model."""
    fields = [comparable_fields(entry.spec) for entry in entries]
    # A run without search has no search fields: that is its method, not a difference.
    differing = differing_fields(
        entries, fields, lambda _, name: not name.startswith(("search.", "tasks."))
    )
    return tuple(f"runs differ in {difference}" for difference in differing)


def differing_fields(
    entries: Sequence[Entry],
    fields: Sequence[Mapping[str, str]],
    counts_absent: Callable[[Entry, str], bool],
) -> Iterator[str]:
    """Each field in which runs differ, in words, with the runs of each value.

    `fields` are those of the entries. A run without a field differs from those that have it only
    if `counts_absent`.
    """
    for name in dict.fromkeys(name for settings in fields for name in settings):
        values = {
            entry.name: settings.get(name, "absent")
            for entry, settings in zip(entries, fields, strict=True)
            if name in settings or counts_absent(entry, name)
        }
        if len(set(values.values())) > 1:
            yield f"{field_name(name)}: {group_by_value(values)}"


def footer(entries: Sequence[Entry]) -> tuple[str, ...]:
    """The settings of the runs, one line per subject; a single value where they agree."""
    subjects: dict[str, Callable[[Entry], str]] = {
        "model": lambda entry: _with_settings(
            entry.spec.engine.model,
            f"engine {entry.spec.engine.engine}",
            f"protocol {entry.spec.engine.protocol}",
            *(f"{name} {value}" for name, value in entry.spec.engine.settings.items()),
        ),
        "search": lambda entry: _search(entry.spec.search),
        "sampling": lambda entry: _sampling(entry.spec.sampling, entry.spec.samples),
        "budget": lambda entry: (
            f"{entry.spec.budget.max_actions} actions, "
            f"{entry.spec.budget.context_tokens:,} tokens of context, "
            f"{entry.spec.budget.step_tokens:,} a step, "
            f"{entry.spec.budget.answer_tokens:,} a forced answer"
        ),
        "scorers": lambda entry: ", ".join(entry.run.info.scorers) or "none",
        "judge": lambda entry: judge_text(entry) or "none",
        "git revision": lambda entry: ", then ".join(
            dict.fromkeys(
                session.git_revision[:18] or "unknown" for session in entry.run.info.sessions
            )
        ),
    }
    return tuple(
        f"{subject}: "
        + group_by_value({entry.name: cell_text(describe(entry), 400) for entry in entries})
        for subject, describe in subjects.items()
        if entries
    )


def missing_note(entry: Entry, reasons: str) -> str:
    """The note of a run whose marked numbers rest on fewer answers than planned."""
    return f"{MARK} {entry.name}: fewer answers than planned: {reasons}"


def reasons_text(missing: Missing) -> str:
    """The reasons for missing scores with their numbers, the most frequent first."""
    return ", ".join(f"{reason} {number}" for reason, number in missing.most_common())


def judge_text(entry: Entry) -> str:
    """The judge of a run's answers in words; empty where no judge scored them."""
    info = entry.run.info
    return judge_description(info.judge) if info.judge and SCORER in info.scorers else ""


def judge_notes(entries: Sequence[Entry], audits: Sequence[SavedAudit] = ()) -> tuple[str, ...]:
    """The notes of a table with a judge's scores: the judge, and its audits."""
    judges = {entry.name: cell_text(text, 400) for entry in entries if (text := judge_text(entry))}
    if not judges:
        return ()
    specs = [entry.run.info.judge for entry in entries if entry.name in judges]
    audit_notes = (_audit_note(audit) for audit in audits if audit.judge in specs)
    note = f"judge: the share called right by {group_by_value(judges)}"
    return (note, *dict.fromkeys(audit_notes))


def _audit_note(audit: SavedAudit) -> str:
    counts = audit.counts
    low, high = (100 * limit for limit in counts.agreement.interval)
    agreement = f"{percent(counts.agreement.mean or 0)} % ({low:.0f}–{high:.0f})"
    if counts.kappa is not None:
        kappa, (low, high) = counts.kappa
        agreement += f", kappa {kappa:z.2f} ({low:z.2f} to {high:z.2f})"
    return (
        f"judge {model_name(audit.judge.engine)}, prompt {audit.judge.prompt}: agreement with "
        f"{counts.n:,} labelled answers ({cell_text(audit.labels, 60)}) {agreement}"
        f"{no_verdict(audit)}"
    )


def no_verdict(audit: SavedAudit) -> str:
    """The number of labelled answers on which an audit has no verdict; empty if it has all."""
    if not audit.unscored:
        return ""
    return f", no verdict on {audit.unscored:,} of {audit.counts.n + audit.unscored:,}"


def group_by_value(values: dict[str, str]) -> str:
    """The one value of all runs, or each value with its runs; the most frequent value last."""
    runs = grouped((value, name) for name, value in values.items())
    if len(runs) == 1:
        return next(iter(runs))
    most = max(runs, key=lambda value: len(runs[value]))
    # A long list of runs with the common value would hide the exceptions.
    if len(runs[most]) > 2:
        del runs[most]
        runs[most] = ["the others"]
    return "; ".join(f"{value} [{', '.join(names)}]" for value, names in runs.items())


def _with_settings(name: str, *settings: str) -> str:
    return f"{name} ({', '.join(settings)})" if settings else name


def _search(search: SearchSpec | None) -> str:
    if search is None:
        return "none"
    corpus = "a corpus that the server does not name"
    if search.corpus:
        corpus = f"{search.corpus} ({search.passages:,} passages, {search.corpus_sha256[:8]})"
    settings = [f"{name} {value}" for name, value in search.settings.items()]
    return f"{_with_settings(search.engine, *settings)} over {corpus}, top-{search.top_k}"


def _sampling(sampling: Sampling, samples: int) -> str:
    text = f"temperature {sampling.temperature:g}, top-p {sampling.top_p:g}"
    if sampling.temperature == 0:
        text = "greedy"
    if sampling.repetition_penalty != 1:
        text += f", repetition penalty {sampling.repetition_penalty:g}"
    per_question = f", {samples} samples a question" if samples > 1 else ""
    return f"{text}, seed {sampling.seed}{per_question}"
