"""Scoring: a recorded episode becomes a number, or None with a reason.

`scorer` applies scorers to records, `text` has exact match and F1, `autocoa` the two scorers of
AutoCoA's released code, and `evidence` traces where an answer came from.

May import: `types`, `errors`, `registry`."""

from autocoa_bench.scoring.scorer import (
    RIGHT,
    BoxScorer,
    TextScorer,
    answer_of,
    is_current,
    load_scorers,
    score_record,
)

__all__ = [
    "RIGHT",
    "BoxScorer",
    "TextScorer",
    "answer_of",
    "is_current",
    "load_scorers",
    "score_record",
]
