"""Main questions and the sub-questions that they are made of, asked separately (Press et al. 2023).

The two are separate tasks, so that running, scoring and reporting treat them alike; their names
relate them. The sub-questions of the task `known` (`known@all`) are `known-sub` (`known-sub@all`),
and those of the question `q7` are `q7/sub1`, `q7/sub2` and so on.
"""

import re
from collections.abc import Sequence

from autocoa_bench.types import Question

SUBQUESTION_SUFFIX = "-sub"
"""The end of the name of a task of sub-questions, before any `@`."""

_SUBQUESTION_ID = re.compile(r"/sub[1-9][0-9]?$")


def dataset_name(task: str) -> str:
    """A task's name without the sample after the `@`."""
    return task.partition("@")[0]


def asks_subquestions(task: str) -> bool:
    """Tell whether a task asks sub-questions."""
    return dataset_name(task).endswith(SUBQUESTION_SUFFIX)


def main_question_id(question_id: str) -> str:
    """The id of a sub-question's main question; any other id is returned unchanged."""
    return _SUBQUESTION_ID.sub("", question_id)


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
