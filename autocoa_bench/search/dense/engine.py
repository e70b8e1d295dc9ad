"""Dense search in this process: passages by the inner product of their vectors with the query's."""

from collections.abc import Sequence
from typing import Literal

from autocoa_bench.errors import SearchFault, UserError
from autocoa_bench.search.batching import BatchedSearch, without_surrogates
from autocoa_bench.search.corpus import open_corpus
from autocoa_bench.search.dense.encoder import Encoder, known_prefixes
from autocoa_bench.search.dense.vectors import HNSW, HNSW_SETTINGS, Flat, open_vectors
from autocoa_bench.types import Passage
from autocoa_bench.util.paths import user_path


class Dense(BatchedSearch):
    """The passages whose vectors are nearest to the query's.

    `model` is a sentence encoder of the Hugging Face Hub or a folder. The corpus is encoded at the
    first use, which may take long (a killed build resumes where it stopped), and cached under its
    fingerprint, the encoder's and the prefix. Prefixes default to those that the model was trained
    with, as far as its name tells. `index` is exact (`flat`), or approximate and faster over
    millions of passages (`hnsw`). Equal scores keep the corpus' order.
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
            raise UserError(f"dense needs top-k >= 1, not {top_k}")
        self._corpus = open_corpus(corpus)
        self._encoder = Encoder(model, device)
        folder = user_path(model)
        name = (folder.name or folder.resolve().name) if folder.is_dir() else model
        known_query_prefix, known_passage_prefix = known_prefixes(name)
        self._query_prefix = known_query_prefix if query_prefix is None else query_prefix
        prefix = known_passage_prefix if passage_prefix is None else passage_prefix
        vectors, key = open_vectors(self._corpus, self._encoder, prefix)
        self._index: Flat | HNSW = Flat(vectors) if index == "flat" else HNSW(vectors, key)
        settings: dict[str, str | int | float] = {
            "model": name,
            "model_sha256": self._encoder.sha256,
            "query_prefix": self._query_prefix,
            "passage_prefix": prefix,
            "pooling": self._encoder.pooling,
            "max_tokens": self._encoder.max_tokens,
            "dtype": self._encoder.dtype,
            "index": "flat" if index == "flat" else HNSW_SETTINGS,
        }
        self.spec = self._corpus.search_spec("dense", settings, top_k)

    def search_batch(self, queries: Sequence[str], top_k: int) -> list[tuple[Passage, ...]]:
        texts = [self._query_prefix + without_surrogates(query) for query in queries]
        try:
            vectors = self._encoder.encode(texts)
        except RuntimeError as error:  # torch's, as when the GPU's memory is full
            raise SearchFault("encoder", str(error).splitlines()[0]) from None
        scores, positions = self._index.search(vectors, min(top_k, len(self._corpus)))
        rows = zip(positions.tolist(), scores.tolist(), strict=True)
        return [self._corpus.scored(_best_first(*row)) for row in rows]


def _best_first(positions: list[int], scores: list[float]) -> list[tuple[int, float]]:
    # faiss fills up with position -1, and leaves the order of equal scores open.
    pairs = [pair for pair in zip(positions, scores, strict=True) if pair[0] >= 0]
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))
