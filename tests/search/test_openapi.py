"""The OpenAPI page of serve-search: schemathesis checks that the server does what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from autocoa_bench.search.bm25 import BM25
from autocoa_bench.search.remote import server as search_server
from autocoa_bench.search.remote.protocols import NOT_EMPTY, SERVED_PATHS, RequestBody
from support.search_server import served
from support.towns import write_task

schemathesis = pytest.importorskip("schemathesis")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("openapi")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOCOA_BENCH_CACHE", str(folder / "cache"))
        engine = BM25(write_task(Path(folder), 10)[1])
    with served(engine) as server:
        yield schemathesis.openapi.from_url(f"{server.url}/openapi.json")


@pytest.mark.parametrize("path", [*SERVED_PATHS, "/health", "/info", "/openapi.json"])
def test_every_reply_is_as_the_page_says(page: Any, path: str) -> None:
    [operation] = page[path].values()

    @given(case=operation.as_strategy())
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    def check(case: Any) -> None:
        case.call_and_validate()

    check()


def test_the_page_has_the_limits_that_the_server_checks() -> None:
    page = json.loads(Path(search_server.__file__).with_name("openapi.json").read_text())
    schemas = page["components"]["schemas"]
    fields = msgspec.json.schema_components([RequestBody])[1]["RequestBody"]["properties"]
    assert schemas["Queries"] == fields["queries"]["anyOf"][0]
    assert schemas["Flag"] == fields["return_scores"] == fields["return_score"]
    for name in ("topk", "tok_k", "top_k", "top_n", "k"):
        assert schemas["PassageCount"] == fields[name]
    for path in SERVED_PATHS:
        body = page["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
        for schema in body.get("oneOf", [body]):
            others = {"query", "queries"} - set(schema["required"])
            assert set(schema["properties"]) == set(fields) - others
    search = page["paths"]["/search"]["post"]["requestBody"]["content"]["application/json"]
    assert search["schema"]["properties"]["query"]["pattern"] == NOT_EMPTY
