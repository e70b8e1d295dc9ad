"""Two runs on the questions that both have answered."""

from __future__ import annotations

from typing import Literal

from autocoa_bench.errors import UserError
from autocoa_bench.report.entries import (
    EMPTY_CATALOGUE,
    Catalogue,
    Entry,
    QuestionKey,
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
    groups: dict[str, list[QuestionKey]] = {}
    for question in common:
        groups.setdefault(question[0], []).append(question)
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
    common = dict.fromkeys(question for group in groups for question in group)
    return [
        (_first_scored(ours, question, scorer), _first_scored(theirs, question, scorer))
        for question in common
        if _outcome(our_scores[question], their_scores[question]) == outcome
    ]


def _outcome(ours: float, theirs: float) -> Outcome:
    return "tied" if ours == theirs else "won" if ours > theirs else "lost"


def _first_scored(entry: Entry, question: QuestionKey, scorer: str) -> Record:
    records = entry.answers[question]
    return next(record for record in records if entry.score(record, scorer) is not None)
