"""Search engines: each turns a query into the best passages of a corpus.

`engine` defines the protocol and `factory` opens an engine by its name. `bm25` (with `terms`),
`dense/` and `lucene/` search a corpus in this process, `hybrid` fuses several engines, `remote/`
holds the client and the server of HTTP search servers, and `simulated` lets a model write the
results. `passages` reads passages from rows and replies, `corpus` stores them, `build_cache` stores
indexes, `result_cache` stores search results, and `batching` joins concurrent queries into one
call.

May import: `types`, `errors`, `registry`, `util`."""

from autocoa_bench.search.engine import BatchSearchEngine, SearchEngine

__all__ = ["BatchSearchEngine", "SearchEngine"]
