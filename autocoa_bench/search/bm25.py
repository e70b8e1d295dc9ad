"""BM25 in process: bm25s with Lucene's formula, Lucene's stopwords and the Porter stemmer.

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
_words = re.compile(_PATTERN).findall
_PASSAGES_A_REPORT = 1024


class BM25:
    """The default search engine: Lucene's BM25 over a corpus named in the registry or by path.

    The index is built at the first use and memory-mapped afterwards. Only passages that share
    a term with the query are returned; equal scores keep the corpus' order.
    """

    def __init__(self, corpus: str, *, top_k: int = 3, k1: float = 0.9, b: float = 0.4) -> None:
        if top_k < 1:
            raise UserError(f"top-k must be at least 1, not {top_k}")
        if k1 < 0 or not 0 <= b <= 1:
            raise UserError(f"BM25 needs k1 >= 0 and 0 <= b <= 1, not k1={k1}, b={b}")
        self._corpus = open_corpus(corpus)
        self._spec = SearchSpec(
            engine="bm25",
            corpus=self._corpus.name,
            corpus_sha256=self._corpus.sha256,
            passages=len(self._corpus),
            settings={
                "method": "lucene",
                "k1": k1,
                "b": b,
                "stemmer": "porter",
                "stopwords": "lucene",
                "tokens": _PATTERN,
                "bm25s": bm25s.__version__,
            },
            top_k=top_k,
        )
        self._index = _index(self._corpus, self._spec)
        self._stem = Stemmer.Stemmer("porter").stemWords

    @property
    def spec(self) -> SearchSpec:
        """The corpus by name and fingerprint, and every setting that changes a ranking."""
        return self._spec

    async def search(self, query: str) -> tuple[Passage, ...]:
        """At most top-k passages, best first; none where no term of the query is in the corpus."""
        [found] = self.search_batch([query], self._spec.top_k)
        return found

    def search_batch(self, queries: Sequence[str], top_k: int) -> list[tuple[Passage, ...]]:
        """What `search` finds for each query, with another top-k."""
        return [
            tuple(
                Passage(found.id, found.title, found.text, score)
                for position, score in self._best(query, top_k)
                for found in (self._corpus.get(position),)
            )
            for query in queries
        ]

    async def close(self) -> None:
        """Nothing to release: the maps go with the object."""

    def _best(self, query: str, top_k: int) -> list[tuple[int, float]]:
        """(position, score) of the best passages, best first."""
        scores = self._index.scores(self._stem(terms(query)))
        best: list[tuple[int, float]] = []
        # One pass a result: for small k far cheaper than a partition, and the first of equals.
        for _ in range(min(top_k, len(scores))):
            position = int(scores.argmax())
            score = float(scores[position])
            if score <= 0:
                break
            best.append((position, score))
            scores[position] = 0
        return best


class _Index:
    """Scores of every (term, passage) pair, by term: bm25s's arrays, memory-mapped."""

    def __init__(self, folder: Path) -> None:
        loaded = bm25s.BM25.load(folder, mmap=True)
        self._passages: int = loaded.scores["num_docs"]
        self._vocabulary: dict[str, int] = loaded.vocab_dict
        # A plain view of a memory map slices several times faster than the map itself.
        self._data = np.asarray(loaded.scores["data"])
        self._positions = np.asarray(loaded.scores["indices"])
        self._starts = np.asarray(loaded.scores["indptr"])

    def scores(self, stems: list[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Every passage's score; a stem counts as often as it stands in the query."""
        total = np.zeros(self._passages, dtype=np.float32)
        for stem, times in Counter(stems).items():
            term = self._vocabulary.get(stem)
            if term is None:
                continue
            postings = slice(self._starts[term], self._starts[term + 1])
            # No position stands twice under one term, so that += loses none.
            total[self._positions[postings]] += times * self._data[postings]
        return total


def terms(text: str) -> list[str]:
    """The words of a text that are indexed, before stemming: lower case, no stopwords."""
    return [word for word in _words(text.lower()) if word not in STOPWORDS]


def _index(corpus: Corpus, spec: SearchSpec) -> _Index:
    identity = msgspec.json.encode((FORMAT, spec.corpus_sha256, spec.settings))
    key = hashlib.sha256(identity).hexdigest()[:32]

    def build(folder: Path) -> None:
        with DelayedProgressBar(f"indexing {corpus.name}") as bar:
            positions, vocabulary = _term_ids(corpus, bar)
            bar.update(None)
            k1, b = spec.settings["k1"], spec.settings["b"]
            made = bm25s.BM25(method="lucene", k1=k1, b=b)
            made.index((positions, vocabulary), create_empty_token=False, show_progress=False)
            made.save(folder, show_progress=False)

    return open_or_build(cache_dir("index") / f"bm25-{key}", build=build, open_=_Index)


def _term_ids(corpus: Corpus, bar: DelayedProgressBar) -> tuple[list[array[int]], dict[str, int]]:
    """Each passage's title and text as stem numbers, and the number of each stem."""
    numbers = _StemNumbers()
    documents = []
    for done, passage in enumerate(corpus):
        words = _words(f"{passage.title}\n{passage.text}".lower())
        documents.append(array("i", [n for n in map(numbers.__getitem__, words) if n >= 0]))
        if done % _PASSAGES_A_REPORT == 0:
            bar.update(done / len(corpus))
    if not numbers.stems:
        raise UserError(f"the corpus '{corpus.name}' has no word that can be indexed")
    return documents, numbers.stems


class _StemNumbers(dict[str, int]):
    """The number of a word's stem, each word stemmed once; -1 for stopwords."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(STOPWORDS, -1))
        self.stems: dict[str, int] = {}
        self._stem = Stemmer.Stemmer("porter").stemWord

    def __missing__(self, word: str) -> int:
        number = self[word] = self.stems.setdefault(self._stem(word), len(self.stems))
        return number
