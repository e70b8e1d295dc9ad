"""Two runs on the questions that both have answered."""

from __future__ import annotations

from operator import eq, gt, lt
from typing import Literal

from autocoa_bench.errors import UserError
from autocoa_bench.report.entries import (
    EMPTY_CATALOGUE,
    Catalogue,
    Entry,
    QuestionKey,
    grouped,
    make_entries,
)
from autocoa_bench.runs.run_folder import Run
from autocoa_bench.types import Record

Outcome = Literal["won", "lost", "tied"]
"""The result of the first of two runs on a question."""


def pair_of_entries(first: Run, second: Run, catalogue: Catalogue) -> tuple[Entry, Entry]:
    """Two runs as entries, in the order given."""
    entries = make_entries([first, second], catalogue)
    ours, theirs = sorted(entries, key=lambda entry: entry.run is second)
    return ours, theirs


def common_questions(ours: Entry, theirs: Entry, scorer: str) -> dict[str, list[QuestionKey]]:
    """The questions that both runs have scores for, by task; with several tasks also `all`.

    Raises UserError if there are none.
    """
    their_scores = theirs.scores_by_question(scorer)
    common = [question for question in ours.scores_by_question(scorer) if question in their_scores]
    if not common:
        raise UserError(
            f"'{ours.run.path}' and '{theirs.run.path}' have no question in common that {scorer} "
            "scored"
        )
    groups = grouped((question[0], question) for question in common)
    return groups if len(groups) == 1 else {**groups, "all": common}


def records_by_outcome(
    first: Run, second: Run, scorer: str, outcome: Outcome
) -> list[tuple[Record, Record]]:
    """Both runs' records of the questions that the first run has won, lost or tied.

    Of several samples of a question, the first with a score. Raises UserError if the runs have no
    question in common.
    """
    ours, theirs = pair_of_entries(first, second, EMPTY_CATALOGUE)
    our_scores, their_scores = ours.scores_by_question(scorer), theirs.scores_by_question(scorer)
    groups = common_questions(ours, theirs, scorer).values()
    matches = {"won": gt, "lost": lt, "tied": eq}[outcome]
    return [
        (_first_scored(ours, question, scorer), _first_scored(theirs, question, scorer))
        for question in dict.fromkeys(question for group in groups for question in group)
        if matches(our_scores[question], their_scores[question])
    ]


def _first_scored(entry: Entry, question: QuestionKey, scorer: str) -> Record:
    records = entry.answers[question]
    return next(record for record in records if entry.score(record, scorer) is not None)
