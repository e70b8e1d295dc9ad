"""serve-search and clients that mean no good: pages in browsers, slow and greedy clients."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from autocoa_bench.errors import UserError
from autocoa_bench.search.remote.access import TOKEN, Access, _is_own
from autocoa_bench.search.remote.client import HTTPSearch
from autocoa_bench.search.remote.connections import Limits
from autocoa_bench.types import Passage, SearchSpec
from support.commands import caller, refused
from support.search_server import Served, served

BODY = b'{"query": "cats"}'
TIMEOUT = 20.0


class Echo:
    """An engine that returns its query."""

    spec = SearchSpec("echo", "", "", 0, {}, 100)

    async def search(self, query: str) -> tuple[Passage, ...]:
        return (Passage("1", "", query),)

    async def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with served(Echo()) as running:
        yield running


def connect(server: Served) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT)


def head(server: Served, *lines: str, method: str = "POST", length: int = len(BODY)) -> bytes:
    """The head of a request whose own Host and Content-Type stand unless `lines` has others."""
    own = {"Host": urlsplit(server.url).netloc, "Content-Type": "application/json"}
    own["Content-Length"] = str(length)
    names = {line.partition(":")[0] for line in lines}
    kept = [f"{name}: {value}" for name, value in own.items() if name not in names]
    lines = tuple(line for line in lines if not line.endswith("-"))
    return "\r\n".join([f"{method} /search HTTP/1.1", *kept, *lines, "", ""]).encode()


def reply(stream: socket.socket) -> tuple[int, bytes]:
    """The status and body of a reply; 0 where the server closed the connection without one."""
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            chunk = stream.recv(65536)
            if not chunk:
                return 0, data
            data += chunk
        top, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", top)
        while length and len(body) < int(length[1]):
            body += stream.recv(65536)
    except ConnectionError:
        return 0, data
    return int(top.split()[1]), body


def ask(server: Served, *lines: str, body: bytes = BODY) -> tuple[int, bytes]:
    with connect(server) as stream:
        stream.sendall(head(server, *lines, length=len(body)) + body)
        return reply(stream)


FOREIGN_HOSTS = [
    "evil.example",
    "evil.example:{port}",
    "127.0.0.1.evil.example:{port}",
    "localhost.evil.example:{port}",
    "evil.example@127.0.0.1:{port}",
    "evil-localhost:{port}",
    "10.0.0.1:{port}",
    "[2001:db8::1]:{port}",
    "127.0.0.1:1",
    "127.0.0.1",
    "127.0.0.1:{port}:{port}",
    "127.0.0.1:{port}/x",
    "127.0.0.1:{port}, evil.example",
    "",
    "\xe9vil:{port}",
]
OWN_HOSTS = ["127.0.0.1:{port}", "localhost:{port}", "LocalHost.:{port}", "[::1]:{port}"]


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_a_page_that_rebinds_its_name_to_loopback_reads_nothing(server: Served, host: str) -> None:
    status, body = ask(server, f"Host: {host.format(port=urlsplit(server.url).port)}")
    assert status in (400, 421)
    assert b"cats" not in body
    if status == 421:
        assert b"this server answers requests to 127.0.0.1:" in body


@pytest.mark.parametrize("host", OWN_HOSTS)
def test_every_name_of_loopback_is_answered(server: Served, host: str) -> None:
    status, body = ask(server, f"Host: {host.format(port=urlsplit(server.url).port)}")
    assert (status, b"cats" in body) == (200, True)


def test_a_request_without_a_host_or_with_two_is_refused(server: Served) -> None:
    own = f"Host: {urlsplit(server.url).netloc}"
    assert ask(server, "Host-")[0] == 200  # the line is left as it is
    assert ask(server, own, "Host: evil.example")[0] in (400, 421)
    with connect(server) as stream:
        stream.sendall(b"GET /info HTTP/1.0\r\n\r\n")
        assert reply(stream)[0] in (400, 421)


def test_a_request_for_another_servers_url_is_refused(server: Served) -> None:
    own = urlsplit(server.url).netloc
    statuses = []
    for netloc in (own, "evil.example", f"evil.example@{own}"):
        with connect(server) as stream:
            stream.sendall(f"GET http://{netloc}/info HTTP/1.1\r\nHost: {own}\r\n\r\n".encode())
            statuses.append(reply(stream)[0])
    assert statuses == [200, 421, 421]


def test_what_a_client_does_wrong_is_not_in_the_log(
    server: Served, caplog: pytest.LogCaptureFixture
) -> None:
    for sent in (b"\x16\x03\x01", b"GET /\x1b]0;x HTTP/1.1\r\n\r\n", head(server, length=-1)):
        with connect(server) as stream:
            stream.sendall(sent)
            stream.shutdown(socket.SHUT_WR)
            reply(stream)
    with connect(server) as stream:
        stream.sendall(head(server, "Expect: 100-continue", length=99))
        assert stream.recv(25).startswith(b"HTTP/1.1 100")  # it waits for a body, which never comes
    assert ask(server)[0] == 200
    assert not caplog.records


@pytest.mark.parametrize(
    ("host", "header", "is_own"),
    [
        ("10.0.0.5", "10.0.0.5:80", True),
        ("10.0.0.5", "10.0.0.6:80", False),
        ("node7", "NODE7:80", True),
        ("node7", "10.0.0.5:80", True),  # the address of the connection
        ("node7", "node8:80", False),
        ("0.0.0.0", "10.0.0.6:80", True),
        ("0.0.0.0", f"{socket.gethostname()}:80", True),
        ("0.0.0.0", "evil.example:80", False),
        ("::", "[2001:db8::1]:80", True),
    ],
)
def test_beyond_loopback_a_server_knows_its_own_names(host: str, header: str, is_own: bool) -> None:
    assert _is_own(header, host, "10.0.0.5", 80) is is_own


@pytest.mark.parametrize(
    "line",
    ["Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site"],
)
def test_a_page_in_a_browser_is_refused(server: Served, line: str) -> None:
    status, body = ask(server, line)
    assert (status, b"cats" in body) == (403, False)


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""],
)
def test_a_body_that_a_page_may_send_unasked_is_refused(server: Served, content_type: str) -> None:
    status, body = ask(server, f"Content-Type: {content_type}")
    assert (status, b"application/json" in body) == (415, True)


def test_json_with_a_charset_is_answered(server: Served) -> None:
    assert ask(server, "Content-Type: application/json; charset=utf-8")[0] == 200


def test_a_compressed_body_is_refused_unread(server: Served) -> None:
    assert ask(server, "Content-Encoding: gzip", body=b"\x1f\x8b")[0] == 415


@pytest.mark.parametrize(
    "lines",
    [
        ("Transfer-Encoding: chunked",),
        ("Content-Length: 17", "Content-Length: 5"),
        ("Content-Length: +17",),
        ("Content-Length: -1",),
        ("Transfer-Encoding : chunked",),
        ("X: a\r\n folded: b", "Content-Length: 17\r\nTransfer-Encoding: xchunked"),
    ],
)
def test_a_request_with_two_lengths_is_refused(server: Served, lines: tuple[str, ...]) -> None:
    raw = head(server, "X-: ").replace(b"X-: \r\n", "".join(f"{x}\r\n" for x in lines).encode())
    with connect(server) as stream:
        stream.sendall(raw + BODY)
        assert reply(stream)[0] in (0, 400)


@pytest.mark.parametrize("number", [200, 20_000])
def test_a_flood_of_headers_is_refused(server: Served, number: int) -> None:
    with connect(server) as stream:
        try:
            stream.sendall(head(server, *(f"X-{at}: {'a' * 50}" for at in range(number))) + BODY)
        except ConnectionError:
            return
        assert reply(stream)[0] in (0, 400)


SLOW = Limits(head_seconds=0.1, body_seconds=0.1, reply_seconds=0.1)


@pytest.mark.parametrize("sent", [b"", b"POST /sea", b"POST /search HTTP/1.1\r\nHost: a\r\nX: "])
def test_a_client_that_never_ends_its_head_is_disconnected(sent: bytes) -> None:
    with served(Echo(), limits=SLOW) as running, connect(running) as stream:
        stream.sendall(sent)
        assert reply(stream)[0] == 0


def test_a_client_that_drips_its_head_is_disconnected() -> None:
    with served(Echo(), limits=SLOW) as running, connect(running) as stream:
        stream.settimeout(0.01)
        stream.sendall(b"GET /info HTTP/1.1\r\nX: ")
        for _ in range(2000):
            try:
                stream.sendall(b"G")
                assert stream.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                pass
            break
        else:
            pytest.fail("still connected")


def test_a_client_that_never_ends_its_body_is_told_so() -> None:
    with served(Echo(), limits=SLOW) as running, connect(running) as stream:
        stream.sendall(head(running) + BODY[:-1])
        status, body = reply(stream)
    assert (status, b"too slowly" in body) == (408, True)


def test_a_client_that_keeps_an_idle_connection_is_disconnected() -> None:
    with served(Echo(), limits=SLOW) as running, connect(running) as stream:
        stream.sendall(head(running) + BODY)
        assert reply(stream)[0] == 200
        assert reply(stream) == (0, b"")


def test_a_client_that_sends_ahead_and_reads_nothing_is_disconnected() -> None:
    query = json.dumps({"query": "x" * 20_000}).encode()
    with served(Echo(), limits=SLOW) as running, connect(running) as stream:
        request = head(running, length=len(query)) + query
        with pytest.raises(ConnectionError):
            stream.sendall(request * 2000)
        assert ask(running)[0] == 200


def test_half_sent_requests_keep_no_other_from_an_answer() -> None:
    with served(Echo(), limits=Limits(connections=16)) as running, ExitStack() as stack:
        for at in range(200):
            stream = stack.enter_context(connect(running))
            stream.sendall(head(running) + BODY[: at % 2])
        for _ in range(5):
            assert ask(running)[0] == 200


def test_a_connection_with_a_request_in_work_is_not_closed_for_others() -> None:
    with served(Echo(), limits=Limits(connections=4)) as running, ExitStack() as stack:
        kept = stack.enter_context(connect(running))
        for _ in range(8):
            kept.sendall(head(running) + BODY)
            assert reply(kept)[0] == 200
            stack.enter_context(connect(running)).sendall(b"GET")


def test_with_few_descriptors_half_sent_requests_keep_no_other_from_an_answer(
    tmp_path: Path,
) -> None:
    (tmp_path / "corpus.jsonl").write_text('{"id": "1", "contents": "\\"Cats\\"\\ncats"}\n')
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "autocoa_bench", "serve-search", "--port", "0"),
            *("--corpus", str(tmp_path / "corpus.jsonl")),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1", "AUTOCOA_BENCH_CACHE": str(tmp_path / "cache")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256)),
    )
    assert process.stdout is not None
    running = Served(lambda: None)  # type: ignore[arg-type, return-value]
    running.url = process.stdout.readline().split(" at ")[1].split(";")[0]
    with ExitStack() as stack:
        for _ in range(700):
            stack.enter_context(connect(running)).sendall(b"POST /search HTTP/1.1\r\n")
        assert ask(running)[0] == 200
    process.terminate()
    assert process.communicate(timeout=TIMEOUT)[1] == ""


SECRET = "a-token-of-the-test"


def test_a_server_with_a_token_answers_nobody_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with served(Echo(), access=Access("127.0.0.1", SECRET)) as running:
        for line in ("X: y", "Authorization: Bearer no", f"Authorization: {SECRET}"):
            status, body = ask(running, line)
            assert (status, TOKEN.encode() in body) == (401, True)
        assert ask(running, f"Authorization: Bearer {SECRET}", "Host: any.example")[0] == 200
        with pytest.raises(UserError, match="token"):
            HTTPSearch(url=running.url)
        monkeypatch.setenv(TOKEN, SECRET)
        assert HTTPSearch(url=running.url).spec.engine == "echo"


def test_beyond_loopback_serving_needs_a_token_or_the_word_of_its_owner(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call = caller(monkeypatch, capsys, "serve-search")
    refused(call("--corpus", "embedded", "--host", "0.0.0.0"), TOKEN, "--no-token")
    monkeypatch.setenv(TOKEN, "two words")
    refused(call("--corpus", "embedded", "--host", "0.0.0.0"), TOKEN)
