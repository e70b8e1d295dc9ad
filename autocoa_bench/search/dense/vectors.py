"""The vectors of a corpus on disk, and the indexes that search them.

Vectors are appended to one file and flushed, so that a killed build resumes where it stopped; the
complete file is memory-mapped, so that processes share it.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from autocoa_bench.errors import import_extra
from autocoa_bench.search.build_cache import open_or_build
from autocoa_bench.search.corpus import FORMAT, Corpus
from autocoa_bench.search.dense.encoder import Encoder, Vectors
from autocoa_bench.search.passages import join_contents
from autocoa_bench.util.paths import cache_dir, locked
from autocoa_bench.util.progress import DelayedProgressBar

Positions = np.ndarray[Any, np.dtype[np.int64]]

_LINKS = 32
_BUILD_BREADTH = 200
_SEARCH_BREADTH = 128
HNSW_SETTINGS = f"hnsw {_LINKS}/{_BUILD_BREADTH}/{_SEARCH_BREADTH}"

_CHUNK = 256
"""Passages that are encoded and written together."""

_ADDED_AT_ONCE = 8192


class Flat:
    """An exact index: every vector is compared."""

    def __init__(self, vectors: Vectors) -> None:
        self._faiss = import_extra("faiss", "the search engine 'dense'", "dense")
        self._vectors = vectors

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Positions]:
        """Inner products and positions of the best k, best first [queries, k]; -1 for none."""
        nearest: tuple[Vectors, Positions] = self._faiss.knn(
            queries, self._vectors, k, metric=self._faiss.METRIC_INNER_PRODUCT
        )
        return nearest


class HNSW:
    """An approximate index: a graph of near vectors (Malkov and Yashunin 2018), cached on disk."""

    def __init__(self, vectors: Vectors, key: str) -> None:
        self._faiss = import_extra("faiss", "the search engine 'dense'", "dense")
        self._vectors = vectors
        folder = cache_dir("index") / f"hnsw-{key}"
        with locked(folder.with_suffix(".lock")):
            self._index = open_or_build(folder, self._build, self._open)

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Positions]:
        """Inner products and positions of the best k, as `Flat.search` returns them."""
        breadth = self._faiss.SearchParametersHNSW(efSearch=max(_SEARCH_BREADTH, k))
        nearest: tuple[Vectors, Positions] = self._index.search(queries, k, params=breadth)
        return nearest

    def _build(self, folder: Path) -> None:
        # Vectors have length 1, so the inner product orders them as the cosine does.
        metric = self._faiss.METRIC_INNER_PRODUCT
        index = self._faiss.IndexHNSWFlat(self._vectors.shape[1], _LINKS, metric)
        index.hnsw.efConstruction = _BUILD_BREADTH
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


def open_vectors(corpus: Corpus, encoder: Encoder, prefix: str) -> tuple[Vectors, str]:
    """The vectors of a corpus in its order [passages, dimensions], and their key in the cache.

    The encoded text of a passage is the prefix and FlashRAG's `contents`: the quoted title, a line
    break and the text.
    """
    identity = (FORMAT, corpus.sha256, encoder.sha256, encoder.dtype, prefix)
    key = hashlib.sha256(msgspec.json.encode(identity)).hexdigest()[:32]
    folder = cache_dir("index") / f"vectors-{key}"
    shape = (len(corpus), encoder.dimensions)

    def build(new_folder: Path) -> None:
        # The partial file lies outside the scratch folder, which does not survive a kill.
        part = folder.with_suffix(".part")
        _encode_rest(corpus, encoder, prefix, part)
        part.rename(new_folder / "vectors.f32")

    def open_(built_folder: Path) -> Vectors:
        return np.asarray(np.memmap(built_folder / "vectors.f32", np.float32, "r", shape=shape))

    with locked(folder.with_suffix(".lock")):
        return open_or_build(folder, build, open_), key


def _encode_rest(corpus: Corpus, encoder: Encoder, prefix: str, part: Path) -> None:
    """Append the vectors of the passages that a partial file lacks."""
    row_bytes = encoder.dimensions * np.dtype(np.float32).itemsize
    with part.open("ab") as file, DelayedProgressBar(f"encoding {corpus.name}") as bar:
        done = min(file.tell() // row_bytes, len(corpus))
        file.truncate(done * row_bytes)  # a kill may leave a torn row
        for start in range(done, len(corpus), _CHUNK):
            bar.update(start / len(corpus))
            passages = map(corpus.get, range(start, min(start + _CHUNK, len(corpus))))
            texts = [prefix + join_contents(passage) for passage in passages]
            file.write(encoder.encode(texts).tobytes())
            file.flush()
            os.fsync(file.fileno())
