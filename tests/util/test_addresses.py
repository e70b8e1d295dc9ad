"""Addresses, proxies and TLS: what is used, and what is said when something is wrong."""

import asyncio
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from autocoa_bench.errors import UserError
from autocoa_bench.util import http_client
from autocoa_bench.util.addresses import (
    CERTIFICATE_VARIABLES,
    is_local,
    proxy_of,
    refuses_plain_http,
    server_address,
)
from autocoa_bench.util.http_client import HTTPClient, TransientError

CERTIFICATES = Path(__file__).parents[1] / "support" / "certificates"
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXY_VARIABLES, *map(str.upper, PROXY_VARIABLES), *CERTIFICATE_VARIABLES):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("url", "netloc"),
    [
        ("http://0.0.0.0:8000", "127.0.0.1:8000"),
        ("http://[::]:8000", "[::1]:8000"),
        ("http://[::1]:8000/v1", "[::1]:8000"),
        ("http://[fe80::1%25eth0]:8000", "[fe80::1%eth0]:8000"),
        ("http://localhost.:8000", "localhost:8000"),
        ("https://api.example.com.", "api.example.com"),
        ("http://bücher.example:80/", "bücher.example:80"),
        ("http://my_host:8000", "my_host:8000"),
        (" http://h:1 ", "h:1"),
    ],
)
def test_an_address_is_one_at_which_the_server_is_reached(url: str, netloc: str) -> None:
    assert server_address(url, "the base URL", "http://h").netloc == netloc


@pytest.mark.parametrize(
    "url",
    [
        "http://a..b/",
        "http://a b:1",
        "http://127.1:8000",
        "http://2130706433",
        "http://::1:8000",
        "http://h:0",
        "http://h:99999",
        "http://" + "x" * 64,
        "http://h<b>",
        "//h:1",
        "socks5://h:1",
    ],
)
def test_an_address_that_no_client_could_use_is_refused(url: str) -> None:
    with pytest.raises(UserError, match="is not an http:// or https:// address"):
        server_address(url, "the base URL", "http://h")


@pytest.mark.parametrize(
    "host",
    ["localhost", "a.localhost", "127.0.0.1", "127.8.9.1", "::1", "0.0.0.0", "::ffff:127.0.0.1"],
)
def test_this_machine_is_reached_without_a_proxy(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy:3128")
    assert is_local(host)
    assert proxy_of(urlsplit(f"http://[{host}]:1" if ":" in host else f"http://{host}:1")) is None


@pytest.mark.parametrize(
    ("variable", "value", "url", "proxy"),
    [
        ("HTTP_PROXY", "http://proxy:3128", "http://h", "http://proxy:3128"),
        ("http_proxy", "http://proxy:3128", "http://h", "http://proxy:3128"),
        ("HTTP_PROXY", "http://proxy:3128", "https://h", None),
        ("HTTPS_PROXY", "http://proxy:3128", "https://h", "http://proxy:3128"),
        ("https_proxy", "proxy:3128", "https://h", "http://proxy:3128"),
        ("ALL_PROXY", "http://proxy:3128", "https://h", "http://proxy:3128"),
        ("all_proxy", "http://proxy:3128", "http://h", "http://proxy:3128"),
        ("ALL_PROXY", "", "http://h", None),
    ],
)
def test_a_proxy_comes_from_the_environment(
    variable: str, value: str, url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    assert proxy_of(urlsplit(url)) == proxy


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_direct"),
    [
        ("*", "http://h:1", True),
        ("h", "http://h:1", True),
        ("H, other", "http://h:1", True),
        ("other h", "http://h:1", True),
        ("example.com", "https://api.example.com", True),
        (".example.com", "https://api.example.com", True),
        ("*.example.com", "https://api.example.com", True),
        ("example.com.", "https://api.example.com", True),
        ("ample.com", "https://api.example.com", False),
        ("h:8000", "http://h:8000", True),
        ("h:8000", "http://h:9000", False),
        ("h:443", "https://h", True),
        ("10.0.0.0/8", "http://10.1.2.3:8000", True),
        ("10.0.0.0/8", "http://11.1.2.3:8000", False),
        ("10.1.2.3", "http://10.1.2.3", True),
        ("fd00::/8", "http://[fd00::7]:8000", True),
        ("[fd00::7]:8000", "http://[fd00::7]:8000", True),
        ("[fd00::7]:8001", "http://[fd00::7]:8000", False),
        ("", "http://h", False),
        (",, ,", "http://h", False),
    ],
)
@pytest.mark.parametrize("variable", ["NO_PROXY", "no_proxy"])
def test_no_proxy_exempts_hosts_domains_networks_and_ports(
    variable: str, no_proxy: str, url: str, is_direct: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy:3128")
    monkeypatch.setenv(variable, no_proxy)
    assert (proxy_of(urlsplit(url)) is None) == is_direct


@pytest.mark.parametrize("proxy", ["socks5://name:secret@proxy:1080", "http://name:secret@proxy:x"])
def test_a_proxy_that_cannot_be_used_is_refused_without_its_password(
    proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(UserError, match=r"SOCKS is not supported.*NO_PROXY=h") as raised:
        proxy_of(urlsplit("http://h"))
    assert "secret" not in str(raised.value)


async def request(root: str) -> bytes:
    client = HTTPClient(root, concurrency=1, timeout=5, retries=0)
    try:
        return await client.send("GET", f"{root}/x")
    finally:
        await client.close()


async def served(certificate: str = "", status: int = 200) -> tuple[web.ServerRunner, int]:
    async def reply(request: web.BaseRequest) -> web.Response:
        return web.Response(text=request.headers.get("Proxy-Authorization", "hello"), status=status)

    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        file = CERTIFICATES / f"{certificate}.pem"
        context.load_cert_chain(file, CERTIFICATES / "key.pem")
    runner = web.ServerRunner(web.Server(reply))
    await runner.setup()
    site: Any = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    return runner, site._server.sockets[0].getsockname()[1]


def answer(root: str, certificate: str = "", status: int = 200) -> bytes:
    """The reply of a server with a certificate, or with none."""

    async def run() -> bytes:
        runner, port = await served(certificate, status)
        try:
            return await request(root.replace("PORT", str(port)))
        finally:
            await runner.cleanup()

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("certificate", "root", "advice"),
    [
        ("self-signed", "https://127.0.0.1:PORT", "is self-signed; .* SSL_CERT_FILE"),
        ("signed", "https://127.0.0.1:PORT", "authority that is not trusted.* SSL_CERT_FILE"),
        ("", "https://127.0.0.1:PORT", "speaks no TLS at that port; give .* http://"),
        ("signed", "http://127.0.0.1:PORT", "speaks TLS at that port; give .* https://"),
    ],
)
def test_a_failure_of_tls_is_one_line_that_says_what_to_do(
    certificate: str, root: str, advice: str
) -> None:
    with pytest.raises(UserError, match=advice) as raised:
        answer(root, certificate)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("certificate", "root", "advice"),
    [
        ("expired", "https://127.0.0.1:PORT", "has expired"),
        ("other-host", "https://127.0.0.1:PORT", "is for another host than '127.0.0.1'"),
        ("other-host", "https://localhost:PORT", "is for another host than 'localhost'"),
    ],
)
@pytest.mark.parametrize("variable", CERTIFICATE_VARIABLES)
def test_a_certificate_of_a_trusted_authority_may_be_wrong_too(
    certificate: str, root: str, advice: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, str(CERTIFICATES / "authority.pem"))
    with pytest.raises(UserError, match=advice):
        answer(root, certificate)
    assert answer("https://127.0.0.1:PORT", "signed") == b"hello"


@pytest.mark.parametrize("variable", CERTIFICATE_VARIABLES)
def test_a_file_of_certificates_that_cannot_be_read_is_named(
    variable: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(variable, str(tmp_path / "none.pem"))
    with pytest.raises(UserError, match=f"{variable} names '.*none.pem', which is no readable"):
        asyncio.run(request("https://127.0.0.1:1"))


@pytest.mark.parametrize(
    "text",
    [
        "Client sent an HTTP request to an HTTPS server.",
        "The plain HTTP request was sent to HTTPS port",
        "You're speaking plain HTTP to an SSL-enabled server port. Instead use the HTTPS scheme",
    ],
)
def test_a_server_may_say_that_it_wants_https(text: str) -> None:
    assert refuses_plain_http(text)
    assert not refuses_plain_http("HTTP request failed")


def test_a_name_without_an_address_is_named() -> None:
    with pytest.raises(TransientError, match=r"the name 'nowhere\.invalid' has no address"):
        asyncio.run(request("http://nowhere.invalid"))


def through_a_proxy(
    root: str, proxy: str, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> bytes:
    """The reply to a request through a proxy, which answers itself."""

    async def run() -> bytes:
        runner, port = await served(**options)
        monkeypatch.setenv("ALL_PROXY", proxy.replace("PORT", str(port)))
        try:
            return await request(root)
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def test_a_proxy_receives_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = "http://na%40me:se%3Acret@127.0.0.1:PORT"
    assert through_a_proxy("http://h", proxy, monkeypatch) == b"Basic bmFAbWU6c2U6Y3JldA=="


@pytest.mark.parametrize("root", ["http://h", "https://h"])
def test_a_proxy_that_refuses_its_password_is_named_without_it(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = "http://name:secret-word@127.0.0.1:PORT"
    with pytest.raises(UserError, match=r"proxy at 127.0.0.1 asks for .*407.*NO_PROXY=h") as raised:
        through_a_proxy(root, proxy, monkeypatch, status=407)
    assert "secret-word" not in str(raised.value)


@pytest.mark.parametrize("root", ["http://h", "https://h"])
def test_a_proxy_that_is_not_there_is_named_without_its_password(
    root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://name:secret-word@127.0.0.1:1")
    with pytest.raises(TransientError, match=r"proxy at 127.0.0.1: .*NO_PROXY=h") as raised:
        asyncio.run(request(root))
    assert "secret-word" not in str(raised.value)


def test_the_trial_of_tls_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = 0

    async def speaks_tls(*_: object) -> bool:
        nonlocal trials
        trials += 1
        return False

    async def run() -> None:
        async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        root = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        client = HTTPClient(root, concurrency=1, timeout=5, retries=0)
        for _ in range(3):
            with pytest.raises(TransientError):
                await client.send("GET", f"{root}/x")
        await client.close()
        server.close()

    monkeypatch.setattr(http_client, "speaks_tls", speaks_tls)
    asyncio.run(run())
    assert trials == 1
