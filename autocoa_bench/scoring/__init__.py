"""Scoring: the score of a recorded episode, a number or None with a reason.

`scorer` applies scorers to records, `text` defines exact match and F1, `folding` compares names and
answers whatever their encoding, `autocoa` has the two scorers of AutoCoA's released code, and
`evidence` traces the passages that answer a question.

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

__all__ = ["RIGHT", "BoxScorer", "TextScorer"]
__all__ += ["answer_of", "is_current", "load_scorers", "score_record"]
