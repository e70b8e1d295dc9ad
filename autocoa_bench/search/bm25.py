"""BM25 in this process: bm25s with Lucene's formula, Lucene's stopwords and the Porter stemmer.

Its top 3 overlap those of pyserini's Lucene (same k1 and b) by 0.949 over 500 questions on
10,033 passages; the rest is mostly Lucene's tokeniser and its rounded passage lengths.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bm25s
import msgspec
import numpy as np
import Stemmer
from bm25s.stopwords import STOPWORDS_EN

from autocoa_bench.errors import UserError
from autocoa_bench.search.build_cache import open_or_build
from autocoa_bench.search.corpus import FORMAT, Corpus, open_corpus
from autocoa_bench.types import Passage, SearchSpec
from autocoa_bench.util.paths import cache_dir
from autocoa_bench.util.progress import DelayedProgressBar

# bm25s's English set is that of Lucene's EnglishAnalyzer: 33 words.
STOPWORDS = frozenset(STOPWORDS_EN)

_PATTERN = r"\b\w\w+\b"
_find_words = re.compile(_PATTERN).findall
_PASSAGES_PER_UPDATE = 1024


class BM25:
    """The default search engine: Lucene's BM25 over a corpus named in the registry or by path.

    The index is built at the first use and memory-mapped afterwards. Only passages that share
    a term with the query are returned; equal scores keep the corpus' order.
    """

    def __init__(self, corpus: str, *, top_k: int = 3, k1: float = 0.9, b: float = 0.4) -> None:
        if top_k < 1:
            raise UserError(f"bm25 needs top-k >= 1, not {top_k}")
        if k1 < 0 or not 0 <= b <= 1:
            raise UserError(f"bm25 needs k1 >= 0 and 0 <= b <= 1, not k1={k1} and b={b}")
        self._corpus = open_corpus(corpus)
        settings: dict[str, str | int | float] = {"method": "lucene", "k1": k1, "b": b}
        settings |= {"stemmer": "porter", "stopwords": "lucene", "tokens": _PATTERN}
        settings["bm25s"] = bm25s.__version__
        self.spec = self._corpus.search_spec("bm25", settings, top_k)
        self._index = _open_index(self._corpus, self.spec)
        self._stem = Stemmer.Stemmer("porter").stemWords

    async def search(self, query: str) -> tuple[Passage, ...]:
        """Return at most top-k passages, best first; none where the corpus lacks every term."""
        [passages] = self.search_batch([query], self.spec.top_k)
        return passages

    def search_batch(self, queries: Sequence[str], top_k: int) -> list[tuple[Passage, ...]]:
        return [self._corpus.scored(self._best(query, top_k)) for query in queries]

    async def close(self) -> None:
        """Do nothing: the memory maps are released with the object."""

    def _best(self, query: str, top_k: int) -> list[tuple[int, float]]:
        """(position, score) of the best passages, best first."""
        words = [word for word in _find_words(query.lower()) if word not in STOPWORDS]
        scores = self._index.scores(self._stem(words))
        best: list[tuple[int, float]] = []
        # One pass per result: for small k far cheaper than a partition, and the first of equals.
        for _ in range(min(top_k, len(scores))):
            position = int(scores.argmax())
            score = float(scores[position])
            if score <= 0:
                break
            best.append((position, score))
            scores[position] = 0
        return best


class _Index:
    """Scores of every (term, passage) pair, grouped by term: bm25s's arrays, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        index = bm25s.BM25.load(folder, mmap=True)
        self._passages: int = index.scores["num_docs"]
        self._vocabulary: dict[str, int] = index.vocab_dict
        # A plain view of a memory map slices several times faster than the map itself.
        self._scores = np.asarray(index.scores["data"])
        self._positions = np.asarray(index.scores["indices"])
        self._starts = np.asarray(index.scores["indptr"])

    def scores(self, stems: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The score of every passage [passages]; a repeated stem counts as often as it occurs."""
        total = np.zeros(self._passages, dtype=np.float32)
        for stem, count in Counter(stems).items():
            term = self._vocabulary.get(stem)
            if term is None:
                continue
            postings = slice(self._starts[term], self._starts[term + 1])
            # No position occurs twice under one term, so += adds every score.
            total[self._positions[postings]] += count * self._scores[postings]
        return total


def _open_index(corpus: Corpus, spec: SearchSpec) -> _Index:
    identity = msgspec.json.encode((FORMAT, spec.corpus_sha256, spec.settings))
    key = hashlib.sha256(identity).hexdigest()[:32]

    def build(folder: Path) -> None:
        with DelayedProgressBar(f"indexing {corpus.name}") as bar:
            passages, vocabulary = _term_ids(corpus, bar)
            bar.update(None)
            k1, b = spec.settings["k1"], spec.settings["b"]
            index = bm25s.BM25(method="lucene", k1=k1, b=b)
            index.index((passages, vocabulary), create_empty_token=False, show_progress=False)
            index.save(folder, show_progress=False)

    return open_or_build(cache_dir("index") / f"bm25-{key}", build=build, open_=_Index)


def _term_ids(corpus: Corpus, bar: DelayedProgressBar) -> tuple[list[array[int]], dict[str, int]]:
    """The title and text of each passage as stem ids, and the id of each stem."""
    stem_ids = _StemIds()
    passages = []
    for position, passage in enumerate(corpus):
        words = _find_words(f"{passage.title}\n{passage.text}".lower())
        passages.append(array("i", [stem for word in words if (stem := stem_ids[word]) >= 0]))
        if position % _PASSAGES_PER_UPDATE == 0:
            bar.update(position / len(corpus))
    if not stem_ids.vocabulary:
        raise UserError(
            f"the corpus '{corpus.name}' has no word that can be indexed; "
            "give a corpus whose passages contain text"
        )
    return passages, stem_ids.vocabulary


class _StemIds(dict[str, int]):
    """The id of each word's stem, so that every word is stemmed once; -1 for stopwords."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(STOPWORDS, -1))
        self.vocabulary: dict[str, int] = {}
        self._stem = Stemmer.Stemmer("porter").stemWord

    def __missing__(self, word: str) -> int:
        self[word] = self.vocabulary.setdefault(self._stem(word), len(self.vocabulary))
        return self[word]
