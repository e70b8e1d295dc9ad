"""Two runs on the questions that both have answered: their difference, and what searching adds."""

from collections import Counter
from operator import eq, gt, lt
from statistics import fmean
from typing import Literal

from autocoa_bench.errors import UserError
from autocoa_bench.report.builder import TableBuilder
from autocoa_bench.report.entries import (
    EMPTY_CATALOGUE,
    Catalogue,
    Entry,
    QuestionKey,
    grouped,
    make_entries,
)
from autocoa_bench.report.model import (
    Table,
    Value,
    columns,
    difference_cell,
    metric_title,
    p_text,
    percent,
    score_cell,
)
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.scoring import RIGHT
from autocoa_bench.stats import LEVEL, holm, mcnemar, paired, proportion
from autocoa_bench.types import Record

Outcome = Literal["won", "lost", "tied"]
"""The result of the first of two runs on a question."""

_EFFECTS = {
    (True, True): "memorised",
    (False, True): "gained",
    (True, False): "lost",
    (False, False): "neither",
}
"""By whether the model is right alone, and whether it is right when it searches."""


def compare(
    first: Run, second: Run, scorer: str = "em", catalogue: Catalogue = EMPTY_CATALOGUE
) -> Table:
    """The first run's scores against the second's, over the questions that both have scores for.

    A row per task, and one for all. Raises UserError if no question is common.
    """
    ours, theirs = _pair_of_entries(first, second, catalogue)
    scores = ours.scores_by_question(scorer), theirs.scores_by_question(scorer)
    groups = _common_questions(ours, theirs, scorer)
    pairs = {}
    for task, questions in groups.items():
        pair = paired({question: scores[0][question] for question in questions}, scores[1])
        assert pair is not None, "every group has a question of both runs"
        pairs[task] = pair
    corrected = holm([pair.p for pair in pairs.values()])
    builder = TableBuilder("compare", [ours, theirs])
    for (task, pair), p_holm in zip(pairs.items(), corrected, strict=True):
        means = [fmean(run_scores[question] for question in groups[task]) for run_scores in scores]
        values: tuple[Value, ...] = (
            pair.n,
            *map(percent, means),
            difference_cell(pair, strong=p_holm < LEVEL),
            *(pair.won, pair.lost, pair.n - pair.won - pair.lost),
            *(p_text(pair.p), p_text(p_holm)),
            None if pair.detectable is None else percent(pair.detectable),
        )
        builder.add_row(catalogue.title(task), values)
        metric = f"{scorer}:difference"
        builder.add_estimate(ours, metric, pair, task=task, p=pair.p, p_holm=p_holm)
    n_common = len({question for questions in groups.values() for question in questions})
    left_out = [len(run_scores) - n_common for run_scores in scores]
    if any(left_out):
        builder.add_text("left-out", first=left_out[0], second=left_out[1])
    return builder.build_with_legend(
        columns=columns(
            *("n", "first %", "second %", "difference", "won", "lost", "tied"),
            *("p", "p (Holm)", "detectable"),
        ),
        first=ours.name,
        second=theirs.name,
        metric=metric_title(scorer),
        first_run=_description(ours),
        second_run=_description(theirs),
    )


def _description(entry: Entry) -> str:
    return f"{entry.name}, {entry.model} ({entry.run.path.name})"


def search_effect(
    first: Run, second: Run, scorer: str = "em", catalogue: Catalogue = EMPTY_CATALOGUE
) -> Table | None:
    """The questions that searching gains and loses; a row per task, and one for all.

    None unless exactly one of the two runs has no search. Raises UserError if no question is
    common.
    """
    pair = _pair_of_entries(first, second, catalogue)
    alone, searching = sorted(pair, key=lambda entry: entry.spec.search is not None)
    if alone.spec.search is not None or searching.spec.search is None:
        return None
    without, with_search = alone.scores_by_question(scorer), searching.scores_by_question(scorer)
    counts = {
        task: Counter(
            _EFFECTS[without[question] >= RIGHT, with_search[question] >= RIGHT]
            for question in questions
        )
        for task, questions in _common_questions(alone, searching, scorer).items()
    }
    p_values = holm([mcnemar(effects["gained"], effects["lost"]) for effects in counts.values()])

    builder = TableBuilder("search", [alone, searching])
    for (task, effects), p in zip(counts.items(), p_values, strict=True):
        shares = {name: proportion(effects[name], effects.total()) for name in _EFFECTS.values()}
        larger = "gained" if effects["gained"] > effects["lost"] else "lost"
        cells = [
            score_cell(share, strong=p < LEVEL and name == larger) for name, share in shares.items()
        ]
        builder.add_row(catalogue.title(task), (effects.total(), *cells, p_text(p)))
        for name, share in shares.items():
            builder.add_estimate(searching, f"{scorer}:{name}", share, task=task)
    return builder.build_with_legend(
        columns=columns("n", *_EFFECTS.values(), "p (Holm)"),
        metric=metric_title(scorer),
        alone=alone.name,
        alone_model=alone.model,
        searching=searching.name,
        searching_model=searching.model,
        right=RIGHT,
    )


def records_by_outcome(
    first: Run, second: Run, scorer: str, outcome: Outcome
) -> list[tuple[Record, Record]]:
    """Both runs' records of the questions that the first run has won, lost or tied.

    Of several samples of a question, the first with a score. Raises UserError if the runs have no
    question in common.
    """
    ours, theirs = _pair_of_entries(first, second, EMPTY_CATALOGUE)
    our_scores, their_scores = ours.scores_by_question(scorer), theirs.scores_by_question(scorer)
    groups = _common_questions(ours, theirs, scorer).values()
    matches = {"won": gt, "lost": lt, "tied": eq}[outcome]
    return [
        (_first_scored(ours, question, scorer), _first_scored(theirs, question, scorer))
        for question in dict.fromkeys(question for group in groups for question in group)
        if matches(our_scores[question], their_scores[question])
    ]


def _first_scored(entry: Entry, question: QuestionKey, scorer: str) -> Record:
    records = entry.answers[question]
    return next(record for record in records if entry.score(record, scorer) is not None)


def _pair_of_entries(first: Run, second: Run, catalogue: Catalogue) -> tuple[Entry, Entry]:
    """Two runs as entries, in the order given."""
    entries = make_entries([first, second], catalogue)
    ours, theirs = sorted(entries, key=lambda entry: entry.run is second)
    return ours, theirs


def _common_questions(ours: Entry, theirs: Entry, scorer: str) -> dict[str, list[QuestionKey]]:
    """The questions that both runs have scores for, by task; with several tasks also `all`.

    Raises UserError if there are none.
    """
    their_scores = theirs.scores_by_question(scorer)
    common = [question for question in ours.scores_by_question(scorer) if question in their_scores]
    if not common:
        raise _no_common_question(ours, theirs, scorer)
    groups = grouped((question[0], question) for question in common)
    return groups if len(groups) == 1 else {**groups, "all": common}


def _no_common_question(ours: Entry, theirs: Entry, scorer: str) -> UserError:
    """The error for runs without a common question: one is unfinished, or they ask others."""
    planned = [
        {(sample.task, question) for sample in entry.spec.tasks for question in sample.question_ids}
        for entry in (ours, theirs)
    ]
    if not planned[0] & planned[1]:
        return UserError(
            f"'{ours.run.path}' and '{theirs.run.path}' have no question in common: their tasks or "
            "samples differ; compare runs of the same --tasks, --limit and --sample-seed"
        )
    scored = [len(entry.scores_by_question(scorer)) for entry in (ours, theirs)]
    counts = " and ".join(
        f"'{entry.run.path}' has {number:,} of {len(questions):,}"
        for entry, number, questions in zip((ours, theirs), scored, planned, strict=True)
    )
    return UserError(
        f"no question has a score of {scorer} in both runs yet: {counts}\n"
        "Finish them (the same run command resumes a run), or score them with that scorer."
    )
