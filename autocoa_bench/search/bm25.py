"""BM25 in this process: bm25s with Lucene's formula, Lucene's stopwords and the Porter stemmer.

Its top 3 overlap those of pyserini's Lucene (same k1 and b) by 0.974 over 500 questions on
47,571 passages; the rest is mostly Lucene's tokeniser and its rounded passage lengths.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import bm25s
import msgspec
import numpy as np
import Stemmer
from bm25s.stopwords import STOPWORDS_EN

from autocoa_bench.errors import UserError
from autocoa_bench.search import terms
from autocoa_bench.search.build_cache import open_or_build
from autocoa_bench.search.corpus import FORMAT, Corpus, open_corpus
from autocoa_bench.search.factory import EARLIER_TOKENS
from autocoa_bench.types import Passage, SearchSpec
from autocoa_bench.util.paths import cache_dir
from autocoa_bench.util.progress import DelayedProgressBar

# bm25s's English set is that of Lucene's EnglishAnalyzer: 33 words.
STOPWORDS = frozenset(STOPWORDS_EN)

_find_long_words = re.compile(EARLIER_TOKENS).findall
_PASSAGES_PER_UPDATE = 1024


class _Rules(NamedTuple):
    """How texts become terms; `name` is the entry `tokens` of an index' settings."""

    name: str
    of_passage: Callable[[str], list[str]]
    of_query: Callable[[str], list[str]]
    fold: Callable[[str], str]


def _long_words(text: str) -> list[str]:
    return _find_long_words(text.lower())


_RULES = {
    1: _Rules(EARLIER_TOKENS, _long_words, _long_words, str),
    2: _Rules("unicode", terms.index_terms, terms.query_terms, terms.folded),
}


class BM25:
    """The default search engine: Lucene's BM25 over a corpus named in the registry or by path.

    The index is built at the first use and memory-mapped afterwards. Only passages that share
    a term with the query are returned; equal scores keep the corpus' order. `tokens` are the rules
    of terms: 2 for those of `search.terms`, 1 for those of earlier runs (words of two letters and
    more).
    """

    def __init__(
        self, corpus: str, *, top_k: int = 3, k1: float = 0.9, b: float = 0.4, tokens: int = 2
    ) -> None:
        if top_k < 1:
            raise UserError(f"bm25 needs top-k >= 1, not {top_k}")
        if k1 < 0 or not 0 <= b <= 1:
            raise UserError(f"bm25 needs k1 >= 0 and 0 <= b <= 1, not k1={k1} and b={b}")
        if tokens not in _RULES:
            raise UserError(f"bm25 needs tokens=2, or 1 for those of earlier runs, not {tokens}")
        self._rules = _RULES[tokens]
        self._corpus = open_corpus(corpus)
        settings: dict[str, str | int | float] = {"method": "lucene", "k1": k1, "b": b}
        settings |= {"stemmer": "porter", "stopwords": "lucene", "tokens": self._rules.name}
        settings["bm25s"] = bm25s.__version__
        self.spec = self._corpus.search_spec("bm25", settings, top_k)
        self._index = _open_index(self._corpus, self.spec, self._rules)
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
        words = map(self._rules.fold, self._rules.of_query(query))
        scores = self._index.scores(self._stem([word for word in words if word not in STOPWORDS]))
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


def _open_index(corpus: Corpus, spec: SearchSpec, rules: _Rules) -> _Index:
    identity = msgspec.json.encode((FORMAT, spec.corpus_sha256, spec.settings))
    key = hashlib.sha256(identity).hexdigest()[:32]

    def build(folder: Path) -> None:
        with DelayedProgressBar(f"indexing {corpus.name}") as bar:
            passages, vocabulary = _term_ids(corpus, rules, bar)
            bar.update(None)
            k1, b = spec.settings["k1"], spec.settings["b"]
            index = bm25s.BM25(method="lucene", k1=k1, b=b)
            index.index((passages, vocabulary), create_empty_token=False, show_progress=False)
            index.save(folder, show_progress=False)

    return open_or_build(cache_dir("index") / f"bm25-{key}", build=build, open_=_Index)


def _term_ids(
    corpus: Corpus, rules: _Rules, bar: DelayedProgressBar
) -> tuple[list[array[int]], dict[str, int]]:
    """The title and text of each passage as stem ids, and the id of each stem."""
    stem_ids = _StemIds(rules.fold)
    passages = []
    for position, passage in enumerate(corpus):
        words = rules.of_passage(f"{passage.title}\n{passage.text}")
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

    def __init__(self, fold: Callable[[str], str]) -> None:
        super().__init__(dict.fromkeys(STOPWORDS, -1))
        self.vocabulary: dict[str, int] = {}
        self._fold = fold
        self._stem = Stemmer.Stemmer("porter").stemWord

    def __missing__(self, word: str) -> int:
        form = self._fold(word)
        if form in STOPWORDS:
            self[word] = -1
        else:
            self[word] = self.vocabulary.setdefault(self._stem(form), len(self.vocabulary))
        return self[word]
