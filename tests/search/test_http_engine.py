"""The http engine: against our own server, servers of each protocol, and servers that misbehave."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from autocoa_bench.errors import SearchFault, ServerDown, UserError
from autocoa_bench.search.bm25 import BM25
from autocoa_bench.search.factory import has_own_corpus, open_engine
from autocoa_bench.search.remote import client
from autocoa_bench.search.remote.client import HTTPSearch
from autocoa_bench.types import Passage
from autocoa_bench.util import gate, http_client
from support.search_server import Scripted, Served, as_json, served
from support.towns import write_task


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "BACKOFF_BASE", 0.0)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("http")
    _, path = write_task(folder, 10)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOCOA_BENCH_CACHE", str(folder / "cache"))
        yield path


@pytest.fixture(scope="module")
def server(corpus: str) -> Iterator[Served]:
    with served(BM25(corpus)) as running:
        yield running


def searched(engine: HTTPSearch, *queries: str) -> list[tuple[Passage, ...]]:
    """The passages for each query, one query after the other."""

    async def work() -> list[tuple[Passage, ...]]:
        try:
            return [await engine.search(query) for query in queries]
        finally:
            await engine.close()

    return asyncio.run(work())


QUERY = "mayor of town 3"


@pytest.mark.parametrize("protocol", ["auto", "search-r1", "autocoa", "flashrag"])
def test_our_own_server_finds_what_the_engine_finds_here(
    corpus: str, server: Served, protocol: Any
) -> None:
    engine = HTTPSearch(url=server.url, top_k=5, protocol=protocol)
    local = BM25(corpus, top_k=5)
    [passages] = searched(engine, QUERY)
    assert len(passages) == 5
    assert passages == asyncio.run(local.search(QUERY))
    assert engine.spec == local.spec


def test_many_searches_at_once_are_told_apart(corpus: str, server: Served) -> None:
    engine, local = HTTPSearch(url=server.url), BM25(corpus)

    async def work() -> None:
        queries = [f"town {number % 10}" for number in range(200)]
        results = await asyncio.gather(*map(engine.search, queries))
        assert results == [await local.search(query) for query in queries]
        await engine.close()

    asyncio.run(work())


def test_a_corpus_that_our_server_searches_is_accepted(corpus: str, server: Served) -> None:
    assert HTTPSearch(corpus, url=server.url).spec.passages == 10


def test_another_corpus_than_our_servers_is_refused(server: Served, tmp_path: Path) -> None:
    other_corpus = tmp_path / "other.jsonl"
    other_corpus.write_text('{"id": "1", "contents": "\\"A\\"\\nb"}\n')
    with pytest.raises(UserError, match=r"searches 'corpus.jsonl' \(10 passages\).*not"):
        HTTPSearch(str(other_corpus), url=server.url)


DOCUMENT = {"id": "7", "contents": '"Owls"\nOwls hunt.'}


def search_r1(path: str, body: Any) -> web.Response:
    if path != "/retrieve" or "queries" not in body:
        return as_json({"detail": "Not Found"}, 404)
    return as_json({"result": [[{"document": DOCUMENT, "score": 0.5}] * body["topk"]]})


def autocoa(path: str, body: Any) -> web.Response:
    if path != "/retrieve":
        return as_json({"detail": "Not Found"}, 404)
    if "query" not in body:  # as FastAPI refuses a body
        return as_json({"detail": [{"type": "missing", "loc": ["body", "query"]}]}, 422)
    return as_json({"documents": [DOCUMENT] * body["tok_k"], "scores": [0.5] * body["tok_k"]})


def flashrag(path: str, body: Any) -> web.Response:
    if path != "/search":
        return as_json({"detail": "Not Found"}, 404)
    return as_json([[DOCUMENT] * body["top_n"], [0.5] * body["top_n"]])


@pytest.mark.parametrize("reply", [search_r1, autocoa, flashrag])
def test_a_foreign_servers_protocol_is_found_out(reply: Callable[..., web.Response]) -> None:
    with Scripted(reply) as foreign:
        engine = HTTPSearch(url=f"{foreign.url}/", top_k=2)
        [passages] = searched(engine, QUERY)
    assert passages == (Passage("7", "Owls", "Owls hunt.", 0.5),) * 2
    name = reply.__name__.replace("_", "-")
    assert engine.spec.engine == "http"
    assert engine.spec.settings == {"url": foreign.url, "protocol": name}
    assert (engine.spec.corpus_sha256, engine.spec.passages, engine.spec.top_k) == ("", 0, 2)


def test_the_path_of_an_address_chooses_the_protocol() -> None:
    def both(path: str, body: Any) -> web.Response:
        return flashrag(path, body) if path == "/search" else search_r1(path, body)

    with Scripted(both) as foreign:
        assert HTTPSearch(url=f"{foreign.url}/search").spec.settings["protocol"] == "flashrag"
        assert HTTPSearch(url=f"{foreign.url}/retrieve").spec.settings["protocol"] == "search-r1"
        assert HTTPSearch(url=foreign.url).spec.settings["protocol"] == "search-r1"


def test_a_path_that_a_server_fails_at_is_not_its_protocol() -> None:
    def brittle(path: str, body: Any) -> web.Response:
        return flashrag(path, body) if path == "/search" else as_json({"detail": "oh"}, 500)

    with Scripted(brittle) as foreign:
        assert HTTPSearch(url=foreign.url).spec.settings["protocol"] == "flashrag"


def test_a_server_below_a_path_is_reached() -> None:
    with Scripted(lambda path, body: flashrag(path.removeprefix("/wiki"), body)) as foreign:
        engine = HTTPSearch(url=f"{foreign.url}/wiki/search")
        assert engine.spec.settings["url"] == f"{foreign.url}/wiki"
        assert len(searched(engine, QUERY)[0]) == 3


DOCUMENTS = [
    ({"title": "Owls", "text": "Hunt."}, ("Owls", "Hunt.")),
    ({"title": "x", "text": "y", "contents": '"Owls"\nHunt.'}, ("Owls", "Hunt.")),
    ({"id": 5, "contents": "Owls\nHunt."}, ("Owls", "Hunt.")),
    ({"id": "5", "contents": "Hunt."}, ("", "Hunt.")),
    ({"id": "5", "contents": '""Owls""\nHunt.\nSleep.'}, ('"Owls"', "Hunt.\nSleep.")),
]


@pytest.mark.parametrize(("document", "wanted"), DOCUMENTS)
@pytest.mark.parametrize("scored", [True, False])
def test_documents_of_every_form_are_read(
    document: Any, wanted: tuple[str, str], scored: bool
) -> None:
    entry = {"document": document, "score": 1.0} if scored else document
    with Scripted(lambda *_: as_json({"result": [[entry]]})) as foreign:
        [[passage]] = searched(HTTPSearch(url=foreign.url, top_k=1), QUERY)
    assert (passage.title, passage.text) == wanted
    assert passage.id
    assert passage.score == (1.0 if scored else None)


def test_more_passages_than_asked_for_are_cut() -> None:
    with Scripted(lambda *_: as_json({"result": [[DOCUMENT] * 9]})) as foreign:
        assert len(searched(HTTPSearch(url=foreign.url, top_k=2), QUERY)[0]) == 2


class Failing:
    """A Search-R1 server that goes wrong in a way, `times`; never at the client's probes."""

    def __init__(self, wrong: Callable[[], Any], times: int = 100) -> None:
        self.wrong, self.times, self.requests_seen = wrong, times, 0

    def __call__(self, path: str, body: Any) -> Any:
        if body["queries"] == [client._PROBE]:
            return search_r1(path, body)
        self.requests_seen += 1
        return self.wrong() if self.requests_seen <= self.times else search_r1(path, body)


async def hang() -> web.Response:
    await asyncio.sleep(3600)
    raise AssertionError


async def drop() -> web.Response:
    raise asyncio.CancelledError  # the connection is closed without a reply


def text(body: str, content_type: str = "application/json", status: int = 200) -> Any:
    return lambda: web.Response(text=body, content_type=content_type, status=status)


WRONG: dict[str, tuple[Callable[[], Any], str, str]] = {
    "an error": (text('{"detail": "oh"}', status=500), "http-500", "HTTP 500: oh"),
    "hangs": (hang, "timeout", "no reply within 0.3 s"),
    "drops": (drop, "connection", ""),
    "truncated": (text('{"result": [[{"docu'), "bad-reply", "expected Search-R1's"),
    "HTML": (text("<html>hi</html>", "text/html"), "bad-reply", "got <html>hi</html>"),
    "deep": (text('{"result": ' + "[" * 100_000), "bad-reply", "expected Search-R1's"),
    "another shape": (text('{"documents": []}'), "bad-reply", "expected Search-R1's"),
    "two results": (text('{"result": [[], []]}'), "bad-reply", "expected Search-R1's"),
    "an error in a 200": (text('{"error": "no index"}'), "bad-reply", "no index"),
    "no text": (text('{"result": [[{"id": "1"}]]}'), "bad-reply", "with 'contents'"),
}


def patience(name: str) -> float:
    """Seconds a request: few only where they must pass."""
    return 0.3 if name == "hangs" else 20.0


def stays_wrong(name: str) -> None:
    """A query that a server goes wrong at: three tries, one after the probe, then a fault."""
    wrong, kind, problem = WRONG[name]
    script = Failing(wrong)
    with Scripted(script) as foreign:
        engine = HTTPSearch(url=foreign.url, timeout=patience(name), retries=2)
        with pytest.raises(SearchFault) as caught:
            searched(engine, QUERY)
    assert caught.value.kind == kind
    assert problem in str(caught.value)
    assert script.requests_seen == 3 + 1


def test_a_search_server_that_answers_429(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "FIRST_WAIT", 0.001)
    script = Failing(text("slow down", status=429), times=5)
    with Scripted(script) as foreign:
        assert len(searched(HTTPSearch(url=foreign.url, retries=0), QUERY)[0]) == 3
    assert script.requests_seen == 6


def test_a_search_server_whose_quota_is_used_up() -> None:
    script = Failing(text("insufficient_quota", status=429))
    with Scripted(script) as foreign, pytest.raises(UserError, match=r"used up .*insufficient"):
        searched(HTTPSearch(url=foreign.url), QUERY)
    assert script.requests_seen == 1


@pytest.mark.parametrize("status", [404, 501])
def test_a_search_server_that_is_not_there_in_passing(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "BACKOFF_BASE", 0.0)
    with Scripted(Failing(text("no route", status=status), times=2)) as foreign:
        assert len(searched(HTTPSearch(url=foreign.url), QUERY)[0]) == 3


def test_a_search_server_that_answers_500() -> None:
    stays_wrong("an error")


def test_a_search_server_that_hangs() -> None:
    stays_wrong("hangs")


def test_a_search_server_that_drops_the_connection() -> None:
    stays_wrong("drops")


@pytest.mark.parametrize("name", ["truncated", "HTML", "deep"])
def test_a_search_server_that_sends_bad_json(name: str) -> None:
    stays_wrong(name)


@pytest.mark.parametrize("name", ["another shape", "two results", "an error in a 200", "no text"])
def test_a_search_server_that_sends_json_of_another_shape(name: str) -> None:
    stays_wrong(name)


@pytest.mark.parametrize("name", WRONG)
def test_what_goes_wrong_once_is_asked_again(name: str) -> None:
    with Scripted(Failing(WRONG[name][0], times=1)) as foreign:
        engine = HTTPSearch(url=foreign.url, timeout=patience(name), retries=2)
        assert len(searched(engine, QUERY)[0]) == 3


def test_a_search_server_that_refuses_a_query() -> None:
    script = Failing(text('{"detail": "too long"}', status=422))
    with Scripted(script) as foreign, pytest.raises(SearchFault, match="too long") as caught:
        searched(HTTPSearch(url=foreign.url), QUERY)
    assert (caught.value.kind, script.requests_seen) == ("http-422", 1)


class Down:
    """A Search-R1 server that goes down in a way after its first answers, for some requests."""

    def __init__(self, wrong: Callable[[], Any], requests: int = 10_000) -> None:
        self.wrong, self.requests, self.requests_seen = wrong, requests, 0

    def __call__(self, path: str, body: Any) -> Any:
        self.requests_seen += 1
        down = 2 < self.requests_seen <= 2 + self.requests
        return self.wrong() if down else search_r1(path, body)


@pytest.mark.parametrize("name", ["an error", "hangs", "drops", "HTML"])
def test_a_search_server_that_answers_nobody(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "OUTAGE_WAITS", (0.0, 0.01))
    script = Down(WRONG[name][0])
    with Scripted(script) as foreign:
        engine = HTTPSearch(url=foreign.url, timeout=patience(name), retries=1)

        async def work() -> list[Any]:
            await engine.search(QUERY)
            results = await asyncio.gather(
                *(engine.search(f"town {number}") for number in range(3)), return_exceptions=True
            )
            await engine.close()
            return results

        results = asyncio.run(work())
    assert [type(result) for result in results] == [ServerDown] * 3
    message = f"the search server at {foreign.url} has answered nothing for a minute"
    assert message in str(results[0])
    assert results[0].exit_code == 75
    # Two tries each, and two probes for the first to notice.
    assert script.requests_seen == 2 + 3 * 2 + 2


def test_a_search_server_that_comes_back_within_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "OUTAGE_WAITS", (0.0, 0.01, 0.01))
    script = Down(WRONG["an error"][0], requests=4)  # two tries and two probes
    with Scripted(script) as foreign:
        results = searched(HTTPSearch(url=foreign.url, retries=1), QUERY, "town 5")
    assert [len(result) for result in results] == [3, 3]


def test_a_search_server_that_comes_back_later_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_client, "OUTAGE_WAITS", (0.0, 0.01))
    script = Down(WRONG["an error"][0], requests=4)  # two tries and both probes
    with Scripted(script) as foreign:
        engine = HTTPSearch(url=foreign.url, retries=1)

        async def work() -> list[Any]:
            results = []
            for _ in range(3):
                results += await asyncio.gather(engine.search(QUERY), return_exceptions=True)
            await engine.close()
            return results

        before, during, after = asyncio.run(work())
    assert isinstance(during, ServerDown)
    assert len(before) == len(after) == 3


def test_a_reply_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.SearchServerClient, "longest_reply", 1 << 20)
    cut = pytest.raises(SearchFault, match="more than 1 MiB")
    with Scripted(Failing(text(" " * (2 << 20)))) as foreign, cut:
        searched(HTTPSearch(url=foreign.url, retries=0), QUERY)


def test_retry_after_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    async def work() -> list[int]:
        replies = [http_client.TransientError("http-503", "", 7.0)]

        async def attempt() -> int:
            if replies:
                raise replies.pop()
            return 1

        return [await http_client.retry(attempt, 1, sleep)]

    assert asyncio.run(work()) == [1]
    assert waited == [7.0]


def refusal(**options: Any) -> str:
    with pytest.raises(UserError) as caught:
        HTTPSearch(**options)
    return str(caught.value)


def test_no_server_is_said_before_anything_runs() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert f"no search server at {url}: " in refusal(url=url)


def test_a_server_of_another_kind_is_said_with_what_it_replied() -> None:
    with Scripted(lambda *_: as_json({"answer": 42})) as foreign:
        problem = refusal(url=foreign.url)
    assert "/retrieve as search-r1: expected Search-R1's" in problem
    assert "/search as flashrag: expected FlashRAG's" in problem


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://a", "http://", "http://a:x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    assert "is not an http:// or https:// address; give one such as --search" in refusal(url=url)


def test_credentials_in_an_address_are_refused_and_not_repeated() -> None:
    problem = refusal(url="http://me:secret@127.0.0.1:9")
    assert "more than host, port and path" in problem
    assert "secret" not in problem


def test_a_corpus_cannot_be_held_against_a_foreign_server(corpus: str) -> None:
    with Scripted(search_r1) as foreign:
        assert "leave --corpus out" in refusal(corpus=corpus, url=foreign.url)


def test_an_address_is_a_search_engine(server: Served) -> None:
    assert has_own_corpus(server.url)
    assert has_own_corpus(f"http:url={server.url},protocol=flashrag")
    assert not has_own_corpus("bm25:k1=1.2")
    engine = open_engine(f"http:url={server.url},protocol=flashrag,timeout=5", "", 4)
    assert engine.spec.top_k == 4


def test_options_of_an_engine_are_given_after_its_name(corpus: str) -> None:
    assert open_engine("bm25:k1=1.2,b=0.75", corpus, 3).spec.settings["k1"] == 1.2
    with pytest.raises(UserError, match="unknown option of search engine 'bm25' 'k2'"):
        open_engine("bm25:k2=1", corpus, 3)
    with pytest.raises(UserError, match="unknown option of search engine 'bm25' 'top_k'"):
        open_engine("bm25:top_k=1", corpus, 3)
