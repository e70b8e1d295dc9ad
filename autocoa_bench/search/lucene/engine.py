"""Lucene's BM25, as Anserini and pyserini run it: English analyzer, Porter stemmer, k1 and b."""

import hashlib
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from autocoa_bench.errors import MissingExtra, SearchFault, UserError
from autocoa_bench.search import terms
from autocoa_bench.search.batching import BatchedSearch, without_surrogates
from autocoa_bench.search.build_cache import open_or_build
from autocoa_bench.search.corpus import FORMAT, Corpus, open_corpus
from autocoa_bench.search.lucene.jvm import INDEXER, SEARCHER, Anserini, start_anserini
from autocoa_bench.search.passages import read_passage
from autocoa_bench.types import Passage, SearchSpec
from autocoa_bench.util.paths import cache_dir, user_path
from autocoa_bench.util.progress import DelayedProgressBar

# Anserini's threads share out files, so one file for all passages would be indexed by one thread.
_PASSAGES_PER_FILE = 100_000

_SAMPLED_PASSAGES = 100

_THREADS = min(8, os.cpu_count() or 1)

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Lucene(BatchedSearch):
    """Lucene's BM25 over a corpus, or over an existing Lucene index.

    The index of a corpus is built at the first use and cached under the corpus' fingerprint; equal
    scores keep the corpus' order. `index` is a folder written by Anserini or pyserini with its
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
                "leave out --corpus or index="
            )
        folder = _index_folder(index) if index else None
        self._java = start_anserini()
        self._corpus: Corpus | None = None
        settings: dict[str, str | int | float] = {"k1": k1, "b": b, "anserini": self._java.version}
        if folder:
            self._searcher = _open_index(self._java, folder)
            passages = int(self._searcher.get_total_num_docs())
            # The last commit of an index names all of its segments.
            commits = folder.glob("segments_*")
            last = max(commits, key=lambda file: int(file.name.partition("_")[2], 36))
            settings["index_sha256"] = hashlib.sha256(last.read_bytes()).hexdigest()
            self.spec = SearchSpec("lucene", folder.name, "", passages, settings, top_k)
        else:
            self._corpus = open_corpus(corpus)
            _warn_of_unspaced_text(self._corpus)
            self._searcher = _open_corpus_index(self._java, self._corpus)
            self.spec = self._corpus.search_spec("lucene", settings, top_k)
        self._searcher.set_bm25(k1, b)

    def search_batch(self, queries: Sequence[str], top_k: int) -> list[tuple[Passage, ...]]:
        try:
            return [
                tuple(replace(self._passage(hit.docid), score=float(hit.score)) for hit in hits)
                for hits in self._hits([without_surrogates(query) for query in queries], top_k)
            ]
        except self._java.exception as error:
            raise SearchFault("lucene", _java_message(error)) from None

    async def close(self) -> None:
        """Close the index; safe to call twice. Java keeps running until the process ends."""
        await super().close()
        self._searcher.close()

    def _hits(self, queries: list[str], top_k: int) -> list[Sequence[Any]]:
        # Anserini's batch search starts threads, which a single query does not repay.
        if len(queries) == 1:
            return [self._searcher.search(queries[0], top_k)]
        texts, names = (self._java.java_class("java.util.ArrayList")() for _ in range(2))
        for number, query in enumerate(queries):
            texts.add(query)
            names.add(str(number))
        hits = self._searcher.batch_search(texts, names, top_k, min(len(queries), _THREADS))
        return [hits.get(str(number)) or () for number in range(len(queries))]

    def _passage(self, docid: str) -> Passage:
        if self._corpus:
            return self._corpus.get(int(docid))
        document = self._searcher.doc_raw(docid) or self._searcher.doc_contents(docid) or ""
        return _parse_document(docid, document)


def _warn_of_unspaced_text(corpus: Corpus) -> None:
    """Warn of a corpus that is mostly text of which the English analyzer finds little."""
    step = max(1, len(corpus) // _SAMPLED_PASSAGES)
    if terms.is_unspaced("\n".join(corpus.get(i).text for i in range(0, len(corpus), step))):
        print(
            f"warning: '{corpus.name}' is mostly text without spaces between words (Chinese, "
            "Japanese, Korean, Thai, ...), in which Lucene's English analyzer finds little; give "
            "--search bm25",
            file=sys.stderr,
        )


def _open_corpus_index(java: Anserini, corpus: Corpus) -> Any:
    """The searcher over a corpus' index in the cache, built if need be."""

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
            raise ValueError(_java_message(error)) from None

    name = f"lucene-{java.version}-{FORMAT}-{corpus.sha256[:32]}"
    return open_or_build(cache_dir("index") / name, build, open_)


def _write_documents(corpus: Corpus, folder: Path, bar: DelayedProgressBar) -> None:
    """Write Anserini's JSON lines."""
    # Lucene orders equal scores by id: positions of ten digits keep the corpus' order.
    encode = msgspec.json.Encoder().encode
    for start in range(0, len(corpus), _PASSAGES_PER_FILE):
        bar.update(start / len(corpus) / 4)
        with (folder / f"{start:010d}.jsonl").open("wb") as file:
            for position in range(start, min(start + _PASSAGES_PER_FILE, len(corpus))):
                passage = corpus.get(position)
                contents = f"{passage.title}\n{passage.text}"
                file.write(encode({"id": f"{position:010d}", "contents": contents}) + b"\n")


def _index(java: Anserini, corpus: Corpus, documents: str, index: str) -> None:
    source = ["-collection", "JsonCollection", "-generator", "DefaultLuceneDocumentGenerator"]
    folders = ["-input", documents, "-index", index, "-threads", str(_THREADS), "-quiet"]
    try:
        java.java_class(INDEXER).main([*source, *folders])
        searcher = java.java_class(SEARCHER)(index)
        indexed = int(searcher.get_total_num_docs())
        searcher.close()
    except java.exception as error:
        raise UserError(f"Lucene cannot index '{corpus.name}': {_java_message(error)}") from None
    # Anserini skips what it cannot index and reports success.
    if indexed != len(corpus):
        raise UserError(
            f"Lucene indexed {indexed:,} of the {len(corpus):,} passages of '{corpus.name}'; "
            "check that the disk is not full"
        )


def _index_folder(index: str) -> Path:
    """The folder of the index that the option `index` names. Raises UserError."""
    path = user_path(index)
    if path.is_dir():
        if not any(path.glob("segments_*")):
            raise UserError(
                f"'{path}' is not a Lucene index: it has no segments file; give index= the folder "
                "of an index"
            )
        return path
    if os.sep in index or path.exists():
        raise UserError(f"'{path}' is not a folder; give index= the folder of a Lucene index")
    # Our Java starts first: pyserini would start one with its own options.
    start_anserini()
    try:
        from pyserini.util import download_prebuilt_index

        return Path(download_prebuilt_index(index))
    except ImportError:
        raise MissingExtra(f"the index '{index}' (pyserini downloads it)", "lucene") from None
    except (OSError, ValueError) as error:
        raise UserError(
            f"'{index}' is not a folder, and pyserini cannot download an index of that name "
            f"({error}); give the path of a Lucene index, or one of pyserini's prebuilt indexes"
        ) from None


def _open_index(java: Anserini, folder: Path) -> Any:
    """The searcher over an index that another program built. Raises UserError."""
    try:
        searcher = java.java_class(SEARCHER)(str(folder))
        if searcher.get_total_num_docs():
            document = searcher.doc(0)
            if not (document.get("raw") or document.get("contents")):
                searcher.close()
                raise UserError(
                    f"the index '{folder}' stores no texts; build it again with -storeRaw"
                )
        return searcher
    except java.exception as error:
        raise UserError(f"the index '{folder}' cannot be opened: {_java_message(error)}") from None


def _parse_document(docid: str, document: str) -> Passage:
    """The passage in a document that an index stores: a JSON object, or plain text."""
    row: object = document
    with suppress(msgspec.DecodeError, UnicodeEncodeError):
        row = _decode(document)
    try:
        return replace(read_passage(row)[0], id=docid, score=None)
    except ValueError:
        return Passage(docid, "", "")


def _java_message(error: Exception) -> str:
    return str(getattr(error, "innermessage", None) or error)
