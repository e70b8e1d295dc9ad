"""Main questions and the sub-questions that they are made of, asked apart (Press et al. 2023).

The two are tasks of their own, so that everything that runs, scores and reports questions does the
same with both; names tell what belongs together. Of the task `known` (or `known@all`) the
sub-questions are `known-sub` (`known-sub@all`), and of the question `q7` they are `q7/sub1`,
`q7/sub2` and so on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from autocoa_bench.types import Question

SUBQUESTION_SUFFIX = "-sub"
"""Ends the name of the task that asks the sub-questions, before any `@`."""

_NUMBERED = re.compile(r"/sub[1-9][0-9]?$")


def dataset_name(task: str) -> str:
    """A task's name without what says which of its questions are drawn."""
    return task.partition("@")[0]


def asks_subquestions(task: str) -> bool:
    """Whether a task asks sub-questions."""
    return dataset_name(task).endswith(SUBQUESTION_SUFFIX)


def main_question_id(question_id: str) -> str:
    """The id of the main question; a question that is no sub-question is its own."""
    return _NUMBERED.sub("", question_id)


def subquestions_of(questions: Sequence[Question], task: str) -> tuple[Question, ...]:
    """Every hop of every question as a question of its own, in order."""
    return tuple(
        Question(
            id=f"{question.id}/sub{number}",
            text=hop.question,
            golden_answers=(hop.answer, *hop.aliases),
            task=task,
            kind=f"hop{number}",
            wording=question.wording and "shared",
            hops=(hop,) if hop.passage_id else (),
        )
        for question in questions
        for number, hop in enumerate(question.hops, 1)
    )
