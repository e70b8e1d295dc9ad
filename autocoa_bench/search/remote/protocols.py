"""The wire of retrieval servers, both ways and without I/O: what published clients send and read.

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

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from autocoa_bench.errors import UNREADABLE
from autocoa_bench.search.corpus import split_contents
from autocoa_bench.types import Passage, SearchSpec

Protocol = Literal["search-r1", "autocoa", "flashrag"]

PATHS: dict[Protocol, str] = {
    "search-r1": "/retrieve",
    "autocoa": "/retrieve",
    "flashrag": "/search",
}
"""Where our client asks, in the order in which it tries them."""

MOST_PASSAGES = 100
"""A query; `run --top-k` has the same limit."""

MOST_QUERIES = 8192
"""A request: Search-R1's trainer sends a whole batch of rollouts at once (512 x 5 by default)."""

MOST_RESULTS = 65_536
"""Passages a request, over all its queries."""

NOT_EMPTY = "[^ \t\n\v\f\r]"
"""What /search finds in a query. JSON Schema's `\\S` and Python's are not the same characters."""

Queries = Annotated[list[str], Meta(max_length=MOST_QUERIES)]
Size = Annotated[int, Meta(ge=0, le=MOST_PASSAGES)]


class BadRequest(Exception):
    """A request that cannot be answered: the message says what is wrong with it."""


class RequestBody(Struct):
    """What any of the published clients may send; fields that are not listed are ignored.

    The number of passages goes by several names; 0 and null leave it to the server.
    """

    queries: Queries | None = None
    query: str | Queries | None = None
    topk: Size | None = None
    tok_k: Size | None = None
    top_k: Size | None = None
    top_n: Size | None = None
    k: Size | None = None
    return_scores: bool | None = None
    return_score: bool | None = None


class ServerInfo(Struct, frozen=True):
    """The reply of our own server's GET /info: what it searches and how."""

    server: Literal["autocoa-bench"]
    search: SearchSpec


Results = Sequence[Sequence[Passage]]


class SearchRequest(Struct, frozen=True):
    """A request as read: its queries, how many passages for each, and how to write the reply.

    `top_k` 0 leaves the number to the server.
    """

    queries: list[str]
    top_k: int
    reply: Callable[[Results], object]


class BadSearchReply(Exception):
    """A reply that is not of the protocol's shape: the message says what was expected."""


def read_request(path: str, data: bytes) -> SearchRequest:
    """The request that a body posted to a path is. Raises BadRequest."""
    try:
        body = _body(data)
    except UNREADABLE as error:
        raise BadRequest(f"the body is not the JSON that {path} takes: {error}") from None
    wanted = _READERS[path](body)
    if len(wanted.queries) * max(1, wanted.top_k) > MOST_RESULTS:
        raise BadRequest(
            f"{len(wanted.queries)} queries for {wanted.top_k} passages each are more than "
            f"{MOST_RESULTS} passages a request; send fewer queries at once"
        )
    return wanted


def document(passage: Passage) -> dict[str, str]:
    """A passage as the servers write it. A line break in a title would end it."""
    title = " ".join(passage.title.split("\n"))
    return {"id": passage.id, "contents": f'"{title}"\n{passage.text}'}


def request_body(protocol: Protocol, query: str, top_k: int) -> bytes:
    """One query, in a protocol's words."""
    bodies: dict[Protocol, dict[str, Any]] = {
        "search-r1": {"queries": [query], "topk": top_k, "return_scores": True},
        "autocoa": {"query": query, "tok_k": top_k, "return_score": True},
        "flashrag": {"query": query, "top_n": top_k, "return_score": True},
    }
    return msgspec.json.encode(bodies[protocol])


def read_reply(protocol: Protocol, data: bytes, top_k: int) -> tuple[Passage, ...]:
    """The passages in the reply to `request_body`, at most `top_k`. Raises BadReply."""
    try:
        pairs = _REPLIES[protocol](data)
    except UNREADABLE as error:
        raise BadSearchReply(f"expected {_EXPECTED[protocol]}: {error}") from None
    return tuple(_passage(document, score) for document, score in pairs[:top_k])


def read_info(data: bytes) -> SearchSpec | None:
    """What our own server says at /info; None where another server says something there."""
    try:
        return _info(data).search
    except UNREADABLE:
        return None


class _Document(Struct):
    """A document of any server: FlashRAG's `contents`, or title and text apart."""

    id: str | int | None = None
    contents: str | None = None
    title: str | None = None
    text: str | None = None


class _Item(_Document):
    """An entry of Search-R1's result: a document, or with its score around it."""

    document: _Document | None = None
    score: float | None = None


class _SearchR1(Struct):
    result: tuple[list[_Item]]


class _AutoCoA(Struct):
    documents: list[_Document]
    scores: list[float]


_Pairs = list[tuple[_Document, float | None]]

_body = msgspec.json.Decoder(RequestBody, strict=False).decode  # "3" is 3, as to FastAPI
_info = msgspec.json.Decoder(ServerInfo).decode
_search_r1 = msgspec.json.Decoder(_SearchR1).decode
_autocoa = msgspec.json.Decoder(_AutoCoA).decode
_flashrag = msgspec.json.Decoder(tuple[list[_Document], list[float]]).decode


def _passage(found: _Document, score: float | None) -> Passage:
    if found.contents is not None:
        title, text = split_contents(found.contents)
        if not text:  # nothing but a text
            title, text = "", found.contents
    elif found.text is not None:
        title, text = found.title or "", found.text
    else:
        raise BadSearchReply("expected documents with 'contents', or with 'title' and 'text'")
    identity = found.id
    if identity is None:
        identity = hashlib.sha256(f"{title}\n{text}".encode()).hexdigest()[:16]
    return Passage(str(identity), title.strip(), text.strip(), score)


def _search_r1_pairs(data: bytes) -> _Pairs:
    [items] = _search_r1(data).result
    return [(item.document or item, item.score) for item in items]


def _autocoa_pairs(data: bytes) -> _Pairs:
    found = _autocoa(data)
    return _paired(found.documents, found.scores)


def _flashrag_pairs(data: bytes) -> _Pairs:
    return _paired(*_flashrag(data))


def _paired(documents: list[_Document], scores: list[float]) -> _Pairs:
    if len(documents) != len(scores):
        raise BadSearchReply(
            f"expected as many scores ({len(scores)}) as documents ({len(documents)})"
        )
    return list(zip(documents, scores, strict=True))


_REPLIES: dict[Protocol, Callable[[bytes], _Pairs]] = {
    "search-r1": _search_r1_pairs,
    "autocoa": _autocoa_pairs,
    "flashrag": _flashrag_pairs,
}

_EXPECTED: dict[Protocol, str] = {
    "search-r1": 'Search-R1\'s {"result": [[{"document": {"id", "contents"}, "score"}, ...]]}',
    "autocoa": 'AutoCoA\'s {"documents": [{"id", "contents"}, ...], "scores": [...]}',
    "flashrag": 'FlashRAG\'s [[{"id", "contents"}, ...], [score, ...]]',
}


def _size(body: RequestBody) -> int:
    """How many passages are asked for, by whichever name, the first of several; 0: not said."""
    return body.topk or body.tok_k or body.top_k or body.top_n or body.k or 0


def _scores(passages: Sequence[Passage]) -> list[float]:
    return [passage.score or 0.0 for passage in passages]


def _documents(passages: Sequence[Passage]) -> list[dict[str, str]]:
    return [document(passage) for passage in passages]


def _retrieve(body: RequestBody) -> SearchRequest:
    if body.queries is None:
        return _autocoa_request(body)
    if body.query is not None:
        raise BadRequest("give 'queries' (Search-R1) or 'query' (AutoCoA), not both")
    with_scores = body.return_scores or False

    def reply(found: Results) -> object:
        if not with_scores:
            return {"result": [_documents(passages) for passages in found]}
        scored = [
            [{"document": document(p), "score": p.score or 0.0} for p in passages]
            for passages in found
        ]
        return {"result": scored}

    return SearchRequest(body.queries, _size(body), reply)


def _autocoa_request(body: RequestBody) -> SearchRequest:
    if body.query is None:
        raise BadRequest(
            "give 'queries', a list of texts (Search-R1), or 'query', a text or a list (AutoCoA)"
        )
    single = isinstance(body.query, str)
    with_scores = body.return_score is not False

    def reply(found: Results) -> object:
        each: list[object] = [
            {"documents": _documents(passages)}
            | ({"scores": _scores(passages)} if with_scores else {})
            for passages in found
        ]
        return each[0] if single else each

    return SearchRequest(_listed(body.query), _size(body), reply)


def _search(body: RequestBody) -> SearchRequest:
    if not isinstance(body.query, str) or not re.search(NOT_EMPTY, body.query):
        raise BadRequest("/search takes 'query', a text that is not empty")
    with_scores = body.return_score or False

    def reply(found: Results) -> object:
        [passages] = found
        return [_documents(passages), _scores(passages)] if with_scores else _documents(passages)

    return SearchRequest([body.query], _size(body), reply)


def _batch_search(body: RequestBody) -> SearchRequest:
    if not isinstance(body.query, list):
        raise BadRequest("/batch_search takes 'query', a list of texts")
    with_scores = body.return_score or False

    def reply(found: Results) -> object:
        documents = [_documents(passages) for passages in found]
        return [documents, [_scores(passages) for passages in found]] if with_scores else documents

    return SearchRequest(body.query, _size(body), reply)


def _r1_searcher(body: RequestBody) -> SearchRequest:
    if body.queries is None:
        raise BadRequest("/queries takes 'queries', a list of texts")
    queries = body.queries

    def reply(found: Results) -> object:
        answers = [[document(passage)["contents"] for passage in passages] for passages in found]
        return {"queries": queries, "answers": answers}

    return SearchRequest(queries, _size(body), reply)


def _listed(query: str | list[str]) -> list[str]:
    return [query] if isinstance(query, str) else query


_READERS: dict[str, Callable[[RequestBody], SearchRequest]] = {
    "/retrieve": _retrieve,
    "/search": _search,
    "/batch_search": _batch_search,
    "/queries": _r1_searcher,
}

SERVED_PATHS = tuple(_READERS)
"""The paths that our server answers POST at."""
