"""Replies of servers that mean no good: bombs, floods, endless and deeply nested bodies."""

import asyncio
import gzip
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from autocoa_bench.engines.openai import replies
from autocoa_bench.search.remote import protocols
from autocoa_bench.util.http_client import BadReply, HTTPClient, StatusError, TransientError
from support.search_server import Served

LONGEST = 1 << 16
DEEP = b"[" * 200_000
BODIES = {
    "gzip": gzip.compress(b" " * (8 << 20), 1),
    "deflate": zlib.compress(b" " * (8 << 20), 1),
}


async def _answer(request: web.Request) -> web.StreamResponse:
    kind = request.path.strip("/")
    if kind in BODIES:
        return web.Response(body=BODIES[kind], headers={"Content-Encoding": kind})
    if kind == "broken":
        return web.Response(body=b"no gzip", headers={"Content-Encoding": "gzip"})
    if kind == "headers":
        return web.Response(headers={f"X-{number}": "a" * 100 for number in range(1000)})
    if kind == "header":
        return web.Response(headers={"X": "a" * 100_000})
    if kind == "redirect":
        raise web.HTTPFound("/gzip")
    response = web.StreamResponse()
    await response.prepare(request)
    try:
        while True:
            await response.write(b" " * 4096)
    except ConnectionError:
        return response


def _application() -> web.Application:
    application = web.Application()
    application.add_routes([web.get("/{path:.*}", _answer)])
    return application


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with Served(_application) as running:
        yield running


class Client(HTTPClient):
    longest_reply = LONGEST


@pytest.mark.parametrize(
    ("kind", "error", "problem"),
    [
        ("gzip", BadReply, "a reply of more than"),
        ("deflate", BadReply, "a reply of more than"),
        ("endless", BadReply, "a reply of more than"),
        ("broken", TransientError, "decode"),
        ("headers", TransientError, "headers"),
        ("header", TransientError, "400"),
        ("redirect", StatusError, "302"),
    ],
)
def test_a_reply_without_measure_is_cut_off(
    server: Served, kind: str, error: type[Exception], problem: str
) -> None:
    async def ask() -> None:
        client = Client(server.url, concurrency=1, timeout=20, retries=0)
        try:
            await client.send("GET", f"{server.url}/{kind}")
        finally:
            await client.close()

    with pytest.raises(error, match=problem):
        asyncio.run(ask())


@pytest.mark.parametrize(
    "body", [DEEP, b'{"result": ' + DEEP, b'{"choices": ' + DEEP, b"1" * 100_000, b"\xff\xfe"]
)
def test_a_reply_beyond_any_nesting_is_a_bad_reply(body: bytes) -> None:
    for protocol in protocols.PATHS:
        with pytest.raises(protocols.BadSearchReply):
            protocols.read_reply(protocol, body, 3)
    kinds: tuple[Any, ...] = ("completions", "chat")
    for kind in kinds:
        with pytest.raises(BadReply):
            replies.read_reply(kind, body, 1, 0.0)
