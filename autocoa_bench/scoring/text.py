"""Exact match, F1 and cover exact match with SQuAD v1.1's normalisation.

`exact_match` and `f1` equal the official SQuAD v1.1 evaluation script, the best gold counting.
HotpotQA's and FlashRAG's F1 differ from SQuAD's in one point, which is not adopted: they are 0
where one side is yes or no and the other is more than that word.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

_ARTICLES = frozenset(("a", "an", "the"))
_ARTICLE = re.compile(r"\b(a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_PUNCTUATION_BYTES = string.punctuation.encode()
# Maps letters to lower case, and control characters, at which words may end, to a non-ASCII byte.
_LOWER_BYTES = bytes(
    byte if chr(byte).isspace() or chr(byte).isprintable() else 0xFF
    for byte in bytes(range(256)).lower()
)

# One answer is compared by several scorers with several golds in a row.
_CACHED_TEXTS = 256


def normalise(text: str) -> str:
    """Lower case; no ASCII punctuation (removed, not replaced); no a, an, the; single spaces."""
    return " ".join(_words(text))


@lru_cache(maxsize=_CACHED_TEXTS)
def _words(text: str) -> tuple[str, ...]:
    """The words of the normalised text."""
    try:
        # Bytes lose characters several times faster than str.
        bare = text.encode("ascii").translate(_LOWER_BYTES, _PUNCTUATION_BYTES).decode("ascii")
    except UnicodeError:
        return tuple(_ARTICLE.sub(" ", text.lower().translate(_NO_PUNCTUATION)).split())
    # Only letters, digits and white space are left, so each article is a word of its own.
    words = bare.split()
    if _ARTICLES.isdisjoint(words):
        return tuple(words)
    return tuple([word for word in words if word not in _ARTICLES])


def exact_match(prediction: str, golds: Sequence[str]) -> float:
    """1.0 where the prediction equals a gold after normalisation, else 0.0."""
    words = _words(prediction)
    return float(any(words == _words(gold) for gold in golds))


def f1(prediction: str, golds: Sequence[str]) -> float:
    """The harmonic mean of word precision and recall, for the gold where it is highest."""
    words = _words(prediction)
    return max((_f1(words, _words(gold)) for gold in golds), default=0.0)


def cover_exact_match(prediction: str, golds: Sequence[str]) -> float:
    """1.0 where a normalised gold is a substring of the normalised prediction, else 0.0.

    This is FlashRAG's `acc` (sub_em). Substrings need not end at words: the gold "no" is in
    "north". R1-Searcher's released cover-EM requires the gold's words in any order instead. A
    gold that normalises to nothing ("The") is covered only by a prediction that does too.
    """
    text = normalise(prediction)
    normalised = [normalise(gold) for gold in golds]
    return float(any(gold in text if gold else not text for gold in normalised))


def has_words(text: str, words: str) -> bool:
    """True where a text contains words, whole and in order, both normalised; False for no words."""
    normalised = normalise(words)
    return bool(normalised) and f" {normalised} " in f" {normalise(text)} "


def _f1(words: tuple[str, ...], gold_words: tuple[str, ...]) -> float:
    if words == gold_words:
        return 1.0 if words else 0.0
    distinct, distinct_gold = set(words), set(gold_words)
    shared = distinct & distinct_gold
    if not shared:
        return 0.0
    # Counting is slow; where one side repeats no word, each shared word counts once.
    if len(distinct) == len(words) or len(distinct_gold) == len(gold_words):
        common = len(shared)
    else:
        common = (Counter(words) & Counter(gold_words)).total()
    precision = common / len(words)
    recall = common / len(gold_words)
    return 2 * precision * recall / (precision + recall)
