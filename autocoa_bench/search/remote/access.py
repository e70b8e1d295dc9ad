"""Who may use a search server: programs that address it by its own name, or that know its token.

A page in a browser can reach servers on loopback, and under a name that its owner lets point there
(DNS rebinding) it can read their replies. Such a request names another host, or has an Origin.
"""

import hmac
import ipaddress
import os
import re
import socket
from functools import cache, lru_cache
from urllib.parse import urlsplit

from aiohttp import web
from msgspec import Struct

from autocoa_bench.errors import UserError

TOKEN = "AUTOCOA_BENCH_SEARCH_TOKEN"  # noqa: S105, the name of a variable
"""The environment variable with the token that a server asks for and our client sends."""

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\[\]:/@\s]+)(?::(?P<port>\d{1,5}))?")


class Access(Struct, frozen=True):
    """The address that a server was told to listen on, and its token, if it asks for one."""

    host: str = "127.0.0.1"
    token: str = ""


def environment_token() -> str:
    """The token in the environment, or an empty text. Raises UserError."""
    token = os.environ.get(TOKEN, "").strip()
    if not re.fullmatch(r"[!-~]*", token):
        raise UserError(f"{TOKEN} contains a space or a letter beyond ASCII; set another token")
    return token


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches a host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refusal(request: web.Request, access: Access) -> tuple[int, str] | None:
    """The status and the reason with which a request is refused; None if it is not."""
    headers = request.headers
    if access.token:
        header = headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(header, f"Bearer {access.token}".encode()):
            return 401, f"this server asks for a token (Authorization: Bearer ...; see {TOKEN})"
    else:
        hosts = headers.getall("Host", [])
        if not request.raw_path.startswith("/"):  # a whole URL, as a proxy is asked for one
            hosts = list({*hosts, urlsplit(request.raw_path).netloc})
        transport = request.transport
        address, port = transport.get_extra_info("sockname")[:2] if transport else ("", 0)
        if len(hosts) != 1 or not _is_own(hosts[0], access.host, address, port):
            own = f"{access.host}:{port}"
            return 421, f"this server answers requests to {own}, not to {', '.join(hosts)[:200]!r}"
        if "Origin" in headers or headers.get("Sec-Fetch-Site", "none") != "none":
            return 403, "this server answers programs, not pages in a browser"
    if request.method == "POST" and request.content_type != "application/json":
        return 415, f"send JSON as application/json, not as {request.content_type[:200]!r}"
    if "Content-Encoding" in headers:
        return 415, "send the body uncompressed"
    return None


@cache
def _machine_names() -> frozenset[str]:
    return frozenset({socket.gethostname().lower(), socket.getfqdn().lower()})


@lru_cache(64)
def _is_own(header: str, host: str, address: str, port: int) -> bool:
    """Tell whether a Host header names loopback, or the host of a server, and its port.

    `address` is the server's end of the connection.
    """
    match = _HOST.fullmatch(header.strip().lower())
    if match is None or int(match["port"] or 80) != port:
        return False
    name = match["name"].strip("[]").removesuffix(".")
    if is_loopback(name) or name in (host.lower(), address):
        return True
    # A server on all addresses cannot know the addresses that others have for it; but no page can
    # be served from an address in digits that is not its own.
    return host in ("0.0.0.0", "::") and (_is_address(name) or name in _machine_names())  # noqa: S104


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
