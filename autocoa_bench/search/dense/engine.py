"""Dense search in process: a sentence encoder, and passages by inner product of their vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from autocoa_bench.errors import SearchFault, UserError
from autocoa_bench.search.batching import BatchedSearch, without_surrogates
from autocoa_bench.search.corpus import open_corpus
from autocoa_bench.search.dense.encoder import Encoder, known_prefixes
from autocoa_bench.search.dense.vectors import (
    HNSW,
    HNSW_BUILD_BREADTH,
    HNSW_LINKS,
    HNSW_SEARCH_BREADTH,
    Flat,
    VectorIndex,
    vectors_of,
)
from autocoa_bench.types import Passage, SearchSpec
from autocoa_bench.util.paths import user_path


class Dense(BatchedSearch):
    """The passages whose vectors are nearest to the query's.

    `model` is a sentence encoder of the Hugging Face Hub or a folder. The corpus is encoded at the
    first use, which may take long (a killed build goes on where it stopped), and kept by its
    fingerprint, the encoder's and the prefix. Prefixes not given are those that the model's name
    is known for. `index`: exact, or approximate and faster over millions of passages. Equal scores
    keep the corpus' order.
    """

    def __init__(
        self,
        corpus: str,
        *,
        top_k: int = 3,
        model: str = "intfloat/e5-base-v2",
        index: Literal["flat", "hnsw"] = "flat",
        query_prefix: str | None = None,
        passage_prefix: str | None = None,
        device: str = "auto",
    ) -> None:
        super().__init__()
        if top_k < 1:
            raise UserError(f"top-k must be at least 1, not {top_k}")
        self._corpus = open_corpus(corpus)
        self._encoder = Encoder(model, device)
        folder = user_path(model)
        name = (folder.name or folder.resolve().name) if folder.is_dir() else model
        known = known_prefixes(name)
        self._prefix = known.query if query_prefix is None else query_prefix
        prefix = known.passage if passage_prefix is None else passage_prefix
        vectors, key = vectors_of(self._corpus, self._encoder, prefix)
        self._index: VectorIndex = Flat(vectors) if index == "flat" else HNSW(vectors, key)
        self._spec = SearchSpec(
            engine="dense",
            corpus=self._corpus.name,
            corpus_sha256=self._corpus.sha256,
            passages=len(self._corpus),
            settings={
                "model": name,
                "model_sha256": self._encoder.sha256,
                "query_prefix": self._prefix,
                "passage_prefix": prefix,
                "pooling": self._encoder.pooling,
                "max_tokens": self._encoder.max_tokens,
                "dtype": self._encoder.dtype,
                "index": _told(index),
            },
            top_k=top_k,
        )

    @property
    def spec(self) -> SearchSpec:
        """The corpus and the encoder by name and fingerprint, and all that changes a ranking."""
        return self._spec

    def search_batch(self, queries: Sequence[str], top_k: int) -> list[tuple[Passage, ...]]:
        """What `search` finds for each query, with another top-k. Raises SearchFault."""
        texts = [self._prefix + without_surrogates(query) for query in queries]
        try:
            vectors = self._encoder.encode(texts)
        except RuntimeError as error:  # torch's, as when the GPU's memory is full
            raise SearchFault("encoder", str(error).splitlines()[0]) from None
        scores, positions = self._index.search(vectors, min(top_k, len(self._corpus)))
        return [
            tuple(
                msgspec.structs.replace(self._corpus.get(position), score=score)
                for score, position in _best_first(*row)
            )
            for row in zip(scores.tolist(), positions.tolist(), strict=True)
        ]


def _best_first(scores: list[float], positions: list[int]) -> list[tuple[float, int]]:
    found = [pair for pair in zip(scores, positions, strict=True) if pair[1] >= 0]
    return sorted(found, key=lambda pair: (-pair[0], pair[1]))


def _told(index: str) -> str:
    if index == "flat":
        return index
    return f"hnsw {HNSW_LINKS}/{HNSW_BUILD_BREADTH}/{HNSW_SEARCH_BREADTH}"
