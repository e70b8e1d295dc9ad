"""Exact match, F1 and cover exact match with SQuAD v1.1's normalisation.

`exact_match` and `f1` equal the official SQuAD v1.1 evaluation script, the best gold counting.
HotpotQA's and FlashRAG's F1 differ from SQuAD's in one point that is not taken over: they give
0 where one side is yes or no and the other is more than that word.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

_ARTICLES = frozenset(("a", "an", "the"))
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_PUNCTUATION_BYTES = string.punctuation.encode()
# To lower case; control characters, at which words may end, to a byte that is not ASCII.
_LOWER_BYTES = bytes(
    byte if chr(byte).isspace() or chr(byte).isprintable() else 0xFF
    for byte in bytes(range(256)).lower()
)

# One answer meets several scorers and golds in a row; more than that is not worth keeping.
_RECENT = 256


def normalise(text: str) -> str:
    """Lower case; no ASCII punctuation (removed, not replaced); no a, an, the; single spaces."""
    return " ".join(_words(text))


@lru_cache(maxsize=_RECENT)
def _words(text: str) -> tuple[str, ...]:
    """The words of the normalised text."""
    try:
        # Bytes lose characters several times faster than str.
        bare = text.encode("ascii").translate(_LOWER_BYTES, _PUNCTUATION_BYTES).decode("ascii")
    except UnicodeError:
        return tuple(_ARTICLE.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())
    # Only letters, digits and white space are left, so articles are words by themselves.
    words = bare.split()
    if _ARTICLES.isdisjoint(words):
        return tuple(words)
    return tuple([word for word in words if word not in _ARTICLES])


def exact_match(prediction: str, golds: Sequence[str]) -> float:
    """1.0 where the prediction equals a gold after normalisation, else 0.0."""
    given = _words(prediction)
    for gold in golds:
        if given == _words(gold):
            return 1.0
    return 0.0


def f1(prediction: str, golds: Sequence[str]) -> float:
    """The harmonic mean of word precision and recall, for the gold where it is highest."""
    given = _words(prediction)
    best = 0.0
    for gold in golds:
        best = max(best, _f1(given, _words(gold)))
    return best


def cover_exact_match(prediction: str, golds: Sequence[str]) -> float:
    """1.0 where a normalised gold is a substring of the normalised prediction, else 0.0.

    This is FlashRAG's `acc` (sub_em). Substrings need not end at words: the gold "no" is in
    "north". R1-Searcher's released cover-EM instead asks for the gold's words in any order. A
    gold that normalises to nothing ("The") covers only a prediction that does too.
    """
    given = normalise(prediction)
    wanted = [normalise(gold) for gold in golds]
    return 1.0 if any(gold in given if gold else not given for gold in wanted) else 0.0


def has_words(text: str, words: str) -> bool:
    """Whether a text has words in it, whole and in order, both normalised; False for no words."""
    wanted = normalise(words)
    return bool(wanted) and f" {wanted} " in f" {normalise(text)} "


def _f1(given: tuple[str, ...], wanted: tuple[str, ...]) -> float:
    if given == wanted:
        return 1.0 if given else 0.0
    different, expected = set(given), set(wanted)
    shared = different & expected
    if not shared:
        return 0.0
    if len(different) == len(given) or len(expected) == len(wanted):
        common = len(shared)  # a word that one side has once is shared once
    else:
        common = (Counter(given) & Counter(wanted)).total()
    precision = common / len(given)
    recall = common / len(wanted)
    return 2 * precision * recall / (precision + recall)
