"""Search engines: a query becomes passages.

`engine` is the protocol and `factory` makes an engine from its name. `bm25`, `dense/`, `lucene/`
and `hybrid` search a corpus in this process; `remote/` is the client and the server of search
servers; `simulated` lets a model play the search engine. `corpus` stores passages, `result_cache`
stores results, and `build_cache` stores indexes.

May import: `types`, `errors`, `registry`, `util`."""

from autocoa_bench.search.engine import BatchSearchEngine, SearchEngine

__all__ = [
    "SearchEngine",
    "BatchSearchEngine",
]
