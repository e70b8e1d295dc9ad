"""Kinds of question that say whether a search is needed.

The task `when-to-act` has them, as may any dataset that uses the same names.
"""

from autocoa_bench.types import Question

NEEDLESS = ("known", "given")
"""Kinds that need no search: the model knows the answer, or the question states it."""


def needs_search(question: Question) -> bool:
    """False if a question's kind says that it can be answered without a search."""
    return question.kind not in NEEDLESS
