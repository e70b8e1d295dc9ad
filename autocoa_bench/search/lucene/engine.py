"""Lucene's BM25, as Anserini and pyserini run it: English analyzer, Porter stemmer, k1 and b."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from autocoa_bench.errors import MissingExtra, SearchFault, UserError
from autocoa_bench.search.batching import BatchedSearch, without_surrogates
from autocoa_bench.search.build_cache import open_or_build
from autocoa_bench.search.corpus import FORMAT, Corpus, open_corpus, split_contents
from autocoa_bench.search.lucene.jvm import INDEXER, SEARCHER, Anserini, anserini
from autocoa_bench.types import Passage, SearchSpec
from autocoa_bench.util.paths import cache_dir, user_path
from autocoa_bench.util.progress import DelayedProgressBar

_PASSAGES_A_FILE = 100_000
"""Anserini's threads share out files."""

_THREADS = min(8, os.cpu_count() or 1)

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Lucene(BatchedSearch):
    """Lucene's BM25 over a corpus, or over a Lucene index that exists.

    Of a corpus the index is built at the first use and kept by the corpus' fingerprint; equal
    scores keep the corpus' order. `index` is a folder that Anserini or pyserini made with its
    texts stored (`-storeRaw` or `-storeContents`), or the name of an index that pyserini downloads.
    """

    brings_corpus = "index"

    def __init__(
        self, corpus: str = "", *, top_k: int = 3, k1: float = 0.9, b: float = 0.4, index: str = ""
    ) -> None:
        super().__init__()
        if top_k < 1 or k1 < 0 or not 0 <= b <= 1:
            raise UserError(
                "lucene needs top-k >= 1, k1 >= 0 and 0 <= b <= 1, "
                f"not {top_k}, k1={k1:g} and b={b:g}"
            )
        if corpus and index:
            raise UserError(
                f"lucene searches a corpus or an index, not both ('{corpus}' and '{index}'): "
                "leave --corpus out, or index="
            )
        folder = _index_folder(index) if index else None
        self._java = anserini()
        settings: dict[str, str | int | float] = {"k1": k1, "b": b, "anserini": self._java.version}
        if folder:
            self._searcher = _open_foreign(self._java, folder)
            self._fetch = _stored(self._searcher)
            passages = int(self._searcher.get_total_num_docs())
            settings["index_sha256"] = _index_sha256(folder)
            self._spec = SearchSpec("lucene", folder.name, "", passages, settings, top_k)
        else:
            texts = open_corpus(corpus)
            self._searcher = _built(self._java, texts)
            self._fetch = lambda docid: texts.get(int(docid))
            self._spec = SearchSpec("lucene", texts.name, texts.sha256, len(texts), settings, top_k)
        self._searcher.set_bm25(k1, b)

    @property
    def spec(self) -> SearchSpec:
        """The corpus by name and fingerprint (or the index by its own), k1, b and Anserini's."""
        return self._spec

    def search_batch(self, queries: Sequence[str], top_k: int) -> list[tuple[Passage, ...]]:
        """What `search` finds for each query, with another top-k. Raises SearchFault."""
        try:
            return [
                tuple(
                    msgspec.structs.replace(self._fetch(hit.docid), score=float(hit.score))
                    for hit in hits
                )
                for hits in self._hits([without_surrogates(query) for query in queries], top_k)
            ]
        except self._java.exception as error:
            raise SearchFault("lucene", _said(error)) from None

    async def close(self) -> None:
        """Close the index; safe to call twice. Java stays, until the process ends."""
        await super().close()
        self._searcher.close()

    def _hits(self, queries: list[str], top_k: int) -> list[Sequence[Any]]:
        if len(queries) == 1:
            return [self._searcher.search(queries[0], top_k)]
        texts, names = (self._java.java_class("java.util.ArrayList")() for _ in range(2))
        for number, query in enumerate(queries):
            texts.add(query)
            names.add(str(number))
        found = self._searcher.batch_search(texts, names, top_k, min(len(queries), _THREADS))
        return [found.get(str(number)) or () for number in range(len(queries))]


def _built(java: Anserini, corpus: Corpus) -> Any:
    """The searcher of a corpus' index in the cache."""

    def build(folder: Path) -> None:
        with (
            DelayedProgressBar(f"indexing {corpus.name}") as bar,
            tempfile.TemporaryDirectory(dir=folder.parent) as scratch,
        ):
            _write_documents(corpus, Path(scratch), bar)
            bar.update(None)
            _index(java, corpus, scratch, str(folder))

    def open_(folder: Path) -> Any:
        try:
            return java.java_class(SEARCHER)(str(folder))
        except java.exception as error:
            raise ValueError(_said(error)) from None

    name = f"lucene-{java.version}-{FORMAT}-{corpus.sha256[:32]}"
    return open_or_build(cache_dir("index") / name, build, open_)


def _write_documents(corpus: Corpus, folder: Path, bar: DelayedProgressBar) -> None:
    """Anserini's JSON lines; ids are positions, so wide that equals keep the corpus' order."""
    encode = msgspec.json.Encoder().encode
    for start in range(0, len(corpus), _PASSAGES_A_FILE):
        bar.update(start / len(corpus) / 4)
        with (folder / f"{start:010d}.jsonl").open("wb") as file:
            for position in range(start, min(start + _PASSAGES_A_FILE, len(corpus))):
                passage = corpus.get(position)
                contents = f"{passage.title}\n{passage.text}"
                file.write(encode({"id": f"{position:010d}", "contents": contents}) + b"\n")


def _index(java: Anserini, corpus: Corpus, documents: str, index: str) -> None:
    what = ["-collection", "JsonCollection", "-generator", "DefaultLuceneDocumentGenerator"]
    where = ["-input", documents, "-index", index, "-threads", str(_THREADS), "-quiet"]
    try:
        java.java_class(INDEXER).main([*what, *where])
        searcher = java.java_class(SEARCHER)(index)
        indexed = int(searcher.get_total_num_docs())
        searcher.close()
    except java.exception as error:
        raise UserError(f"Lucene cannot index '{corpus.name}': {_said(error)}") from None
    if indexed != len(corpus):  # Anserini counts what it cannot index, and goes on
        raise UserError(
            f"Lucene indexed {indexed:,} of the {len(corpus):,} passages of '{corpus.name}'; "
            "is the disk full?"
        )


def _index_folder(given: str) -> Path:
    """The folder of an index that a person named. Raises UserError."""
    path = user_path(given)
    if path.is_dir():
        if not any(path.glob("segments_*")):
            raise UserError(f"'{path}' is no Lucene index: it has no segments file")
        return path
    if os.sep in given or path.exists():
        raise UserError(f"'{path}' is no folder: index= takes that of a Lucene index")
    return _downloaded(given)


def _downloaded(name: str) -> Path:
    """The folder of one of pyserini's own indexes, which pyserini fetches. Raises UserError."""
    anserini()  # our Java first: pyserini would start one with its own options
    try:
        from pyserini.util import download_prebuilt_index
    except ImportError:
        raise MissingExtra(f"the index '{name}' (pyserini itself downloads it)", "lucene") from None
    except OSError as error:
        raise _unreachable(name, error) from None
    try:
        return Path(download_prebuilt_index(name))
    except (OSError, ValueError) as error:
        raise _unreachable(name, error) from None


def _unreachable(name: str, error: Exception) -> UserError:
    return UserError(
        f"'{name}' is no folder, and pyserini cannot download an index of that name ({error}); "
        "give the path of a Lucene index, or one of pyserini's prebuilt indexes"
    )


def _open_foreign(java: Anserini, folder: Path) -> Any:
    try:
        searcher = java.java_class(SEARCHER)(str(folder))
        if searcher.get_total_num_docs() and not _first_text(searcher):
            searcher.close()
            raise UserError(f"the index '{folder}' has no texts to show; build it with -storeRaw")
        return searcher
    except java.exception as error:
        raise UserError(f"the index '{folder}' cannot be opened: {_said(error)}") from None


def _first_text(searcher: Any) -> str | None:
    document = searcher.doc(0)
    found: str | None = document.get("raw") or document.get("contents")
    return found


def _stored(searcher: Any) -> Callable[[str], Passage]:
    def fetch(docid: str) -> Passage:
        raw = searcher.doc_raw(docid) or searcher.doc_contents(docid) or ""
        return _passage(docid, raw)

    return fetch


def _passage(docid: str, raw: str) -> Passage:
    """A passage of what an index stores: a JSON document, or plain text."""
    try:
        row = _decode(raw)
    except (msgspec.DecodeError, UnicodeEncodeError):
        row = {"contents": raw}
    title, text = split_contents(str(row.get("contents") or row.get("text") or ""))
    if isinstance(named := row.get("title"), str) and named:
        title, text = named, str(row.get("text") or f"{title}\n{text}")
    if not text:  # no title line
        title, text = "", title
    return Passage(docid, title.strip(), text.strip())


def _index_sha256(folder: Path) -> str:
    """Of an index's last commit, which names all of its segments."""
    last = max(folder.glob("segments_*"), key=lambda each: int(each.name.partition("_")[2], 36))
    return hashlib.sha256(last.read_bytes()).hexdigest()


def _said(error: Exception) -> str:
    return str(getattr(error, "innermessage", None) or error)
