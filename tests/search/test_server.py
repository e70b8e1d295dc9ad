"""serve-search over real sockets, as the clients that others have published talk to it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autocoa_bench.errors import SearchFault, ServerDown, UserError
from autocoa_bench.search.batching import QueryBatcher
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.search.remote.access import is_loopback
from autocoa_bench.search.remote.protocols import MOST_PASSAGES, SERVED_PATHS
from autocoa_bench.search.remote.server import LONGEST_BODY, listen
from autocoa_bench.types import Passage, SearchSpec
from support.interrupt import heed_ctrl_c
from support.search_server import Served, served

PASSAGES = [
    ("1", "Cats", "The cat sat with the other cats."),
    ("2", "Dogs", "A dog chased cats across town."),
    ("3", "Towns", "Towns hold markets.\nAnd fairs each spring."),
    ("4", "Owls", "Owls hunt at night over the town."),
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    rows = [{"id": i, "contents": f'"{title}"\n{text}'} for i, title, text in PASSAGES]
    path = folder / "animals.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOCOA_BENCH_CACHE", str(folder / "cache"))
        yield str(path)


@pytest.fixture(scope="module")
def server(corpus: str) -> Iterator[Served]:
    with served(BM25(corpus), top_k=2) as running:
        yield running


def ask(url: str, data: bytes | None = None, method: str | None = None) -> tuple[int, Any]:
    """Status and JSON of a request."""
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def post(server: Served, path: str, **body: Any) -> Any:
    status, reply = ask(server.url + path, json.dumps(body).encode())
    assert status == 200, reply
    return reply


CATS = {"id": "1", "contents": '"Cats"\nThe cat sat with the other cats.'}
DOGS = {"id": "2", "contents": '"Dogs"\nA dog chased cats across town.'}


def test_search_r1s_client_gets_documents_with_scores_for_each_query(server: Served) -> None:
    payload = {"queries": ["cats", "owls at night"], "topk": 3, "return_scores": True}
    reply = post(server, "/retrieve", **payload)
    assert list(reply) == ["result"]
    first, second = reply["result"]
    assert [entry["document"] for entry in first] == [CATS, DOGS]
    assert first[0]["score"] > first[1]["score"] > 0
    assert [entry["document"]["id"] for entry in second] == ["4"]


def test_search_r1s_prompt_is_made_from_the_contents(server: Served) -> None:
    # Its trainer takes the title from the first line and the text from the others.
    [[entry]] = post(server, "/retrieve", queries=["markets"], return_scores=True)["result"]
    title, *text = entry["document"]["contents"].split("\n")
    assert (title, "\n".join(text)) == ('"Towns"', "Towns hold markets.\nAnd fairs each spring.")


def test_search_r1_without_scores_gets_the_documents_themselves(server: Served) -> None:
    assert post(server, "/retrieve", queries=["cats"]) == {"result": [[CATS, DOGS]]}


def test_search_r1s_null_topk_is_the_servers_own(server: Served) -> None:
    [documents] = post(server, "/retrieve", queries=["cat town"], topk=None)["result"]
    assert len(documents) == 2


def test_no_queries_and_queries_of_no_words_get_empty_results(server: Served) -> None:
    assert post(server, "/retrieve", queries=[]) == {"result": []}
    assert post(server, "/retrieve", queries=["", "cats"])["result"][0] == []


def test_autocoas_client_gets_documents_and_scores(server: Served) -> None:
    reply = post(server, "/retrieve", query="cats", tok_k=1, return_score=True)
    assert set(reply) == {"documents", "scores"}
    assert reply["documents"] == [CATS]
    assert len(reply["scores"]) == 1


def test_autocoas_trainer_gets_one_such_reply_for_each_query(server: Served) -> None:
    reply = post(server, "/retrieve", query=["cats", "owls"], tok_k=3)
    documents = [[document["id"] for document in result["documents"]] for result in reply]
    assert documents == [["1", "2"], ["4"]]
    assert all(len(result["scores"]) == len(result["documents"]) for result in reply)


def test_autocoa_without_scores_gets_documents_alone(server: Served) -> None:
    reply = post(server, "/retrieve", query="cats", tok_k=1, return_score=False)
    assert reply == {"documents": [CATS]}


def test_flashrags_client_gets_a_list_of_documents(server: Served) -> None:
    assert post(server, "/search", query="cats", top_n=5) == [CATS, DOGS]


def test_flashrag_with_scores_gets_documents_then_scores(server: Served) -> None:
    documents, scores = post(server, "/search", query="cats", top_n=5, return_score=True)
    assert documents == [CATS, DOGS]
    assert scores == sorted(scores, reverse=True)


def test_flashrags_batches_keep_the_queries_order(server: Served) -> None:
    queries = ["owls", "cats"]
    reply = post(server, "/batch_search", query=queries)
    assert [len(documents) for documents in reply] == [1, 2]
    results, scores = post(server, "/batch_search", query=queries, top_n=1, return_score=True)
    assert [[document["id"] for document in documents] for documents in results] == [["4"], ["1"]]
    assert [len(numbers) for numbers in scores] == [1, 1]


@pytest.mark.parametrize("name", ["topk", "tok_k", "top_k", "top_n", "k"])
def test_the_number_of_passages_goes_by_every_published_name(server: Served, name: str) -> None:
    assert len(post(server, "/search", query="cat town", **{name: 3})) == 3


def test_numbers_are_read_as_fastapi_reads_them(server: Served) -> None:
    assert post(server, "/search", query="cats", top_n="1", return_score="false") == [CATS]


def test_r1_searchers_client_gets_texts(server: Served) -> None:
    reply = post(server, "/queries", queries=["cats"], k=1)
    assert reply == {"queries": ["cats"], "answers": [[CATS["contents"]]]}


def test_fields_that_no_protocol_has_are_ignored(server: Served) -> None:
    assert post(server, "/search", query="cats", top_n=1, use_reranker=False) == [CATS]


REFUSED = [
    ("/retrieve", b"", 400, "JSON"),
    ("/retrieve", b'{"queries": ["a"', 400, "JSON"),
    ("/retrieve", b"[" * 100_000, 400, "JSON"),
    ("/retrieve", b'{"queries": ["\xff"]}', 400, "JSON"),
    ("/retrieve", b"{}", 400, "'queries'"),
    ("/retrieve", b'{"queries": "a"}', 400, "$.queries"),
    ("/retrieve", b'{"queries": [], "query": []}', 400, "not both"),
    ("/retrieve", b'{"queries": ["a"], "topk": -1}', 400, "$.topk"),
    ("/retrieve", b'{"queries": ["a"], "topk": 101}', 400, "<= 100"),
    ("/retrieve", json.dumps({"queries": ["a"] * 9000}).encode(), 400, "<= 8192"),
    ("/retrieve", json.dumps({"queries": ["a"] * 8000, "k": 9}).encode(), 400, "fewer queries"),
    ("/search", b'{"query": "  "}', 400, "not empty"),
    ("/search", b'{"query": ["a"]}', 400, "'query'"),
    ("/batch_search", b'{"query": "a"}', 400, "a list"),
    ("/queries", b'{"query": "a"}', 400, "'queries'"),
    ("/retrieve", b" " * (LONGEST_BODY + 1), 413, "MiB"),
    ("/nowhere", b"{}", 404, "/retrieve"),
]


@pytest.mark.parametrize(("path", "body", "status", "reason"), REFUSED)
def test_bad_requests_are_refused_with_a_reason(
    server: Served, path: str, body: bytes, status: int, reason: str
) -> None:
    reply_status, content = ask(server.url + path, body)
    assert reply_status == status
    assert reason in content["detail"]


def test_a_method_that_a_path_does_not_know_is_refused(server: Served) -> None:
    assert ask(f"{server.url}/retrieve")[0] == 405


def test_health_info_and_the_openapi_page_are_served(server: Served, corpus: str) -> None:
    assert ask(f"{server.url}/health") == (200, {"status": "healthy"})
    info = ask(f"{server.url}/info")[1]
    assert info["search"]["corpus"] == "animals.jsonl"
    assert info["search"]["top_k"] == 2
    page = ask(f"{server.url}/openapi.json")[1]
    assert set(page["paths"]) == {*SERVED_PATHS, "/health", "/info", "/openapi.json"}
    assert page["openapi"] == "3.1.0"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
fields = ["queries", "query", "topk", "tok_k", "top_n", "k", "return_scores", "return_score"]
likely = st.lists(st.text(max_size=8), max_size=4) | st.text(max_size=8) | st.integers(-1, 101)
bodies = st.dictionaries(st.sampled_from(fields), likely | json_values, max_size=4)


@given(path=st.sampled_from(SERVED_PATHS), body=bodies | json_values)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_body_whatever_makes_the_server_fail(server: Served, path: str, body: Any) -> None:
    status, reply = ask(server.url + path, json.dumps(body).encode())
    assert status in (200, 400)
    assert status == 200 or reply["detail"]


@given(path=st.sampled_from(SERVED_PATHS), body=bodies)
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_the_openapi_page_refuses_is_refused(server: Served, path: str, body: Any) -> None:
    page = ask(f"{server.url}/openapi.json")[1]
    schema = page["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    needed = [option["required"][0] for option in schema.get("oneOf", [schema])]
    if not any(name in body for name in needed):
        assert ask(server.url + path, json.dumps(body).encode())[0] == 400


@pytest.mark.parametrize("blank", [" \t\n\v\f\r", "\x1c", "\x85", "\u2003", "\ufeff"])
def test_an_empty_query_is_what_the_openapi_page_says(server: Served, blank: str) -> None:
    page = ask(f"{server.url}/openapi.json")[1]
    takes = page["paths"]["/search"]["post"]["requestBody"]["content"]["application/json"]
    pattern = takes["schema"]["properties"]["query"]["pattern"]
    assert r"\S" not in pattern  # JSON Schema's is not Python's
    status, reply = ask(server.url + "/search", json.dumps({"query": blank}).encode())
    assert (status == 200) == bool(re.search(pattern, blank))
    assert reply == [] or "not empty" in reply["detail"]


class Slow:
    """Counts its calls; a call begins only when it is let."""

    spec = SearchSpec("slow", "", "", 0, {}, 100)

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.go = threading.Event()

    async def search(self, query: str) -> tuple[Passage, ...]:
        raise NotImplementedError

    def search_batch(self, queries: list[str], top_k: int) -> list[tuple[Passage, ...]]:
        self.calls.append(list(queries))
        assert self.go.wait(10)
        if "bad" in queries:
            raise SearchFault("broken", "no luck")
        return [(Passage(query, "", query),) * top_k for query in queries]

    async def close(self) -> None:
        pass


def test_what_waits_while_the_engine_works_goes_to_it_together() -> None:
    engine = Slow()

    async def work() -> list[list[tuple[Passage, ...]]]:
        batcher = QueryBatcher(engine)
        first = asyncio.create_task(batcher.search(["a"], 1))
        async with asyncio.timeout(60):
            while not engine.calls:
                await asyncio.sleep(0.001)  # the event loop goes on while the engine works
        others = [asyncio.create_task(batcher.search([q], k)) for q, k in [("b", 1), ("c", 2)]]
        await asyncio.sleep(0)
        engine.go.set()
        return await asyncio.gather(first, *others)

    results = asyncio.run(work())
    assert engine.calls == [["a"], ["b", "c"]]
    assert [[p.id for p in result[0]] for result in results] == [["a"], ["b"], ["c", "c"]]


def test_a_query_that_fails_takes_no_other_with_it() -> None:
    engine = Slow()
    engine.go.set()

    async def work() -> list[Any]:
        batcher = QueryBatcher(engine)
        searches = [batcher.search([query], 1) for query in ("a", "bad", "b")]
        return await asyncio.gather(*searches, return_exceptions=True)

    first, second, third = asyncio.run(work())
    assert (first[0][0].id, third[0][0].id) == ("a", "b")
    assert isinstance(second, SearchFault)


def test_more_queries_than_one_call_takes_are_all_answered() -> None:
    engine = Slow()
    engine.go.set()
    queries = [str(number) for number in range(600)]
    results = asyncio.run(QueryBatcher(engine).search(queries, 1))
    assert [passages[0].id for passages in results] == queries
    assert max(map(len, engine.calls)) <= 256


def test_a_failing_engine_is_the_servers_failure_with_a_reason() -> None:
    engine = Slow()
    engine.go.set()
    with served(engine) as running:
        status, reply = ask(f"{running.url}/search", b'{"query": "bad"}')
    assert (status, "no luck" in reply["detail"]) == (503, True)


class OneByOne:
    """An engine without a batch call: it answers its own top-k on the event loop."""

    spec = SearchSpec("one", "", "", 0, {}, MOST_PASSAGES)

    async def search(self, query: str) -> tuple[Passage, ...]:
        return tuple(Passage(f"{query}{n}", "", query) for n in range(MOST_PASSAGES))

    async def close(self) -> None:
        pass


def test_an_engine_without_batches_is_served_too() -> None:
    with served(OneByOne()) as running:
        reply = post(running, "/batch_search", query=["a", "b"], top_n=2)
    ids = [[document["id"] for document in documents] for documents in reply]
    assert ids == [["a0", "a1"], ["b0", "b1"]]


def test_many_clients_at_once_get_each_its_own(server: Served) -> None:
    queries = ["cats", "owls", "markets", "dog"] * 25
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda q: post(server, "/search", query=q, top_n=1), queries))
    assert [document["id"] for [document] in replies] == ["1", "4", "3", "2"] * 25


def test_a_port_that_is_taken_is_said(server: Served) -> None:
    from aiohttp import web

    port = int(server.url.rpartition(":")[2])
    with pytest.raises(UserError, match=f"port {port} .*give another"):
        asyncio.run(listen(web.Application(), "127.0.0.1", port))


def test_loopback_is_known() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "::1", "localhost", "127.0.0.2"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "example.org"]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_told_to_stop(
    corpus: str, number: signal.Signals, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "autocoa_bench", "serve-search", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--corpus", corpus],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        preexec_fn=heed_ctrl_c,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("bm25 over animals.jsonl (4 passages) at http://127.0.0.1:")
    url = line.split(" at ")[1].split(";")[0]
    assert ask(f"{url}/health")[0] == 200
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_a_server_behind_the_engine_that_is_down_is_said_too() -> None:
    class Behind(Slow):
        def search_batch(self, queries: list[str], top_k: int) -> list[tuple[Passage, ...]]:
            raise ServerDown("the search server at http://127.0.0.1:9 has answered nothing")

    with served(Behind()) as running:
        status, reply = ask(f"{running.url}/search", b'{"query": "good"}')
    assert (status, "has answered nothing" in reply["detail"]) == (503, True)
