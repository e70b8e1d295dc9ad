"""The wire formats of published retrieval servers and their clients, both ways and without I/O.

- Search-R1 (`search_r1/search/retrieval_server.py`): POST /retrieve {queries, topk, return_scores}
  -> {"result": [[document or {"document", "score"}, ...], ...]}.
- AutoCoA's released code: POST /retrieve {query, tok_k (so spelt), return_score = true}
  -> {"documents": [...], "scores": [...]}, or a list of these where `query` is a list.
- FlashRAG's, as RUC-NLPIR's projects serve it (`scripts/serving/retriever_serving.py`):
  POST /search {query, top_n, return_score = false} -> [document, ...] or [[document, ...],
  [score, ...]]; POST /batch_search with a list -> a list of either for each query.
- R1-Searcher (`train/wiki_corpus_load.py`): POST /queries {queries, k}
  -> {"queries": [...], "answers": [[contents, ...], ...]}.

A document is {"id", "contents"}, contents being a quoted title, a line break and the text.
"""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from autocoa_bench.errors import UNREADABLE
from autocoa_bench.search.passages import join_contents, read_passage
from autocoa_bench.search.remote.documents import find_documents
from autocoa_bench.types import Passage, SearchSpec

Protocol = Literal["search-r1", "autocoa", "flashrag"]

PATHS: dict[Protocol, str] = {
    "search-r1": "/retrieve",
    "autocoa": "/retrieve",
    "flashrag": "/search",
}
"""The path of each protocol, in the order in which our client tries them."""

SERVED_PATHS = ("/retrieve", "/search", "/batch_search", "/queries")
"""The paths at which our server answers POST."""

MOST_PASSAGES = 100
"""The most passages per query; `run --top-k` has the same limit."""

MOST_QUERIES = 8192
"""The most queries per request: Search-R1's trainer sends a whole batch of rollouts at once
(512 x 5 by default)."""

MOST_RESULTS = 65_536
"""The most passages per request, over all its queries."""

NOT_EMPTY = "[^ \t\n\v\f\r]"
"""A query of /search must match this: JSON Schema's `\\S` and Python's are not the same."""

Queries = Annotated[list[str], Meta(max_length=MOST_QUERIES)]
PassageCount = Annotated[int, Meta(ge=0, le=MOST_PASSAGES)]
Results = Sequence[Sequence[Passage]]


class BadRequest(Exception):
    """A request that cannot be answered; the message says why."""


class BadSearchReply(Exception):
    """A reply that does not have the protocol's shape; the message says what was expected."""


class RequestBody(Struct):
    """All the fields that published clients send; other fields are ignored.

    The number of passages goes by several names; 0 and null leave it to the server.
    """

    queries: Queries | None = None
    query: str | Queries | None = None
    topk: PassageCount | None = None
    tok_k: PassageCount | None = None
    top_k: PassageCount | None = None
    top_n: PassageCount | None = None
    k: PassageCount | None = None
    return_scores: bool | None = None
    return_score: bool | None = None

    @property
    def passage_count(self) -> int:
        """The number of passages under the first name that gives one; 0 where none does."""
        return self.topk or self.tok_k or self.top_k or self.top_n or self.k or 0


class SearchRequest(Struct, frozen=True):
    """A request as read: its queries, the passages for each, and a function that makes the reply.

    `top_k` 0 leaves the number of passages to the server.
    """

    queries: list[str]
    top_k: int
    reply: Callable[[Results], object]


class ServerInfo(Struct, frozen=True):
    """The reply of our own server's GET /info: its search engine and corpus."""

    server: Literal["autocoa-bench"]
    search: SearchSpec


def read_request(path: str, data: bytes) -> SearchRequest:
    """Read the body of a request that was posted to a path. Raises BadRequest."""
    try:
        body = _decode_body(data)
    except UNREADABLE as error:
        raise BadRequest(f"the body is not the JSON that {path} takes: {error}") from None
    queries, top_k = _queries(path, body), body.passage_count
    if len(queries) * max(1, top_k) > MOST_RESULTS:
        raise BadRequest(
            f"{len(queries)} queries for {top_k} passages each exceed the limit of {MOST_RESULTS} "
            "passages per request; send fewer queries at once"
        )
    return SearchRequest(queries, top_k, partial(_reply, path, body))


def request_body(protocol: Protocol, query: str, top_k: int) -> bytes:
    """The body of a request for one query."""
    bodies: dict[Protocol, dict[str, Any]] = {
        "search-r1": {"queries": [query], "topk": top_k, "return_scores": True},
        "autocoa": {"query": query, "tok_k": top_k, "return_score": True},
        "flashrag": {"query": query, "top_n": top_k, "return_score": True},
    }
    return msgspec.json.encode(bodies[protocol])


def read_reply(protocol: Protocol, data: bytes, top_k: int) -> tuple[Passage, ...]:
    """The passages in the reply to `request_body`, at most `top_k`. Raises BadSearchReply.

    Documents are read wherever the reply nests them; a reply without any must have the shape of
    the protocol.
    """
    expected = _EXPECTED[protocol]
    try:
        reply = msgspec.json.decode(data)
        documents = find_documents(reply)
    except UNREADABLE as error:
        raise BadSearchReply(f"expected {expected}: {error}") from None
    if not documents and reply != _EMPTY[protocol]:
        raise BadSearchReply(f"expected {expected}")
    try:
        return tuple(read_passage(document, score)[0] for document, score in documents[:top_k])
    except ValueError as error:
        problem = "expected documents with 'contents', or with 'title' and 'text'"
        raise BadSearchReply(f"{problem}: {error}") from None


def has_shape(protocol: Protocol, data: bytes) -> bool:
    """Tell whether a reply has the outer shape of a protocol, whatever else can be read from it."""
    reply = msgspec.json.decode(data)
    return type(reply) is type(_EMPTY[protocol]) and (
        not isinstance(reply, dict) or set(reply) >= set(_OUTER_FIELDS[protocol])
    )


def read_info(data: bytes) -> SearchSpec | None:
    """The search engine in our own server's reply to /info; None for another server's reply."""
    try:
        return _decode_info(data).search
    except UNREADABLE:
        return None


# Replies, as our client reads them


_decode_body = msgspec.json.Decoder(RequestBody, strict=False).decode  # "3" is 3, as to FastAPI
_decode_info = msgspec.json.Decoder(ServerInfo).decode

_OUTER_FIELDS: dict[Protocol, tuple[str, ...]] = {
    "search-r1": ("result",),
    "autocoa": ("documents", "scores"),
}

_EMPTY: dict[Protocol, object] = {
    "search-r1": {"result": [[]]},
    "autocoa": {"documents": [], "scores": []},
    "flashrag": [[], []],
}
"""The replies of searches without a passage."""

_EXPECTED: dict[Protocol, str] = {
    "search-r1": 'Search-R1\'s {"result": [[{"document": {"id", "contents"}, "score"}, ...]]}',
    "autocoa": 'AutoCoA\'s {"documents": [{"id", "contents"}, ...], "scores": [...]}',
    "flashrag": 'FlashRAG\'s [[{"id", "contents"}, ...], [score, ...]]',
}


# Requests, as our server reads and answers them


def _queries(path: str, body: RequestBody) -> list[str]:
    """The queries of a request. Raises BadRequest."""
    query, queries = body.query, body.queries
    if path == "/search":
        if isinstance(query, str) and re.search(NOT_EMPTY, query):
            return [query]
        raise BadRequest("/search takes 'query', a text that is not empty")
    if path == "/batch_search":
        if isinstance(query, list):
            return query
        raise BadRequest("/batch_search takes 'query', a list of texts")
    if path == "/queries":
        if queries is not None:
            return queries
        raise BadRequest("/queries takes 'queries', a list of texts")
    if query is not None and queries is not None:
        raise BadRequest("give 'queries' (Search-R1) or 'query' (AutoCoA), not both")
    if queries is not None:
        return queries
    if query is not None:
        return [query] if isinstance(query, str) else query
    raise BadRequest(
        "give 'queries', a list of texts (Search-R1), or 'query', a text or a list (AutoCoA)"
    )


def _reply(path: str, body: RequestBody, results: Results) -> object:
    """The reply to a request, in the shape of the protocol that its path and fields select."""
    documents = [
        [{"id": passage.id, "contents": join_contents(passage)} for passage in passages]
        for passages in results
    ]
    scores = [[passage.score or 0.0 for passage in passages] for passages in results]
    if path == "/search":
        return [documents[0], scores[0]] if body.return_score else documents[0]
    if path == "/batch_search":
        return [documents, scores] if body.return_score else documents
    if path == "/queries":
        contents = [[document["contents"] for document in row] for row in documents]
        return {"queries": body.queries, "answers": contents}
    pairs = zip(documents, scores, strict=True)
    if body.queries is not None:  # Search-R1
        if not body.return_scores:
            return {"result": documents}
        scored = [
            [{"document": d, "score": s} for d, s in zip(*pair, strict=True)] for pair in pairs
        ]
        return {"result": scored}
    # AutoCoA's server returns scores unless a request declines them.
    replies: list[object] = [{"documents": row, "scores": numbers} for row, numbers in pairs]
    if body.return_score is False:
        replies = [{"documents": row} for row in documents]
    return replies[0] if isinstance(body.query, str) else replies
