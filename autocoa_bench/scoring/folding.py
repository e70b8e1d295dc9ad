"""Comparison of names and answers without regard to how they are encoded or typed.

`fold` removes what differs between editions of one text: HTML entities, Unicode forms, accents,
ligatures, typographic dashes and quotes. `title_key` compares page titles by it, and
`folded_exact_match` (the scorer `em_folded`) answers. Nothing here changes `em`.
"""

import re
import string
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from html import unescape

from autocoa_bench.scoring.text import normalise

_ENTITY = re.compile(
    r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});|&(?:amp|quot|nbsp)(?![\w;=])"
)
_MOST_ESCAPES = 3
"""Exports of exports escape twice; the limit keeps the work linear."""

# The marks of Latin, Greek and Cyrillic letters, and those of symbols. The marks of other scripts
# (vowels of Hindi, voicing in Japanese) make another letter, so they stay.
_MARK = re.compile("[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]+")

# Half a digit and a power are no digits: ½ is not 12, and 10² is not 102.
_KEPT = re.compile("([\u00b2\u00b3\u00b9\u00bc-\u00be\u2070\u2074-\u2079\u2150-\u215e\u2189]+)")
_FOREIGN_DIGIT = re.compile(r"[^\D0-9]")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)

_INVISIBLE = "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
_INVISIBLE += "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufe0e\ufe0f\ufeff"
_BEFORE = str.maketrans(
    {
        **dict.fromkeys(_INVISIBLE, ""),
        **dict.fromkeys("\u00a9\u00ae\u2117\u2120\u2122", ""),  # ©, ® and ™ belong to no name
        **dict.fromkeys("\u00b4\u02b9\u02ba\u02bd\u1fbf\u1ffd\u1fef", "'"),  # before NFKD
    }
)
_AFTER = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2043\u2212\u2e3a\u2e3b\ufe58", "-"),
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u2035\u02bb\u02bc\u02be\u02bf`", "'"),
        **dict.fromkeys("\u2039\u203a\ua78b\ua78c\u05f3", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u2036\u00ab\u00bb\u301d\u301e\u05f4", '"'),
        **dict.fromkeys("\u300c\u300d\u300e\u300f\u300a\u300b\u3008\u3009\u3010\u3011", '"'),
        **dict.fromkeys("\u00b7\u2022\u2027\u2219\u22c5\u30fb", "."),
        **dict.fromkeys("\u3002\u3001\u060c\u061b", "."),
        **dict.fromkeys("\u00bf\u00a1\u061f", "?"),
        "\u2044": "/",
        "\u2215": "/",
        "\u301c": "~",
        # Letters with a stroke, and ligatures, that Unicode does not decompose.
        **{"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i", "ð": "d", "þ": "th"},
        **{"æ": "ae", "œ": "oe"},
    }
)

# Titles and answers repeat: a question is compared with all passages of its episode.
_CACHED_TEXTS = 4096


@lru_cache(maxsize=_CACHED_TEXTS)
def fold(text: str) -> str:
    """A text in lower case, in plain letters and punctuation.

    HTML entities are read (at most three times over), compatibility forms (full width, ligatures)
    and accents are removed, and dashes and quotes become `-`, `'` and `"`. Words, numbers and the
    place of punctuation stay.
    """
    for _ in range(_MOST_ESCAPES):
        if "&" not in text:
            break
        text = _ENTITY.sub(lambda match: unescape(match[0]), text)
    if text.isascii():
        return text.lower().replace("`", "'")
    parts = _KEPT.split(text.translate(_BEFORE))
    parts[::2] = [unicodedata.normalize("NFKD", part) for part in parts[::2]]
    # Case folding can bring accents back: İ becomes an i with a dot above it.
    text = _MARK.sub("", unicodedata.normalize("NFD", "".join(parts).casefold()))
    text = unicodedata.normalize("NFC", text.translate(_AFTER))
    return _FOREIGN_DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), text)


def title_key(title: str) -> str:
    """A title in comparable form: `_` as a space, folded, then normalised as answers are."""
    return _key(title.replace("_", " "))


def folded_exact_match(prediction: str, golds: Sequence[str]) -> float:
    """Exact match in which spelling variants of one text are equal: 1.0 or 0.0.

    Both sides are folded, then normalised as SQuAD does. What `em` calls right is right here too,
    but for answers of only articles or punctuation: `em` normalises them all to nothing, and calls
    "A" and "The The" equal; here their words must be equal, else their punctuation.
    """
    key, words = _key(prediction), normalise(prediction)
    return float(
        any(key == _key(gold) or (bool(words) and words == normalise(gold)) for gold in golds)
    )


def _key(text: str) -> str:
    """A text folded and normalised; with its articles, or as it is, where that leaves nothing."""
    folded = " ".join(fold(text).split())
    return normalise(folded) or " ".join(folded.translate(_NO_PUNCTUATION).split()) or folded
