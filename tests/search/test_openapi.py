"""schemathesis over the OpenAPI page of serve-search: what it says is what the server does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from autocoa_bench.search.bm25 import BM25
from autocoa_bench.search.remote.protocols import SERVED_PATHS
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
