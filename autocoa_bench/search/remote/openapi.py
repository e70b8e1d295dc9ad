"""The OpenAPI page of the search server."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import msgspec

from autocoa_bench.search.remote.protocols import NOT_EMPTY, RequestBody

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_FIELDS: Schema = msgspec.json.schema_components([RequestBody])[1]["RequestBody"]["properties"]


def describe(top_k: int) -> Schema:
    """OpenAPI 3.1 of every path. `top_k` is the server's default number of passages."""
    posts = {
        "/retrieve": (
            "Search-R1's retrieval server ('queries'), and AutoCoA's ('query').",
            {"oneOf": [_takes("queries"), _takes("query")]},
            _any(
                _object(result=_list(_list(_any(_ref("Document"), _ref("Scored"))))),
                _ref("Retrieved"),
                _list(_ref("Retrieved")),
            ),
        ),
        "/search": (
            "One query, as FlashRAG is served.",
            _takes("query", {"type": "string", "pattern": NOT_EMPTY}),
            _any(_list(_ref("Document")), _pair(_list(_ref("Document")), _list(_NUMBER))),
        ),
        "/batch_search": (
            "Many queries, as FlashRAG is served.",
            _takes("query", _FIELDS["queries"]["anyOf"][0]),
            _any(
                _list(_list(_ref("Document"))),
                _pair(_list(_list(_ref("Document"))), _list(_list(_NUMBER))),
            ),
        ),
        "/queries": (
            "Many queries, as R1-Searcher's server.",
            _takes("queries"),
            _object(queries=_list(_TEXT), answers=_list(_list(_TEXT))),
        ),
    }
    gets = {
        "/health": ("Whether it serves.", _object(status=_TEXT)),
        "/info": ("What it searches and how.", _object(server=_TEXT, search={"type": "object"})),
        "/openapi.json": ("This page.", {"type": "object"}),
    }
    paths = {path: {"post": _post(*about)} for path, about in posts.items()}
    paths |= {path: {"get": _get(*about)} for path, about in gets.items()}
    about = (
        f"Every number of passages may be left out, null or 0: then it is {top_k}; topk, tok_k, "
        "top_k, top_n and k are names for it at every path, and the first of several counts."
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "autocoa-bench serve-search",
            "version": version("autocoa-bench"),
            "description": about,
        },
        "paths": paths,
        "components": {
            "schemas": {
                "Document": _object(id=_TEXT, contents=_TEXT),
                "Scored": _object(document=_ref("Document"), score=_NUMBER),
                "Retrieved": {
                    "type": "object",
                    "properties": {
                        "documents": _list(_ref("Document")),
                        "scores": _list(_NUMBER),
                    },
                    "required": ["documents"],
                },
                "Problem": _object(detail=_TEXT),
            }
        },
    }


def _takes(needed: str, instead: Schema | None = None) -> Schema:
    """A body with the one field that it needs, and whatever says how many and with scores."""
    other = {"query": "queries", "queries": "query"}[needed]
    fields: Schema = {name: kind for name, kind in _FIELDS.items() if name != other}
    kinds = [kind for kind in fields[needed]["anyOf"] if kind != {"type": "null"}]
    fields[needed] = instead or (kinds[0] if len(kinds) == 1 else _any(*kinds))
    return {"type": "object", "properties": fields, "required": [needed]}


def _post(summary: str, takes: Schema, gives: Schema) -> Schema:
    replies = {
        "200": _content("What was found, best first.", gives),
        "400": _content("The request cannot be read.", _ref("Problem")),
        "413": _content("The body is too large.", _ref("Problem")),
        "503": _content("The search engine failed.", _ref("Problem")),
    }
    body = {"required": True, "content": {"application/json": {"schema": takes}}}
    return {"summary": summary, "requestBody": body, "responses": replies}


def _get(summary: str, gives: Schema) -> Schema:
    return {"summary": summary, "responses": {"200": _content(summary, gives)}}


def _content(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _object(**fields: Schema) -> Schema:
    return {"type": "object", "properties": fields, "required": list(fields)}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _pair(first: Schema, second: Schema) -> Schema:
    return {"type": "array", "items": _any(first, second), "minItems": 2, "maxItems": 2}


def _any(*kinds: Schema) -> Schema:
    return {"anyOf": list(kinds)}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}
