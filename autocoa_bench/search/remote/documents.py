"""The documents in the reply of a search server, wherever the reply nests them."""

from autocoa_bench.search.passages import as_score, read_passage
from autocoa_bench.util.field_names import Row, fields

ScoredDocuments = list[tuple[object, float | None]]
"""Documents, each with the score that stands beside it, if one does."""

_LISTS = (
    *("result", "results", "documents", "docs", "passages", "hits", "matches", "points", "nodes"),
    *("chunks", "contexts", "ctxs", "retrieveddocs", "retrieveddocuments", "searchresults", "topk"),
    *("answers", "items", "records", "rows", "objects", "organic", "web", "webpages", "children"),
    *("root", "sourcenodes", "sourcedocuments", "data", "response", "output", "value", "context"),
)
"""Fields that hold the documents, or an object that holds them."""

_SCORES = ("scores", "score", "similarities", "relevancescores")

_ERRORS = ("detail", "details", "error", "errors", "message", "messages")

_DEEPEST = 8


def find_documents(reply: object, depth: int = 0) -> ScoredDocuments:
    """The documents of a reply to one query; empty where it has none. Raises ValueError.

    A list with a result for each query holds only one, that of the query.
    """
    if depth > _DEEPEST:
        return []
    if isinstance(reply, dict):
        return _in_object(fields(reply), depth)
    if not isinstance(reply, list) or not reply:
        return []
    if all(map(_is_pair, reply)):
        return [(item[0], as_score(item[1])) for item in reply]
    if len(reply) == 2 and _are_scores(reply[1]) and isinstance(reply[0], list):
        return _with_scores(reply[0], reply[1], depth)
    if all(isinstance(item, list) for item in reply):
        if len(reply) > 1:
            raise ValueError(f"{len(reply)} results for one query")
        return find_documents(reply[0], depth + 1)
    if len(reply) == 1 and isinstance(reply[0], dict) and not _is_document(reply[0]):
        # It may be an object for the one query, which holds the documents.
        return find_documents(reply[0], depth + 1) or [(reply[0], None)]
    if all(isinstance(item, dict | str) for item in reply):
        return [(item, None) for item in reply]
    return []


def _in_object(reply: Row, depth: int) -> ScoredDocuments:
    scores = next((reply[name] for name in _SCORES if name in reply), None)
    for name in _LISTS:
        if documents := _with_scores(reply.get(name), scores, depth):
            return documents
    # Some servers name the list by the query.
    [(name, value)] = reply.items() if len(reply) == 1 else [("", None)]
    return find_documents(value, depth + 1) if name not in _ERRORS else []


def _with_scores(value: object, scores: object, depth: int) -> ScoredDocuments:
    """Documents with the scores of a list beside them, which may be a list for each query."""
    documents = find_documents(value, depth + 1)
    while isinstance(scores, list) and len(scores) == 1 and isinstance(scores[0], list):
        scores = scores[0]
    if not isinstance(scores, list) or not documents:
        return documents
    if len(scores) != len(documents):
        raise ValueError(f"{len(scores)} scores for {len(documents)} documents")
    pairs = zip(documents, scores, strict=True)
    return [(document, as_score(score)) for (document, _), score in pairs]


def _is_pair(item: object) -> bool:
    """Tell whether an item is a document and its score."""
    return (
        isinstance(item, list)
        and len(item) == 2
        and isinstance(item[0], dict | str)
        and as_score(item[1]) is not None
    )


def _are_scores(value: object) -> bool:
    return isinstance(value, list) and all(as_score(score) is not None for score in value)


def _is_document(item: Row) -> bool:
    try:
        read_passage(item)
    except ValueError:
        return False
    return True
