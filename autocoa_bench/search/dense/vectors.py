"""Vectors of a corpus on disk, and the indexes that search them.

They are made once, appended to one file and flushed, so that a build that was killed goes on where
it stopped; then memory-mapped, so that processes share them.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from autocoa_bench.errors import MissingExtra
from autocoa_bench.search.build_cache import open_or_build
from autocoa_bench.search.corpus import FORMAT, Corpus
from autocoa_bench.search.dense.encoder import Encoder, Vectors
from autocoa_bench.search.remote.protocols import document
from autocoa_bench.util.paths import cache_dir, locked
from autocoa_bench.util.progress import DelayedProgressBar

Positions = np.ndarray[Any, np.dtype[np.int64]]

HNSW_LINKS = 32
HNSW_BUILD_BREADTH = 200
HNSW_SEARCH_BREADTH = 128

_CHUNK = 256
"""Passages that are encoded and kept together."""

_ADDED_AT_ONCE = 8192


class VectorIndex(Protocol):
    """What finds the nearest vectors."""

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Positions]:
        """Inner products and positions of the best k, best first [queries, k]; -1: none."""
        ...


class Flat:
    """Every vector is compared: exact."""

    def __init__(self, vectors: Vectors) -> None:
        self._faiss = _faiss()
        self._vectors = vectors

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Positions]:
        """As `Index` has it."""
        found: tuple[Vectors, Positions] = self._faiss.knn(
            queries, self._vectors, k, metric=self._faiss.METRIC_INNER_PRODUCT
        )
        return found


class HNSW:
    """Approximate, by a graph of near vectors (Malkov and Yashunin 2018), built at first use."""

    def __init__(self, vectors: Vectors, key: str) -> None:
        self._faiss = _faiss()
        self._vectors = vectors
        folder = cache_dir("index") / f"hnsw-{key}"
        with locked(folder.with_suffix(".lock")):
            self._index = open_or_build(folder, self._build, self._open)

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Positions]:
        """As `Index` has it."""
        breadth = self._faiss.SearchParametersHNSW(efSearch=max(HNSW_SEARCH_BREADTH, k))
        found: tuple[Vectors, Positions] = self._index.search(queries, k, params=breadth)
        return found

    def _build(self, folder: Path) -> None:
        metric = self._faiss.METRIC_INNER_PRODUCT
        index = self._faiss.IndexHNSWFlat(self._vectors.shape[1], HNSW_LINKS, metric)
        index.hnsw.efConstruction = HNSW_BUILD_BREADTH
        with DelayedProgressBar("linking near passages") as bar:
            for start in range(0, len(self._vectors), _ADDED_AT_ONCE):
                bar.update(start / len(self._vectors))
                index.add(self._vectors[start : start + _ADDED_AT_ONCE])
            self._faiss.write_index(index, str(folder / "hnsw.faiss"))

    def _open(self, folder: Path) -> Any:
        try:
            return self._faiss.read_index(str(folder / "hnsw.faiss"))
        except RuntimeError as error:
            raise ValueError(str(error)) from None


def vectors_of(corpus: Corpus, encoder: Encoder, prefix: str) -> tuple[Vectors, str]:
    """A corpus' vectors in its order [passages, dimensions], and the key that they are kept by.

    What is encoded is the prefix and FlashRAG's `contents`: the quoted title, a line break, the
    text.
    """
    identity = (FORMAT, corpus.sha256, encoder.sha256, encoder.dtype, prefix)
    key = hashlib.sha256(msgspec.json.encode(identity)).hexdigest()[:32]
    folder = cache_dir("index") / f"vectors-{key}"
    shape = (len(corpus), encoder.dimensions)

    def build(made: Path) -> None:
        part = folder.with_suffix(".part")
        _encode_rest(corpus, encoder, prefix, part)
        part.rename(made / "vectors.f32")

    def open_(made: Path) -> Vectors:
        return np.asarray(np.memmap(made / "vectors.f32", np.float32, "r", shape=shape))

    with locked(folder.with_suffix(".lock")):
        return open_or_build(folder, build, open_), key


def _encode_rest(corpus: Corpus, encoder: Encoder, prefix: str, part: Path) -> None:
    """Append the vectors that a file does not hold yet."""
    a_row = encoder.dimensions * np.dtype(np.float32).itemsize
    with part.open("ab") as file, DelayedProgressBar(f"encoding {corpus.name}") as bar:
        done = min(file.tell() // a_row, len(corpus))
        file.truncate(done * a_row)  # a torn row
        for start in range(done, len(corpus), _CHUNK):
            bar.update(start / len(corpus))
            passages = map(corpus.get, range(start, min(start + _CHUNK, len(corpus))))
            texts = [prefix + document(passage)["contents"] for passage in passages]
            file.write(encoder.encode(texts).tobytes())
            file.flush()
            os.fsync(file.fileno())


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        raise MissingExtra("the search engine 'dense'", "dense") from None
    return faiss
