"""When a solver acts: how often it searches where it must and where it need not, and at what cost.

Read from the kinds of the task `when-to-act`, or of any task that uses the same words: `known`
and `given` questions need no search, `unknown` ones do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

from msgspec import Struct

from autocoa_bench.episode import estimate_tokens, n_actions
from autocoa_bench.errors import UserError
from autocoa_bench.report.entries import EMPTY_CATALOGUE, Catalogue, Entry, make_entries
from autocoa_bench.report.model import (
    NOTHING,
    Cell,
    Column,
    DataPoint,
    Row,
    Section,
    Table,
    count,
    rate,
    score_cell,
)
from autocoa_bench.report.notes import shared_notes, title_with_model
from autocoa_bench.report.tables.leaderboard import metric_title
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.stats import Estimate, Paired, estimate, paired
from autocoa_bench.types import Record, Trajectory

KINDS = ("known", "given", "unknown")
_NEEDLESS = ("known", "given")


class _Outcome(Struct, frozen=True):
    """A trajectory: its searches, its score, and the tokens and seconds that went into them."""

    question: tuple[str, str]
    searches: int
    score: float | None
    tokens: int
    seconds: float


class _Line(Struct, frozen=True):
    """One kind of a run's questions."""

    kind: str
    outcomes: tuple[_Outcome, ...]
    change: Paired | None

    def share(self, keep: Callable[[_Outcome], float | None]) -> Estimate:
        """The mean over questions of what `keep` says of their trajectories; None is left out."""
        values: dict[tuple[str, str], list[float]] = {}
        for outcome in self.outcomes:
            value = keep(outcome)
            if value is not None:
                values.setdefault(outcome.question, []).append(value)
        return estimate(list(values.values()))

    @property
    def questions(self) -> int:
        return len({outcome.question for outcome in self.outcomes})

    @property
    def amounts(self) -> dict[str, list[float]]:
        """What searching took, one number a trajectory."""
        return {
            "searches": [each.searches for each in self.outcomes],
            "search_tokens": [each.tokens for each in self.outcomes],
            "search_seconds": [each.seconds for each in self.outcomes],
        }

    @property
    def searched(self) -> Estimate:
        return self.share(lambda each: float(each.searches > 0))

    @property
    def right(self) -> Estimate:
        return self.share(lambda each: each.score)

    @property
    def right_with(self) -> Estimate:
        return self.share(lambda each: each.score if each.searches else None)

    @property
    def right_without(self) -> Estimate:
        return self.share(lambda each: None if each.searches else each.score)


def when_to_act(
    runs: Sequence[Run], scorer: str = "em", catalogue: Catalogue = EMPTY_CATALOGUE
) -> Table:
    """When the runs search, by kind of question: a section a run, a row a kind.

    Raises UserError where no run has a question of these kinds.
    """
    found = make_entries(runs, catalogue)
    sections, facts, notes = [], [], []
    for entry in found:
        base = _without_search(entry, found)
        lines = _lines(entry, base, scorer)
        if not lines:
            notes.append(f"{entry.name}: no question of the kinds {', '.join(KINDS)}")
            continue
        sections.append(
            Section(f"{entry.label}, {entry.model}", tuple(_row(line) for line in lines))
        )
        facts += [fact for line in lines for fact in _facts(entry, line, scorer)]
        notes += _needless(entry, lines)
        if base is not None:
            notes.append(f"{entry.name}: change beside {base.name}, which never searches")
    if not sections:
        raise UserError(
            f"no run has questions of the kinds {', '.join(KINDS)}; the task when-to-act has them"
        )
    metric = metric_title(scorer)
    return Table(
        name="acting",
        title=title_with_model(f"When to act and {metric}", found),
        stub="Kind",
        columns=(
            Column(("", "n")),
            Column(("Searching", "searched %")),
            Column(("Searching", "searches")),
            Column(("Searching", "tokens")),
            Column(("Searching", "seconds")),
            Column((f"{metric} %", "all")),
            Column((f"{metric} %", "with search")),
            Column((f"{metric} %", "without")),
            Column((f"{metric} %", "change")),
        ),
        sections=tuple(sections),
        notes=(
            "known: facts that a language model has met; given: the question states the answer; "
            "unknown: only the corpus has it",
            "searched: questions with a search at least, with its 95 % interval; searches, tokens "
            "and seconds: a question, with the run's total; tokens: sampled up to a search's end "
            "and the observations' (estimates where the server counted none)",
            "change: in points, beside a run of the same questions without search, where one "
            "stands in this report (the same model's first); its 95 % interval is over pairs",
            *notes,
            *shared_notes(found),
        ),
        data_points=tuple(facts),
        lead=1,
    )


def _lines(entry: Entry, base: Entry | None, scorer: str) -> list[_Line]:
    lines = []
    for kind in KINDS:
        outcomes = _outcomes(entry, kind, scorer)
        if outcomes:
            change = None
            if base is not None:
                change = paired(_by_question(outcomes), _by_question(_outcomes(base, kind, scorer)))
            lines.append(_Line(kind, outcomes, change))
    return lines


def _outcomes(entry: Entry, kind: str, scorer: str) -> tuple[_Outcome, ...]:
    return tuple(
        _outcome(record, record.trajectory, entry.score(record, scorer))
        for record in entry.trajectories()
        if record.question.kind == kind and record.trajectory is not None
    )


def _outcome(record: Record, trajectory: Trajectory, score: float | None) -> _Outcome:
    acts = [step for step in trajectory.steps if step.kind == "search"]
    sampled = [
        estimate_tokens(step.text) if step.completion_tokens is None else step.completion_tokens
        for step in acts
    ]
    return _Outcome(
        (record.question.task, record.question.id),
        n_actions(trajectory),
        score,
        sum(sampled) + sum(step.observation_tokens for step in acts),
        sum(step.generate_seconds + step.search_seconds for step in acts),
    )


def _without_search(entry: Entry, found: Sequence[Entry]) -> Entry | None:
    """The run without search that a run is compared with, the same model's before any other's."""
    if entry.spec.search is None:
        return None
    silent = [other for other in found if other.spec.search is None]
    silent.sort(key=lambda other: other.spec.engine.model != entry.spec.engine.model)
    return silent[0] if silent else None


def _by_question(outcomes: Sequence[_Outcome]) -> dict[tuple[str, str], float]:
    scores: dict[tuple[str, str], list[float]] = {}
    for outcome in outcomes:
        if outcome.score is not None:
            scores.setdefault(outcome.question, []).append(outcome.score)
    return {question: fmean(each) for question, each in scores.items()}


def _row(line: _Line) -> Row:
    amounts = line.amounts.values()
    return Row(
        Cell(line.kind),
        (
            Cell(f"{line.questions:,}"),
            score_cell(line.searched),
            *(Cell(rate(fmean(each)), count(sum(each)) if any(each) else "") for each in amounts),
            score_cell(line.right),
            score_cell(line.right_with),
            score_cell(line.right_without),
            _change_cell(line.change),
        ),
    )


def _change_cell(change: Paired | None) -> Cell:
    if change is None:
        return Cell(NOTHING)
    low, high = 100 * change.low, 100 * change.high
    return Cell(f"{100 * change.mean:+z.1f}", f"{low:+z.0f} to {high:+z.0f}")


def _needless(entry: Entry, lines: Sequence[_Line]) -> list[str]:
    """What searching cost where it was not needed, in one sentence."""
    spent = [each for line in lines if line.kind in _NEEDLESS for each in line.outcomes]
    acted = [each for each in spent if each.searches]
    if not acted:
        return []
    return [
        f"{entry.name}: needless searching (known and given): {len(acted):,} of {len(spent):,} "
        f"trajectories, {count(sum(each.searches for each in acted))} searches, "
        f"{count(sum(each.tokens for each in acted))} tokens, "
        f"{rate(sum(each.seconds for each in acted))} seconds"
    ]


def _facts(entry: Entry, line: _Line, scorer: str) -> list[DataPoint]:
    shares = {
        "searched": line.searched,
        scorer: line.right,
        f"{scorer}:with_search": line.right_with,
        f"{scorer}:without_search": line.right_without,
    }
    facts = [
        entry.estimated("acting", f"{line.kind}:{name}", each) for name, each in shares.items()
    ]
    facts += [
        entry.fact("acting", f"{line.kind}:{name}", mean=fmean(each), n=len(each), total=sum(each))
        for name, each in line.amounts.items()
    ]
    if (change := line.change) is not None:
        metric = f"{line.kind}:{scorer}:change"
        facts.append(entry.estimated("acting", metric, change))
    return facts
